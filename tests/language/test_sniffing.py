"""One reader for every error shape and wording: kinds, waits, and the provider's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.failures import Failure
from dragoman.language.sniffing import sniff_error, sniff_failure
from dragoman.language.waits import duration, moment, wait_from_headers, wait_from_limits, wait_from_words
from tests import corpus


def sniff(status: int, body: Any, **headers: str) -> Failure:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return sniff_failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def recorded(identifier: str) -> Failure:
    answer = corpus.exchange(identifier)["response"]
    return sniff_failure(answer["status"], answer.get("headers_subset") or {}, corpus.body_bytes(identifier))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "words here", "type": "x"}}, "words here"),
        ({"error": "words here", "code": "bad"}, "words here"),
        ({"detail": "words here"}, "words here"),
        ({"detail": [{"loc": ["body"], "msg": "words here", "type": "missing"}]}, "words here"),
        ({"object": "error", "message": "words here"}, "words here"),
        ([{"error": {"code": 400, "message": "words here", "status": "INVALID_ARGUMENT"}}], "words here"),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "words here"}}, "words here"),
        ({"error": {"message": json.dumps({"error": {"message": "words here"}})}}, "words here"),
        ({"success": False, "errors": [{"code": 7003, "message": "words here"}]}, "words here"),
        ({"base_resp": {"status_code": 2013, "status_msg": "words here"}}, "words here"),
        ({"__type": "com.amazon#ValidationException", "message": "words here"}, "words here"),
        ("words here", "words here"),
        ('event: error\ndata: {"error": {"message": "words here"}}\n\n', "words here"),
        ('error: {"detail": "words here"}', "words here"),
    ],
)
def test_E02_every_shape_keeps_the_words(body: Any, words: str) -> None:
    failure = sniff(400, body)
    assert failure.message == words
    assert failure.kind == "invalid_request"
    assert failure.status == 400


def test_E02_integer_and_null_codes_and_missing_types_are_read() -> None:
    assert sniff(400, {"error": {"message": "no", "code": 3051, "type": None}}).code == "3051"
    assert sniff(400, {"error": {"message": "no", "code": None}}).code == ""
    assert sniff(400, {"error": {"message": "no", "code": 400}}).code == "", "a status is not a word"


def test_E02_the_routed_providers_words_come_first_and_nothing_is_lost() -> None:
    failure = recorded("compat.openrouter--pydai--test_openrouter_errors_raised--0")
    assert failure.kind == "rate_limit"
    assert failure.message.startswith("google/gemini-2.0-flash-exp:free is temporarily rate-limited")
    assert "Provider returned error" in failure.message


def test_E02_an_empty_body_says_so() -> None:
    failure = sniff(500, "")
    assert failure.kind == "server"
    assert "500" in failure.message


def test_E01_a_page_of_html_is_a_short_server_error() -> None:
    page = "<!DOCTYPE html><html><head><title>Just a\n moment...</title></head><body>" + "x" * 90000 + "</body></html>"
    failure = sniff(403, page)
    assert failure.kind == "server"
    assert failure.http_status == 502
    assert "Just a moment..." in failure.message
    assert len(failure.message) < 300
    assert sniff(429, page, retry_after="7").kind == "rate_limit"
    assert sniff(429, page, retry_after="7").retry_after == 7


def test_E02_the_request_id_is_kept() -> None:
    assert sniff(500, {"error": {"message": "x"}}, x_request_id="req_1").request_id == "req_1"
    anthropic = {"type": "error", "error": {"type": "api_error", "message": "x"}, "request_id": "req_2"}
    assert sniff(500, anthropic).request_id == "req_2"


CONTEXT = [
    "anthropic-messages--rubyllm--chat_real_error_scenarios_anthropic_claude-haiku-4-5"
    "_handles_context_length_exceeded_errors--0",
    "openai-responses--rubyllm--chat_real_error_scenarios_openai_gpt-5-nano_handles_context_length_exceeded_errors--0",
    "compat.llama-cpp--rig--error_matrix-context_overflow_blocking--0",
    "compat.xai--rubyllm--chat_real_error_scenarios_xai_grok-2-1212_handles_context_length_exceeded_errors--0",
    "gemini--rubyllm--chat_real_error_scenarios_gemini_gemini-2_0-flash_handles_context_length_exceeded_errors--0",
]


@pytest.mark.parametrize("identifier", CONTEXT)
def test_E05_recorded_overflow_is_one_kind(identifier: str) -> None:
    failure = recorded(identifier)
    assert failure.kind == "context_length"
    assert not failure.retryable


@pytest.mark.parametrize(
    "words",
    [
        "Your request exceeded model token limit: 131072",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens",
        "Range of input length should be [1, 30720]",
        "Input is too long for requested model.",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Please reduce the length of the messages or completion.",
    ],
)
def test_E05_other_wordings_of_overflow(words: str) -> None:
    assert sniff(400, {"error": {"message": words}}).kind == "context_length"


def test_E05_a_high_output_limit_is_not_an_overflow() -> None:
    words = "max_tokens is too large: 5000. This model supports at most 4096 completion tokens."
    assert sniff(400, {"error": {"message": words}}).kind == "invalid_request"


@pytest.mark.parametrize(
    "identifier",
    [
        "compat.xai--rubyllm--chat_error_handling_with_xai_grok-4-1-fast-non-reasoning_raises_appropriate_auth_error--0",
        "gemini--rubyllm--chat_error_handling_with_gemini_gemini-2_5-flash_raises_appropriate_auth_error--0",
        "compat.doubleword--rig--error_matrix-invalid_key_blocking--0",
        "compat.llama-cpp--rig--error_matrix-missing_api_key_is_401--0",
    ],
)
def test_E06_a_refused_upstream_key_is_never_the_clients(identifier: str) -> None:
    failure = recorded(identifier)
    assert failure.kind == "credential"
    assert failure.http_status == 502


def test_E06_a_missing_permission_is_not_a_bad_key() -> None:
    assert recorded("vertex-gemini--firebase--unary-failure-iam-permission-denied--0").kind == "permission"


def test_E07_spent_quota_is_no_throttle() -> None:
    spent = recorded("openai-responses--vercel--openai-error.1--0")
    assert (spent.kind, spent.retryable) == ("quota", False)
    assert sniff(402, {"error": {"message": "Insufficient Balance"}}).kind == "quota"
    low = {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
    assert sniff(400, low).kind == "quota"


def test_E07_a_request_above_the_limit_is_never_retried() -> None:
    failure = recorded(
        "openai-chat--rubyllm--chat_real_error_scenarios_openai_gpt-4_1-nano_handles_context_length_exceeded_errors--0"
    )
    assert failure.kind == "too_large"
    assert not failure.retryable


def test_E07_google_says_quota_of_what_passes_in_a_minute() -> None:
    failure = recorded("gemini--vercel--google-429-retry-info--0")
    assert (failure.kind, failure.retry_after) == ("rate_limit", 34.4)
    daily = {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota",
            "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}],
        }
    }
    assert sniff(429, daily).kind == "quota"


@pytest.mark.parametrize(
    "identifier",
    [
        "compat.llama-cpp--rig--error_matrix-tools_without_jinja--0",
        "compat.llama-cpp--rig--structured_output_matrix-schema_and_grammar_conflict--0",
    ],
)
def test_E08_a_500_for_the_callers_mistake_is_not_retried(identifier: str) -> None:
    failure = recorded(identifier)
    assert failure.kind == "invalid_request"
    assert failure.http_status == 400


def test_E08_the_failed_generation_is_kept_for_its_owner() -> None:
    identifier = "compat.groq--pydai--test_tool_use_failed_error--0"
    answer = corpus.exchange(identifier)["response"]
    failure = sniff_failure(answer["status"], {}, corpus.body_bytes(identifier), "openai_chat")
    assert failure.code == "tool_use_failed"
    assert "something_by_name" in failure.extras["openai_chat"]["failed_generation"]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after": "9", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "1", "retry-after-ms": "0"}, 1.0),
        ({"retry-after": "Wed, 19 Aug 2026 14:34:46 GMT", "date": "Wed, 19 Aug 2026 14:34:16 GMT"}, 30.0),
        ({"retry-after": "Wed, 19 Aug 2026 14:34:46 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_E09_retry_after_in_every_spelling(headers: dict[str, str], wait: float | None) -> None:
    assert wait_from_headers(headers) == wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12ms", 0.012), ("6m0s", 360.0), ("34.4s", 34.4), ("1h2m3s", 3723.0), ("2 minutes", 120.0), ("3x", None)],
)
def test_E09_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


def test_E09_only_a_spent_limit_tells_when_to_come_back() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "199",
        "x-ratelimit-reset-requests": "300ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert wait_from_limits(headers) == 360.0
    assert wait_from_limits({"x-ratelimit-reset-requests": "300ms"}) is None
    anthropic = {
        "date": "Wed, 19 Aug 2026 14:34:10 GMT",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2026-08-19T14:34:16Z",
    }
    assert wait_from_limits(anthropic) == 6.0


@pytest.mark.parametrize(
    ("words", "wait"),
    [
        ("Rate limit reached. Please try again in 6m0s.", 360.0),
        ("Please retry in 48.939935699s.", 48.939935699),
        ("retry after 20 seconds", 20.0),
        ("Please try again in 20ms. Visit https://example.com/60s", 0.02),
        ("Please try again later (limit 20)", None),
    ],
)
def test_E09_the_wait_may_stand_in_the_message(words: str, wait: float | None) -> None:
    assert wait_from_words(words) == wait


def test_E09_a_retry_after_on_success_counts_nothing() -> None:
    failure = sniff(200, {"error": {"message": "broke", "code": 429}}, retry_after="61")
    assert (failure.status, failure.retry_after, failure.kind) == (429, None, "rate_limit")


def test_E09_moments_need_no_clock() -> None:
    assert moment("2026-08-19T14:34:16Z") == moment("Wed, 19 Aug 2026 14:34:16 GMT") == 1787150056
    assert moment("2026-08-19T16:34:16+02:00") == 1787150056
    assert moment("1741305600000") == 1741305600


def test_E10_the_providers_word_on_retrying_is_kept() -> None:
    failure = sniff(
        529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, x_should_retry="false"
    )
    assert failure.should_retry is False
    assert failure.kind == "overloaded"
    assert not failure.retryable


def test_E03_an_in_band_error_gives_its_own_status() -> None:
    failure = sniff_error({"error": {"message": "Token limit reached", "code": 400}})
    assert (failure.kind, failure.status) == ("invalid_request", 400)


def test_X09_hostile_bodies_are_read_in_time() -> None:
    deep: Any = "words"
    for _ in range(60):
        deep = {"error": deep}
    assert sniff(400, deep).kind == "invalid_request"
    assert sniff(400, "[" * 5000).message
    assert sniff(400, {"error": {"message": "try again in " + "9" * 100000}}).retry_after is None
