"""Failures of providers read, and written for Anthropic clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.dialects import anthropic
from dragoman.language.failures import Failure, FailureKind


def _body(kind: str, message: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1", **more}


def _read(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Failure:
    return anthropic.read_failure(status, headers or {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "read"),
    [
        (400, "invalid_request_error", "invalid_request"),
        (403, "permission_error", "permission"),
        (404, "not_found_error", "not_found"),
        (413, "request_too_large", "too_large"),
        (429, "rate_limit_error", "rate_limit"),
        (402, "billing_error", "quota"),
        (500, "api_error", "server"),
        (504, "timeout_error", "timeout"),
        (529, "overloaded_error", "overloaded"),
    ],
)
def test_E02_C03_kinds_and_the_same_body_back(status: int, kind: str, read: FailureKind) -> None:
    body = _body(kind, extra={"kept": None})
    failure = _read(status, body)
    assert (failure.kind, failure.request_id, failure.message) == (read, "req_1", "words")
    assert anthropic.write_failure(failure) == (status, body)


def test_E06_a_refused_upstream_key_is_never_the_clients_401() -> None:
    failure = _read(401, _body("authentication_error", "invalid x-api-key"))
    status, body = anthropic.write_failure(failure, "req_ours")
    assert (failure.kind, status) == ("credential", 502)
    assert body["error"]["type"] == "api_error"
    assert body["request_id"] == "req_ours"


def test_E07_a_spent_balance_is_no_throttle() -> None:
    message = "Your credit balance is too low to access the Anthropic API."
    assert _read(400, _body("invalid_request_error", message)).kind == "quota"


def test_E09_the_wait_is_read() -> None:
    assert _read(429, _body("rate_limit_error"), {"Retry-After": "7"}).retry_after == 7


def test_a_cleaned_message_replaces_the_providers_in_its_body() -> None:
    failure = _read(400, _body("invalid_request_error", "see https://secret.test"))
    failure.message = "see [removed]"
    assert anthropic.write_failure(failure)[1]["error"]["message"] == "see [removed]"


def test_E05_context_length_begins_with_the_words_that_make_claude_code_compact() -> None:
    status, body = anthropic.write_failure(Failure("context_length", "maximum context length is 8192", status=413))
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert body["error"]["message"].startswith("prompt is too long")
    assert "capability_rejected: prompt_too_long" in body["error"]["message"]


@pytest.mark.parametrize(
    "message",
    ["prompt is too long: 3 tokens > 2 maximum", "input length and `max_tokens` exceed context limit: 9 + 8 > 10"],
)
def test_E05_anthropics_own_words_stay(message: str) -> None:
    failure = _read(400, _body("invalid_request_error", message))
    assert failure.kind == "context_length"
    assert anthropic.write_failure(failure)[1]["error"]["message"] == message


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (Failure("invalid_request", "x"), 400, "invalid_request_error"),
        (Failure("invalid_request", "x", status=422), 422, "invalid_request_error"),
        (Failure("authentication", "x"), 401, "authentication_error"),
        (Failure("permission", "x"), 403, "permission_error"),
        (Failure("not_found", "x"), 404, "not_found_error"),
        (Failure("too_large", "x"), 413, "request_too_large"),
        (Failure("rate_limit", "x"), 429, "rate_limit_error"),
        (Failure("quota", "x"), 429, "rate_limit_error"),
        (Failure("quota", "x", status=402), 402, "billing_error"),
        (Failure("overloaded", "x"), 529, "overloaded_error"),
        (Failure("overloaded", "x", status=503), 503, "overloaded_error"),
        (Failure("credential", "x", status=403), 502, "api_error"),
        (Failure("timeout", "x"), 504, "timeout_error"),
        (Failure("server", "x", status=500), 500, "api_error"),
        (Failure("server", "x", status=200), 502, "api_error"),
    ],
)
def test_T32_failures_of_others_in_anthropics_shape(failure: Failure, status: int, kind: str) -> None:
    written = anthropic.write_failure(failure, "req_2")
    assert written == (status, {"type": "error", "error": {"type": kind, "message": "x"}, "request_id": "req_2"})


def test_E02_other_shapes_before_an_anthropic_provider() -> None:
    google = {"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}
    assert _read(404, google).kind == "not_found"
    assert anthropic.write_failure(_read(404, google))[1]["error"]["message"] == "no such model"
    assert anthropic.read_failure(502, {}, b"<html><h1>Bad gateway</h1></html>").kind == "server"
    assert anthropic.read_failure(500, {}, b"").message
