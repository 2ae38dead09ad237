"""The load: a fixed number of connections, each asking again when its answer is complete.

Run as ``python -m bench.driver`` with a JSON order on standard input; prints a JSON result. It stops by
itself, and sends only to this machine. It must not look into answers beyond their end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import cast

from bench import events

_GRACE = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to send, where, for how long. ``request`` is the whole HTTP request."""

    port: int
    request: str
    parallel: int
    seconds: float
    deadline: float = 60.0


@dataclass(slots=True)
class Result:
    """What came back. ``failures`` counts answers with another status than 200 and broken connections."""

    answers: int = 0
    failures: int = 0
    bytes: int = 0
    seconds: float = 0.0
    last: str = field(default="", repr=False)


class Asker(asyncio.Protocol):
    """One connection: sends, waits for the end of the answer, sends again while there is time."""

    def __init__(self, order: Order, result: Result, done: asyncio.Future[None], until: float) -> None:
        self.request = order.request.encode("latin-1")
        self.result, self.done, self.until = result, done, until
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.needed: int | None = None
        self.start = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.result.failures += 1
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.start:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            self.start = head + 4
            self.needed = events.content_length(bytes(self.buffer[:head]))
        if self.needed is None:
            if self.buffer.endswith(b"0\r\n\r\n"):
                self.complete()
        elif len(self.buffer) >= self.start + self.needed:
            self.complete()

    def complete(self) -> None:
        """Book the answer; ask again or leave."""
        good = self.buffer.startswith(b"HTTP/1.1 200")
        self.result.answers += good
        self.result.failures += not good
        self.result.bytes += len(self.buffer)
        self.result.last = self.buffer.decode("utf-8", "replace")
        self.buffer.clear()
        self.start = 0
        assert self.transport is not None
        if good and time.monotonic() < self.until:
            self.transport.write(self.request)
        elif not self.done.done():
            self.done.set_result(None)
            self.transport.close()


def _same(asker: Asker) -> Asker:
    return asker


async def drive(order: Order) -> Result:
    """Carry out an order; bounded by its deadline whatever the server does."""
    loop = asyncio.get_running_loop()
    result = Result()
    started = time.monotonic()
    pending: list[asyncio.Future[None]] = [loop.create_future() for _ in range(order.parallel)]
    askers = []
    for done in pending:
        asker = Asker(order, result, done, started + order.seconds)
        askers.append(asker)
        await loop.create_connection(partial(_same, asker), "127.0.0.1", order.port)
    await asyncio.wait(pending, timeout=min(order.deadline, order.seconds + _GRACE))
    result.failures += sum(1 for one in pending if one.cancel())
    for asker in askers:
        if asker.transport is not None:
            asker.transport.abort()
    result.seconds = time.monotonic() - started
    return result


if __name__ == "__main__":
    print(json.dumps(asdict(events.run(drive(Order(**json.load(sys.stdin)))))))
