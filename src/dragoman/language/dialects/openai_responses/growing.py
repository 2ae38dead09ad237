"""Output items while they grow in a written stream: each knows the events of its kind.

An item announces itself with ``begin``, takes deltas, ends its part and gives the whole ``item``. This
module must not know the response around the items.

Wire: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Protocol

from dragoman.language.dialects.openai_responses.content import write_annotation, write_part
from dragoman.language.dialects.openai_responses.fields import NAME, Object, is_own, made_id, own
from dragoman.language.dialects.openai_responses.items import (
    SEAM,
    is_silent,
    write_call,
    write_message,
    write_reasoning,
)
from dragoman.language.events import PartDelta
from dragoman.language.ir import Citation, Extras, Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall, merge_extras
from dragoman.language.wire import encode


class Frames(Protocol):
    """Where events go: numbered frames."""

    def frame(self, kind: str, fields: Object) -> bytes: ...


def is_blank(part: Part, sealed: bool) -> bool:
    """Whether the part waits for its first words before an item is opened for it (S02)."""
    if isinstance(part, Reasoning):
        return is_silent(part, sealed)
    return isinstance(part, Text | Refusal) and not part.text and not is_own(part.extras)


class Growing(ABC):
    """One output item. A plain text delta is ``head`` + JSON string + ``tail`` + number."""

    def __init__(self, frames: Frames, index: int) -> None:
        self.frames = frames
        self.index = index
        self.plain = False
        self.head = b""
        self.tail = b""
        self.pieces: list[str] = []
        self.id = ""

    @abstractmethod
    def begin(self) -> bytes:
        """Announce the item."""

    @abstractmethod
    def grow(self, delta: PartDelta) -> bytes:
        """Take a delta that is not plain text."""

    @abstractmethod
    def end(self, extras: Extras) -> bytes:
        """The part that grew has ended."""

    @abstractmethod
    def item(self) -> Object:
        """The complete item."""

    def added(self, item: Object) -> bytes:
        """The event that opens the item."""
        return self.frames.frame("response.output_item.added", {"output_index": self.index, "item": item})

    def template(self, kind: str, place: Object, tail: str = "") -> None:
        """Prepare the frame of plain deltas."""
        fields = {"type": kind, "item_id": self.id, "output_index": self.index, **place}
        self.head = b"event: %b\ndata: %b" % (kind.encode(), encode(fields)[:-1] + b',"delta":')
        self.tail = (tail + ',"sequence_number":').encode()
        self.plain = True

    def event(self, kind: str, fields: Object) -> bytes:
        """An event about this item."""
        return self.frames.frame(kind, {"item_id": self.id, "output_index": self.index, **fields})


class Whole(Growing):
    """An item that comes in one piece."""

    def __init__(self, frames: Frames, data: Object, index: int) -> None:
        super().__init__(frames, index)
        self._data = data

    def begin(self) -> bytes:
        return self.added(self._data)

    def grow(self, delta: PartDelta) -> bytes:
        return b""

    def end(self, extras: Extras) -> bytes:
        return b""

    def item(self) -> Object:
        return self._data


class Message(Growing):
    """A message item with one content part, or several when its owner had them in one item."""

    def __init__(self, frames: Frames, part: Part, seed: str, index: int) -> None:
        super().__init__(frames, index)
        self.made = made_id("msg", seed, index)
        self.id = str(own(part.extras).get("~item", {}).get("id") or self.made)
        self.parts: list[Part] = [part]
        self.is_open = True
        self._citations: list[Citation] = []
        self._logprobs: list[Json] = []

    @property
    def first_extras(self) -> Extras:
        """Extras of the first part, which hold the item's form."""
        return self.parts[0].extras

    def begin(self) -> bytes:
        rest = own(self.parts[0].extras).get("item", {})
        head: Object = {"id": self.id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        return self.added({**head, **rest}) + self._begin_part()

    def add(self, part: Part) -> bytes:
        """A further content part of the same item."""
        self.parts.append(part)
        self.is_open = True
        return self._begin_part()

    def _begin_part(self) -> bytes:
        part = self.parts[-1]
        self.pieces, self._citations, self._logprobs = [], [], []
        place: Object = {"content_index": len(self.parts) - 1}
        if isinstance(part, Text):
            self.template("response.output_text.delta", place, ',"logprobs":[]')
            empty: Object = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        elif isinstance(part, Refusal):
            self.template("response.refusal.delta", place)
            empty = {"type": "refusal", "refusal": ""}
        else:
            empty = part.data if isinstance(part, Opaque) else {}
        return self.event("response.content_part.added", {**place, "part": empty})

    def grow(self, delta: PartDelta) -> bytes:
        out = b""
        place: Object = {"content_index": len(self.parts) - 1}
        if delta.text or delta.logprobs:
            self.pieces.append(delta.text)
            self._logprobs += delta.logprobs or []
            kind = "response.output_text.delta" if isinstance(self.parts[-1], Text) else "response.refusal.delta"
            out = self.event(kind, {**place, "delta": delta.text, "logprobs": delta.logprobs or []})
        if delta.citation is not None:
            annotation = write_annotation(delta.citation, sum(map(len, self.pieces)))
            if annotation is not None:
                fields = {**place, "annotation_index": len(self._citations), "annotation": annotation}
                out += self.event("response.output_text.annotation.added", fields)
                self._citations.append(Citation(extras={NAME: annotation}))
        return out

    def end(self, extras: Extras) -> bytes:
        part = self.parts[-1]
        text = "".join(self.pieces)
        merged = merge_extras(part.extras, extras)
        place: Object = {"content_index": len(self.parts) - 1}
        if isinstance(part, Text):
            part = replace(part, text=text, citations=self._citations, logprobs=self._logprobs, extras=merged)
            fields: Object = {**place, "text": text, "logprobs": self._logprobs}
            out = self.event("response.output_text.done", fields)
        elif isinstance(part, Refusal):
            part = replace(part, text=text, extras=merged)
            out = self.event("response.refusal.done", {**place, "refusal": text})
        else:
            out = b""
        self.parts[-1] = part
        self.is_open = self.plain = False
        return out + self.event("response.content_part.done", {**place, "part": write_part(part, "output_text", True)})

    def item(self) -> Object:
        item = write_message(self.parts, self.made) or {}
        if isinstance(item.get("content"), str):
            item["content"] = [write_part(part, "output_text", True) for part in self.parts]
        return {"id": self.id, "type": "message", "status": "completed", **item}


class Call(Growing):
    """A function call or a custom tool call."""

    def __init__(self, frames: Frames, part: ToolCall, seed: str, index: int) -> None:
        super().__init__(frames, index)
        self.part = part
        custom = part.kind == "custom"
        self._field = "input" if custom else "arguments"
        self._kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        self.made = made_id("ctc" if custom else "fc", seed, index)
        self.id = str(own(part.extras).get("~item", {}).get("id") or self.made)

    def begin(self) -> bytes:
        item = write_call(replace(self.part, arguments=""), self.made)
        item |= {"id": self.id, self._field: "", "status": "in_progress"}
        self.template(f"{self._kind}.delta", {})
        return self.added(item)

    def grow(self, delta: PartDelta) -> bytes:
        if not delta.text:
            return b""
        self.pieces.append(delta.text)
        return self.event(f"{self._kind}.delta", {"delta": delta.text})

    def end(self, extras: Extras) -> bytes:
        text = "".join(self.pieces)
        out = b""
        merged = merge_extras(self.part.extras, extras)
        cut = own(merged).get("status") == "incomplete"
        if not text.strip() and self.part.kind == "function" and not cut:
            text = "{}"  # S09
            out = self.grow(PartDelta(0, text))
        self.part = replace(self.part, arguments=text, extras=merged)
        return out + self.event(f"{self._kind}.done", {self._field: text})

    def item(self) -> Object:
        return {"id": self.id, **write_call(self.part, self.made)}


class Thought(Growing):
    """A reasoning item: summaries, or the raw text where its owner showed that."""

    def __init__(self, frames: Frames, part: Reasoning, seed: str, index: int, sealed: bool) -> None:
        super().__init__(frames, index)
        self.part = part
        self._sealed = sealed
        self.id = str(own(part.extras).get("id") or made_id("rs", seed, index))
        lengths = own(part.extras).get("~parts") or [["summary", 0]]
        self._raw = lengths[0][0] == "content"
        self._said: list[str] = []
        self._at = 0
        self._seam = False

    def begin(self) -> bytes:
        return self.added({"id": self.id, "type": "reasoning", "summary": []})

    def grow(self, delta: PartDelta) -> bytes:
        if not delta.text:
            self._seam = bool(self.pieces) and is_own(self.part.extras)
            return b""
        if self._seam and delta.text == SEAM:
            self._seam = False
            out = self._end_piece()
            self._at += 1
            return out
        out = b"" if self._has_piece() else self._begin_piece()
        self.pieces.append(delta.text)
        kind = "response.reasoning_text.delta" if self._raw else "response.reasoning_summary_text.delta"
        return out + self.event(kind, {**self._place(), "delta": delta.text})

    def _has_piece(self) -> bool:
        return bool(self.head)

    def _place(self) -> Object:
        return {"content_index" if self._raw else "summary_index": self._at}

    def _begin_piece(self) -> bytes:
        kind = "response.reasoning_text.delta" if self._raw else "response.reasoning_summary_text.delta"
        self.template(kind, self._place())
        # Seams are seen in ``grow`` only, so an own thought never takes the plain path.
        self.plain = not is_own(self.part.extras)
        if self._raw:
            return b""
        fields = {**self._place(), "part": {"type": "summary_text", "text": ""}}
        return self.event("response.reasoning_summary_part.added", fields)

    def _end_piece(self) -> bytes:
        text = "".join(self.pieces)
        self._said.append(text)
        self.pieces = []
        self.head, self.plain = b"", False
        if self._raw:
            return self.event("response.reasoning_text.done", {**self._place(), "text": text})
        part = {"type": "summary_text", "text": text}
        return self.event("response.reasoning_summary_text.done", {**self._place(), "text": text}) + self.event(
            "response.reasoning_summary_part.done", {**self._place(), "part": part}
        )

    def end(self, extras: Extras) -> bytes:
        out = self._end_piece() if self._has_piece() else b""
        text = SEAM.join(self._said)
        self.part = replace(self.part, text=text, extras=merge_extras(self.part.extras, extras))
        return out

    def item(self) -> Object:
        return {"id": self.id, **write_reasoning(self.part, self.id, self._sealed)}
