"""What is booked of answers that ended badly, came in several rounds, or were left at the very end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.relay.booked_rig import ASK, House, booked_house
from tests.relay.rig import Asked, Wire, chat_body, chat_chunk, chat_stream, whole


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with booked_house(tmp_path) as one:
        yield one


# ---------------------------------------------------------------- answers that failed, and used what they used


def failed_response(status: str) -> dict[str, Any]:
    """A whole answer of Responses that came to nothing, and its bill."""
    usage = {
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 60},
        "output_tokens": 500, "output_tokens_details": {"reasoning_tokens": 400}, "total_tokens": 600,
    }  # fmt: skip
    error = {"code": "server_error", "message": "boom"} if status == "failed" else None
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "up", "output": [],
        "error": error, "usage": usage,
    }  # fmt: skip


MALFORMED = {
    "candidates": [{"index": 0, "content": {"role": "model"}, "finishReason": "MALFORMED_FUNCTION_CALL"}],
    "usageMetadata": {"promptTokenCount": 50, "thoughtsTokenCount": 900, "totalTokenCount": 950},
    "modelVersion": "up",
}
ERROR_BODY = {
    "error": {"message": "boom", "code": 500},
    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
}


@pytest.mark.parametrize(
    ("model", "answer", "tokens"),
    [
        ("resp/big", failed_response("failed"), (40, 60, 500, 400)),
        ("resp/big", failed_response("cancelled"), (40, 60, 500, 400)),
        ("gem/big", MALFORMED, (50, None, 900, 900)),
        ("fake/big", ERROR_BODY, (5, None, 7, None)),
    ],
    ids=["failed", "cancelled", "malformed", "error"],
)
async def test_K04_a_whole_answer_that_failed_is_booked_as_it_was_reported(
    house: House, model: str, answer: dict[str, Any], tokens: tuple[int | None, ...]
) -> None:
    house.rig.provider.script = whole(answer)
    status, _, _ = await house.rig.post("/v1/messages", {**ASK, "model": model, "max_tokens": 9})
    assert status >= 500
    (row,) = await house.booked()
    assert tuple(row[kind] for kind in ("input", "cache_read", "output", "reasoning")) == tokens
    assert (row["outcome"], row["partial"], row["usage_source"]) == ("failed", True, "provider")


async def test_K04_a_compaction_without_a_summary_is_booked_as_it_was_reported(house: House) -> None:
    house.rig.provider.script = whole(chat_body(""))
    status, _, _ = await house.rig.post("/v1/responses/compact", {"model": "fake/big", "input": "Hello"})
    assert status == 502
    (row,) = await house.booked()
    assert (row["outcome"], row["input"], row["output"]) == ("failed", 11, 3)


# ---------------------------------------------------------------- one answer of several requests


def turn(input_tokens: int, stop: str = "pause_turn") -> dict[str, Any]:
    """A message that says a word, for a hundred tokens or so; a tenth of them are written for an hour."""
    usage = {
        "input_tokens": input_tokens, "cache_creation_input_tokens": input_tokens // 10, "output_tokens": 5,
        "cache_creation": {"ephemeral_1h_input_tokens": input_tokens // 10},
    }  # fmt: skip
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "stop_reason": stop,
        "stop_sequence": None, "content": [{"type": "text", "text": "Looking."}], "usage": usage,
    }  # fmt: skip


def frames(message: dict[str, Any]) -> list[bytes]:
    """The same as a stream."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Looking."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_I1_S20_a_round_that_is_sent_again_is_booked_as_what_it_was(house: House, stream: bool) -> None:
    """The kept connection breaks under the second round: nobody reported anything for that request."""
    said = [turn(100), turn(200), turn(400, "end_turn")]
    broken: list[Asked] = []

    async def script(asked: Asked, wire: Wire) -> None:
        if len(said) == 2 and not broken:
            broken.append(asked)
            wire.reset()
            return
        message = said.pop(0)
        await (wire.stream(*frames(message)) if stream else wire.json(message))

    house.rig.provider.script = script
    status, _, _ = await house.rig.post("/v1/chat/completions", {**ASK, "model": "paused", "stream": stream})
    assert status == 200
    found_rows = await house.booked(4)
    assert [(row["outcome"], row["input"], row["output"], row["closes"]) for row in found_rows] == [
        ("answered", 100, 5, False), ("failed", None, None, False), ("answered", 200, 5, False),
        ("answered", 400, 5, True),
    ]  # fmt: skip


async def test_K04_S20_a_later_round_that_is_left_is_booked_as_far_as_it_was_reported(house: House) -> None:
    said = [turn(100), turn(200)]

    async def script(asked: Asked, wire: Wire) -> None:
        pieces = frames(said.pop(0))
        await wire.stream(*(pieces if said else pieces[:3]), end=bool(said))
        if not said:
            await wire.wait_gone()

    house.rig.provider.script = script
    reader, writer = await house.rig.raw("/v1/chat/completions", {**ASK, "model": "paused", "stream": True})
    await reader.readuntil(b"Looking.")
    await reader.readuntil(b"Looking.")
    writer.close()
    _, row = await house.booked(2)
    assert (row["outcome"], row["input"], row["cache_write"]) == ("left", 200, 20)
    assert row["details"]["cache_write_1h"] == 20


async def test_I6_S20_a_later_round_that_is_refused_was_reported_by_nobody(house: House) -> None:
    said = [turn(100)]

    async def script(asked: Asked, wire: Wire) -> None:
        if said:
            await wire.json(said.pop())
        else:
            await wire.json({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529)

    house.rig.provider.script = script
    await house.rig.post("/v1/chat/completions", {**ASK, "model": "paused"})
    _, row = await house.booked(2)
    assert (row["outcome"], row["status"], row["input"], row["output"], row["cost"]) == ("failed", 529, None, None, 0)


# ---------------------------------------------------------------- the last word of a provider


CHAT_END = [chat_chunk("x" * 400), chat_chunk(finish="stop"), chat_stream("x")[-2]]
MESSAGE_END = frames({**turn(11, "end_turn"), "content": []})[:-1]


@pytest.mark.parametrize("leaves", [False, True], ids=["broken", "left"])
@pytest.mark.parametrize(
    ("path", "model", "pieces", "output", "broken"),
    [
        ("/v1/chat/completions", "fake/big", CHAT_END, 3, "answered"),  # nothing was missing but the mark
        ("/v1/messages", "claude/big", [MESSAGE_END[0], MESSAGE_END[1], MESSAGE_END[2].replace(b"Looking.", b"x" * 400),
                                        *MESSAGE_END[3:]], 5, "failed"),
    ],
    ids=["chat", "messages"],
)  # fmt: skip
async def test_I6_what_was_reported_last_is_no_estimate(
    house: House, path: str, model: str, pieces: list[bytes], output: int, broken: str, leaves: bool
) -> None:
    """All was said and counted; only the mark of the end is missing."""
    heard = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*pieces, end=False)
        await heard.wait()
        if not leaves:
            wire.reset()
        await wire.wait_gone()

    house.rig.provider.script = script
    body = {**ASK, "model": model, "max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}}
    reader, writer = await house.rig.raw(path, body)
    await reader.readuntil(b'"completion_tokens"' if "chat" in path else b'"message_delta"')
    heard.set()
    if leaves:
        writer.close()
    else:
        await reader.read()
        writer.close()
    (row,) = await house.booked()
    assert (row["outcome"], row["output"]) == ("left" if leaves else broken, output)
    assert (row["usage_source"], row["partial"]) == ("provider", row["outcome"] != "answered")


@pytest.mark.parametrize("count", [2**41, 2**63, 10**30])
async def test_I6_what_no_request_can_have_used_is_no_report(house: House, count: int) -> None:
    """One number would keep the whole call out of the ledger."""
    usage = {"prompt_tokens": count, "completion_tokens": 3, "total_tokens": count + 3}
    house.rig.provider.script = whole(chat_body("x" * 400, usage=usage))
    await house.rig.post("/v1/chat/completions", ASK)
    (row,) = await house.booked()
    assert (row["output"], row["usage_source"], row["details"]["reported"]) == (3, "estimated", {"output": 3})
    assert 0 < row["input"] < 100
