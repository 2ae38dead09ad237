"""Errors reach every client in its own dialect, with the provider's words and without its secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.failures import Failure
from dragoman.relay.cleaning import Secrets, clean_error_body, clean_failure, clean_text
from dragoman.relay.limits import limit_headers, retry_headers
from tests.relay.rig import ASK, CALM, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, Asked, Wire, running, settings_for, whole

CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", ASK),
    "openai_chat": ("/v1/chat/completions", CHAT_ASK),
    "openai_responses": ("/v1/responses", RESPONSES_ASK),
    "gemini": ("/v1beta/models/gemini-x:generateContent", GEMINI_ASK),
}
WORDS = "the model said no"


def message_of(dialect: str, body: Any) -> str:
    """The words of an error, from where the dialect keeps them."""
    if dialect == "anthropic":
        assert set(body) >= {"type", "error"}
        assert body["type"] == "error"
    return str(body["error"]["message"])


def same_status(dialect: str, status: int) -> set[int]:
    """Statuses that say the same to a client of the dialect."""
    return {503, 529} if status in (503, 529) else {status}


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 402, 403, 404, 413, 422, 429, 500, 503, 529])
async def test_T32_status_words_and_wait_survive(dialect: str, stream: bool, status: int) -> None:
    path, body = CLIENTS[dialect]
    if stream and dialect == "gemini":
        path = path.replace("generateContent", "streamGenerateContent?alt=sse")
    elif stream:
        body = {**body, "stream": True}
    error = {"error": {"message": WORDS, "type": "some_error", "code": "some_code", "param": None}}
    # No ping may open the status while a slow machine is still at work.
    async with running(patience=CALM) as rig:
        rig.provider.script = whole(error, status, retry_after="6.2", retry_after_ms="6200")
        got, headers, answer = await rig.post(path, body)
        assert got in same_status(dialect, status)
        assert headers["content-type"].startswith("application/json")
        assert WORDS in message_of(dialect, answer)
        assert headers["x-request-id"]
        if status in (429, 503, 529):
            assert headers["retry-after"] == "7"
            assert headers["retry-after-ms"] == "6200"
            assert headers["x-should-retry"] == "true"
        if status in (400, 404, 422):
            assert headers["x-should-retry"] == "false"
        assert (await rig.record()).outcome == "failed"


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"error": {"message": "Incorrect API key provided: sk-abc12345.", "code": "invalid_api_key"}}),
        (400, {"error": {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}),
    ],
)
async def test_E06_our_refused_key_is_a_502_and_never_a_401(dialect: str, status: int, error: Any) -> None:
    path, body = CLIENTS[dialect]
    async with running() as rig:
        rig.provider.script = whole(error, status)
        got, headers, answer = await rig.post(path, body)
        assert got == 502
        assert headers["x-should-retry"] == "false"
        assert "sk-abc" not in json.dumps(answer)
        if dialect.startswith("openai"):
            assert answer["error"]["code"] == "upstream_credential"


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_T33_refused_timed_out_and_garbled(dialect: str) -> None:
    path, body = CLIENTS[dialect]

    async def html(asked: Asked, wire: Wire) -> None:
        await wire.raw(
            b"<html><body><h1>502 Bad Gateway</h1><hr>nginx/1.2</body></html>", 200, content_type="text/html"
        )

    async def html_error(asked: Asked, wire: Wire) -> None:
        page = b"<html><head><style>p{}</style></head><body><h1>502 Bad Gateway</h1></body></html>"
        await wire.raw(page, 502, content_type="text/html")

    async def cut(asked: Asked, wire: Wire) -> None:
        wire.reset()

    async with running() as rig:
        for script in (html, html_error, cut):
            rig.provider.script = script
            status, _, answer = await rig.post(path, body)
            assert status == 502, script
            text = message_of(dialect, answer)
            assert "<" not in text
            assert str(rig.provider.port) not in text
    async with running(settings=settings_for(9)) as rig:
        status, headers, answer = await rig.post(path, body)
        assert status == 502
        assert headers["x-should-retry"] == "true"
        assert "127.0.0.1" not in message_of(dialect, answer)


async def test_T33_a_provider_that_never_answers_is_a_504() -> None:
    from dragoman.relay.streaming import Patience

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.wait_gone(10)

    async with running(patience=Patience(idle=0.3)) as rig:
        rig.provider.script = script
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert (status, answer["error"]["type"]) == (504, "timeout_error")


async def test_C03_an_anthropic_error_passes_byte_for_byte() -> None:
    error = (
        b'{"type":"error", "error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8 '
        b'see https://docs.claude.com/en/limits"},"request_id":"req_up","odd":12345678901234567890}'
    )

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(
            error, 400, content_type="application/json", request_id="req_up", x_should_retry="false",
            anthropic_ratelimit_unified_status="allowed",
        )  # fmt: skip

    async with running("anthropic") as rig:
        rig.provider.script = script
        async with rig.client.post(rig.url + "/v1/messages", data=json.dumps(ASK)) as answer:
            assert answer.status == 400
            assert await answer.read() == error
            assert answer.headers["x-should-retry"] == "false"
            assert answer.headers["anthropic-ratelimit-unified-status"] == "allowed"


async def test_T34_no_key_host_or_path_in_a_same_dialect_error() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        words = (
            f"key {asked.headers['x-api-key']} at http://{asked.headers['host']}/v1 in /srv/app/x.py, Bearer abcdefgh"
        )
        await wire.json({"type": "error", "error": {"type": "invalid_request_error", "message": words}}, 400)

    async with running("anthropic") as rig:
        rig.provider.script = script
        _, _, answer = await rig.post("/v1/messages", ASK)
        assert answer["error"]["message"] == "key [key] at [link] in [path], [key]"


async def test_an_internal_defect_is_a_500_without_a_traceback() -> None:
    async with running() as rig:
        status, _, answer = await rig.post("/v1/messages", {**ASK, "model": "x"})
        assert status == 500
        rig.provider.script = whole([1, 2])
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert status == 502
        assert "Traceback" not in json.dumps(answer)


# ---------------------------------------------------------------- cleaning


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        ("You exceeded your quota, see https://platform.openai.com/docs.", "You exceeded your quota, see [link]"),
        ("bad key sk-proj-abcdef123456 given", "bad key [key] given"),
        ("Incorrect API key provided: sk-abc*****wxyz", "Incorrect API key provided: [key]"),
        ("deployment my-res.openai.azure.com missing", "deployment [host] missing"),
        ("cannot open /home/me/app/main.py: no", "cannot open [path]: no"),
        ("C:\\Users\\me\\x.py failed", "[path] failed"),
        ("boom\nTraceback (most recent call last):\n  File \"x\"", "boom"),
        ("http://10.0.0.7:8000/v1 refused", "[link] refused"),
        ("connect 10.0.0.7:8000 refused", "connect [host] refused"),
        ("messages.1: role 'system' / see tools[0]", "messages.1: role 'system' / see tools[0]"),
        ("at 3.5 tokens/s, 1:2", "at 3.5 tokens/s, 1:2"),
    ],
)  # fmt: skip
def test_T34_cleaning_takes_out_only_what_is_secret(words: str, clean: str) -> None:
    assert clean_text(words).strip() == clean


def test_T34_a_known_secret_goes_wherever_it_stands() -> None:
    secrets = Secrets(("hunter2hunter2",), "up.example")
    assert clean_text("xhunter2hunter2y at up.example:443", secrets) == "x[key]y at [host]"
    body = b'{"error":{"message":"hunter2hunter2"}}'
    assert clean_error_body(body, secrets) == b'{"error":{"message":"[key]"}}'
    assert clean_error_body(b"<html>", secrets) is None


def test_a_page_becomes_its_words() -> None:
    failure = clean_failure(Failure("server", "<html><style>a{}</style><h1>Bad  Gateway</h1></html>"))
    assert failure.message == "Bad Gateway"
    assert len(clean_failure(Failure("server", "x" * 9000)).message) == 4000


# ---------------------------------------------------------------- limits


def test_E10_openai_limits_in_anthropic_words() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    upstream = {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "12ms",
    }  # fmt: skip
    assert dict(limit_headers(upstream, "anthropic", now)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:06:00Z",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:01Z",
    }
    assert dict(limit_headers(upstream, "openai_chat", now)) == upstream
    back = {"anthropic-ratelimit-tokens-limit": "9", "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:07.2Z"}
    assert dict(limit_headers(back, "openai_responses", now)) == {
        "x-ratelimit-limit-tokens": "9",
        "x-ratelimit-reset-tokens": "8s",
    }
    assert limit_headers({"x-ratelimit-reset-tokens": "soon"}, "anthropic", now) == []


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure("rate_limit", "", retry_after=0.2), {"retry-after": "1", "x-should-retry": "true"}),
        (Failure("rate_limit", "", retry_after=34.4), {"retry-after": "35", "x-should-retry": "true"}),
        (Failure("rate_limit", ""), {"retry-after": "5", "x-should-retry": "true"}),
        (Failure("quota", ""), {"x-should-retry": "false"}),
        (Failure("context_length", ""), {"x-should-retry": "false"}),
        (Failure("server", ""), {"x-should-retry": "true"}),
    ],
)
def test_E09_E07_when_to_ask_again(failure: Failure, expected: dict[str, str]) -> None:
    assert dict(retry_headers(failure, {})) == expected
