"""A provider that keeps its own book: what it was asked, and what it said it cost.

A prompt tells it what to do: ``tag=ID in=N out=N mode=WORD``. Modes:

==========  =====================================================================
``whole``   answers as it was asked, with usage
``silent``  streams without usage
``slow``    streams a piece every 20 ms
``cut``     closes the stream in the middle
``fail``    answers 500, at the account ``a`` only
``refuse``  answers 400
==========  =====================================================================
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

_ORDER = re.compile(r"tag=(\S+) in=(\d+) out=(\d+) mode=(\w+)")
_PIECES = 8


@dataclass
class Asked:
    """One request it was sent. ``ended``: its whole answer was handed to the socket."""

    tag: str
    account: str
    mode: str
    input: int
    output: int
    reported: bool = False
    ended: bool = False


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
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
        found = _ORDER.search(json.dumps(body["messages"][-1]))
        assert found is not None, body
        account = head.split(" ", 2)[1].split("/")[1]
        asked = Asked(found[1], account, found[4], int(found[2]), int(found[3]))
        self.log[asked.tag].append(asked)
        if asked.mode == "refuse" or (asked.mode == "fail" and account == "a"):
            await self._refuse(writer, 400 if asked.mode == "refuse" else 500)
        elif body.get("stream"):
            return await self._stream(writer, asked)
        else:
            await self._whole(writer, asked)
        return True

    async def _refuse(self, writer: asyncio.StreamWriter, status: int) -> None:
        data = json.dumps({"error": {"message": "on purpose", "type": "test", "code": "test"}}).encode()
        writer.write(_head(status, f"content-length: {len(data)}\r\ncontent-type: application/json") + data)
        await writer.drain()

    async def _whole(self, writer: asyncio.StreamWriter, asked: Asked) -> None:
        if asked.mode == "slow":
            await asyncio.sleep(0.16)
        choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}
        body = {**_envelope("chat.completion"), "choices": [choice], "usage": _usage(asked)}
        data = json.dumps(body).encode()
        asked.reported = True
        writer.write(_head(200, f"content-length: {len(data)}\r\ncontent-type: application/json") + data)
        await writer.drain()
        asked.ended = True

    async def _stream(self, writer: asyncio.StreamWriter, asked: Asked) -> bool:
        writer.write(_head(200, "transfer-encoding: chunked\r\ncontent-type: text/event-stream"))
        for number in range(_PIECES):
            if asked.mode == "slow":
                await asyncio.sleep(0.02)
            delta: dict[str, Any] = {"content": "some words of an answer "}
            _send(writer, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await writer.drain()
            if asked.mode == "cut" and number == _PIECES // 2:
                writer.transport.abort()
                return False
        _send(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if asked.mode != "silent":
            _send(writer, {"choices": [], "usage": _usage(asked)})
            asked.reported = True
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        asked.ended = True
        return True


def _head(status: int, headers: str) -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}\r\n\r\n".encode()


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 7, "model": "up-model"}


def _usage(asked: Asked) -> dict[str, Any]:
    cached = asked.input // 3
    return {
        "prompt_tokens": asked.input,
        "completion_tokens": asked.output,
        "total_tokens": asked.input + asked.output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _send(writer: asyncio.StreamWriter, fields: dict[str, Any]) -> None:
    frame = b"data: " + json.dumps({**_envelope("chat.completion.chunk"), **fields}).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
