"""What every dialect's stream reader and writer share: framing, endings, and the facts of a call.

A reader is pushed bytes and returns events; a writer is given events and returns bytes. Both are
pure. This module must not know any dialect's fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted, Started, UsageReported
from dragoman.language.failures import Failure, Refused
from dragoman.language.ir import Json, Part, Request, Usage
from dragoman.language.losses import Receipt
from dragoman.language.sse import EventTooLarge, JsonArrayParser, SseEvent, SseParser
from dragoman.language.wire import decode, whole_characters


@dataclass(slots=True)
class Asked:
    """What a writer must know of the call it answers.

    ``model`` is the name the client asked for; ``seed`` a short hex string unique to the call, from
    which ids are made; ``created`` Unix seconds; ``request`` the request as the client sent it;
    ``input_estimate`` the estimated prompt tokens, for wires that report input before the answer.
    """

    request: Request
    model: str
    seed: str
    created: int
    input_estimate: int = 0
    receipt: Receipt = field(default_factory=Receipt)


UNREADABLE = (TypeError, AttributeError, KeyError, IndexError, ValueError, OverflowError, RecursionError, Refused)
"""What reading raises where a provider's words have a shape that no reader foresaw: a broken reply, not a defect."""


class StreamReader(ABC):
    """Bytes of one answer in, events out, in any chunking.

    Subclasses implement ``_event`` (one decoded payload) and ``_end`` (the bytes ended or ``[DONE]``
    came: emit what is pending, then Finished or Failed). They emit through ``_emit``; after a
    terminal event everything is ignored. A body that is one JSON object is given to ``_whole``.
    ``done`` tells ``_end`` that ``[DONE]`` came.
    """

    def __init__(self) -> None:
        self.ended = False
        self.started = False
        self.done = False
        self._out: list[Event] = []
        self._frames: SseParser | JsonArrayParser | None = None
        self._whole_body: list[bytes] | None = None
        self._half: dict[int, str] = {}
        self._surrogates = False

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, return the events they complete."""
        if self.ended:
            return []
        if self._frames is None and not self._choose_framing(data):
            return []
        if self._whole_body is not None:
            self._whole_body.append(data)
            return []
        assert self._frames is not None
        try:
            for event in self._frames.feed(data):
                self._payload(event)
        except EventTooLarge as error:
            self._fail(str(error))
        return self._drain()

    def close(self) -> list[Event]:
        """The bytes ended. A stream that stops without an end is Failed."""
        if self.ended:
            return []
        if self._whole_body is not None:
            self._read_whole(b"".join(self._whole_body))
        elif self._frames is not None:
            for event in self._frames.close():
                self._payload(event)
        if not self.ended:
            self._ended_early()
        if not self.ended:
            self._fail("the upstream closed the stream before its end")
        return self._drain()

    def _ended_early(self) -> None:
        try:
            self._end()
        except UNREADABLE:
            self._fail("the upstream's answer cannot be read")

    def fail(self, failure: Failure) -> list[Event]:
        """The transport broke: end open parts and fail, unless the answer had ended."""
        if not self.ended:
            self._close_parts()
            self._emit(Failed(failure))
        return self._drain()

    @property
    def numbered(self) -> int:
        """How many events came, on wires that number them; elsewhere 0."""
        return 0

    @abstractmethod
    def _event(self, name: str, payload: dict[str, Json]) -> None:
        """One decoded event of the wire."""

    @abstractmethod
    def _end(self) -> None:
        """No more payloads: ``[DONE]`` or the end of the bytes."""

    @abstractmethod
    def _whole(self, body: dict[str, Json]) -> None:
        """The answer came as one JSON body although a stream was asked for."""

    def _close_parts(self) -> None:  # noqa: B027 - readers without open parts need nothing here
        """End the parts that are open."""

    def _emit(self, event: Event) -> None:
        if self.ended:
            return
        if isinstance(event, Started):
            self.started = True
        elif isinstance(event, Finished | Failed):
            self.ended = True
        self._out.append(event)

    def _fail(self, message: str) -> None:
        # What broke the reader may stand in the way of its tidying up; the failure is told all the same.
        with suppress(*UNREADABLE):
            self._close_parts()
        self._emit(Failed(Failure("server", message)))

    def _choose_framing(self, data: bytes) -> bool:
        head = data.lstrip(b" \t\r\n\xef\xbb\xbf")
        if not head:
            return False
        if head[:1] == b"[":
            self._frames = JsonArrayParser()
        elif head[:1] == b"{":
            self._whole_body = []
            self._frames = SseParser()
        else:
            self._frames = SseParser()
        return True

    def _payload(self, event: SseEvent) -> None:
        data = event.data
        if data[:6] == b"[DONE]":
            self.done = True
            self._ended_early()
            return
        try:
            payload = decode(data)
        except ValueError:
            self._undecodable(event)
            return
        if b"\\" in data and not self._surrogates and b"\\ud" in data.lower():
            self._surrogates = True
        if isinstance(payload, dict):
            try:
                self._event(event.name, payload)
            except UNREADABLE:
                self._fail("the upstream sent an event that cannot be read")

    def _undecodable(self, event: SseEvent) -> None:
        """Text that is not JSON: an error line says what went wrong, anything else is skipped."""
        if event.name == "error":
            self._fail(event.data.decode("utf-8", "replace").strip() or "the upstream reported an error")

    def _read_whole(self, data: bytes) -> None:
        try:
            body = decode(data)
        except ValueError:
            self._fail("the upstream's answer is not JSON")
            return
        if isinstance(body, dict):
            try:
                self._whole(body)
            except UNREADABLE:
                self._fail("the upstream's answer cannot be read")
        else:
            self._fail("the upstream's answer is not a JSON object")

    def _drain(self) -> list[Event]:
        out, self._out = self._out, []
        return self._joined(out) if self._surrogates else out

    def _joined(self, events: list[Event]) -> list[Event]:
        """Hold back a trailing high surrogate until the next delta of its part brings the other half."""
        joined: list[Event] = []
        for event in events:
            if isinstance(event, PartDelta) and event.text:
                text = self._half.pop(event.index, "") + event.text
                if "\ud800" <= text[-1] <= "\udbff":
                    self._half[event.index] = text[-1]
                    text = text[:-1]
                event = PartDelta(event.index, whole_characters(text), event.citation, event.logprobs)
            elif isinstance(event, PartEnded) and event.index in self._half:
                del self._half[event.index]
                joined.append(PartDelta(event.index, "\ufffd"))
            joined.append(event)
        return joined


class Parts:
    """Numbering of open parts for a reader: opens, grows and closes them under stable keys.

    ``key`` is whatever the wire identifies a part by. Indices are given in order of opening.
    """

    __slots__ = ("_emit", "_next", "_open")

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._next = 0
        self._open: dict[object, int] = {}

    def is_open(self, key: object) -> bool:
        """Whether a part is open under the key."""
        return key in self._open

    def start(self, key: object, part: Part, choice: int = 0) -> int:
        """Open a part and return its index."""
        index = self._next
        self._next += 1
        self._open[key] = index
        self._emit(PartStarted(index, part, choice))
        return index

    def grow(self, key: object, text: str) -> None:
        """Append text to the part open under the key."""
        self._emit(PartDelta(self._open[key], text))

    def delta(self, key: object, delta: PartDelta) -> None:
        """Emit a delta for the part open under the key; its index is filled in."""
        delta.index = self._open[key]
        self._emit(delta)

    def end(self, key: object, extras: dict[str, dict[str, Json]] | None = None) -> None:
        """Close the part open under the key, if any."""
        index = self._open.pop(key, None)
        if index is not None:
            self._emit(PartEnded(index, extras or {}))

    def whole(self, part: Part, choice: int = 0) -> None:
        """A part that opens and closes at once."""
        index = self._next
        self._next += 1
        self._emit(PartStarted(index, part, choice))
        self._emit(PartEnded(index))

    def end_all(self) -> None:
        """Close every open part, in order of opening."""
        for key in list(self._open):
            self.end(key)

    @property
    def count(self) -> int:
        """Parts opened so far."""
        return self._next


class StreamWriter(ABC):
    """Events of one answer in, bytes of the client's wire out.

    ``write`` may return ``b""``. After a terminal event the answer is complete.
    ``ends_broken_parts``: a part that broke off is ended on this wire before the failure is told.
    """

    ends_broken_parts: ClassVar[bool] = True

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.usage = Usage()

    def write(self, event: Event) -> bytes:
        """Bytes for one event."""
        if isinstance(event, UsageReported):
            self.usage = self.usage.merged(event.usage)
        return self._write(event)

    @abstractmethod
    def _write(self, event: Event) -> bytes:
        """Bytes for one event; usage so far is in ``self.usage``."""

    def resume(self, numbered: int) -> None:
        """So many events of the answer were the provider's own: numbers go on from there."""
        return

    @abstractmethod
    def ping(self) -> bytes:
        """Bytes that keep an idle connection alive and mean nothing."""
