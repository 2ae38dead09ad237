"""Credentials and bodies at the entrance of the running gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dragoman.web.credentials import ANONYMOUS, Caller, Gate, shared_token_check, shown_credentials
from tests.patience import SOON
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, chat_body, running, whole

TOKEN = "inbound-token-1"
SURFACES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/messages", ASK),
    ("/v1/chat/completions", CHAT_ASK),
    ("/v1/responses", RESPONSES_ASK),
    ("/v1beta/models/g:generateContent", GEMINI_ASK),
]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
        {"authorization": f"BEARER   {TOKEN}"},
        {"authorization": TOKEN},
        {"x_api_key": TOKEN},
        {"api_key": TOKEN},
        {"x_goog_api_key": TOKEN},
        {"x_api_key": "wrong", "authorization": f"Bearer {TOKEN}"},
        {"x_api_key": TOKEN, "authorization": "Bearer wrong"},
    ],
)
async def test_T58_a_valid_credential_in_any_place(headers: dict[str, str]) -> None:
    async with running(auth={"token": TOKEN}) as rig:
        rig.provider.script = whole(chat_body())
        status, _, _ = await rig.post("/v1/messages", ASK, **headers)
        assert status == 200
        assert TOKEN not in json.dumps(rig.provider.asked[0].headers)
        assert (await rig.record()).owner == "shared"


@pytest.mark.parametrize(("path", "body"), SURFACES)
@pytest.mark.parametrize("headers", [{}, {"x_api_key": "wrong"}, {"authorization": "Basic xyz"}])
async def test_T58_no_valid_credential_is_a_401(path: str, body: Any, headers: dict[str, str]) -> None:
    async with running(auth={"token": TOKEN}) as rig:
        status, got, answer = await rig.post(path, body, **headers)
        assert status == 401
        assert got["www-authenticate"] == "Bearer"
        assert "error" in answer
        if path == "/v1/chat/completions":
            assert answer["error"]["code"] == "invalid_api_key"
        assert rig.provider.asked == []
        assert (await rig.get("/v1/models"))[0] == 401
        assert (await rig.get("/health"))[0] == 200


async def test_C19_the_key_in_the_query() -> None:
    async with running(auth={"token": TOKEN}) as rig:
        rig.provider.script = whole(chat_body())
        assert (await rig.post(f"/v1beta/models/g:generateContent?key={TOKEN}", GEMINI_ASK))[0] == 200
        assert (await rig.post("/v1beta/models/g:generateContent?key=x", GEMINI_ASK))[0] == 401
        assert TOKEN not in rig.provider.asked[0].path


async def test_nothing_configured_asks_nothing() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        assert (await rig.post("/v1/messages", ASK, x_api_key="anything"))[0] == 200
        assert (await rig.record()).owner == "anonymous"


def test_odd_credentials_never_raise() -> None:
    gate = Gate(shared_token_check(TOKEN), required=True)
    for value in ("", "Bearer", "Bearer ", "\udce9", "é" * 10, "Bearer é"):
        assert gate.caller({"authorization": value}, b"key=%ff&key=") is None
    assert shown_credentials({}, b"alt=sse&key=a%2Fb&monkey=c") == ["a/b"]


def test_a_credential_of_any_letters_is_read_as_it_was_meant() -> None:
    """Servers hand headers over as Latin-1; most clients mean UTF-8 by such bytes."""
    for meant in ("tök-密码-à", "kä"):
        sent = meant.encode().decode("latin-1")
        assert shown_credentials({"authorization": f"Bearer {sent}", "x-api-key": sent}, b"") == [meant, meant]
    assert shown_credentials({"x-api-key": "kä"}, b"key=%C3%A4") == ["kä", "ä"]


@pytest.mark.parametrize("required", [True, False])
def test_C01_either_credential_is_enough_and_two_callers_are_none(required: bool) -> None:
    bob = Caller("bob", "bob")
    known = {"key-of-ada": Caller("ada", "ada"), "key-of-bob": bob, "old-key-of-bob": bob}
    gate = Gate(known.get, required=required)
    nobody = None if required else ANONYMOUS

    def caller(bearer: str, key: str) -> Caller | None:
        return gate.caller({"authorization": f"Bearer {bearer}", "x-api-key": key}, b"")

    assert caller("key-of-ada", "wrong") == caller("wrong", "key-of-ada") == caller("key-of-ada", "key-of-ada")
    assert caller("key-of-ada", "wrong") == Caller("ada", "ada")
    assert caller("key-of-bob", "old-key-of-bob") == Caller("bob", "bob")
    assert caller("key-of-ada", "key-of-bob") is None
    assert caller("key-of-bob", "key-of-ada") is None
    assert gate.caller({"x-api-key": "key-of-ada"}, b"key=key-of-bob") is None
    assert caller("wrong", "wrong") == nobody


@pytest.mark.parametrize("query", ["", "?beta=true", "?beta=true&x=%ff&&=", "?model=other&stream=true"])
async def test_C01_only_the_path_is_matched(query: str) -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        status, _, answer = await rig.post(f"/v1/messages{query}", ASK)
        assert (status, answer["model"], answer["type"]) == (200, ASK["model"], "message")
        assert rig.provider.asked[0].json["model"] == ASK["model"]
        ask = {"model": "m", "messages": ASK["messages"]}
        status, _, got = await rig.post(f"/v1/messages/count_tokens{query}", ask)
        assert (status, list(got)) == (200, ["input_tokens"])


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_C01_the_startup_question_is_answered_cheaply(method: str) -> None:
    async with running(auth={"token": TOKEN}) as rig:
        status, _, _ = await rig.get("/api/hello?from=claude-code", method)
        assert status == 200
        assert rig.provider.asked == []
        assert rig.records == []


AGENT = {
    "x_claude_code_session_id": "session-canary",
    "x_claude_code_agent_id": "agent-canary",
    "x_claude_code_parent_agent_id": "parent-canary",
    "x_claude_code_request_class": "class-canary",
    "x_claude_code_prompt_id": "prompt-canary",
    "x_claude_code_prev_tool_durations": "Bash=1;=;%zz=x;" * 50,
    "x_claude_code_compaction": "%%%",
    "x_claude_code_context_compacted": "\u00ff",
}


@pytest.mark.parametrize("kind", ["openai_compatible", "anthropic", "gemini"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_C06_C07_hints_are_no_identity_and_stay_here(kind: str, path: str) -> None:
    async with running(kind, auth={"token": TOKEN}) as rig:
        rig.provider.script = whole(chat_body())
        ask = {**ASK, "model": "gemini-x"}
        status, _, _ = await rig.post(path, ask, **AGENT)
        assert status == 401
        assert rig.provider.asked == []
        await rig.post(path, ask, x_api_key=TOKEN, **AGENT)
        for asked in rig.provider.asked:
            sent = json.dumps(asked.headers) + asked.path + asked.body.decode()
            assert "canary" not in sent
            assert "claude-code" not in sent
        assert (await rig.record()).owner == "shared"


async def test_C07_malformed_hints_never_fail_a_request() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        for hints in (AGENT, dict.fromkeys(AGENT, ""), dict.fromkeys(AGENT, "=;%" * 2000)):
            assert (await rig.post("/v1/messages", ASK, **hints))[0] == 200


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(("path", "_"), SURFACES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"model":"a","messages":[NaN]}',
        b'{"model":"\xff"}',
        b'{"a":' * 129 + b"1" + b"}" * 129,
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
async def test_T35_bodies_that_are_no_request_are_a_400(path: str, _: Any, body: bytes) -> None:
    async with running() as rig:
        status, headers, answer = await rig.post(path, body)
        assert status == 400
        assert headers["content-type"] == "application/json"
        assert answer["error"]["message"]
        assert rig.provider.asked == []


async def test_T35_unknown_fields_and_lone_surrogates_are_fine() -> None:
    body = b'{"model":"claude-x","unknown":1,"messages":[{"role":"user","content":"\\ud83d"}]}'
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        assert (await rig.post("/v1/messages", body))[0] == 200
        assert rig.provider.asked[0].json["messages"][-1]["content"] == "\ufffd"


@pytest.mark.parametrize(("path", "_"), SURFACES)
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_a_413(path: str, _: Any, announced: bool) -> None:
    async with running(limits={"body": 10_000}) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\n".encode()
        if announced:
            writer.write(head + b"content-length: 10001\r\n\r\n")
        else:
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
            for _number in range(11):
                writer.write(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        got = await asyncio.wait_for(reader.read(), SOON)
        writer.close()
        assert got.startswith(b"HTTP/1.1 413 ")
        assert b"10000 bytes" in got
        status, _, _ = await rig.post(path, b"{}")
        assert status == 400


async def test_the_room_for_bodies_is_given_back() -> None:
    from dragoman.web.exchange import BodyRoom, NoRoom

    room = BodyRoom(each=10, together=15)
    room.take(10)
    with pytest.raises(NoRoom):
        room.take(6)
    room.give_back(10)
    assert room.held == 0


async def test_a_client_that_leaves_while_sending_its_body_is_nobody() -> None:
    async with running() as rig:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.sleep(0.1)
        assert rig.provider.asked == []
        rig.provider.script = whole(chat_body())
        assert (await rig.post("/v1/messages", ASK))[0] == 200
