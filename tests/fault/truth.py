"""A provider that keeps its own book: what it was asked, and what it said it cost.

It speaks four dialects; the first part of a path is the account, the beginning of its name the dialect. A
prompt tells it what to do: ``tag=ID in=N out=N mode=WORD``. Modes:

===========  =====================================================================
``whole``    answers as it was asked, with usage
``silent``   streams without usage
``slow``     a piece every 20 ms
``long``     a piece every 100 ms, for ``LONG`` seconds
``late``     is silent for 300 ms before its first byte
``cut``      breaks off in the middle
``fail``     answers 500 to the first request of a call
``busy``     answers 429 to the first request of a call
``mute``     closes the connection of the first request of a call without a word
``broken``   answers 500 to every request
``refuse``   answers 400
===========  =====================================================================
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fault.wires import PROVIDERS, Cost, cost_of

LONG = 6.0
"""Seconds of a long answer."""

_ORDER = re.compile(r"tag=(\S+) in=(\d+) out=(\d+) mode=(\w+)")
_LENGTH = re.compile(r"content-length: (\d+)", re.IGNORECASE)
_PIECES = 8
_ONCE = {"fail": 500, "busy": 429}
_ALWAYS = {"broken": 500, "refuse": 400}
_PAUSES = {"slow": 0.02, "long": 0.1}


@dataclass
class Asked:
    """One request it was sent. ``reported``: its usage was handed to the socket; ``ended``: all of its answer."""

    tag: str
    account: str
    mode: str
    stream: bool
    cost: Cost
    reported: bool = False
    ended: bool = False

    @property
    def dialect(self) -> str:
        return self.account.partition("-")[0]


class Truth:
    """The provider's server, and its log."""

    def __init__(self) -> None:
        self.log: dict[str, list[Asked]] = defaultdict(list)
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def requests(self) -> dict[str, int]:
        """How many requests came for each tag."""
        return {tag: len(asked) for tag, asked in self.log.items()}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = _LENGTH.search(head)
        body = (await reader.readexactly(int(length[1]) if length else 0)).decode()
        found = _ORDER.search(body)
        assert found is not None, body
        path = head.split(" ", 2)[1]
        account = path.split("/")[1]
        stream = "streamGenerateContent" in path or json.loads(body).get("stream") is True
        cost = cost_of(account.partition("-")[0], int(found[2]), int(found[3]))
        asked = Asked(found[1], account, found[4], stream, cost)
        self.log[asked.tag].append(asked)
        return await self._answer(writer, asked)

    async def _answer(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        first = len(self.log[asked.tag]) == 1
        status = _ALWAYS.get(asked.mode) or (_ONCE.get(asked.mode) if first else None)
        if status is not None:
            await _refuse(writer, status)
            return True
        if asked.mode == "mute" and first:
            writer.transport.abort()
            return False
        if asked.mode == "late":
            await asyncio.sleep(0.3)
        return await (_stream if asked.stream else _whole)(writer, asked)


async def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    data = json.dumps({"error": {"message": "on purpose", "type": "test", "code": "test"}}).encode()
    extra = "retry-after: 1\r\n" if status == 429 else ""
    writer.write(_head(status, f"{extra}content-length: {len(data)}\r\ncontent-type: application/json") + data)
    await writer.drain()


async def _whole(writer: asyncio.StreamWriter, asked: Asked) -> bool:
    if asked.mode in _PAUSES:
        await asyncio.sleep(LONG if asked.mode == "long" else 0.16)
    data = json.dumps(PROVIDERS[asked.dialect].whole(asked.cost)).encode()
    head = _head(200, f"content-length: {len(data)}\r\ncontent-type: application/json")
    if asked.mode == "cut":
        writer.write(head + data[: len(data) // 2])
        await writer.drain()
        writer.transport.abort()
        return False
    asked.reported = True
    writer.write(head + data)
    await writer.drain()
    asked.ended = True
    return True


async def _stream(writer: asyncio.StreamWriter, asked: Asked) -> bool:
    writer.write(_head(200, "transfer-encoding: chunked\r\ncontent-type: text/event-stream"))
    pause = _PAUSES.get(asked.mode, 0.0)
    pieces = int(LONG / pause) if asked.mode == "long" else _PIECES
    frames = list(_frames(asked, pieces))
    for number, frame in enumerate(frames):
        if pause:
            await asyncio.sleep(pause)
        writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        await writer.drain()
        if asked.mode == "cut" and number == len(frames) // 2:
            writer.transport.abort()
            return False
    asked.reported = asked.mode != "silent"
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    asked.ended = True
    return True


def _frames(asked: Asked, pieces: int) -> Iterator[bytes]:
    cost = None if asked.mode == "silent" else asked.cost
    for frame in PROVIDERS[asked.dialect].frames(cost, pieces):
        yield frame.encode()


def _head(status: int, headers: str) -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}\r\n\r\n".encode()
