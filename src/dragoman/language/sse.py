"""Server-sent events: a push parser and a writer of frames.

Wire: https://html.spec.whatwg.org/multipage/server-sent-events.html, plus what providers really
send: no space after the colon, blanks before the field, CR LF, comments, a last event without its
blank line, and errors on lines of their own. This module must not know any dialect.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.language.wire import encode

MAX_EVENT = 32 * 1024 * 1024
"""Bytes one event may take (a generated image in one frame is the largest seen)."""


@dataclass(slots=True)
class SseEvent:
    """One dispatched event; ``name`` is empty when the wire gave none."""

    name: str
    data: bytes


class EventTooLarge(ValueError):
    """An event grew past MAX_EVENT."""


class SseParser:
    """Feed bytes in any chunking, get events. Linear in the bytes fed.

    ``comments`` counts comment lines: no data, but a sign of life.
    """

    def __init__(self) -> None:
        self.comments = 0
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._name = ""
        self._data: list[bytes] = []
        self._data_size = 0
        self._bare: list[bytes] = []

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take bytes, return the events they complete."""
        # Most reads bring one whole event of one line: a shorter way to the same result.
        if chunk.find(b"\n") == len(chunk) - 2 and chunk[:6] == b"data: " and self._fresh() and b"\r" not in chunk:
            return [SseEvent("", chunk[6:-2])]
        out: list[SseEvent] = []
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._keep(chunk)
            return out
        if self._partial:
            self._partial.append(head)
            head = b"".join(self._partial)
            self._partial.clear()
            self._partial_size = 0
        self._line(head, out)
        lines = rest.split(b"\n")
        last = lines.pop()
        for line in lines:
            self._line(line, out)
        if last:
            self._keep(last)
        return out

    def close(self) -> list[SseEvent]:
        """The stream ended: dispatch what lacks its blank line."""
        out: list[SseEvent] = []
        if self._partial:
            line = b"".join(self._partial)
            self._partial.clear()
            self._line(line, out)
        self._dispatch_bare(out)
        self._dispatch(out)
        return out

    def _fresh(self) -> bool:
        return not (self._partial or self._data or self._name)

    def _keep(self, piece: bytes) -> None:
        self._partial.append(piece)
        self._partial_size += len(piece)
        if self._partial_size > MAX_EVENT:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT} bytes")

    def _line(self, line: bytes, out: list[SseEvent]) -> None:
        if line[-1:] == b"\r":
            line = line[:-1]
        if self._bare:
            self._bare_line(line, out)
        elif line[:6] == b"data: ":
            self._add(line[6:])
        elif not line:
            self._dispatch(out)
        elif b"\r" in line:
            for part in line.split(b"\r"):
                self._line(part, out)
        else:
            self._field(line, out)

    def _field(self, line: bytes, out: list[SseEvent]) -> None:
        line = line.lstrip(b" \t\xef\xbb\xbf")
        if line[:1] == b":":
            self.comments += 1
            return
        if line[:1] in (b"{", b"["):
            # A provider that fails mid-stream may print bare JSON between events.
            self._dispatch(out)
            self._bare_line(line, out)
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"error":
            self._dispatch(out)
            out.append(SseEvent("error", value))

    def _bare_line(self, line: bytes, out: list[SseEvent]) -> None:
        """JSON outside any event, which may be spread over lines: it ends where its first column closes it."""
        if line[:5] == b"data:":
            self._bare = []
            self._data_size = 0
            self._line(line, out)
            return
        line = line.rstrip(b" \t")
        self._bare.append(line)
        self._data_size += len(line)
        if line[-1:] in (b"}", b"]") and (line[:1] in (b"}", b"]") or len(self._bare) == 1):
            self._dispatch_bare(out)
        elif self._data_size > MAX_EVENT:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT} bytes")

    def _dispatch_bare(self, out: list[SseEvent]) -> None:
        if self._bare:
            out.append(SseEvent("", b"\n".join(self._bare)))
            self._bare = []
            self._data_size = 0

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value)
        if self._data_size > MAX_EVENT:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT} bytes")

    def _dispatch(self, out: list[SseEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            out.append(SseEvent(self._name, data))
            self._data = []
            self._data_size = 0
        self._name = ""


class JsonArrayParser:
    """The other framing of Gemini: one JSON array whose elements arrive over time. Linear."""

    def __init__(self) -> None:
        self._partial: list[bytes] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take bytes, return the elements they complete."""
        out: list[SseEvent] = []
        start = 0 if self._depth else -1
        for at, byte in enumerate(chunk):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif byte == 0x5C:
                    self._escaped = True
                elif byte == 0x22:
                    self._in_string = False
            elif byte == 0x22:
                self._in_string = True
            elif byte == 0x7B:
                if self._depth == 0:
                    start = at
                self._depth += 1
            elif byte == 0x7D:
                self._depth -= 1
                if self._depth == 0:
                    self._partial.append(chunk[start : at + 1])
                    out.append(SseEvent("", b"".join(self._partial)))
                    self._partial.clear()
                    start = -1
        if start >= 0:
            self._partial.append(chunk[start:])
        return out

    def close(self) -> list[SseEvent]:
        """The stream ended; half an element is dropped."""
        self._partial.clear()
        return []


def frame(name: str, payload: object) -> bytes:
    """One event with its name."""
    return b"event: " + name.encode() + b"\ndata: " + encode(payload) + b"\n\n"


def data_frame(payload: object) -> bytes:
    """One event without a name."""
    return b"data: " + encode(payload) + b"\n\n"
