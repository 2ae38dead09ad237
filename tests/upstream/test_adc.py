"""Default credentials through Google's own library, against a token server on loopback, and the calls they sign."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.language.wire import decode
from dragoman.settings import ProviderSettings
from dragoman.upstream.calls import Operation, UpstreamCall, UpstreamTrouble
from dragoman.upstream.credentials import GoogleToken
from dragoman.upstream.providers.google import Vertex
from tests.upstream import token_server
from tests.upstream.token_server import TokenServer


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """A token server that the machine's default credentials point to."""
    with token_server.google(tmp_path, monkeypatch) as server:
        yield server


class Clock:
    """The real time, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def test_C_36_application_default_credentials(google: TokenServer) -> None:
    token = GoogleToken()
    headers = await asyncio.gather(*(token.headers("google") for _ in range(5)))
    assert headers == [{"authorization": "Bearer ya29-canary-1"}] * 5
    assert len(google.asked) == 1
    assert google.asked[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert token._flow.token is not None
    assert 3500 < token._flow.token.expires - time.time() <= 3600


async def test_C_36_a_token_is_renewed_before_its_end_while_it_still_serves(google: TokenServer) -> None:
    clock = Clock()
    token = GoogleToken(clock)
    assert await token.headers("google") == {"authorization": "Bearer ya29-canary-1"}
    clock.ahead = 3600 - 290
    assert await token.headers("google") == {"authorization": "Bearer ya29-canary-1"}
    assert token._running is not None
    await token._running
    assert await token.headers("google") == {"authorization": "Bearer ya29-canary-2"}


async def test_C_36_an_ended_token_is_not_sent(google: TokenServer) -> None:
    clock = Clock()
    token = GoogleToken(clock)
    await token.headers("google")
    clock.ahead = 3600
    assert await token.headers("google") == {"authorization": "Bearer ya29-canary-2"}


async def test_E06_X11_a_refused_account_is_our_own_502_and_nobody_reads_it(
    google: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    google.refusal = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature for secret-words"})
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UpstreamTrouble) as caught:
        await GoogleToken().headers("google")
    failure = caught.value.failure
    assert (failure.kind, failure.http_status, failure.code) == ("credential", 502, "upstream_credential")
    assert "RefreshError, invalid_grant" in failure.message
    assert "secret-words" not in failure.message
    assert token_server.private_key().splitlines()[1] not in caplog.text


async def test_X11_no_token_and_no_key_in_any_log(google: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = GoogleToken()
    await token.headers("google")
    assert "ya29-canary" not in caplog.text
    assert token_server.private_key().splitlines()[1] not in caplog.text
    assert google.asked[0]["assertion"] not in caplog.text
    assert "ya29-canary" not in repr(token)


async def test_C_36_without_credentials_the_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(UpstreamTrouble, match="no access token could be had"):
        await GoogleToken().headers("google")


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(UpstreamTrouble, match="install dragoman with its extra 'google'"):
        await GoogleToken().headers("google")


# ---------------------------------------------------------------- Vertex, signed so

CLAUDE: dict[str, Any] = {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


async def ask(
    model: str, body: Any, *, operation: Operation = "generate", beta: str = "", location: str = "global"
) -> UpstreamCall:
    made = Vertex("vertex", ProviderSettings(kind="vertex", project="acme", location=location))
    profile = made.profile(model, "anthropic", None)
    client = {"anthropic-beta": beta} if beta else {}
    data = json.dumps(body).encode()
    return await made.call(
        profile, model, data, stream=False, client_headers=client, operation=operation, surface="anthropic"
    )


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
async def test_V08_claude_on_vertex_is_signed_with_the_machines_token(
    google: TokenServer, location: str, host: str
) -> None:
    call = await ask("claude-sonnet-4-5@20250929", CLAUDE, location=location)
    root = f"https://{host}/v1/projects/acme/locations/{location}/publishers/anthropic/models"
    assert call.url == f"{root}/claude-sonnet-4-5@20250929:rawPredict"
    assert call.headers["authorization"] == "Bearer ya29-canary-1"
    assert "x-goog-api-key" not in call.headers
    fields = decode(call.body)
    assert "model" not in fields
    assert fields["anthropic_version"] == "vertex-2023-10-16"
    counted = await ask("claude-sonnet-4-5@20250929", CLAUDE, operation="count_tokens", location=location)
    assert counted.url == f"{root}/count-tokens:rawPredict"


async def test_C02_both_halves_of_a_feature_that_vertex_does_not_take_are_left_out(google: TokenServer) -> None:
    body = {
        **CLAUDE,
        "context_management": {"edits": []},
        "speed": "fast",
        "mcp_servers": [{"url": "https://m.example"}],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "scope": "global"}}],
        "tools": [{"name": "t", "input_schema": {}, "input_examples": [], "defer_loading": True}],
    }
    beta = (
        "context-management-2025-06-27, fast-mode-2026-02-01,mcp-client-2025-11-20,"
        "prompt-caching-scope-2026-01-05,advanced-tool-use-2025-11-20"
    )
    call = await ask("claude-opus-4-6", body, beta=beta)
    assert call.headers["anthropic-beta"] == "context-management-2025-06-27,tool-search-tool-2025-10-19"
    fields = decode(call.body)
    assert fields["context_management"] == {"edits": []}
    assert fields["tools"] == [{"name": "t", "input_schema": {}, "defer_loading": True}]
    assert fields["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert not {"speed", "mcp_servers"} & set(fields)
    assert set(call.withheld) == {
        "anthropic-beta: fast-mode-2026-02-01",
        "anthropic-beta: mcp-client-2025-11-20",
        "anthropic-beta: prompt-caching-scope-2026-01-05",
        "speed",
        "mcp_servers",
        "tools[*].input_examples",
        "cache_control.scope",
    }
