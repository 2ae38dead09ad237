"""Who may call: the shared token in every form, where it is asked for, and where not (compat §3.2; T-58, C-47 to C-49).

Users and their keys, whose disabling T-58 names as well, belong to a later part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.cli.summary import start_lines
from tests.compat.azure import DEPLOYMENT, answering, message
from tests.compat.setups import every_dialect, gateway, load
from tests.relay.rig import ASK, CHAT_ASK, whole

KEY = {"OPENAI_API_KEY": "upstream-key-1"}
TOKEN = "inbound-token-1"
FORMS: dict[str, dict[str, str]] = {
    "Bearer": {"authorization": f"Bearer {TOKEN}"},
    "bearer": {"authorization": f"bearer {TOKEN}"},
    "BEARER and blanks": {"authorization": f"BEARER   {TOKEN} "},
    "raw": {"authorization": TOKEN},
    "x-api-key": {"x_api_key": TOKEN},
    "api-key": {"api_key": TOKEN},
    "one right of two": {"authorization": "Bearer sk-wrong", "x_api_key": TOKEN},
    "the other right of two": {"authorization": f"Bearer {TOKEN}", "x_api_key": "sk-wrong"},
}
CALLS: dict[str, Any] = {
    "/v1/messages": ASK,
    "/v1/messages/count_tokens": ASK,
    "/v1/chat/completions": CHAT_ASK,
    "/v1/completions": {"model": "x", "prompt": "Hello"},
    "/v1/responses": {"model": "x", "input": "Hello"},
    "/cursor/v1/chat/completions": {**CHAT_ASK, "model": "openai/x"},
    "/cursor/chat/completions": {**CHAT_ASK, "model": "openai/x"},
}
TEXT_BODY = {"id": "cmpl-1", "object": "text_completion", "model": "x", "choices": [{"index": 0, "text": "Hi"}]}
LISTS = ("/v1/models", "/cursor/v1/models", "/cursor/models")
OPEN = ("/", "/health", "/cursor/health")


def refused(path: str, status: int, headers: dict[str, str], answer: Any) -> None:
    """A 401 in the surface's own shape that says how to sign in."""
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    if path.startswith("/v1/messages"):
        assert (answer["type"], answer["error"]["type"]) == ("error", "authentication_error")
    else:
        assert answer["error"]["code"] == "invalid_api_key"
    assert TOKEN not in str(answer)


@pytest.mark.parametrize("form", FORMS)
async def test_T_58_the_right_value_in_every_form(form: str, tmp_path: Path) -> None:
    async with gateway(load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as rig:
        for path in ("/v1/messages", "/v1/chat/completions", "/cursor/chat/completions"):
            status, _, answer = await rig.post(path, CALLS[path], **FORMS[form])
            assert status == 200, answer
        for call in rig.provider.asked:
            assert call.headers["authorization"] == "Bearer upstream-key-1"
            assert not [value for value in call.headers.values() if TOKEN in value], "it ends here"


WRONG: list[dict[str, str]] = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": f"Basic {TOKEN}"},
    {"authorization": f"Bearer {TOKEN}x"},
    {"authorization": f"Bearer {TOKEN[:-1]}"},
    {"authorization": "Bearer "},
    {"authorization": "Bearer upstream-key-1"},
    {"x_api_key": TOKEN.upper()},
    {"api_key": ""},
    {"x_api_key": "wrong", "api_key": "wrong", "authorization": "wrong"},
]


@pytest.mark.parametrize("path", CALLS)
async def test_T_58_a_wrong_value_or_none_is_a_401(path: str, tmp_path: Path) -> None:
    async with gateway(load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as rig:
        for headers in WRONG:
            refused(path, *await rig.post(path, CALLS[path], **headers))
        assert rig.provider.asked == []


async def test_C_47_without_a_token_anybody_may_call(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, **KEY)) as rig:
        for headers in ({}, {"authorization": "Bearer anything"}, {"x_api_key": "sk-ant-something"}):
            assert (await rig.post("/v1/messages", ASK, **headers))[0] == 200
        await rig.record()
        assert {record.owner for record in rig.records} == {"anonymous"}


@pytest.mark.parametrize("name", ["ANTHROPIC_AUTH_TOKEN", "AUTH_TOKEN"])
async def test_C_47_the_token_is_a_bearer_under_both_names(name: str, tmp_path: Path) -> None:
    async with gateway(load(tmp_path, **{name: TOKEN}, **KEY)) as rig:
        refused("/v1/messages", *await rig.post("/v1/messages", ASK))
        assert (await rig.post("/v1/messages", ASK, authorization=f"Bearer {TOKEN}"))[0] == 200
        assert (await rig.record()).owner == "shared"


async def test_C_47_open_never_asks(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, DRAGOMAN_AUTH="open", **KEY)) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200


async def test_C_47_the_upstreams_keys_never_open_the_gateway(tmp_path: Path) -> None:
    said = load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, ANTHROPIC_API_KEY="sk-ant-up", **KEY)
    async with gateway(said) as rig:
        for value in ("sk-ant-up", "upstream-key-1"):
            refused("/v1/messages", *await rig.post("/v1/messages", ASK, x_api_key=value))


async def test_C_48_every_call_asks_for_it_and_information_does_not(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as rig:
        for path, body in CALLS.items():
            refused(path, *await rig.post(path, body))
        for path in LISTS:
            refused(path, *await rig.get(path))
            assert (await rig.get(path, authorization=f"Bearer {TOKEN}"))[0] == 200
        for path in OPEN:
            for method in ("GET", "HEAD"):
                assert (await rig.get(path, method))[0] == 200
        assert (await rig.get("/v1/messages", "OPTIONS"))[0] == 204
        assert rig.provider.asked == []


async def test_C_48_cursors_surface_before_azure(tmp_path: Path) -> None:
    said = load(
        tmp_path, AZURE_OPENAI_ENDPOINT="https://acme.openai.azure.com", AZURE_OPENAI_API_KEY="azure-key-1",
        CURSOR_AZURE_DEPLOYMENT=DEPLOYMENT, ANTHROPIC_AUTH_TOKEN=TOKEN, DRAGOMAN_FAMILIES=f"{DEPLOYMENT}=gpt-5",
    )  # fmt: skip
    async with gateway(said) as rig:
        rig.provider.script = answering(message("Hi"))
        asked = {**CHAT_ASK, "model": "gpt-high"}
        for path in ("/cursor/v1/chat/completions", "/cursor/chat/completions"):
            refused(path, *await rig.post(path, asked))
            assert (await rig.post(path, asked, authorization=f"Bearer {TOKEN}"))[0] == 200
        assert (await rig.get("/cursor/health"))[::2] == (200, {"status": "ok"})
        assert {call.headers["api-key"] for call in rig.provider.asked} == {"azure-key-1"}
        assert not [call for call in rig.provider.asked if "authorization" in call.headers]


async def test_C_49_x_api_key_is_taken_everywhere(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as rig:
        for key, expected in (("wrong", 401), (TOKEN, 200)):
            for path, body in CALLS.items():
                rig.provider.script = whole(TEXT_BODY) if path == "/v1/completions" else every_dialect
                assert (await rig.post(path, body, x_api_key=key))[0] == expected, path
            for path in LISTS:
                assert (await rig.get(path, x_api_key=key))[0] == expected, path


def test_C_47_a_gateway_that_is_open_to_the_network_says_so(tmp_path: Path) -> None:
    said = load(tmp_path, **KEY)
    assert not said.auth.required
    for address, warned in (("0.0.0.0", True), ("192.168.1.9", True), ("127.0.0.1", False), ("::1", False)):
        text = "\n".join(start_lines(said, address, 8082))
        assert ("set ANTHROPIC_AUTH_TOKEN" in text) is warned, address
    closed = load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)
    text = "\n".join(start_lines(closed, "0.0.0.0", 8082))
    assert "warning" not in text
    assert TOKEN not in text
