"""One HTTP exchange over ASGI: the request's headers and body, and the client the relay answers.

https://asgi.readthedocs.io/en/latest/specs/www.html

It must not know surfaces or what an answer means.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dragoman.relay.calls import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SAFE_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_UNSAFE = re.compile(rb"[^\x20-\x7e]")


def new_request_id() -> str:
    """An id of a request, in the order of time: the ledger's index of them grows at its end, which is cheap."""
    return f"req_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


class BodyTooLarge(Exception):
    """The request's body is larger than the limit."""


class NoRoom(Exception):
    """All bodies in memory together are at their limit."""


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class BodyRoom:
    """How many bytes of request bodies this process holds at once."""

    def __init__(self, *, each: int, together: int = 512 * 1024 * 1024) -> None:
        self.each = each
        self._together = together
        self.held = 0

    def take(self, size: int) -> None:
        """Hold more bytes. Raises NoRoom."""
        if self.held + size > self._together:
            raise NoRoom
        self.held += size

    def give_back(self, size: int) -> None:
        """Hold them no longer."""
        self.held -= size


class Exchange:
    """A request and the way to answer it."""

    __slots__ = ("_extra", "_receive", "_send", "ended", "headers", "held", "request_id", "scope", "started")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = self.headers.get("x-request-id", "")
        self.request_id = given if SAFE_ID.fullmatch(given) else new_request_id()
        self._extra: list[tuple[bytes, bytes]] = [(b"x-request-id", self.request_id.encode())]
        self.started = False
        self.ended = False
        self.held = 0

    def add_header(self, name: str, value: str) -> None:
        """Send this header too, whatever the answer is."""
        self._extra.append((name.encode("latin-1"), _UNSAFE.sub(b"?", value.encode("utf-8"))))

    # ------------------------------------------------------------ the request

    async def body(self, room: BodyRoom) -> bytes:
        """The whole body. Raises BodyTooLarge, NoRoom, ClientGone. The caller gives ``held`` bytes back."""
        length = self.headers.get("content-length", "")
        if length.isdigit() and int(length) > room.each:
            raise BodyTooLarge
        pieces: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            piece = message.get("body", b"")
            if piece:
                room.take(len(piece))
                self.held += len(piece)
                if self.held > room.each:
                    raise BodyTooLarge
                pieces.append(piece)
            if not message.get("more_body", False):
                return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    async def pass_on(self, application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Let another application serve it whole."""
        await application(self.scope, self._receive, self._send)

    # ------------------------------------------------------------ the answer

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        self.started = True
        lines = [(name.encode("latin-1"), _safe(value)) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": lines + self._extra})

    def write(self, data: bytes) -> Awaitable[None]:
        """Send a piece of the body; to be awaited: until the connection takes more."""
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the body."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def gone(self) -> None:
        """Return when the client has hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        """Send a whole answer, JSON unless the headers say otherwise; an empty body has no type."""
        lines: Headers = list(headers or [])
        if body and not any(name == "content-type" for name, _ in lines):
            lines.append(("content-type", "application/json"))
        if status != 204:
            lines.append(("content-length", str(len(body))))
        await self.start(status, lines)
        await self.end(body)


def _safe(value: str) -> bytes:
    """A header's value without what no header may hold."""
    return value.encode("ascii") if value.isascii() and value.isprintable() else _UNSAFE.sub(b"?", value.encode())
