"""What goes wrong upstream, on every surface (compat §3.2; T-32 to T-35, C-77)."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from dragoman.app import build
from dragoman.language.registry import DIALECTS
from dragoman.observe import logs
from dragoman.relay.metering import log_record
from dragoman.relay.streaming import Patience
from dragoman.settings import Settings
from tests.compat.azure import DEPLOYMENT
from tests.compat.setups import load, moved
from tests.relay.rig import (
    ASK,
    CHAT_ASK,
    RESPONSES_ASK,
    Asked,
    FakeProvider,
    Rig,
    Script,
    Wire,
    chat_body,
    running,
    served,
    settings_for,
    whole,
)

SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages over chat": ("/v1/messages", {**ASK, "model": "fake/gpt-4.1"}),
    "messages over responses": ("/v1/messages", {**ASK, "model": "other/gpt-5"}),
    "chat": ("/v1/chat/completions", {**CHAT_ASK, "model": "fake/gpt-4.1"}),
    "completions": ("/v1/completions", {"model": "fake/gpt-4.1", "prompt": "Hello"}),
    "responses": ("/v1/responses", {**RESPONSES_ASK, "model": "other/gpt-5"}),
    "cursor": ("/cursor/chat/completions", {**CHAT_ASK, "model": "gpt-high"}),
}
WORDS = "the model said no"


def three(port: int) -> dict[str, Any]:
    """A Chat account, a Responses account, and Azure for Cursor, all at the port."""
    url = f"http://127.0.0.1:{port}"
    same = {"allow_private": True, "api_key": "upstream-secret-key"}
    return {
        "providers": {
            "fake": {"kind": "openai", "api": "chat", "base_url": f"{url}/v1", **same},
            "other": {"kind": "openai", "api": "responses", "base_url": f"{url}/v1", **same},
            "azure": {"kind": "azure_openai", "base_url": url, "families": {DEPLOYMENT: "gpt-5"}, **same},
        },
        "models": {"unmapped": "passthrough", "preferred": "fake", "cursor_deployment": DEPLOYMENT},
    }


def check_shape(path: str, body: Any, status: int) -> str:
    """The words of an error, whose shape is the surface's."""
    if path.startswith("/v1/messages"):
        assert set(body) == {"type", "error", "request_id"}
        assert (body["type"], set(body["error"])) == ("error", {"type", "message"})
        assert body["request_id"]
        assert body["error"]["type"] == ANTHROPIC_TYPES.get(status, body["error"]["type"])
    else:
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["type"]
        assert body["error"]["code"]
    return str(body["error"]["message"])


ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """The gateway before the three accounts."""
    provider = FakeProvider()
    await provider.start()
    async with running(settings=Settings.model_validate(three(provider.port))) as served:
        yield replace(served, provider=provider)
    await provider.stop()


STATUSES = [400, 403, 404, 413, 422, 429, 500, 503]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
async def test_T_32_status_shape_and_wait_survive_on_each_surface(surface: str, stream: bool, rig: Rig) -> None:
    path, body = SURFACES[surface]
    for status in STATUSES:
        error = {"error": {"message": WORDS, "type": "some_error", "code": "some_code", "param": None}}
        rig.provider.script = whole(error, status, retry_after="7")
        got, headers, answer = await rig.post(path, {**body, "stream": stream})
        assert got == status
        assert headers["content-type"].startswith("application/json")
        assert WORDS in check_shape(path, answer, status)
        assert headers["x-request-id"]
        if status in (429, 503):
            assert headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
async def test_T_32_our_own_key_that_is_refused_is_no_401(surface: str, stream: bool, rig: Rig) -> None:
    """Trap E06: a 401 is only ever about the client's own key."""
    path, body = SURFACES[surface]
    error = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    for status in (401, 403):
        rig.provider.script = whole(error, status)
        got, headers, answer = await rig.post(path, {**body, "stream": stream})
        assert got == 502
        check_shape(path, answer, 502)
        assert "www-authenticate" not in headers
        if not path.startswith("/v1/messages"):
            assert answer["error"]["code"] == "upstream_credential"


async def _html(asked: Asked, wire: Wire) -> None:
    page = b"<html><body><h1>It works!</h1><hr>nginx/1.2 at backend.internal</body></html>"
    await wire.raw(page, 200, content_type="text/html")


async def _reset(asked: Asked, wire: Wire) -> None:
    wire.reset()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
async def test_T_33_a_page_a_reset_and_a_refusal_are_502(surface: str, stream: bool, rig: Rig) -> None:
    path, body = SURFACES[surface]
    scripts: list[Script] = [_html, _reset]
    for script in scripts:
        rig.provider.script = script
        status, _, answer = await rig.post(path, {**body, "stream": stream})
        assert status == 502
        text = check_shape(path, answer, 502)
        assert "<" not in text
        assert "backend.internal" not in text
    async with running(settings=settings_for(9, kind="openai")) as dead:
        if surface != "cursor":
            status, _, answer = await dead.post(path, {**body, "model": "gpt-4.1", "stream": stream})
            assert status == 502
            check_shape(path, answer, 502)
            if not path.startswith("/v1/messages"):
                assert answer["error"]["code"] == "upstream_unreachable"


@pytest.mark.parametrize("surface", ["messages over chat", "messages over responses", "chat", "completions"])
async def test_T_33_silence_is_a_504(surface: str) -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        await wire.wait_gone(10)

    path, body = SURFACES[surface]
    api = "responses" if "over responses" in surface else "chat"
    async with running("openai", account={"api": api}, patience=Patience(idle=0.2)) as rig:
        rig.provider.script = silent
        status, _, answer = await rig.post(path, {**body, "model": "gpt-5"})
        assert status == 504
        check_shape(path, answer, 504)
        if not path.startswith("/v1/messages"):
            assert answer["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_C_80_T_33_the_time_out_of_the_settings_is_kept(stream: bool, tmp_path: Path) -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        await wire.wait_gone(10)

    provider = FakeProvider()
    provider.script = silent
    await provider.start()
    said = moved(load(tmp_path, OPENAI_API_KEY="k", TIMEOUT="0.2"), provider.port)
    async with served(build(said)) as port, aiohttp.ClientSession() as client:
        body = json.dumps({**ASK, "stream": stream})
        async with client.post(f"http://127.0.0.1:{port}/v1/messages", data=body) as got:
            assert got.status == 504
            assert (await got.json())["error"]["type"] == "timeout_error"
    await provider.stop()


# ---------------------------------------------------------------- secrets

TALE = (
    "upstream-secret-key was sent to http://127.0.0.1:{port}/v1/chat/completions by sk-live-abcdef123456, see "
    "/srv/backend/app/main.py or C:\\\\backend\\\\main.py on acme-7.openai.azure.com:443\n"
    'Traceback (most recent call last):\n  File "/usr/lib/python3/site.py", line 3, in serve\nValueError: canary-9'
)
HIDDEN = re.compile(
    r"upstream-secret-key|127\.0\.0\.1|https?://|sk-live|/srv/|/usr/|C:\\|azure\.com|Traceback|canary-9|site\.py"
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
async def test_T_34_an_error_body_tells_no_url_key_traceback_or_path(surface: str, stream: bool, rig: Rig) -> None:
    path, body = SURFACES[surface]
    tale = TALE.format(port=rig.provider.port)
    wrapped: list[Any] = [
        {"error": {"message": tale, "type": "t", "code": "c", "param": None}},
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps({"error": {"message": tale}})},
            }
        },
        {"detail": tale},
        tale,
    ]
    for error in wrapped:
        for status in (400, 500):
            rig.provider.script = whole(error, status)
            got, headers, answer = await rig.post(path, {**body, "stream": stream})
            assert got == status
            text = json.dumps(answer) + json.dumps(headers)
            assert not HIDDEN.search(text.replace("\\\\", "\\")), text
            assert "[key] was sent to" in text, "the words themselves stay"


@pytest.fixture
def restored() -> Iterator[None]:
    """Leave the logging of the test process as it was."""
    root = logging.getLogger()
    sinks, level = root.handlers[:], root.level
    redact, logs.redact = logs.redact, logs.Redactor()
    yield
    logs.redact = redact
    for sink in root.handlers:
        if sink not in sinks:
            sink.close()
    root.handlers[:] = sinks
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("debug", ["false", "true"])
async def test_T_34_C_77_no_log_line_holds_a_key_a_token_or_a_query_string(debug: str, tmp_path: Path) -> None:
    said = load(
        tmp_path, OPENAI_API_KEY="upstream-canary-1", ANTHROPIC_AUTH_TOKEN="inbound-canary-2", DEBUG=debug,
        LOG_FILE=str(tmp_path / "app.log"), LOG_FILE_PATH=str(tmp_path / "log.jsonl"), BIG_MODEL="gpt-4.1",
    )  # fmt: skip
    console = io.StringIO()
    logs.set_up_logging(said.log, secrets=said.all_secrets(), stream=console)
    provider = FakeProvider()
    await provider.start()
    async with running(settings=moved(said, provider.port)) as rig:
        error = {"error": {"message": "Incorrect API key provided: upstream-canary-1"}}
        scripts: list[Script] = [whole(chat_body("Hi")), whole(error, 401), whole(error, 400), _html, _reset]
        for script in scripts:
            provider.script = script
            path = "/v1/messages?beta=true&key=guess-canary-3&token=guess-canary-4"
            await rig.post(path, ASK, authorization="Bearer inbound-canary-2")
        assert (await rig.post("/v1/messages?api_key=guess-canary-3", ASK, x_api_key="guess-canary-4"))[0] == 401
        for record in rig.records:
            log_record(record)
    await provider.stop()
    for held in (console.getvalue(), (tmp_path / "app.log").read_text(), (tmp_path / "log.jsonl").read_text()):
        assert held.count("\n") > 3
        for hidden in ("canary-1", "canary-2", "canary-3", "canary-4", "beta=true", "Bearer"):
            assert hidden not in held, hidden


async def test_C_77_a_failure_of_our_own_is_a_500_without_a_word_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **more: Any) -> Any:
        raise ZeroDivisionError("canary-5 /srv/app.py")

    async with running("openai", account={"api": "chat"}) as rig:
        monkeypatch.setattr(DIALECTS["anthropic"], "read_request", fails)
        status, headers, answer = await rig.post("/v1/messages", ASK)
        assert (status, answer["error"]["type"]) == (500, "api_error")
        assert "canary-5" not in json.dumps(answer) + json.dumps(headers)
        assert headers["x-request-id"]


async def test_C_77_ids_are_told_and_a_clients_own_is_echoed() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for path, body in (("/v1/messages", ASK), ("/v1/chat/completions", CHAT_ASK)):
            for given, kept in (("my-id.1", True), ("x" * 128, True), ("x" * 129, False), ("a b<c>", False)):
                _, headers, _ = await rig.post(path, body, x_request_id=given)
                assert (headers["x-request-id"] == given) is kept
                if path == "/v1/messages":
                    assert headers["request-id"] == headers["x-request-id"]


# ---------------------------------------------------------------- the client's own mistakes


@pytest.mark.parametrize("surface", SURFACES)
async def test_T_35_malformed_array_and_wrong_types_are_400_and_unknown_fields_are_not(surface: str, rig: Rig) -> None:
    """What Chat forwards as it came is judged by its provider, apart from JSON, object and model."""
    path, body = SURFACES[surface]
    wrong: list[Any] = [b"{", b'{"model": }', b"[]", b"[1]", b"null", b'"text"', b""]
    wrong += [{**body, "model": 7}]
    if path.startswith("/v1/messages"):
        wrong += [{**body, "messages": "Hello"}, {**body, "messages": []}, {**body, "max_tokens": "many"}]
        wrong += [{**body, "tools": {"a": 1}}, {**body, "tools": [{"description": "nameless"}]}]
        nameless = {"type": "tool_result", "content": "x"}
        wrong += [{**body, "messages": [{"role": "user", "content": [nameless]}]}]
    for broken in wrong:
        status, _, answer = await rig.post(path, broken)
        assert status == 400, broken
        check_shape(path, answer, 400)
    assert rig.provider.asked == []
    rig.provider.script = whole(chat_body("Hi")) if "responses" not in surface else whole(RESPONDED)
    if surface == "cursor":
        rig.provider.script = whole(RESPONDED)
    status, _, answer = await rig.post(path, {**body, "field_of_tomorrow": {"a": [1]}})
    assert status == 200, answer


RESPONDED: dict[str, Any] = {
    "id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "model": "gpt-5",
    "output": [{"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
}  # fmt: skip
