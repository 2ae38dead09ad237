"""Events written as the stream a Messages client reads.

Wire: https://platform.claude.com/docs/en/build-with-claude/streaming. Blocks stand strictly one after
another, so a part that begins while another is open waits, and an open text gives way to it. This
module must not know who answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dragoman.language import streams
from dragoman.language.dialects.anthropic.answers import (
    call_id,
    message_id,
    note_citation,
    note_part,
    sealed,
    thinking_shown,
    thought_block,
    write_finish,
    write_usage,
)
from dragoman.language.dialects.anthropic.failures import write_failure
from dragoman.language.dialects.anthropic.fields import NAME, Fields, form, own, spell
from dragoman.language.dialects.anthropic.spelling import call_name, input_object
from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
)
from dragoman.language.ir import Citation, Extras, Opaque, Part, Reasoning, Refusal, Text, ToolCall, merge_extras
from dragoman.language.sse import frame
from dragoman.language.streams import Asked
from dragoman.language.wire import encode

_PING = frame("ping", {"type": "ping"})
_STOP = frame("message_stop", {"type": "message_stop"})
_NOTHING = frame(
    "content_block_start",
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
) + frame("content_block_stop", {"type": "content_block_stop", "index": 0})
"""What an answer without any content holds, streamed as whole."""
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
_FIELDS = {"text": (b"text_delta", b"text"), "thinking": (b"thinking_delta", b"thinking")}
_FIELDS |= {"call": (b"input_json_delta", b"partial_json")}
_END = b"}}\n\n"


@dataclass(slots=True)
class _Lane:
    """A part on its way to a block. ``pieces`` and ``citations`` wait to be written.

    ``kind`` is text, thinking, call or opaque. ``direct`` tells whether a call's arguments are
    written as they come: ``None`` until their first character shows that they are an object.
    """

    index: int
    part: Part
    kind: str
    owned: bool
    pieces: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    extras: Extras = field(default_factory=dict)
    direct: bool | None = None
    shown: bool = False
    waiting: bool = False
    ended: bool = False

    def ready(self) -> bool:
        """Whether there is something to open a block for (S02: real payload; R06: no blank text)."""
        if self.kind in ("call", "opaque"):
            return True
        if self.kind == "thinking":
            return self.owned or bool(self.pieces)
        return bool(self.pieces or self.citations) if self.owned else any(piece.strip() for piece in self.pieces)

    def owed(self) -> bool:
        """Whether a block is due at the end of a part that said nothing."""
        if self.shown:
            return False
        return self.owned if self.kind == "text" else any(self.extras.values())


class StreamWriter(streams.StreamWriter):
    """Writes a Messages stream; see ``dragoman.language.streams``."""

    # Claude Code asks again after an error, but not once a block of the broken answer was complete.
    ends_broken_parts: ClassVar[bool] = False

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._held: Started | None = None
        self._usage_told: Fields = {}
        self._lanes: dict[int, _Lane] = {}
        self._queue: list[_Lane] = []
        self._open: _Lane | None = None
        self._blocks = 0
        self._native = False
        self._has_call = False
        self._current = -1
        self._prefix = b""

    def write(self, event: Event) -> bytes:
        """Bytes for one event."""
        if type(event) is PartDelta and event.index == self._current and event.text and event.citation is None:
            return self._prefix + encode(event.text) + _END
        return super().write(event)

    def ping(self) -> bytes:
        """A ping event; clients skip it anywhere."""
        return _PING

    def _write(self, event: Event) -> bytes:
        match event:
            case Started():
                # Our own reader reports usage right behind the start, and message_start must hold it (U05).
                self._held = event
                self._native = NAME in event.extras
                return b"" if self._native else self._begin()
            case PartDelta():
                return self._grow(event)
            case PartStarted():
                return self._begin() + self._part(event)
            case PartEnded():
                return self._part_ended(event)
            case UsageReported():
                return self._begin()
            case Finished():
                return self._begin() + self._finish(event)
            case Failed(failure=failure):
                return self._begin() + frame("error", write_failure(failure)[1])

    # ------------------------------------------------------------ the message

    def _begin(self) -> bytes:
        if self._held is None:
            return b""
        event, self._held = self._held, None
        usage = write_usage(self.usage, self.asked.input_estimate)
        self._usage_told = own(self.usage.extras)
        message: Fields = {
            "id": message_id(event.id, self.asked),
            "type": "message",
            "role": "assistant",
            "model": self.asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return frame("message_start", {"type": "message_start", "message": spell(message, event.extras)}) + _PING

    def _finish(self, event: Finished) -> bytes:
        out = b""
        if self._open is not None:
            out = self._close() + self._advance()
        if not self._blocks and not self._native:
            out += _NOTHING  # without a block some clients ask again
        delta = write_finish(event.finishes[0], has_call=self._has_call, receipt=self.asked.receipt)
        payload: Fields = {"type": "message_delta", "delta": delta, "usage": self._final_usage()}
        inside = form(event.extras, "~delta") or ()
        for key, value in own(event.extras).items():
            (delta if key in inside else payload).setdefault(key, value)
        return out + frame("message_delta", payload) + _STOP

    def _final_usage(self) -> Fields:
        usage = write_usage(self.usage, self.asked.input_estimate)
        for key, value in self._usage_told.items():
            if usage.get(key) == value:
                del usage[key]
        return usage

    # ------------------------------------------------------------ parts

    def _part(self, event: PartStarted) -> bytes:
        part = event.part
        if event.choice or (isinstance(part, Reasoning) and not thinking_shown(part, self.asked)):
            return b""
        kind = _kind(part)
        if kind is None:
            note_part(part, self.asked.receipt)
            return b""
        lane = self._lanes[event.index] = _Lane(event.index, part, kind, NAME in part.extras)
        if first := getattr(part, "arguments" if kind == "call" else "text", ""):
            lane.pieces.append(first)
        self._has_call = self._has_call or kind == "call"
        return self._admit(lane) if lane.ready() else b""

    def _grow(self, event: PartDelta) -> bytes:
        lane = self._lanes.get(event.index)
        if lane is None:
            return b""
        if event.text:
            lane.pieces.append(event.text)
        if event.citation is not None:
            if NAME in event.citation.extras:
                lane.citations.append(event.citation)
            else:
                note_citation(self.asked.receipt)
        if lane is self._open:
            return self._drain(lane)
        return self._admit(lane) if not lane.waiting and lane.ready() else b""

    def _part_ended(self, event: PartEnded) -> bytes:
        lane = self._lanes.pop(event.index, None)
        if lane is None:
            return b""
        lane.ended = True
        lane.extras = merge_extras(lane.part.extras, event.extras)
        if lane is self._open:
            return self._drain(lane) + self._close() + self._advance()
        if lane.waiting or not lane.owed():
            return b""
        return self._admit(lane) + self._advance()

    def _admit(self, lane: _Lane) -> bytes:
        """Open the part's block, or let it wait for the one that is open."""
        out = b""
        text = self._open
        if text is not None and text.kind == "text" and lane.kind != "text":
            out = self._close()  # the text goes on in a block of its own
        if self._open is not None:
            lane.waiting = True
            self._queue.append(lane)
            return out
        out += self._start(lane)
        return out + self._close() if lane.ended else out

    def _advance(self) -> bytes:
        """Write what waited, as far as it may go."""
        out = b""
        while self._open is None and self._queue:
            lane = self._queue.pop(0)
            lane.waiting = False
            out += self._start(lane)
            if lane.ended:
                out += self._close()
        return out

    # ------------------------------------------------------------ blocks

    def _start(self, lane: _Lane) -> bytes:
        at = self._blocks
        self._blocks += 1
        lane.shown = True
        self._open = lane
        if lane.kind in _FIELDS:
            self._prefix = _DELTA % (at, *_FIELDS[lane.kind])
        if lane.kind in ("text", "thinking"):
            self._current = lane.index
        block, after = self._block(lane)
        start = frame("content_block_start", {"type": "content_block_start", "index": at, "content_block": block})
        return start + b"".join(self._delta(delta) for delta in after) + self._drain(lane)

    def _block(self, lane: _Lane) -> tuple[Fields, list[Fields]]:
        """The ``content_block`` of a start, and the deltas that complete it."""
        part = lane.part
        match part:
            case ToolCall():
                name, given = call_name(part), call_id(part, self.asked, lane.index)
                return spell({"type": "tool_use", "id": given, "name": name, "input": {}}, part.extras), []
            case Reasoning():
                return self._thought(lane, part), []
            case Opaque(data=data):
                return _opaque(data)
        block: Fields = {"type": "text", "text": ""}
        if lane.citations or form(part.extras, "~citations") is not None:
            block["citations"] = []
        return spell(block, part.extras), []

    def _thought(self, lane: _Lane, part: Reasoning) -> Fields:
        if "redacted" in own(part.extras):
            self._current = -1
            return thought_block(part) or {}
        if not lane.owned and not lane.pieces:
            self._current = -1
            return {"type": "redacted_thinking", "data": sealed(lane.extras)}
        return spell({"type": "thinking", "thinking": "", "signature": ""}, part.extras)

    def _drain(self, lane: _Lane) -> bytes:
        """Write what waited in the open lane."""
        out = b""
        if lane.pieces:
            words = "".join(lane.pieces)
            if lane.kind == "call" and not self._flows(lane, words):
                return b""
            lane.pieces.clear()
            out = self._prefix + encode(words) + _END
        for citation in lane.citations:
            out += self._delta({"type": "citations_delta", "citation": citation.extras[NAME]})
        lane.citations.clear()
        return out

    def _flows(self, lane: _Lane, words: str) -> bool:
        """Whether a call's arguments can be written as they come: they are a function's, and an object."""
        if lane.direct is None and (stripped := words.lstrip()):
            assert isinstance(lane.part, ToolCall)
            lane.direct = lane.part.kind == "function" and stripped[0] == "{"
            if lane.direct:
                self._current = lane.index
        return bool(lane.direct)

    def _close(self) -> bytes:
        """End the open block: signature, arguments that had to be whole, stop."""
        lane = self._open
        assert lane is not None
        out = self._tail(lane)
        stop = {"type": "content_block_stop", "index": self._blocks - 1}
        self._open, self._current, self._prefix = None, -1, b""
        return out + frame("content_block_stop", stop)

    def _tail(self, lane: _Lane) -> bytes:
        part = lane.part
        if isinstance(part, ToolCall) and not lane.direct and (lane.pieces or part.kind == "custom"):
            value = input_object("".join(lane.pieces), part.kind)
            return self._prefix + encode(encode(value).decode()) + _END if value else b""
        if isinstance(part, Reasoning) and self._current == lane.index:
            signature = own(lane.extras).get("signature") if lane.owned else sealed(lane.extras)
            return self._delta({"type": "signature_delta", "signature": signature}) if signature else b""
        return b""

    def _delta(self, delta: Fields) -> bytes:
        payload = {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}
        return frame("content_block_delta", payload)


def _kind(part: Part) -> str | None:
    """The kind of lane a part takes, ``None`` for what this wire has no block for."""
    match part:
        case Text() | Refusal():
            return "text"
        case Reasoning():
            return "thinking"
        case ToolCall():
            return "call"
        case Opaque(dialect=dialect) if dialect == NAME:
            return "opaque"
    return None


def _opaque(data: Fields) -> tuple[Fields, list[Fields]]:
    """The start of an opaque block and its one delta, split as Anthropic does: clients fold the delta."""
    given = data.get("input")
    if isinstance(given, dict) and str(data.get("type", "")).endswith("tool_use"):
        deltas = [{"type": "input_json_delta", "partial_json": encode(given).decode()}] if given else []
        return {**data, "input": {}}, deltas
    if data.get("type") == "compaction":
        grown = {key: value for key, value in data.items() if key in ("content", "encrypted_content")}
        return {**data, **dict.fromkeys(grown)}, [{"type": "compaction_delta", **grown}]
    return dict(data), []
