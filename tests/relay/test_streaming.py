"""Streams through the running gateway: flushed singly, kept alive, ended honestly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dragoman.relay.streaming import Patience
from tests.patience import SOON
from tests.relay.rig import (
    ASK,
    CHAT_ASK,
    DONE,
    GEMINI_ASK,
    PINGING,
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

CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", {**ASK, "stream": True}),
    "openai_chat": ("/v1/chat/completions", {**CHAT_ASK, "stream": True}),
    "openai_responses": ("/v1/responses", {**RESPONSES_ASK, "stream": True}),
    "gemini": ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", GEMINI_ASK),
}


def said(dialect: str, data: bytes) -> str:
    """The text a client reads out of a stream."""
    words = ""
    for event in events_of(data):
        if dialect == "anthropic":
            words += event.get("delta", {}).get("text", "")
        elif dialect == "openai_chat":
            words += "".join(choice["delta"].get("content") or "" for choice in event.get("choices", []))
        elif dialect == "openai_responses":
            words += event["delta"] if event["type"] == "response.output_text.delta" else ""
        else:
            parts = [part for c in event.get("candidates", []) for part in c.get("content", {}).get("parts", [])]
            words += "".join(part.get("text", "") for part in parts)
    return words


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_B09_each_event_leaves_before_the_next_arrives(dialect: str) -> None:
    path, body = CLIENTS[dialect]
    words = ["one ", "two ", "three "]
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("", role="assistant"), end=False)
        for word in words:
            await wire.chunk(chat_chunk(word))
            assert await asyncio.wait_for(seen.get(), SOON) == word
        for piece in (chat_chunk(finish="stop"), chat_usage(), DONE):
            await wire.chunk(piece)
        await wire.end()

    async with running() as rig:
        rig.provider.script = script
        got, reported = b"", ""
        async with rig.client.post(rig.url + path, data=json.dumps(body)) as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-accel-buffering"] == "no"
            assert answer.headers["x-dragoman-provider"] == "fake"
            assert answer.headers["x-dragoman-model"] == "up-model"
            async for data in answer.content.iter_any():
                got += data
                now = said(dialect, got)
                if len(now) > len(reported):
                    seen.put_nowait(now[len(reported) :])
                    reported = now
        assert said(dialect, got) == "one two three "
        record = await rig.record()
        assert (record.outcome, record.usage.input, record.usage.output) == ("answered", 11, 3)


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("how", ["end", "reset"])
async def test_E04_a_broken_stream_ends_with_an_error_and_no_reset(dialect: str, how: str) -> None:
    path, body = CLIENTS[dialect]

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("Hel", role="assistant"), end=False)
        await asyncio.sleep(0.05)
        if how == "end":
            await wire.end()
        else:
            wire.reset()

    async with running() as rig:
        rig.provider.script = script
        status, _, data = await rig.post(path, body)  # a reset would raise here
        assert status == 200
        assert said(dialect, data) == "Hel"
        assert b"message_stop" not in data
        assert b"[DONE]" not in data or dialect == "openai_chat"
        last = events_of(data)[-1]
        if dialect == "anthropic":
            assert (last["type"], last["error"]["type"]) == ("error", "api_error")
        elif dialect == "openai_responses":
            assert last["type"] == "response.failed"
            assert [event["sequence_number"] for event in events_of(data)] == list(range(len(events_of(data))))
        else:
            assert last["error"]["message"]
            assert b'"finish_reason":"stop"' not in data
        assert (await rig.record()).outcome == "failed"


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_E04_who_said_everything_but_that_it_is_over_has_answered(dialect: str) -> None:
    path, body = CLIENTS[dialect]

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("Hello", role="assistant"), chat_chunk(finish="stop"), chat_usage(), end=False)
        await asyncio.sleep(0.05)
        wire.reset()

    async with running() as rig:
        rig.provider.script = script
        status, _, data = await rig.post(path, body)
        assert (status, said(dialect, data)) == (200, "Hello")
        assert all(not event.get("error") for event in events_of(data))
        assert data.endswith(b"data: [DONE]\n\n") is (dialect == "openai_chat")
        record = await rig.record()
        assert (record.outcome, record.usage.input, record.usage.output) == ("answered", 11, 3)


async def test_E04_a_broken_short_cut_is_no_success_either() -> None:
    frames = anthropic_events("Hel", "lo")

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*frames[:3], frames[3][:20])

    async with running("anthropic") as rig:
        rig.provider.script = script
        status, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert status == 200
        assert data.startswith(b"".join(frames[:3]).replace(b"claude-up", b"claude-sonnet-4-5"))
        assert data.rstrip().split(b"\n\n")[-1].startswith(b"event: error")
        assert b"message_stop" not in data


async def test_C13_the_numbers_of_a_broken_short_cut_have_no_gap() -> None:
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0}
    text = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1", "object": "response", "model": "m", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "content_index": 0, "part": text},
        {"type": "response.output_text.delta", **place, "content_index": 0, "delta": "Hel"},
    ]
    numbered = [json.dumps({**event, "sequence_number": number}) for number, event in enumerate(events)]

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*(f"data: {event}\n\n".encode() for event in numbered), end=False)
        await asyncio.sleep(0.05)
        wire.reset()

    async with running("openai", account={"api": "responses"}) as rig:
        rig.provider.script = script
        status, _, data = await rig.post(*CLIENTS["openai_responses"])
        assert status == 200
        told = events_of(data)
        assert told[-1]["type"] == "response.failed"
        assert [event["sequence_number"] for event in told] == list(range(len(told)))


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_E11_pings_before_the_first_byte_and_inside(dialect: str) -> None:
    path, body = CLIENTS[dialect]

    async def script(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.5)
        await wire.stream(chat_chunk("a", role="assistant"), end=False)
        await asyncio.sleep(0.5)
        for piece in chat_stream("b")[1:]:
            await wire.chunk(piece)
        await wire.end()

    async with running(patience=PINGING) as rig:
        rig.provider.script = script
        status, _, data = await rig.post(path, body)
        assert status == 200
        assert said(dialect, data) == "ab"
        ping = b"event: ping" if dialect == "anthropic" else b":"
        assert data.startswith(ping)
        assert data.index(b'"a"') < data.rindex(b"\n" + ping) < data.index(b'"b"')


async def test_E11_no_ping_inside_a_half_forwarded_frame() -> None:
    frames = anthropic_events("Hello", model="claude-sonnet-4-5")

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*frames[:2], frames[2][:40], end=False)
        await asyncio.sleep(0.6)
        await wire.chunk(frames[2][40:])
        for frame in frames[3:]:
            await wire.chunk(frame)
        await wire.end()

    async with running("anthropic") as rig:
        rig.provider.script = script
        _, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert frames[2] in data
        assert said("anthropic", data) == "Hello"


async def test_an_error_after_the_first_ping_comes_in_the_stream() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.5)
        await wire.json({"error": {"message": "slow down", "type": "rate_limit"}}, 429)

    async with running(patience=PINGING) as rig:
        rig.provider.script = script
        status, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert status == 200
        last = events_of(data)[-1]
        assert (last["type"], last["error"]["type"]) == ("error", "rate_limit_error")
        assert "slow down" in last["error"]["message"]


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_E03_an_error_as_first_event_keeps_a_true_status(dialect: str) -> None:
    path, body = CLIENTS[dialect]
    error = b'data: {"error":{"message":"out of capacity","type":"overloaded_error","code":503}}\n\n'
    async with running() as rig:
        rig.provider.script = replay(error)
        status, headers, data = await rig.post(path, body)
        assert status in (503, 529)
        assert headers["content-type"].startswith("application/json")
        assert int(headers["retry-after"]) >= 1
        assert "out of capacity" in json.dumps(data)


async def test_E12_a_silent_provider_is_given_up() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("a", role="assistant"), end=False)
        await wire.wait_gone()

    async with running(patience=Patience(ping=0.1, idle=0.5)) as rig:
        rig.provider.script = script
        status, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert status == 200
        assert events_of(data)[-1]["error"]["type"] == "timeout_error"
        await rig.provider.wires[0].wait_gone(1)


async def test_E12_signs_of_life_alone_do_not_keep_a_stream_alive_for_ever() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("a", role="assistant"), end=False)
        while not wire.gone.is_set():
            await wire.chunk(b": keepalive\n\n")
            await asyncio.sleep(0.05)

    async with running(patience=Patience(ping=0.1, idle=0.4)) as rig:
        rig.provider.script = script
        async with asyncio.timeout(4):
            _, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert events_of(data)[-1]["error"]["type"] == "timeout_error"


async def test_B12_a_slow_reader_stops_the_provider() -> None:
    sent = 0

    async def script(asked: Asked, wire: Wire) -> None:
        nonlocal sent
        await wire.stream(chat_chunk("", role="assistant"), end=False)
        piece = chat_chunk("x" * 16_000)
        while not wire.gone.is_set():
            await wire.chunk(piece)
            sent += len(piece)

    async with running() as rig:
        rig.provider.script = script
        reader, writer = await rig.raw("/v1/messages", {**ASK, "stream": True})
        await reader.readline()
        await asyncio.sleep(1.0)
        first = sent
        await asyncio.sleep(0.5)
        assert sent == first
        # What waits lies in socket buffers of four ends, not in the gateway.
        assert sent < 24 * 1024 * 1024
        writer.transport.abort()
        await rig.provider.wires[0].wait_gone(2)


async def test_a_client_that_takes_nothing_is_treated_as_gone() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("", role="assistant"), end=False)
        while not wire.gone.is_set():
            await wire.chunk(chat_chunk("x" * 16_000))

    async with running(patience=Patience(ping=0.1, slow_client=0.5)) as rig:
        rig.provider.script = script
        reader, _ = await rig.raw("/v1/messages", {**ASK, "stream": True})
        await reader.readline()
        await rig.provider.arrived.wait()
        await rig.provider.wires[0].wait_gone(5)
        assert (await rig.record()).outcome == "left"


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_B07_a_stream_answered_with_one_body(dialect: str) -> None:
    path, body = CLIENTS[dialect]
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hello there"))
        status, headers, data = await rig.post(path, body)
        assert status == 200
        assert headers["content-type"].startswith("text/event-stream")
        assert said(dialect, data) == "Hello there"


async def test_B07_a_whole_answer_that_came_as_a_stream_is_folded() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hello ", "there"))
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert status == 200
        assert answer["content"] == [{"type": "text", "text": "Hello there"}]
        assert answer["usage"]["output_tokens"] == 3


async def test_B07_gemini_without_alt_sse_gets_one_array() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hello ", "there"))
        status, headers, data = await rig.post("/v1beta/models/g:streamGenerateContent", GEMINI_ASK)
        assert status == 200
        assert headers["content-type"].startswith("application/json")
        texts = [part["text"] for e in data for c in e["candidates"] for part in c.get("content", {}).get("parts", [])]
        assert "".join(texts) == "Hello there"


async def test_the_connection_to_the_provider_is_used_again() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hello"))
        for _ in range(5):
            await rig.post("/v1/messages", {**ASK, "stream": True})
        assert len(rig.provider.asked) == 5
        assert rig.provider.connections == 1


async def test_T72_a_hundred_streams_do_not_mix() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        word = asked.json["messages"][0]["content"]
        await wire.stream(chat_chunk("", role="assistant"), end=False)
        for number in range(5):
            await wire.chunk(chat_chunk(f"{word}.{number} "))
            await asyncio.sleep(0.005)
        for piece in (chat_chunk(finish="stop"), chat_usage(), DONE):
            await wire.chunk(piece)
        await wire.end()

    async def one(rig: Any, name: str) -> None:
        body = {**ASK, "stream": True, "messages": [{"role": "user", "content": name}]}
        _, _, data = await rig.post("/v1/messages", body)
        assert said("anthropic", data) == "".join(f"{name}.{number} " for number in range(5))

    async with running() as rig:
        rig.provider.script = script
        await asyncio.gather(*(one(rig, f"w{number}") for number in range(100)))


async def test_a_provider_of_few_words_has_a_silence_of_its_own() -> None:
    async with running(account={"timeout": 0.3}, patience=Patience(ping=5, idle=30)) as rig:

        async def script(asked: Asked, wire: Wire) -> None:
            await wire.head(200, content_type="text/event-stream", transfer_encoding="chunked")
            await wire.chunk(chat_chunk("Hel"))
            await asyncio.sleep(20)

        rig.provider.script = script
        async with asyncio.timeout(10):
            _, _, got = await rig.post("/v1/messages", {**ASK, "stream": True})
    assert [event["type"] for event in events_of(got)][-1] == "error"
