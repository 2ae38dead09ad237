"""A provider that is not the bottleneck: canned chat answers from a bare protocol, no parsing of bodies.

Run as ``python -m bench.upstream PORT``. It must not know who is measured.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from bench import events
from bench.scenes import SCENES, Scene, model_of, stream_events, whole_answer

_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
_UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_LAST = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    """Return the data as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def written_answer(scene: Scene) -> list[bytes]:
    """Return what is written for a scene, one element per write."""
    if not scene.stream:
        body = whole_answer(scene)
        return [_JSON % (len(body), body)]
    events_ = stream_events(scene)
    writes = [
        b"".join(framed(event) for event in events_[at : at + scene.burst])
        for at in range(0, len(events_), scene.burst)
    ]
    return [_STREAM + writes[0], *writes[1:-1], writes[-1] + _LAST]


ANSWERS = {f'"{model_of(scene)}"'.encode(): (scene, written_answer(scene)) for scene in SCENES}


class Provider(asyncio.Protocol):
    """One connection: finds the model's name in the body and writes that scene's answer."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = events.content_length(bytes(self.buffer[:head]))
        if length is None:
            if not self.buffer.endswith(_LAST):
                return
            length = len(self.buffer) - head - 4
        if len(self.buffer) < head + 4 + length:
            return
        body = bytes(self.buffer[head + 4 : head + 4 + length])
        del self.buffer[: head + 4 + length]
        self.answer(body)

    def answer(self, body: bytes) -> None:
        """Write the answer that the body's model asks for."""
        for marker, (scene, writes) in ANSWERS.items():
            if marker in body:
                self.write(scene, writes, 0)
                return
        if self.transport is not None:
            self.transport.write(_UNKNOWN)

    def write(self, scene: Scene, writes: list[bytes], at: int) -> None:
        """Write one element and leave the next to the loop, after the scene's pause."""
        if self.transport is None:
            return
        self.transport.write(writes[at])
        if at + 1 < len(writes):
            self.loop.call_later(scene.pace, self.write, scene, writes, at + 1)


async def serve(port: int) -> None:
    """Listen on this machine only, until stopped."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    events.run(serve(int(sys.argv[1])))
