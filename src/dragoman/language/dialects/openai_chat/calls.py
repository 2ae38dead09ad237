"""Tool calls of one choice while they stream: whose piece is this, and may the call leave yet.

A call leaves as soon as its id and name are known (S07); pieces are told apart by ``index``, else
``id``, else order (S08). This module emits through Parts and knows nothing of the rest of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dragoman.language.dialects.openai_chat.fields import Fields, made_id, packed, said
from dragoman.language.dialects.openai_chat.tools import read_call, words_of
from dragoman.language.ir import Extras, Json, ToolCall, ToolKind
from dragoman.language.streams import Parts
from dragoman.language.wire import decode


@dataclass(slots=True, eq=False)
class _Call:
    """One call. ``pieces`` is all that was said of its arguments, sent or held."""

    number: int
    id: str = ""
    name: str = ""
    kind: ToolKind = "function"
    extras: Extras = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    started: bool = False
    ended: bool = False
    legacy: bool = False

    def complete(self) -> bool:
        """Whether the arguments are a whole JSON object."""
        text = "".join(self.pieces).strip()
        if self.kind != "function" or text[-1:] != "}":
            return False
        try:
            return isinstance(decode(text), dict)
        except (ValueError, RecursionError):
            return False


class Calls:
    """The calls of one choice. ``opening`` is asked to clear the way before a call opens its part."""

    __slots__ = ("_by_index", "_calls", "_choice", "_opening", "_parts")

    def __init__(self, parts: Parts, choice: int, opening: Callable[[], None]) -> None:
        self._opening = opening
        self._parts = parts
        self._choice = choice
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def started(self) -> bool:
        """Whether any call has left."""
        return any(call.started for call in self._calls)

    @property
    def legacy(self) -> bool:
        """Whether the calls came as ``function_call``."""
        return any(call.legacy for call in self._calls)

    def add(self, item: Fields) -> None:
        """Take one entry of ``tool_calls``."""
        kind = "custom" if item.get("type") == "custom" or "function" not in item else "function"
        inner = item.get(kind)
        inner = inner if isinstance(inner, dict) else {}
        identifier, name = said(item.get("id")), said(inner.get("name"))
        text = words_of(inner.get("input" if kind == "custom" else "arguments"))
        call = self._find(item.get("index"), identifier, name, bool(text))
        if call is None:
            return
        if kind == "custom" and not call.started and item.get(kind) is not None:
            call.kind = "custom"
        if not call.started and not call.extras and len(item) > 3:
            whole = read_call({**item, "id": "", "index": None})
            call.extras = _kept(whole.extras) if whole is not None else {}
        call.id = call.id or identifier
        call.name = call.name or name
        self._grow(call, text)

    def add_piece(self, item: Fields) -> bool:
        """The short way of nearly every entry: more arguments of a call that has left. False when it is not that."""
        function, index = item["function"], item["index"]
        text = function["arguments"]
        if type(index) is not int or type(text) is not str or text[:1] in ("", "{") or function.get("name"):
            return False
        call = self._by_index[index]
        if not call.started or call.ended or call.kind != "function" or item.get("type", "function") != "function":
            return False
        if item.get("id") not in (None, "", call.id):
            return False
        call.pieces.append(text)
        self._parts.grow(self._key(call), text)
        return True

    def add_legacy(self, function: Fields) -> None:
        """Take a piece of ``function_call``, which has no id and of which there is one."""
        name, text = said(function.get("name")), words_of(function.get("arguments"))
        call = next((call for call in self._calls if call.legacy), None)
        if call is None:
            if not name and not text:
                return  # Snowflake's empty placeholder (V04)
            call = self._new()
            call.legacy, call.extras = True, packed({"~legacy": True})
        call.name = call.name or name
        self._grow(call, text)

    def finish(self, answer: str, whole: bool) -> None:
        """The answer is over: calls that still lack an id get one, all are ended.

        ``whole``: nothing was cut off, so a call without arguments has none and says ``{}`` (S09, S15).
        """
        for call in self._calls:
            if not call.started and call.name:
                self._start(call, answer)
            if whole and call.started and not call.pieces and call.kind == "function":
                self._parts.grow(self._key(call), "{}")
            self._end(call)

    def _find(self, index: Json, identifier: str, name: str, text: bool) -> _Call | None:
        """The call a piece belongs to; ``None`` for an empty piece of no call (S05)."""
        if isinstance(index, int) and not isinstance(index, bool):
            call = self._by_index.get(index)
            if call is None or self._folded(call, identifier, name):
                if not (identifier or name or text):
                    return None
                call = self._by_index[index] = self._new()
            return call
        for call in self._calls:
            if identifier and call.id == identifier:
                return call
        last = self._calls[-1] if self._calls else None
        if last is None or identifier or (name and last.name and (name != last.name or last.complete())):
            return self._new() if identifier or name or text else None
        return last

    def _folded(self, call: _Call, identifier: str, name: str) -> bool:
        """Some put parallel calls on one index: another id, or another name behind whole arguments, is another call."""
        if identifier and call.id:
            return identifier != call.id and bool(name)
        return bool(name and call.name and name != call.name and call.complete())

    def _new(self) -> _Call:
        for call in self._calls:
            # A call whose arguments are whole is over when the next begins, so that it can leave at once.
            if call.started and not call.ended and call.complete():
                self._end(call)
        call = _Call(len(self._calls))
        self._calls.append(call)
        return call

    def _grow(self, call: _Call, text: str) -> None:
        if text and not call.ended:
            repeated = text[0] == "{" and call.pieces and "".join(call.pieces) == text
            if not repeated:
                call.pieces.append(text)
                if call.started:
                    self._parts.grow(self._key(call), text)
        if not call.started and call.id and call.name:
            self._start(call, "")

    def _start(self, call: _Call, answer: str) -> None:
        self._opening()
        call.started = True
        identifier = call.id or made_id(answer, call.number, call.name)
        self._parts.start(
            self._key(call), ToolCall(identifier, call.name, "", call.kind, extras=call.extras), self._choice
        )
        if held := "".join(call.pieces):
            self._parts.grow(self._key(call), held)

    def _end(self, call: _Call) -> None:
        if call.started and not call.ended:
            call.ended = True
            self._parts.end(self._key(call))

    def _key(self, call: _Call) -> object:
        return self._choice, "call", call.number


def _kept(extras: Extras) -> Extras:
    """Extras of a call without the index, which is the stream's, and without what names an empty field."""
    kept: Extras = {}
    for owner, fields in extras.items():
        if fields := {key: value for key, value in fields.items() if key != "index" and value not in (None, "", {})}:
            kept[owner] = fields
    return kept
