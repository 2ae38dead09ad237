"""The stream reader: a provider's Responses events to the model's events.

Parts are known by ``output_index`` and ``content_index``: item ids change between events with some
providers (V11). What an item's ``done`` says is the truth; deltas that were missing are filled in from
it once. This module must not know who asked.

Wire: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dragoman.language.dialects.openai_responses.answers import (
    envelope_extras,
    failure_in,
    read_finish,
    read_response,
)
from dragoman.language.dialects.openai_responses.content import read_annotation, read_part
from dragoman.language.dialects.openai_responses.failures import read_error
from dragoman.language.dialects.openai_responses.fields import NAME, Object, own
from dragoman.language.dialects.openai_responses.items import (
    CALLS,
    SEAM,
    message_extras,
    read_call,
    read_item,
)
from dragoman.language.dialects.openai_responses.usage import read_usage
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
from dragoman.language.ir import Extras, Json, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.language.streams import Parts
from dragoman.language.streams import StreamReader as BaseReader

_SAID = {"output_text": "text", "text": "text", "refusal": "refusal"}
_TEXT_DELTA = "response.output_text.delta"


class _Slot:
    """A part of the answer while it grows. ``index`` is -1 until the part is open."""

    __slots__ = ("annotations", "ended", "final", "index", "kind", "logprobs", "pieces", "seam", "since")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.index = -1
        self.pieces: list[str] = []
        self.annotations = 0
        self.logprobs = False
        self.ended = False
        self.final: Object | None = None
        self.seam: tuple[str, Json] | None = None
        self.since = 0


class _Item:
    """An output item while its events pass by."""

    __slots__ = ("done", "index", "item", "kind", "slots")

    def __init__(self, index: int, item: Object) -> None:
        self.index = index
        self.item = item
        self.kind = str(item.get("type", ""))
        self.slots: dict[Json, _Slot] = {}
        self.done = False


class StreamReader(BaseReader):
    """Reads one streamed answer."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = Parts(self._emit)
        self._items: dict[int, _Item] = {}
        self._texts: dict[tuple[Json, Json], _Slot] = {}
        self._seen: list[Part] = []
        self._at_end_of_bytes = False
        self._latest: Object = {}
        self._paths: dict[str, Callable[[Object], None]] = {
            _TEXT_DELTA: self._text_delta,
            "response.refusal.delta": self._refusal_delta,
            "response.output_text.done": self._text_done,
            "response.refusal.done": self._text_done,
            "response.content_part.done": self._part_done,
            "response.output_text.annotation.added": self._annotation,
            "response.function_call_arguments.delta": self._call_delta,
            "response.function_call_arguments.done": self._call_done,
            "response.custom_tool_call_input.delta": self._call_delta,
            "response.custom_tool_call_input.done": self._call_done,
            "response.reasoning_summary_text.delta": self._thought_delta,
            "response.reasoning_summary_text.done": self._thought_done,
            "response.reasoning_text.delta": self._thought_delta,
            "response.reasoning_text.done": self._thought_done,
            "response.output_item.added": self._added,
            "response.output_item.done": self._item_done,
            "response.created": self._begun,
            "response.queued": self._begun,
            "response.in_progress": self._begun,
            "response.completed": self._terminal,
            "response.incomplete": self._terminal,
            "response.failed": self._terminal,
            "response.cancelled": self._terminal,
            "error": self._error,
        }

    @property
    def numbered(self) -> int:
        """One more than the last number."""
        number = self._latest.get("sequence_number")
        return number + 1 if isinstance(number, int) else 0

    def close(self) -> list[Event]:
        """The bytes ended."""
        self._at_end_of_bytes = True
        return super().close()

    def _event(self, name: str, payload: Object) -> None:
        if self.ended:
            return
        self._latest = payload
        kind = payload.get("type")
        if kind == _TEXT_DELTA and not payload.get("logprobs"):
            slot = self._texts.get((payload.get("output_index"), payload.get("content_index")))
            text = payload.get("delta")
            if slot is not None and text.__class__ is str:
                if text and not slot.ended:
                    slot.pieces.append(text)
                    self._out.append(PartDelta(slot.index, text))
                return
        path = self._paths.get(kind if isinstance(kind, str) else name)
        if path is not None:
            path(payload)
        elif payload.get("error"):
            self._error(payload)

    # ------------------------------------------------------------ envelope

    def _begun(self, payload: Object) -> None:
        response = payload.get("response")
        if not self.started and isinstance(response, dict):
            self._start(response)

    def _start(self, response: Object) -> None:
        extras = {NAME: envelope_extras(response)} if response else {}
        self._emit(Started(str(response.get("id") or ""), str(response.get("model") or ""), extras))

    def _error(self, payload: Object) -> None:
        self._close_parts()
        self._emit(Failed(read_error(payload)))

    def _terminal(self, payload: Object) -> None:
        response = payload.get("response")
        if not isinstance(response, dict):
            response = {}
        if not self.started:
            self._start(response)
        failure = failure_in(response)
        if payload.get("type") == "response.failed" and failure is None:
            failure = read_error(response or payload)
        if failure is None:
            self._finish_items(response.get("output"))
        self._close_parts()
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._emit(UsageReported(read_usage(usage)))
        if failure is not None:
            self._emit(Failed(failure))
            return
        rest = {name: value for name, value in payload.items() if name not in ("type", "response", "sequence_number")}
        extras = {NAME: {**envelope_extras(response), **rest}}
        self._emit(Finished([read_finish(response, self._seen)], extras))

    def _finish_items(self, output: Json) -> None:
        """Complete from the terminal output what had no end of its own; an empty output takes nothing back (V12)."""
        final = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
        for item in sorted(self._items.values(), key=lambda one: one.index):
            if not item.done:
                at = final[item.index] if 0 <= item.index < len(final) else {}
                self._complete(item, at if at.get("type") == item.kind else item.item)
        if len(final) > len(self._items):
            for index, wire in enumerate(final):
                if index not in self._items:
                    self._complete(self._new_item(index, wire), wire)

    def _end(self) -> None:
        """``[DONE]`` after complete items is an end (S13); the end of the bytes alone is not (S12)."""
        if self._at_end_of_bytes or not self._items or not all(item.done for item in self._items.values()):
            return
        self._emit(Finished([read_finish({}, self._seen)]))

    def _whole(self, body: Object) -> None:
        try:
            for event in unfold(read_response(body)):
                self._emit(event)
        except AnswerFailed as error:
            self._emit(Failed(error.failure))

    def _close_parts(self) -> None:
        self._parts.end_all()

    # ------------------------------------------------------------ items

    def _new_item(self, index: int, wire: Object) -> _Item:
        if not self.started:
            self._start({})
        item = self._items[index] = _Item(index, wire)
        return item

    def _item(self, payload: Object, kind: str) -> _Item:
        """The item an event is about: by its index, else its id, else the last one of the kind."""
        index = payload.get("output_index")
        if not isinstance(index, int):
            identifier = payload.get("item_id")
            alike = [one for one in self._items.values() if one.kind == kind and not one.done]
            named = [one for one in alike if one.item.get("id") == identifier]
            if named or alike:
                return (named or alike)[-1]
            index = len(self._items)
        item = self._items.get(index)
        return item if item is not None else self._new_item(index, {"type": kind, "id": payload.get("item_id")})

    def _added(self, payload: Object) -> None:
        wire = payload.get("item")
        if not isinstance(wire, dict):
            return
        index = payload.get("output_index")
        if not isinstance(index, int) or index in self._items:
            index = max(self._items, default=-1) + 1
        item = self._new_item(index, wire)
        if item.kind in CALLS and wire.get("name"):
            self._open_call(item, read_call(wire))

    def _item_done(self, payload: Object) -> None:
        wire = payload.get("item")
        if not isinstance(wire, dict):
            return
        index = payload.get("output_index")
        if isinstance(index, int):
            item = self._items.get(index) or self._new_item(index, wire)
        else:
            item = self._item(payload, str(wire.get("type", "")))
        if not item.done:
            self._complete(item, wire)

    def _complete(self, item: _Item, wire: Object) -> None:
        item.done = True
        if item.item.get("id") and "id" in wire and item.kind != "reasoning":
            wire = {**wire, "id": item.item["id"]}  # the id an item was announced with stays (V11)
        parts = read_item(wire)
        if item.kind == "message":
            self._complete_message(item, wire, parts)
        elif item.kind in CALLS and isinstance(parts[0], ToolCall):
            self._complete_call(item, parts[0])
        elif item.kind == "reasoning" and isinstance(parts[0], Reasoning):
            self._complete_thought(item, wire, parts[0])
        else:
            self._say(parts[0])

    def _open(self, item: _Item, slot: _Slot, part: Part) -> None:
        """Open a part; thoughts of earlier items that said nothing yet keep their place before it (T06)."""
        for other in list(self._items.values()):
            if other.index < item.index and other.kind == "reasoning" and not other.slots and not other.done:
                thought = other.slots[0] = _Slot("reasoning")
                thought.index = self._parts.start(thought, Reasoning("", _thought_extras(other.item)))
        slot.index = self._parts.start(slot, part)
        if isinstance(part, ToolCall | Refusal):
            self._seen.append(part)

    def _grow(self, slot: _Slot, text: str) -> None:
        slot.pieces.append(text)
        if slot.index >= 0 and not slot.ended:
            self._out.append(PartDelta(slot.index, text))

    def _fill(self, slot: _Slot, whole: str, since: int = 0) -> None:
        """Give what the deltas left out, when they are a beginning of the whole."""
        said = "".join(slot.pieces[since:])
        if len(whole) > len(said) and whole.startswith(said):
            self._grow(slot, whole[len(said) :])

    def _end_slot(self, slot: _Slot, extras: Extras) -> None:
        slot.ended = True
        self._parts.end(slot, extras)

    def _say(self, part: Part) -> None:
        """A part that nobody announced."""
        if isinstance(part, Text):
            slot = _Slot("output_text")
            slot.index = self._parts.start(slot, replace(part, text="", citations=[], logprobs=[]))
            if part.text or part.logprobs:
                self._emit(PartDelta(slot.index, part.text, logprobs=part.logprobs or None))
            for citation in part.citations:
                self._emit(PartDelta(slot.index, citation=citation))
            self._end_slot(slot, {})
        elif isinstance(part, Refusal):
            self._seen.append(part)
            slot = _Slot("refusal")
            slot.index = self._parts.start(slot, replace(part, text=""))
            self._grow(slot, part.text)
            self._end_slot(slot, {})
        else:
            self._parts.whole(part)

    # ------------------------------------------------------------ messages

    def _text_delta(self, payload: Object) -> None:
        self._content_delta(payload, "output_text")

    def _refusal_delta(self, payload: Object) -> None:
        self._content_delta(payload, "refusal")

    def _content_delta(self, payload: Object, kind: str) -> None:
        text = payload.get("delta")
        logprobs = payload.get("logprobs")
        if not isinstance(text, str) or not (text or logprobs):
            return
        slot = self._content_slot(payload, kind)
        if slot.ended:
            return
        slot.pieces.append(text)
        if isinstance(logprobs, list) and logprobs:
            slot.logprobs = True
            self._out.append(PartDelta(slot.index, text, logprobs=logprobs))
        else:
            self._out.append(PartDelta(slot.index, text))

    def _content_slot(self, payload: Object, kind: str) -> _Slot:
        item = self._item(payload, "message")
        at = payload.get("content_index", 0)
        slot = item.slots.get(at)
        if slot is None:
            slot = self._open_content(item, at, kind)
            if item.index == payload.get("output_index"):
                self._texts[(item.index, at)] = slot
        return slot

    def _open_content(self, item: _Item, at: Json, kind: str) -> _Slot:
        for earlier in item.slots.values():
            if not earlier.ended:
                part = read_part(earlier.final, "output_text") if earlier.final else None
                self._end_slot(earlier, {NAME: own(part.extras)} if part is not None and own(part.extras) else {})
        extras = {NAME: {"~same": True} if item.slots else message_extras(item.item)}
        slot = item.slots[at] = _Slot(kind)
        self._open(item, slot, Refusal("", extras) if kind == "refusal" else Text("", extras=extras))
        return slot

    def _text_done(self, payload: Object) -> None:
        kind = "refusal" if "refusal" in payload else "output_text"
        text = payload.get(_SAID[kind])
        if isinstance(text, str) and text:
            self._fill(self._content_slot(payload, kind), text)

    def _part_done(self, payload: Object) -> None:
        part = payload.get("part")
        if not isinstance(part, dict) or part.get("type") not in _SAID:
            return
        kind = str(part["type"])
        text = part.get(_SAID[kind])
        if isinstance(text, str) and text:
            slot = self._content_slot(payload, kind)
            slot.final = part
            self._fill(slot, text)
            self._add_annotations(slot, part)

    def _annotation(self, payload: Object) -> None:
        wire = payload.get("annotation")
        if isinstance(wire, dict):
            slot = self._content_slot(payload, "output_text")
            if not slot.ended:
                slot.annotations += 1
                self._emit(PartDelta(slot.index, citation=read_annotation(wire)))

    def _add_annotations(self, slot: _Slot, part: Object) -> None:
        annotations = part.get("annotations")
        if slot.ended or not isinstance(annotations, list):
            return
        for wire in annotations[slot.annotations :]:
            if isinstance(wire, dict):
                slot.annotations += 1
                self._emit(PartDelta(slot.index, citation=read_annotation(wire)))

    def _complete_message(self, item: _Item, wire: Object, parts: list[Part]) -> None:
        slots = list(item.slots.values())
        content = wire.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        pieces = [one for one in content or () if isinstance(one, dict)]
        if not pieces and not slots:
            self._say(parts[0])
        counted = all(isinstance(at, int) and at < len(pieces) for at in item.slots)
        for number, piece in enumerate(pieces):
            # A content_index may start at 1 (V11): then the order tells the parts apart.
            slot = item.slots.get(number) if counted else slots[number] if number < len(slots) else None
            if slot is None:
                self._say(parts[number])
            elif not slot.ended:
                self._complete_content(slot, piece, parts[number])
        for slot in slots:
            if not slot.ended:
                self._end_slot(slot, {NAME: message_extras(wire)} if slot is slots[0] else {})

    def _complete_content(self, slot: _Slot, wire: Object, part: Part) -> None:
        if isinstance(part, Text | Refusal):
            self._fill(slot, part.text)
        self._add_annotations(slot, wire)
        if isinstance(part, Text) and part.logprobs and not slot.logprobs:
            self._emit(PartDelta(slot.index, logprobs=part.logprobs))
        self._end_slot(slot, part.extras)

    # ------------------------------------------------------------ calls

    def _open_call(self, item: _Item, call: ToolCall) -> None:
        slot = item.slots.get(0)
        if slot is None:
            slot = item.slots[0] = _Slot("call")
        self._open(item, slot, replace(call, arguments=""))
        for text in slot.pieces:
            self._out.append(PartDelta(slot.index, text))

    def _call_slot(self, payload: Object) -> _Slot:
        kind = "custom_tool_call" if "custom" in str(payload.get("type")) else "function_call"
        item = self._item(payload, kind)
        slot = item.slots.get(0)
        if slot is None:
            slot = item.slots[0] = _Slot("call")
        return slot

    def _call_delta(self, payload: Object) -> None:
        text = payload.get("delta")
        if isinstance(text, str) and text:
            self._grow(self._call_slot(payload), text)

    def _call_done(self, payload: Object) -> None:
        text = payload.get("arguments", payload.get("input"))
        if isinstance(text, str):
            self._fill(self._call_slot(payload), text)

    def _complete_call(self, item: _Item, call: ToolCall) -> None:
        slot = item.slots.get(0)
        if slot is None or slot.index < 0:
            self._open_call(item, call)
            slot = item.slots[0]
        self._fill(slot, call.arguments)
        self._end_slot(slot, call.extras)

    # ------------------------------------------------------------ thoughts

    def _thought_slot(self, payload: Object, field: str) -> _Slot:
        item = self._item(payload, "reasoning")
        slot = item.slots.get(0)
        if slot is None:
            slot = item.slots[0] = _Slot("reasoning")
            extras = _thought_extras(item.item)
            if field == "content":
                own(extras)["~parts"] = [["content", 0]]
            self._open(item, slot, Reasoning("", extras))
        seam = (field, payload.get("summary_index" if field == "summary" else "content_index", 0))
        if slot.seam != seam:
            if slot.pieces:
                # The empty delta tells a seam between two summaries from a blank line inside one.
                self._grow(slot, "")
                self._grow(slot, SEAM)
            slot.seam = seam
            slot.since = len(slot.pieces)
        return slot

    def _thought_delta(self, payload: Object) -> None:
        text = payload.get("delta")
        if isinstance(text, str) and text:
            field = "summary" if "summary" in payload["type"] else "content"
            self._grow(self._thought_slot(payload, field), text)

    def _thought_done(self, payload: Object) -> None:
        text = payload.get("text")
        if isinstance(text, str) and text:
            field = "summary" if "summary" in payload["type"] else "content"
            slot = self._thought_slot(payload, field)
            self._fill(slot, text, slot.since)

    def _complete_thought(self, item: _Item, wire: Object, thought: Reasoning) -> None:
        slot = item.slots.get(0)
        if slot is None:
            slot = item.slots[0] = _Slot("reasoning")
            self._open(item, slot, replace(thought, text=""))
        self._fill(slot, thought.text)
        extras = thought.extras
        if "".join(slot.pieces) != thought.text and NAME in extras:
            # The deltas said something else: keep the item's own lists beside them.
            lists = {f"~{name}": wire[name] for name in ("summary", "content") if isinstance(wire.get(name), list)}
            extras = {**extras, NAME: {**extras[NAME], **lists}}
        self._end_slot(slot, extras)


def _thought_extras(item: Object) -> Extras:
    """What is known of a thought at its start: its id. An ``encrypted_content`` here is not yet the true one (T07)."""
    fields = {"id": item["id"]} if item.get("id") else {}
    return {NAME: {"~item": {}, **fields}}
