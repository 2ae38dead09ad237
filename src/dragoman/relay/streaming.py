"""Pumping a stream: from the provider through a tract to the client, with pings over silence.

One timer per stream watches the clock; a chunk costs no task and no timer. It must not know dialects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from dragoman.language.failures import Failure
from dragoman.relay.calls import Client, Headers
from dragoman.relay.metering import Meter
from dragoman.relay.tracts import Tract
from dragoman.upstream.calls import UpstreamTrouble

STREAM_HEADERS: Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, in seconds: silence before a ping, a provider's silence, a client that takes nothing."""

    ping: float = 15.0
    idle: float = 600.0
    slow_client: float = 120.0
    connect: float = 5.0


class EarlyFailure(Exception):
    """The answer broke before any of it was written, so the client can still be given a true status."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Pulse:
    """Writes to the client, and pings it when nothing was written for a while.

    ``head`` gives the headers when the first byte is due; until then the status is open.
    ``give_up`` is called once when the client takes nothing for too long, or when the provider sends
    signs of life and nothing else for twice its time. ``before_end`` is awaited before the last bytes
    go out. Times are the loop's: ``written`` when bytes
    last went out, ``lived`` when the provider last said something, ``busy_since`` when a write that is
    under way began.
    """

    def __init__(
        self,
        client: Client,
        tract: Tract,
        patience: Patience,
        head: Callable[[], Headers],
        give_up: Callable[[Failure | None], None],
        before_end: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self.tract = tract
        self._patience = patience
        self._head = head
        self._give_up = give_up
        self._before_end = before_end
        loop = asyncio.get_running_loop()
        self._loop = loop
        self.now = loop.time
        self.written = self.lived = loop.time()
        self.busy_since: float | None = None
        self._ping: asyncio.Task[None] | None = None
        self._timer = loop.call_later(patience.ping, self._look)

    async def write(self, data: bytes) -> None:
        """Send bytes, headers before the first. Waits while the client reads slowly."""
        self.busy_since = self.written = self.now()
        if not self._client.started:
            await self._client.start(200, self._head())
        await self._client.write(data)
        self.busy_since = None

    async def end(self, data: bytes) -> None:
        """Send the last bytes."""
        self.stop()
        await self._before_end()
        self.busy_since = self.now()
        if not self._client.started:
            await self._client.start(200, self._head())
        await self._client.end(data)
        self.busy_since = None

    def stop(self) -> None:
        """No more pings."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self.now()
        if self.busy_since is not None:
            if now - self.busy_since >= self._patience.slow_client:
                self._give_up(None)
                return
        elif now - self.lived >= 2 * self._patience.idle:
            self._give_up(Failure("timeout", "the provider sends no content", status=504, code="upstream_timeout"))
            return
        elif now - self.written >= self._patience.ping - 0.005 and self.tract.aligned:
            self.written = now
            self._ping = self._loop.create_task(self._send_ping())
        self._timer = self._loop.call_later(self._next(now), self._look)

    def _next(self, now: float) -> float:
        if self.busy_since is not None or not self.tract.aligned:
            return min(1.0, self._patience.ping)
        return max(0.01, self.written + self._patience.ping - now)

    async def _send_ping(self) -> None:
        if self.busy_since is None and not self._client.ended:
            await self.write(self.tract.ping())


async def pump(
    chunks: AsyncIterator[bytes], tract: Tract, pulse: Pulse, meter: Meter, client: Client, *, hold: bool = False
) -> None:
    """Carry an answer to its end, each read of the provider as one write to the client.

    Raises EarlyFailure while the answer can still be another's: the status is open, or ``hold`` kept
    back what came before the first content. A break after that is written in the stream.
    """
    feed, write, now = tract.feed, client.write, pulse.now
    held = b""
    try:
        async for chunk in chunks:
            data = feed(chunk)
            if tract.lively:
                pulse.lived = now()
                meter.first_byte()
            if tract.ended or tract.early_failure is not None:
                _check_early(tract, client, hold)
                if tract.ended:
                    return await pulse.end(held + data)
            if hold:
                if not tract.said:
                    held += data
                    continue
                hold, data, held = False, held + data, b""
            if meter.characters >= meter.asks_at:
                await meter.ask()
            if not data:
                continue
            if client.started:
                pulse.busy_since = pulse.written = now()
                await write(data)
                pulse.busy_since = None
            else:
                await pulse.write(data)
        data = tract.close()
    except UpstreamTrouble as trouble:
        data = tract.fail(trouble.failure)
    _check_early(tract, client, hold)
    return await pulse.end(held + data)


def _check_early(tract: Tract, client: Client, hold: bool) -> None:
    if tract.early_failure is not None and (hold or not client.started):
        raise EarlyFailure(tract.early_failure)


async def drained(chunks: AsyncIterator[bytes], seconds: float = 1.0, limit: int = 64 * 1024) -> None:
    """Read what is left after the end, so that the connection can serve again; give up soon."""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chunks:
                limit -= len(chunk)
                if limit < 0:
                    return
    except (TimeoutError, UpstreamTrouble):
        return
