"""A provider's stream read into events.

Wire: https://platform.claude.com/docs/en/build-with-claude/streaming. The reader believes the
payload's ``type`` and the kind of each delta, not the order they should have: blocks that change
kind, deltas without a start and ends without a stop are all met in the wild. This module must not
know any client.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragoman.language import streams
from dragoman.language.dialects.anthropic.answers import STOP_FIELDS, read_finish, read_response, read_usage
from dragoman.language.dialects.anthropic.blocks import read_answer_block, read_citation, read_redacted
from dragoman.language.dialects.anthropic.failures import read_error
from dragoman.language.dialects.anthropic.fields import NAME, Fields, owned, rest, take
from dragoman.language.events import (
    AnswerFailed,
    Event,
    Failed,
    Finished,
    PartDelta,
    Started,
    UsageReported,
    unfold,
)
from dragoman.language.ir import Extras, Json, Part, Reasoning, Text, ToolCall
from dragoman.language.streams import Parts
from dragoman.language.wire import decode, encode

_GROWS = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking")}


@dataclass(slots=True)
class _Block:
    """An open block. ``index`` is that of its part, -1 until the part starts.

    ``kind`` is text, thinking, tool_use, whole (a part complete at its start) or opaque (a part
    only when complete, its wire object in ``data``).
    """

    kind: str
    key: int
    part: Part | None = None
    index: int = -1
    length: int = 0
    data: Fields = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    citations: list[Fields] = field(default_factory=list)
    more: Fields = field(default_factory=dict)


class StreamReader(streams.StreamReader):
    """Reads a Messages stream; see ``dragoman.language.streams``."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = Parts(self._emit)
        self._blocks: dict[int, _Block] = {}
        self._stop: Fields = {}
        self._more: Fields = {}
        self._delta_names: list[str] = []
        self._has_call = False
        self._last = -1
        self._eof = False

    def close(self) -> list[Event]:
        """The bytes ended."""
        self._eof = True
        return super().close()

    def _event(self, name: str, payload: dict[str, Json]) -> None:
        if self.ended:
            return
        kind = payload.get("type") or name
        if kind == "content_block_delta":
            at, delta = payload.get("index"), payload.get("delta")
            if type(delta) is not dict:
                return
            if type(at) is not int:
                at = self._last
            block = self._blocks.get(at)
            if block is not None and block.kind == "text" and delta.get("type") == "text_delta":
                text = delta.get("text")
                if text and type(text) is str:
                    if block.index < 0:
                        self._open(block)
                    block.length += len(text)
                    self._out.append(PartDelta(block.index, text))
                return
            self._delta(block, at, delta)
        elif kind == "content_block_start":
            self._block_started(payload)
        elif kind == "content_block_stop":
            self._block_stopped(payload)
        elif kind == "message_start":
            self._message_started(payload)
        elif kind == "message_delta":
            self._message_delta(payload)
        elif kind == "message_stop":
            self._message_stopped()
        elif kind == "error" or "error" in payload:
            self._error(payload)

    # ------------------------------------------------------------ the message

    def _message_started(self, payload: Fields) -> None:
        if self.started:
            self._fail("the upstream began a second answer in the same stream")
            return
        message = payload.get("message")
        fields = dict(message) if isinstance(message, dict) else {}
        content, usage = fields.pop("content", None), fields.pop("usage", None)
        given, model = take(fields, "id"), take(fields, "model")
        for key in ("type", "role"):
            fields.pop(key, None)
        for key in STOP_FIELDS:
            if (value := fields.pop(key, None)) is not None:
                self._stop[key] = value
        self._emit(Started(str(given or ""), str(model or ""), owned(fields)))
        if isinstance(usage, dict):
            self._emit(UsageReported(read_usage(usage)))
        for at, block in enumerate(content if isinstance(content, list) else []):
            # V09: a turn paused by a programmatic tool stands whole in message_start.
            self._block_started({"index": -1 - at, "content_block": block})
            self._block_stopped({"index": -1 - at})

    def _message_delta(self, payload: Fields) -> None:
        delta = payload.get("delta")
        fields = dict(delta) if isinstance(delta, dict) else {}
        for key in STOP_FIELDS:
            if key in fields and (fields[key] is not None or key not in self._stop):
                self._stop[key] = fields[key]  # S11: a later null clears nothing
            fields.pop(key, None)
        self._delta_names += fields
        self._more |= fields
        self._more |= {key: value for key, value in payload.items() if key not in ("type", "delta", "usage")}
        usage = payload.get("usage")
        if isinstance(usage, dict) and self.started:
            self._emit(UsageReported(read_usage({key: value for key, value in usage.items() if value is not None})))

    def _message_stopped(self) -> None:
        if not self.started:
            self._fail("the upstream ended an answer that it had not begun")
            return
        for block in list(self._blocks.values()):
            self._end_block(block, cut=True)
        extras: Extras = {}
        if self._more:
            extras = owned(self._more, {"~delta": self._delta_names} if self._delta_names else None)
        self._emit(Finished([read_finish(self._stop, has_call=self._has_call)], extras))

    def _end(self) -> None:
        # Either sign is enough (S13): a stop reason before the bytes end, or [DONE] without one.
        if self.started and (self._stop.get("stop_reason") or not self._eof):
            self._message_stopped()

    def _error(self, payload: Fields) -> None:
        if self.started and self._stop.get("stop_reason"):
            self._message_stopped()  # E03: the answer was complete, its finish stands
            return
        self._close_parts()
        self._emit(Failed(read_error(payload)))

    def _whole(self, body: dict[str, Json]) -> None:
        try:
            response = read_response(body)
        except AnswerFailed as failed:
            self._emit(Failed(failed.failure))
            return
        for event in unfold(response):
            self._emit(event)

    def _close_parts(self) -> None:
        self._blocks.clear()
        self._parts.end_all()

    # ------------------------------------------------------------ blocks

    def _block_started(self, payload: Fields) -> None:
        wire, key = payload.get("content_block"), payload.get("index")
        if not isinstance(wire, dict):
            return
        if not isinstance(key, int):
            key = self._last + 1
        self._last = key
        if not self.started:
            self._emit(Started("", "", {NAME: {}}))
        if key in self._blocks:
            self._end_block(self._blocks[key], cut=True)
        block = self._blocks[key] = self._block(wire, key)
        if block.kind not in ("text", "opaque"):
            self._open(block)
        for kind, name in (("text", "text"), ("thinking", "thinking")):
            if block.kind == kind and isinstance(words := wire.get(name), str):
                self._say(block, words)

    def _block(self, wire: Fields, key: int) -> _Block:
        """The open block of a ``content_block``, without the words it may hold already."""
        fields, kind = dict(wire), wire.get("type")
        if kind == "text":
            return self._text_block(fields, key)
        if kind == "thinking":
            signature = fields.pop("signature", None)
            del fields["type"]
            fields.pop("thinking", None)
            more = {"signature": signature} if isinstance(signature, str) else {}
            return _Block("thinking", key, Reasoning("", owned(fields)), more=more)
        if kind == "redacted_thinking":
            del fields["type"]
            return _Block("whole", key, read_redacted(fields))
        if kind == "tool_use" and isinstance(wire.get("name"), str):
            call = ToolCall(str(wire.get("id") or ""), wire["name"], "")
            data = {"input": fields.pop("input", None)}
            call.extras = rest({key: value for key, value in fields.items() if key not in ("type", "id", "name")})
            self._has_call = True
            return _Block("tool_use", key, call, data=data)
        return _Block("opaque", key, data=fields)

    def _text_block(self, fields: Fields, key: int) -> _Block:
        listed = fields.pop("citations", None) if isinstance(fields.get("citations"), list) else None
        for name in ("type", "text"):
            fields.pop(name, None)
        cited = [item for item in listed or [] if isinstance(item, dict)]
        form: Fields | None = {"~citations": []} if listed is not None and not cited else None
        return _Block("text", key, Text("", extras=owned(fields, form)), citations=cited)

    def _open(self, block: _Block) -> None:
        assert block.part is not None
        block.index = self._parts.start(block.key, block.part)

    def _say(self, block: _Block, words: str) -> None:
        if not words:
            return
        if block.index < 0:
            self._open(block)
        block.length += len(words)
        self._out.append(PartDelta(block.index, words))

    def _delta(self, block: _Block | None, key: int, delta: Fields) -> None:
        kind = delta.get("type")
        if isinstance(kind, str) and kind in _GROWS and (block is None or block.kind != "opaque"):
            self._grow(block, key, *_GROWS[kind], delta)
        elif block is None:
            return
        elif kind == "input_json_delta":
            self._input(block, delta.get("partial_json"))
        elif kind == "citations_delta" and block.kind == "text":
            if isinstance(citation := delta.get("citation"), dict):
                block.citations.append(citation)
        elif block.kind == "opaque":
            _absorb(block.data, delta)
        else:
            _absorb(block.more, delta)  # signature_delta pieces are appended (T01)

    def _grow(self, block: _Block | None, key: int, kind: str, name: str, delta: Fields) -> None:
        words = delta.get(name)
        if not isinstance(words, str) or not words:
            return
        if block is None or block.kind != kind:
            # S01, S04: a delta of another kind, or of a block nobody started, begins a part of its kind.
            if block is not None:
                self._end_block(block, cut=True)
            self._block_started({"index": key, "content_block": {"type": kind}})
            block = self._blocks[key]
        self._say(block, words)

    def _input(self, block: _Block, piece: Json) -> None:
        if not isinstance(piece, str) or not piece:
            return
        if block.kind == "tool_use":
            block.length += len(piece)
            self._out.append(PartDelta(block.index, piece))
        else:
            block.pieces.append(piece)

    def _block_stopped(self, payload: Fields) -> None:
        key = payload.get("index")
        block = self._blocks.get(key if isinstance(key, int) else self._last)
        if block is not None:
            self._end_block(block, cut=False)

    def _end_block(self, block: _Block, *, cut: bool) -> None:
        """Close a block. ``cut`` when its own stop is missing: then nothing is filled in (S15)."""
        del self._blocks[block.key]
        if block.kind == "opaque":
            if block.pieces:
                block.data["input"] = _whole_input("".join(block.pieces))
            if (part := read_answer_block(block.data)) is not None:
                self._parts.whole(part)
            return
        if block.kind == "text":
            if block.index < 0 and (block.citations or not cut):
                self._open(block)
            for citation in block.citations:
                read = read_citation(citation, 0, block.length)
                self._out.append(PartDelta(block.index, citation=read))
        elif block.kind == "tool_use" and not block.length:
            given = block.data["input"]
            if given or not cut:
                self._out.append(PartDelta(block.index, encode(given or {}).decode()))
        self._parts.end(block.key, owned(block.more) if block.more else None)


def _absorb(data: Fields, delta: Fields) -> None:
    """Fold a delta of any type into a block: strings grow, anything else replaces."""
    for key, value in delta.items():
        if key == "type":
            continue
        before = data.get(key)
        data[key] = before + value if isinstance(before, str) and isinstance(value, str) else value


def _whole_input(text: str) -> Json:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return {"raw": text}
