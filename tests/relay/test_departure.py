"""The client hangs up: the provider's call ends within a second, in every phase (trap E14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.patience import SOON
from tests.relay.rig import ASK, CHAT_ASK, Asked, Wire, anthropic_events, chat_chunk, chat_stream, replay, running

STREAM = {**ASK, "stream": True}


async def before_the_head(asked: Asked, wire: Wire) -> None:
    await wire.wait_gone(30)


async def after_the_head(asked: Asked, wire: Wire) -> None:
    await wire.stream(end=False)
    await wire.wait_gone(30)


async def in_the_middle(asked: Asked, wire: Wire) -> None:
    await wire.stream(chat_chunk("a", role="assistant"), end=False)
    while not wire.gone.is_set():
        await wire.chunk(chat_chunk("b"))
        await asyncio.sleep(0.05)


async def half_a_body(asked: Asked, wire: Wire) -> None:
    await wire.head(200, content_type="application/json", content_length="1000")
    wire.writer.write(b'{"id":')
    await wire.wait_gone(30)


@pytest.mark.parametrize(
    ("script", "path", "body"),
    [
        (before_the_head, "/v1/messages", STREAM),
        (before_the_head, "/v1/messages", ASK),
        (before_the_head, "/v1/chat/completions", CHAT_ASK),
        (after_the_head, "/v1/messages", STREAM),
        (in_the_middle, "/v1/messages", STREAM),
        (in_the_middle, "/v1/chat/completions", {**CHAT_ASK, "stream": True}),
        (half_a_body, "/v1/messages", ASK),
    ],
)
async def test_E14_the_provider_is_let_go_within_a_second(script: Any, path: str, body: Any) -> None:
    async with running() as rig:
        rig.provider.script = script
        _, writer = await rig.raw(path, body)
        await asyncio.wait_for(rig.provider.arrived.wait(), SOON)
        await asyncio.sleep(0.15)
        writer.close()
        await rig.provider.wires[0].wait_gone(1.0)
        record = await rig.record()
        assert (record.outcome, record.status) == ("left", 499)
        assert record.failure is None


async def test_E14_what_was_received_is_estimated() -> None:
    async with running() as rig:
        rig.provider.script = in_the_middle
        reader, writer = await rig.raw("/v1/messages", STREAM)
        await reader.readuntil(b'"b"')
        writer.close()
        record = await rig.record()
        assert record.usage.estimated
        assert record.usage.input
        assert record.usage.output


async def test_E14_a_leave_after_the_last_event_is_a_delivered_answer() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*chat_stream("Hello"), end=False)
        await wire.wait_gone(30)

    async with running() as rig:
        rig.provider.script = script
        reader, writer = await rig.raw("/v1/messages", STREAM)
        await reader.readuntil(b"message_stop")
        writer.close()
        record = await rig.record()
        assert (record.outcome, record.usage.output) == ("answered", 3)
        await rig.provider.wires[0].wait_gone(2)


async def test_a_provider_that_keeps_its_connection_open_does_not_hold_the_client() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*anthropic_events("Hello"), end=False)
        await wire.wait_gone(30)

    async with running("anthropic") as rig:
        rig.provider.script = script
        async with asyncio.timeout(2):
            _, _, data = await rig.post("/v1/messages", STREAM)
        assert data.rstrip().endswith(b"}")
        assert b"message_stop" in data
        await rig.provider.wires[0].wait_gone(3)


async def test_the_next_call_on_the_same_connection_is_not_disturbed() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hello"))
        for _ in range(3):
            status, _, data = await rig.post("/v1/messages", STREAM)
            assert status == 200
            assert b"message_stop" in data
        assert [record.outcome for record in rig.records] == ["answered"] * 3


async def test_a_stopping_gateway_says_so_in_the_stream() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("a", role="assistant"), end=False)
        await wire.wait_gone(30)

    async with running() as rig:
        rig.provider.script = script
        reader, writer = await rig.raw("/v1/messages", STREAM)
        await reader.readuntil(b'"a"')
        rig.stop()
        rest = await asyncio.wait_for(reader.read(), 5)
        assert b'event: error\ndata: {"type":"error"' in rest
        assert b"overloaded_error" in rest
        assert rest.endswith(b"0\r\n\r\n")
        writer.close()
