"""Same dialect on both sides: the client's and the provider's own bytes, but for the model's name."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dragoman.language.envelope import seal
from tests.relay.rig import (
    ASK,
    CHAT_ASK,
    DONE,
    GEMINI_ASK,
    RESPONSES_ASK,
    Asked,
    Wire,
    anthropic_events,
    chat_body,
    chat_chunk,
    chat_stream,
    chat_usage,
    events_of,
    replay,
    running,
    whole,
)

ROUTE = {"deployments": {"mine": "theirs"}}
ODD = b'{ "model" : "mine","seed": 123456789012345678901, "unknown":{"model":"x", "f":1.50},"messages":[{"role":"user","content":"\\u4e2d \xe4\xb8\xad"}]}'  # noqa: E501


async def test_T39_only_the_model_changes_on_the_way_there() -> None:
    async with running(account=ROUTE) as rig:
        rig.provider.script = whole(chat_body())
        status, headers, answer = await rig.post("/v1/chat/completions", ODD)
        assert status == 200
        assert rig.provider.asked[0].body == ODD.replace(b'"mine"', b'"theirs"')
        assert answer == {**chat_body(), "model": "mine"}
        assert headers["x-dragoman-model"] == "up-model"
        assert headers["x-dragoman-receipt"] == "none"
        assert (await rig.record()).short_cut


async def test_T37_a_small_whole_answer_is_complete_json_with_its_bytes() -> None:
    body = b'{"id":"c","object":"chat.completion",  "model":"m","big":123456789012345678901,"choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}'  # noqa: E501

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(body, content_type="application/json")

    async with running() as rig:
        rig.provider.script = script
        async with rig.client.post(
            rig.url + "/v1/chat/completions", data=json.dumps({**CHAT_ASK, "model": "m"})
        ) as got:
            assert await got.read() == body  # T36: content null
        assert (await rig.record()).usage.input == 5


@pytest.mark.parametrize("asks", [True, False])
async def test_T38_the_usage_chunk_is_asked_for_and_hidden(asks: bool) -> None:
    sent = [b": OPENROUTER\n\n", *chat_stream("Hel", "lo")]
    body: dict[str, Any] = {**CHAT_ASK, "model": "up-model", "stream": True}
    if asks:
        body["stream_options"] = {"include_usage": True, "other": 1}
    async with running() as rig:
        rig.provider.script = replay(*sent)
        _, _, data = await rig.post("/v1/chat/completions", body)
        expected = [piece for piece in sent if asks or piece != chat_usage()]
        assert data == b"".join(expected)
        assert data.count(b"[DONE]") == 1
        assert rig.provider.asked[0].json["stream_options"]["include_usage"] is True
        assert (await rig.record()).usage.output == 3


async def test_T38_other_chunks_without_choices_and_usage_on_a_choice_stay() -> None:
    filtered = b'data: {"id":"","choices":[],"prompt_filter_results":[]}\n\n'
    last = json.loads(chat_chunk(finish="stop")[6:])
    last["usage"] = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    sent = [filtered, chat_chunk("a"), b"data: " + json.dumps(last).encode() + b"\n\n", DONE]
    async with running() as rig:
        rig.provider.script = replay(*sent)
        _, _, data = await rig.post("/v1/chat/completions", {**CHAT_ASK, "model": "up-model", "stream": True})
        assert data == b"".join(sent)


async def test_a_missing_done_is_added_once() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("a")[:-1])
        _, _, data = await rig.post("/v1/chat/completions", {**CHAT_ASK, "stream": True})
        assert data.endswith(DONE)
        assert data.count(DONE) == 1


async def test_C20_every_chunk_carries_the_asked_name() -> None:
    async with running(account=ROUTE) as rig:
        rig.provider.script = replay(*chat_stream("a", "b"))
        _, headers, data = await rig.post("/v1/chat/completions", {**CHAT_ASK, "model": "mine", "stream": True})
        assert b"up-model" not in data
        assert data.count(b'"model": "mine"') == 4
        assert headers["x-dragoman-model"] == "up-model"


async def test_T54_anthropic_is_forwarded_natively() -> None:
    frames = anthropic_events("Hi")
    odd = b'event: new_thing\ndata: {"type":"new_thing","x":1.50}\n\n'
    sent = [*frames[:3], odd, *frames[3:]]
    body = (
        b'{"model":"claude-x","max_tokens":9,"stream":true,"new":{"a":1},'
        b'"messages":[{"role":"user","content":[{"type":"odd"}]}]}'
    )
    async with running("anthropic") as rig:
        rig.provider.script = replay(*sent)
        _, _, data = await rig.post(
            "/v1/messages?beta=true", body, anthropic_beta="b-1", anthropic_version="2026-10-21"
        )
        asked = rig.provider.asked[0]
        assert asked.body == body
        assert asked.headers["anthropic-beta"] == "b-1"
        assert asked.headers["anthropic-version"] == "2026-10-21"
        assert data == b"".join(sent).replace(b"claude-up", b"claude-x")


async def test_max_tokens_is_added_and_capped_for_anthropic() -> None:
    async with running("anthropic", max_output_tokens=50) as rig:
        rig.provider.script = whole({"type": "message", "id": "msg_1", "role": "assistant", "content": [],
                                     "model": "m", "stop_reason": "end_turn", "usage": {}})  # fmt: skip
        await rig.post("/v1/messages", {"model": "claude-x", "messages": ASK["messages"]})
        await rig.post("/v1/messages", {**ASK, "max_tokens": 20})
        await rig.post("/v1/messages", {**ASK, "max_tokens": 2000})
        assert [asked.json.get("max_tokens") for asked in rig.provider.asked] == [50, 20, 50]


async def test_our_own_envelopes_never_reach_a_provider() -> None:
    signature = seal({"openai_responses": {"encrypted_content": "x"}})
    thinking = {"type": "thinking", "thinking": "hm", "signature": signature}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]
    async with running("anthropic") as rig:
        rig.provider.script = replay(*anthropic_events("Hi"))
        _, headers, _ = await rig.post("/v1/messages", {**ASK, "messages": messages, "stream": True})
        sent = rig.provider.asked[0].json["messages"]
        assert signature not in json.dumps(sent)
        assert sent[1]["content"] == [{"type": "text", "text": "b"}]
        assert headers["x-dragoman-receipt"] == "dropped=1"


async def test_gemini_passes_with_its_model_in_the_path() -> None:
    candidate = {"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    chunk = {"candidates": [candidate],
             "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
             "modelVersion": "gemini-up", "odd": 1}  # fmt: skip
    frame = b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"
    async with running("gemini") as rig:
        rig.provider.script = replay(frame)
        path = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
        _, _, data = await rig.post(path, GEMINI_ASK, x_goog_api_key="client-key")
        assert data == frame.replace(b"gemini-up", b"gemini-x")
        asked = rig.provider.asked[0]
        assert asked.path.endswith("models/gemini-x:streamGenerateContent?alt=sse")
        assert asked.headers["x-goog-api-key"] == "upstream-secret-key"
        assert asked.json == GEMINI_ASK
        _, _, listed = await rig.post("/v1/models/gemini-x:streamGenerateContent", GEMINI_ASK)
        assert listed == [{**chunk, "modelVersion": "gemini-x"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_text_completions_pass_through(stream: bool) -> None:
    whole_body = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up", "choices":
                  [{"text": "Hi", "index": 0, "finish_reason": "stop"}],
                  "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}}  # fmt: skip

    async def script(asked: Asked, wire: Wire) -> None:
        if not asked.json.get("stream"):
            return await wire.json(whole_body)
        pieces = [{**whole_body, "usage": None}, {**whole_body, "choices": []}]
        await wire.stream(*(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces), DONE)
        return None

    async with running() as rig:
        rig.provider.script = script
        status, _, data = await rig.post("/v1/completions", {"model": "x", "prompt": "a", "stream": stream})
        assert status == 200
        assert rig.provider.asked[0].path == "/v1/completions"
        assert (await rig.record()).usage.input == 4
        if stream:
            [frame, done, _] = data.split(b"\n\n")
            assert json.loads(frame[6:]) == {**whole_body, "usage": None, "model": "x"}
            assert done == b"data: [DONE]"
        else:
            assert data == {**whole_body, "model": "x"}


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
async def test_S01_an_answer_that_breaks_off_has_begun_once(frames: int) -> None:
    """An error follows what the client has; a second start would be a second message to it."""

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*anthropic_events("Hi")[:frames], end=False)
        await began.wait()
        wire.reset()

    began = asyncio.Event()
    async with running("anthropic") as rig:
        rig.provider.script = script
        async with rig.client.post(rig.url + "/v1/messages", json={**ASK, "stream": True}) as answer:
            first = await answer.content.readany()
            began.set()
            data = first + await answer.content.read()
    kinds = [event["type"] for event in events_of(data)]
    assert kinds.count("message_start") == 1
    assert kinds[-1] == "error"


async def test_text_completions_are_refused_where_nobody_offers_them() -> None:
    async with running("anthropic") as rig:
        status, _, answer = await rig.post("/v1/completions", {"model": "x", "prompt": "a"})
        assert status in (400, 404)
        assert "complet" in answer["error"]["message"]
        assert rig.provider.asked == []


@pytest.mark.parametrize("space", [b"", b" "])
async def test_S09_a_whole_answer_never_says_null_for_no_arguments(space: bytes) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "NULL"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}], odd={"x": 1})
    item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "now", "arguments": "NULL"}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-x",
                "output": [item], "odd": {"x": 1}}  # fmt: skip
    cases: list[tuple[dict[str, Any], str, dict[str, Any], Any]] = [
        ({}, "/v1/chat/completions", CHAT_ASK, body),
        ({"account": {"api": "responses"}}, "/v1/responses", RESPONSES_ASK, response),
    ]
    for more, path, ask, answer in cases:
        raw = json.dumps(answer, separators=(",", ":")).encode().replace(b':"NULL"', b":" + space + b"null")

        async def script(asked: Asked, wire: Wire, raw: bytes = raw) -> None:
            await wire.raw(raw, content_type="application/json")

        async with running(**more) as rig:
            rig.provider.script = script
            status, _, got = await rig.post(path, ask)
            assert status == 200
            assert got["odd"] == {"x": 1}
            assert json.dumps(got).count('"arguments": "{}"') == 1
