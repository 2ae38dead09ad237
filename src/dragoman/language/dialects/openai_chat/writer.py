"""Writing a stream of ``chat.completion.chunk`` for a Chat client.

The role comes once per choice, calls have contiguous indices per choice with id and name only in
their first chunk, one finish chunk per choice, the usage chunk only when asked for, one ``[DONE]``.
A failure is an ``error`` object and no ``[DONE]``: official clients raise on it, and nothing that
looks like success follows (E04).

Wire: https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

import orjson

from dragoman.language.dialects.openai_chat.answers import answer_id, note_second_call, wants_legacy, write_image
from dragoman.language.dialects.openai_chat.citations import write_annotation
from dragoman.language.dialects.openai_chat.failures import write_error
from dragoman.language.dialects.openai_chat.fields import NAME, Fields, own
from dragoman.language.dialects.openai_chat.finishes import write_finish
from dragoman.language.dialects.openai_chat.requests import declared_custom
from dragoman.language.dialects.openai_chat.thoughts import SEALED, entry_key, shown_fields, words_field, write_details
from dragoman.language.dialects.openai_chat.tools import call_extras
from dragoman.language.dialects.openai_chat.usage import write_usage
from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted, Started
from dragoman.language.ir import Extras, Finish, Json, Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.language.sse import data_frame
from dragoman.language.streams import Asked
from dragoman.language.streams import StreamWriter as BaseWriter
from dragoman.language.wire import encode

_MARK = "\x00text\x00"
_MARK_BYTES = encode(_MARK)


class _Open:
    """A part being written. ``joints`` are the bytes around its text: one piece more than places for it."""

    __slots__ = ("base", "call", "choice", "grown", "joints", "part")

    def __init__(self, part: Part, choice: int) -> None:
        self.part = part
        self.choice = choice
        self.joints: tuple[bytes, ...] = ()
        self.call = -1
        self.grown = 0
        self.base = 0

    def piece(self, text: str) -> bytes:
        """The chunk that adds the text."""
        return encode(text).join(self.joints)


class StreamWriter(BaseWriter):
    """Events in, bytes of a Chat stream out."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        options = own(asked.request.extras).get("stream_options")
        self._usage_asked = isinstance(options, dict) and options.get("include_usage") is True
        self._null_usage = self._usage_asked and "~no_null_usage" not in own(asked.request.extras)
        self._legacy = wants_legacy(asked)
        self._custom = declared_custom(asked.request)
        self._native = False
        self._chunk: Fields = {}
        self._open: dict[int, _Open] = {}
        self._roles: set[int] = set()
        self._calls: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._silent: list[_Open] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def ping(self) -> bytes:
        """A comment: clients skip it."""
        return b": ping\n\n"

    def _write(self, event: Event) -> bytes:
        if type(event) is PartDelta:
            part = self._open[event.index]
            text = event.text
            if text and event.logprobs is None and event.citation is None:
                part.grown += len(text)
                try:
                    return orjson.dumps(text).join(part.joints)
                except TypeError:  # a lone surrogate
                    return part.piece(text)
            return self._delta(part, event)
        match event:
            case PartStarted():
                return self._start(event)
            case PartEnded(index=index, extras=extras):
                return self._end(self._open.pop(index), extras)
            case Started():
                return self._begin(event)
            case Finished():
                return self._finish(event)
            case Failed(failure=failure):
                return data_frame({"error": write_error(failure)})
            case _:
                return b""

    # ------------------------------------------------------------ frames

    def _begin(self, event: Started) -> bytes:
        self._native = NAME in event.extras
        kept = {key: value for key, value in own(event.extras).items() if key[:1] != "~"} if self._native else {}
        self._chunk = {
            "id": answer_id(event.id, self._native, self.asked),
            "object": "chat.completion.chunk",
            "created": kept.pop("created", self.asked.created),
            "model": self.asked.model,
        }
        return self._role(0, kept)

    def _frame(self, choice: int, delta: Fields, **beside: Json) -> bytes:
        """One chunk of one choice; ``beside`` are fields of the choice."""
        written: Fields = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._choices([{**written, **beside}])

    def _choices(self, choices: list[Json], **envelope: Json) -> bytes:
        chunk = {**self._chunk, **envelope, "choices": choices}
        if self._null_usage:
            chunk.setdefault("usage", None)
        return data_frame(chunk)

    def _role(self, choice: int, envelope: Fields | None = None) -> bytes:
        """The first chunk of a choice; later calls write nothing."""
        if choice in self._roles:
            return b""
        self._roles.add(choice)
        delta = {"role": "assistant", "content": "", "refusal": None}
        first = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._choices([first], **(envelope or {}))

    def _template(self, choice: int, delta: Fields) -> tuple[bytes, ...]:
        """The bytes around a text that stands where the marks are; nothing when there is no mark."""
        joints = tuple(self._frame(choice, delta).split(_MARK_BYTES))
        return joints if len(joints) > 1 else ()

    # ------------------------------------------------------------ parts

    def _start(self, event: PartStarted) -> bytes:
        part, choice = event.part, event.choice
        written = self._role(choice)
        opened = self._open[event.index] = _Open(part, choice)
        match part:
            case Text():
                opened.base = self._length.get(choice, 0)
                if "~beside" not in own(part.extras) or not self._native:
                    opened.joints = self._template(choice, {"content": _MARK})
                return written + self._first(opened, part.text)
            case Refusal():
                opened.joints = self._template(choice, {"refusal": _MARK})
                return written + self._first(opened, part.text)
            case Reasoning():
                opened.joints = self._template(choice, _thought_delta(part.extras))
                return written + self._first(opened, part.text)
            case ToolCall():
                return written + self._start_call(opened, part)
            case Media():
                return written + self._media(part, opened)
            case Opaque(dialect=owner, data=data) if owner != NAME:
                self._dropped(f"{owner}'s {data.get('type', 'an item')}")
        return written

    def _first(self, opened: _Open, text: str) -> bytes:
        return self._delta(opened, PartDelta(0, text)) if text else b""

    def _start_call(self, opened: _Open, part: ToolCall) -> bytes:
        choice = opened.choice
        number = self._calls[choice] = self._calls.get(choice, -1) + 1
        if self._legacy and number:
            note_second_call(self.asked)
            return b""
        if self._legacy:
            opened.joints = self._template(choice, {"function_call": {"arguments": _MARK}})
            written = self._frame(choice, {"function_call": {"name": part.name, "arguments": ""}})
            return written + self._first(opened, part.arguments)
        opened.call = number
        custom = part.kind == "custom" and self._custom.get(part.name, False)
        kind, field = ("custom", "input") if custom else ("function", "arguments")
        rest = {key: value for key, value in call_extras(part.extras).items() if key != "index"}
        inner = {**rest.pop(kind, {}), "name": part.name, field: ""}
        call = {"index": opened.call, "id": part.id, "type": kind, kind: inner, **rest}
        opened.joints = self._template(choice, {"tool_calls": [{"index": opened.call, kind: {field: _MARK}}]})
        return self._frame(choice, {"tool_calls": [call]}) + self._first(opened, part.arguments)

    def _delta(self, part: _Open, event: PartDelta) -> bytes:
        """A piece with more than text to it."""
        written = b""
        if event.text or event.logprobs:
            part.grown += len(event.text)
            if event.logprobs and isinstance(part.part, Text):
                logprobs = {"content": event.logprobs, "refusal": None}
                written = self._frame(part.choice, {"content": event.text}, logprobs=logprobs)
            elif event.text:
                written = part.piece(event.text)
        if event.citation is not None:
            annotation = write_annotation(event.citation, part.base, part.grown)
            if annotation is not None:
                written += self._frame(part.choice, {"annotations": [self._numbered("annotation", part, annotation)]})
        return written

    def _numbered(self, kind: str, part: _Open, entry: Fields) -> Fields:
        """The entry with its place in its list: the official client refuses list deltas without one."""
        number = self._numbers.get((kind, part.choice), 0)
        self._numbers[kind, part.choice] = number + 1
        return {**entry, "index": number}

    def _end(self, part: _Open, extras: Extras) -> bytes:
        match part.part:
            case Text():
                self._length[part.choice] = part.base + part.grown
            case Reasoning(extras=known):
                return self._end_thought(part, known, extras)
            case ToolCall(kind="function") if not part.grown:
                self._silent.append(part)
        return b""

    def _end_thought(self, part: _Open, known: Extras, late: Extras) -> bytes:
        merged = {owner: {**known.get(owner, {}), **late.get(owner, {})} for owner in (*known, *late)}
        streamed = own(known).get("~entry")
        details = []
        for entry in write_details(merged):
            if streamed is not None and isinstance(entry, dict) and entry_key(entry) == entry_key(streamed):
                # Its words went out piece by piece; what is left is its signature, if it has one.
                entry = {key: value for key, value in entry.items() if key != words_field(entry)}
                if entry == streamed:
                    continue
            sealed = isinstance(entry, dict) and entry.get("format") == SEALED
            details.append(self._numbered("sealed", part, entry) if sealed else entry)
        return self._frame(part.choice, {"reasoning_details": details}) if details else b""

    def _media(self, part: Media, opened: _Open) -> bytes:
        audio = own(part.extras).get("audio")
        if audio is not None:
            return self._frame(opened.choice, {"audio": {**audio, "data": part.value}})
        if part.kind == "image" and part.source in ("base64", "url"):
            return self._frame(opened.choice, {"images": [self._numbered("image", opened, write_image(part))]})
        self._dropped(part.kind)
        return b""

    def _dropped(self, what: str) -> None:
        self.asked.receipt.note("answer.content", "dropped", f"Chat has no place for {what} in an answer")

    # ------------------------------------------------------------ the end

    def _finish(self, event: Finished) -> bytes:
        written = []
        late = {key: value for key, value in own(event.extras).items() if key[:1] != "~"}
        for part in self._silent:
            # No arguments are an empty object (S09), unless they were cut off before the first word (S15).
            if event.finishes[part.choice].reason != "length":
                written.append(part.piece("{}"))
        for choice, finish in enumerate(event.finishes):
            written.append(self._role(choice))
            written.append(self._finish_chunk(choice, finish, late if choice == 0 else {}))
        if self._usage_asked:
            written.append(data_frame({**self._chunk, "choices": [], "usage": write_usage(self.usage)}))
        return b"".join(written) + b"data: [DONE]\n\n"

    def _finish_chunk(self, choice: int, finish: Finish, late: Fields) -> bytes:
        kept = {key: value for key, value in own(finish.extras).items() if key[:1] != "~"}
        delta = kept.pop("message", {})
        if finish.reason == "unknown" and finish.raw:
            kept.setdefault("native_finish_reason", finish.raw)
        legacy = self._legacy and finish.reason == "tool_calls"
        last = {
            "index": choice,
            "delta": {key: value for key, value in delta.items() if value and key[:1] != "~"},
            "logprobs": None,
            **kept,
            "finish_reason": write_finish(finish, self._native, legacy),
        }
        late.pop("created", None)
        return self._choices([last], **late)


def _thought_delta(extras: Extras) -> Fields:
    """A delta with the mark in every field in which the owner repeats a thought."""
    delta: Fields = dict.fromkeys(shown_fields(extras), _MARK)
    entry = own(extras).get("~entry")
    if entry is not None:
        delta["reasoning_details"] = [{**entry, words_field(entry): _MARK}]
    return delta
