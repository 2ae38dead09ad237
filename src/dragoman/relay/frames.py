"""The frames of an event stream as raw bytes: where one ends, and what may be changed inside it.

Wire: https://html.spec.whatwg.org/multipage/server-sent-events.html. It must not know any dialect.
"""

from __future__ import annotations

import re

from dragoman.language.splice import replaced_at, value_spans
from dragoman.language.sse import MAX_EVENT, EventTooLarge, SseParser

_FRAME = re.compile(rb".*?\n\r?\n", re.DOTALL)


class RawFrames:
    """Cuts bytes at blank lines and keeps every byte. Linear in the bytes fed."""

    __slots__ = ("_pieces", "_size", "_tail")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._tail = b""

    @property
    def aligned(self) -> bool:
        """Whether nothing is held back, so that the next byte opens a frame."""
        return not self._pieces

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take bytes, return the whole frames they complete, blank line included."""
        if not self._pieces and chunk[-2:] == b"\n\n" and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk:
            return [chunk]
        joint = self._tail + chunk
        if b"\n\n" not in joint and b"\n\r\n" not in joint:
            self._hold(chunk)
            return []
        data = self.rest() + chunk if self._pieces else chunk
        frames = _FRAME.findall(data) if b"\r" in data else [frame + b"\n\n" for frame in data.split(b"\n\n")[:-1]]
        end = sum(map(len, frames))
        if end < len(data):
            self._hold(data[end:])
        return frames

    def rest(self) -> bytes:
        """What is held back, given up."""
        rest = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._tail = b""
        return rest

    def _hold(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_EVENT:
            raise EventTooLarge(f"an event is larger than {MAX_EVENT} bytes")
        self._tail = (self._tail + piece)[-2:]


def data_of(frame: bytes) -> bytes:
    """The payload of one raw frame; empty for a comment."""
    parser = SseParser()
    events = parser.feed(frame) or parser.close()
    return events[0].data if events else b""


def with_data(frame: bytes, data: bytes) -> bytes:
    """The frame with another payload, its other lines as they stood."""
    kept = [line for line in re.split(rb"(?<=\n)", frame) if not line.lstrip(b" \t").startswith(b"data:")]
    ending = b"\r\n" if frame.endswith(b"\r\n") else b"\n"
    lines = b"".join(b"data: " + line + ending for line in data.split(b"\n"))
    blank = len(kept) - 1
    while blank > 0 and not kept[blank].strip():
        blank -= 1
    head = kept[: blank + 1] if kept and kept[blank].strip() else []
    return b"".join(head) + lines + b"".join(kept[len(head) :])


class ModelName:
    """Rewrites the model's name in raw frames to the one the client asked for (trap C20), and nothing else.

    ``path`` tells where the name stands in a payload. ``settled`` is true once no later frame can
    need it: the names are equal, or the one frame that holds it is past (``once``).
    """

    __slots__ = ("_after", "_before", "_name", "_once", "_path", "settled")

    def __init__(self, path: tuple[str, ...], asked: str, name: bytes, *, once: bool) -> None:
        self._path = path
        self._name = name
        self._once = once
        self._before = b""
        self._after = b""
        self.settled = not asked

    def frame(self, frame: bytes) -> bytes:
        """The frame, with the name rewritten where it stands."""
        if self._before and frame.startswith(self._before):
            return self._after + frame[len(self._before) :]
        if self.settled or b'"' + self._path[-1].encode() + b'"' not in frame:
            return frame
        data = data_of(frame)
        if data[:1] != b"{":
            return frame
        rewritten = replaced_at(data, self._path, self._name)
        if rewritten == data:
            self.settled = self._holds(data)
            return frame
        self.settled = self._once
        at = frame.find(data)
        if at < 0:
            return with_data(frame, rewritten)
        self._learn(frame[:at], data, rewritten)
        return frame[:at] + rewritten + frame[at + len(data) :]

    def _holds(self, data: bytes) -> bool:
        """Whether the payload holds a name at all: then it is the asked one already."""
        return replaced_at(data, self._path, b"0") != data

    def _learn(self, head: bytes, data: bytes, rewritten: bytes) -> None:
        """Frames of one stream open alike up to the name, so that most need no reading."""
        if len(self._path) == 1 and (spans := value_spans(data, self._path[0])):
            start, end = spans[0]
            self._before = head + data[:end]
            self._after = head + rewritten[: start + len(self._name)]
