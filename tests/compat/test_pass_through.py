"""OpenAI's surface before OpenAI-like upstreams: the client's bytes there, the upstream's bytes back.

compat §3.9; T-36 to T-39, C-20 to C-22.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.relay.rig import (
    CHAT_ASK,
    DONE,
    Asked,
    Rig,
    Wire,
    anthropic_events,
    chat_body,
    chat_chunk,
    chat_stream,
    chat_usage,
    replay,
    running,
    whole,
)

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
BIG = 123456789012345678901
MAPPED: dict[str, Any] = {"deployments": {"mine": "theirs"}}
TEXT_BODY: dict[str, Any] = {
    "id": "cmpl-1", "object": "text_completion", "created": 7, "model": "up-model",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}  # fmt: skip
UPSTREAMS: dict[str, dict[str, Any]] = {
    "openai_compatible": {},
    "openai": {},
    "azure_openai": {},
}


def compact(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


async def raw(rig: Rig, path: str, data: bytes) -> tuple[int, str, bytes]:
    """Status, content type and bytes."""
    async with rig.client.post(rig.url + path, data=data, headers={"content-type": "application/json"}) as got:
        return got.status, got.headers["content-type"], await got.read()


# ---------------------------------------------------------------- T-36


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_T_36_content_null_in_the_answer_passes_and_is_booked(kind: str) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    answer = chat_body(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    async with running(kind, models={"preferred": "fake"}, **UPSTREAMS[kind]) as rig:
        rig.provider.script = whole(answer)
        status, _, got = await rig.post(CHAT, {**CHAT_ASK, "model": "gpt-4.1"})
        assert status == 200
        assert got["choices"][0]["message"] == message
        usage = (await rig.record()).usage
        assert (usage.input, usage.output) == (11, 3)


async def test_T_36_content_null_in_the_request_passes_and_is_booked() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": None},
        {"role": "assistant", "content": None},
        {"role": "user", "content": None},
    ]
    async with running() as rig:
        for stream in (False, True):
            rig.provider.script = replay(*chat_stream("Hi")) if stream else whole(chat_body("Hi"))
            body = {**CHAT_ASK, "messages": turns, "stream": stream}
            assert (await rig.post(CHAT, body))[0] == 200
            assert rig.provider.asked[-1].json["messages"] == turns
        async with asyncio.timeout(5):
            while len(rig.records) < 2:
                await asyncio.sleep(0.01)
        assert [(record.usage.input, record.usage.output) for record in rig.records] == [(11, 3), (11, 3)]


# ---------------------------------------------------------------- T-37


@pytest.mark.parametrize("stream", [{}, {"stream": None}, {"stream": False}])
@pytest.mark.parametrize(("path", "answer"), [(CHAT, chat_body("Hi")), (TEXT, TEXT_BODY)])
async def test_T_37_without_stream_the_whole_json_comes(path: str, answer: Any, stream: dict[str, Any]) -> None:
    data = json.dumps({**answer, "model": "gpt-x", "odd": BIG, "words": "héllo 中"}, ensure_ascii=False).encode()
    assert len(data) < 1024

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(data, 200, content_type="application/json; charset=utf-8")

    asked = {"model": "gpt-x", "prompt": "Hello"} if path == TEXT else CHAT_ASK
    async with running() as rig:
        rig.provider.script = script
        status, kind, got = await raw(rig, path, compact({**asked, **stream}))
        assert (status, kind.partition(";")[0]) == (200, "application/json")
        assert got == data
        assert (await rig.record()).usage.input == answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize("stream", [False, True])
async def test_T_37_an_error_before_the_first_byte_keeps_its_status(path: str, stream: bool) -> None:
    asked = {"model": "gpt-x", "prompt": "Hello"} if path == TEXT else CHAT_ASK
    error = {"error": {"message": "no such thing", "type": "invalid_request_error", "param": "model", "code": "odd"}}
    async with running() as rig:
        for status in (400, 404, 429, 500):
            rig.provider.script = whole(error, status)
            got, headers, answer = await rig.post(path, {**asked, "stream": stream})
            assert got == status
            assert headers["content-type"].startswith("application/json")
            assert answer == error


# ---------------------------------------------------------------- T-38


async def test_T_38_each_event_leaves_before_the_next_one_comes() -> None:
    chunks = [chat_chunk("a"), b": comment\n\n", chat_chunk("b"), chat_chunk(finish="stop"), DONE]
    go = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(end=False)
        for chunk in chunks:
            await wire.chunk(chunk)
            await go.wait()
            go.clear()
        await wire.end()

    async with running() as rig:
        rig.provider.script = script
        sent = json.dumps({**CHAT_ASK, "model": "up-model", "stream": True})
        async with rig.client.post(rig.url + CHAT, data=sent) as got:
            assert got.headers["content-type"].startswith("text/event-stream")
            assert got.headers["x-accel-buffering"] == "no"
            assert got.headers["cache-control"].startswith("no-cache")
            for chunk in chunks:
                async with asyncio.timeout(2):
                    assert await got.content.readexactly(len(chunk)) == chunk
                go.set()
            assert await got.content.read() == b""


@pytest.mark.parametrize("asks", [None, False, True])
async def test_T_38_the_usage_chunk_we_asked_for_is_hidden(asks: bool | None) -> None:
    sent = chat_stream("Hel", "lo")
    body: dict[str, Any] = {**CHAT_ASK, "model": "up-model", "stream": True}
    if asks is not None:
        body["stream_options"] = {"include_usage": asks}
    async with running() as rig:
        rig.provider.script = replay(*sent)
        _, _, data = await raw(rig, CHAT, compact(body))
        assert data == b"".join(piece for piece in sent if asks or piece != chat_usage())
        assert data.count(b"[DONE]") == 1
        assert data.endswith(DONE)
        assert rig.provider.asked[0].json["stream_options"] == {"include_usage": True}
        usage = (await rig.record()).usage
        assert (usage.input, usage.output) == (11, 3)


async def test_T_38_text_completions_stream_too() -> None:
    pieces = [{**TEXT_BODY, "usage": None, "choices": [{"index": 0, "text": text, "finish_reason": None}]}
              for text in ("H", "i")]  # fmt: skip
    frames = [b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces] + [DONE]
    async with running() as rig:
        rig.provider.script = replay(*frames)
        status, kind, data = await raw(rig, TEXT, compact({"model": "up-model", "prompt": "x", "stream": True}))
        assert (status, kind.partition(";")[0]) == (200, "text/event-stream")
        assert data == b"".join(frames)


# ---------------------------------------------------------------- T-39

ODD = (
    b'{ "model" : "mine", "seed": 123456789012345678901, "user":9007199254740993, "n_odd":1.50,'
    b' "unknown":{"model":"mine","deep":[12345678901234567890, {"a":null}]},\t"messages":[{"role":"user",'
    b'"content":"\\u4e2d \xe4\xb8\xad \\ud83d\\ude00", "cache":18446744073709551616}] }'
)


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_T_39_big_integers_and_unknown_fields_reach_the_upstream_unchanged(kind: str) -> None:
    more = {**UPSTREAMS[kind]}
    account = {**more.pop("account", {}), **MAPPED}
    async with running(kind, account=account, models={"preferred": "fake"}, **more) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        status, _, _ = await raw(rig, CHAT, ODD)
        assert status == 200
        assert rig.provider.asked[0].body == ODD.replace(b'"mine"', b'"theirs"', 1)


async def test_T_39_also_when_streaming() -> None:
    async with running(account=MAPPED) as rig:
        rig.provider.script = replay(*chat_stream("Hi"))
        assert (await raw(rig, CHAT, ODD.replace(b"{ ", b'{ "stream":true, ', 1)))[0] == 200
        sent = rig.provider.asked[0]
        for kept in (b"123456789012345678901", b"9007199254740993", b"18446744073709551616", b"\\u4e2d \xe4\xb8\xad"):
            assert kept in sent.body
        assert sent.json["unknown"] == json.loads(ODD)["unknown"]


# ---------------------------------------------------------------- promises


async def test_C_20_chat_passes_with_only_its_model_replaced() -> None:
    async with running(account=MAPPED) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        asked = compact({**CHAT_ASK, "model": "mine", "response_format": {"type": "json_object"}, "x": [1]})
        status, _, got = await raw(rig, CHAT, asked)
        assert status == 200
        assert rig.provider.asked[0].path == "/v1/chat/completions"
        assert rig.provider.asked[0].body == asked.replace(b'"mine"', b'"theirs"')
        assert json.loads(got) == {**chat_body("Hi"), "model": "mine"}


async def test_C_20_without_a_model_the_default_serves_and_without_one_it_is_a_400() -> None:
    nameless = {"messages": CHAT_ASK["messages"]}
    async with running(models={"default": "glm-4.6"}) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        assert (await rig.post(CHAT, nameless))[0] == 200
        assert rig.provider.asked[0].json == {**nameless, "model": "glm-4.6"}
    async with running() as rig:
        for path, body in ((CHAT, nameless), (TEXT, {"prompt": "x"})):
            status, _, answer = await rig.post(path, body)
            assert status == 400
            assert "model" in answer["error"]["message"]
        assert rig.provider.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_C_20_before_anthropic_it_is_carried_over(stream: bool) -> None:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 4, "output_tokens": 1},
    }  # fmt: skip
    async with running("anthropic") as rig:
        rig.provider.script = replay(*anthropic_events("Hi")) if stream else whole(message)
        status, _, got = await rig.post(CHAT, {**CHAT_ASK, "model": "claude-x", "stream": stream})
        assert status == 200
        assert rig.provider.asked[0].path == "/v1/messages"
        if stream:
            assert got.count(b"[DONE]") == 1
        else:
            assert got["choices"][0]["message"]["content"] == "Hi"
        status, _, refused = await rig.post(TEXT, {"model": "claude-x", "prompt": "x"})
        assert (status, refused["error"]["type"]) == (400, "invalid_request_error")
        assert "text completions" in refused["error"]["message"]


async def test_C_20_before_gemini_it_is_carried_over() -> None:
    said = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
    async with running("gemini") as rig:
        rig.provider.script = whole({"candidates": [said], "usageMetadata": {"promptTokenCount": 1}})
        status, _, got = await rig.post(CHAT, {**CHAT_ASK, "model": "gemini-x"})
        assert (status, got["choices"][0]["message"]["content"]) == (200, "Hi")
        assert got["model"] == "gemini-x"
        status, _, _ = await rig.post(TEXT, {"model": "gemini-x", "prompt": "x"})
        assert (status, len(rig.provider.asked)) == (400, 1)


@pytest.mark.parametrize(("path", "body"), [(CHAT, CHAT_ASK), (TEXT, {"prompt": "Hello"})])
async def test_C_21_the_openai_api_before_azures_deployments(path: str, body: dict[str, Any]) -> None:
    answer: dict[str, Any] = TEXT_BODY if path == TEXT else chat_body("Hi")
    async with running("azure_openai", account=MAPPED, models={"preferred": "azure"}) as rig:
        rig.provider.script = whole(answer)
        status, _, got = await rig.post(path, {**body, "model": "mine"})
        assert status == 200
        assert got == {**answer, "model": "mine"}
        [asked] = rig.provider.asked
        assert asked.path == f"/openai/deployments/theirs{path.removeprefix('/v1')}?api-version=2024-10-21"
        assert asked.headers["api-key"] == "upstream-secret-key"
        assert (await rig.record()).usage.output == answer["usage"]["completion_tokens"]


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_C_22_streams_pass_event_by_event_and_end_once(kind: str) -> None:
    for pieces in (chat_stream("a", "b"), chat_stream("a", "b")[:-1]):
        async with running(kind, models={"preferred": "fake"}, **UPSTREAMS[kind]) as rig:
            rig.provider.script = replay(*pieces)
            _, kind_of, data = await raw(rig, CHAT, compact({**CHAT_ASK, "model": "up-model", "stream": True}))
            assert kind_of.startswith("text/event-stream")
            assert data == b"".join(piece for piece in pieces if piece not in (chat_usage(), DONE)) + DONE
