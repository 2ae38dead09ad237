"""Answers for Gemini clients: events to chunks of a stream, or a whole body.

Every chunk is a whole ``GenerateContentResponse``. Function calls are written whole, because clients
take no pieces of them; the last chunk holds the finish reason and the usage. This module must not know
how answers are read.

Wire: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from dragoman.language.dialects.gemini.errors import write_failure
from dragoman.language.dialects.gemini.grounding import write_grounding, write_logprobs
from dragoman.language.dialects.gemini.parts import write_call, write_media, write_reasoning, write_text
from dragoman.language.dialects.gemini.sealing import foreign_extras, seal_thoughts
from dragoman.language.dialects.gemini.spelling import NAME, ours, wire_fields
from dragoman.language.dialects.gemini.usage import KNOWN_REASONS, write_reason, write_usage
from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted, Started
from dragoman.language.ir import (
    Citation,
    Extras,
    Finish,
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
    merge_extras,
)
from dragoman.language.streams import Asked
from dragoman.language.streams import StreamWriter as BaseWriter
from dragoman.language.wire import encode, whole_characters

_UNREPORTED = Usage()


def shows_thoughts(asked: Asked) -> bool:
    """Whether the client asked to see thoughts."""
    setting = asked.request.reasoning
    if setting is None or setting.mode == "off":
        return False
    return bool(setting.summary and setting.summary != "none") or (
        asked.request.dialect != NAME and setting.mode is not None
    )


class _Thoughts:
    """Foreign thoughts of one candidate that wait for a function call to travel on."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Extras]] = []

    def add(self, part: Reasoning) -> None:
        """Keep a finished thought if its owner will want it back."""
        foreign = foreign_extras(part)
        if foreign:
            self.waiting.append((part.text, foreign))

    def sign(self, written: dict[str, Json]) -> None:
        """Put what waits on a part, unless the part has a signature of its own."""
        if self.waiting and not written.get("thoughtSignature"):
            written["thoughtSignature"] = seal_thoughts(self.waiting)
            self.waiting = []


@dataclass(slots=True)
class _Growing:
    """An open part. Its text is sent between ``before`` and ``after``, and kept for what its end may need."""

    part: Part
    choice: int
    before: bytes = b""
    after: bytes = b""
    pieces: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)


class StreamWriter(BaseWriter):
    """Writes SSE, or a JSON array where the client did not ask for SSE (B07)."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._array = bool(ours(asked.request.extras).get("~array"))
        self._lead = b"[" if self._array else b"data: "
        self._trail = b"" if self._array else b"\r\n\r\n"
        self._own = False
        self._shown = shows_thoughts(asked)
        self._envelope: dict[str, Json] = {}
        self._open: dict[int, _Growing] = {}
        self._thoughts: dict[int, _Thoughts] = {}
        self._cited: dict[int, list[tuple[int, str, Citation]]] = {}
        self._logprobs: dict[int, list[Json]] = {}
        self._after: dict[int, bytes] = {}

    def ping(self) -> bytes:
        """A comment, or white space between the elements of an array."""
        return b"\n" if self._array else b": ping\n\n"

    def _write(self, event: Event) -> bytes:
        if event.__class__ is PartDelta:
            assert isinstance(event, PartDelta)
            growing = self._open[event.index]
            text = event.text
            if text and growing.before and event.citation is None and not event.logprobs:
                growing.pieces.append(text)
                return self._framed(growing.before + encode(text) + growing.after)
            return self._delta(growing, event)
        match event:
            case PartStarted():
                return self._start(event)
            case PartEnded():
                return self._end_part(event)
            case Started():
                self._begin(event)
            case Finished():
                return self._finish(event)
            case Failed(failure=failure):
                written = self._framed(encode(whole_characters(write_failure(failure)[1])))
                return written + (b"]" if self._array else b"")
        return b""

    def _framed(self, chunk: bytes) -> bytes:
        lead = self._lead
        if self._array:
            self._lead = b",\r\n"
        return lead + chunk + self._trail

    def _begin(self, event: Started) -> None:
        self._own = NAME in event.extras
        self._shown = self._shown or self._own
        self._envelope = _identity(self.asked, event.id, ours(event.extras))

    def _ending(self, choice: int) -> bytes:
        """What follows the parts in every chunk of a candidate."""
        if choice not in self._after:
            tail = b"" if not self._envelope else b"," + encode(self._envelope)[1:-1]
            self._after[choice] = b'],"role":"model"},"index":%d}]' % choice + tail + b"}"
        return self._after[choice]

    def _chunk(self, part: dict[str, Json], choice: int) -> bytes:
        body = b'{"candidates":[{"content":{"parts":[' + encode(part) + self._ending(choice)
        return self._framed(body)

    # ------------------------------------------------------------ parts

    def _start(self, event: PartStarted) -> bytes:
        part, choice = event.part, event.choice
        growing = self._open[event.index] = _Growing(part, choice)
        head = b'{"candidates":[{"content":{"parts":[{"text":'
        match part:
            case Text() | Refusal():
                if "~beside" not in ours(part.extras):
                    growing.before, growing.after = head, b"}" + self._ending(choice)
                return self._first(growing, part.text)
            case Reasoning():
                if self._shown and not ours(part.extras).get("~text"):
                    growing.before, growing.after = head, b',"thought":true}' + self._ending(choice)
                return self._first(growing, part.text)
            case Media():
                return self._chunk(write_media(part, own=self._own), choice)
            case Opaque(dialect=dialect, data=data):
                if dialect == NAME:
                    return self._chunk(data, choice)
                _note_dropped(part, self.asked)
        return b""

    def _first(self, growing: _Growing, text: str) -> bytes:
        """Text that a part brings along as it opens."""
        return self._delta(growing, PartDelta(0, text)) if text else b""

    def _delta(self, growing: _Growing, event: PartDelta) -> bytes:
        if event.citation is not None:
            growing.citations.append(event.citation)
        if event.logprobs:
            self._logprobs.setdefault(growing.choice, []).extend(event.logprobs)
        if not event.text:
            return b""
        growing.pieces.append(event.text)
        return self._framed(growing.before + encode(event.text) + growing.after) if growing.before else b""

    def _end_part(self, event: PartEnded) -> bytes:
        growing = self._open.pop(event.index)
        part, choice = growing.part, growing.choice
        fields = merge_extras(part.extras, event.extras)
        if isinstance(part, ToolCall):
            written = write_call(
                replace(part, arguments=part.arguments + "".join(growing.pieces), extras=fields), own=self._own
            )
            self._waiting(choice).sign(written)
            return self._chunk(written, choice)
        if isinstance(part, Reasoning):
            return self._end_thought(replace(part, text="".join(growing.pieces), extras=fields), choice)
        if isinstance(part, Text):
            said = "".join(growing.pieces) if growing.citations else ""
            for citation in growing.citations:
                self._cited.setdefault(choice, []).append((event.index, said, citation))
            if wire_fields(ours(fields)):
                return self._chunk(write_text(Text("", extras=fields)), choice)
        return b""

    def _end_thought(self, part: Reasoning, choice: int) -> bytes:
        self._waiting(choice).add(part)
        if wire_fields(ours(part.extras)):
            return self._chunk(write_reasoning(replace(part, text="")), choice)
        return b""

    def _waiting(self, choice: int) -> _Thoughts:
        if choice not in self._thoughts:
            self._thoughts[choice] = _Thoughts()
        return self._thoughts[choice]

    # ------------------------------------------------------------ the end

    def _finish(self, event: Finished) -> bytes:
        fields = ours(event.extras)
        body: dict[str, Json] = {}
        candidates = []
        for number, finish in enumerate(event.finishes):
            if "~no_candidate" in ours(finish.extras):
                continue
            last: dict[str, Json] = {"text": ""}
            waiting = self._waiting(number)
            if self._shown:
                waiting.sign(last)
            candidate: dict[str, Json] = {"content": {"parts": [last], "role": "model"}}
            candidate.update(_ending_fields(finish, self.asked, self._own))
            candidate["index"] = number
            self._add_metadata(candidate, number)
            candidates.append(candidate)
        if candidates:
            body["candidates"] = candidates
        body.update(wire_fields(fields))
        if self.usage != _UNREPORTED:
            body["usageMetadata"] = write_usage(self.usage)
        body.update(self._envelope)
        return self._framed(encode(whole_characters(body))) + (b"]" if self._array else b"")

    def _add_metadata(self, candidate: dict[str, Json], number: int) -> None:
        if self._own:
            return
        cited = self._cited.get(number)
        if cited:
            candidate.setdefault("groundingMetadata", write_grounding(cited))
        if number in self._logprobs:
            candidate.setdefault("logprobsResult", write_logprobs(self._logprobs[number]))


def _identity(asked: Asked, id_: str, fields: dict[str, Json]) -> dict[str, Json]:
    """``modelVersion`` and ``responseId``; clients read the model they asked for (C20)."""
    absent = fields.get("~absent") or ()
    identity: dict[str, Json] = {}
    if "modelVersion" not in absent:
        identity["modelVersion"] = asked.model
    if "responseId" not in absent:
        identity["responseId"] = id_ or asked.seed
    return whole_characters(identity)  # type: ignore[no-any-return]


def _ending_fields(finish: Finish, asked: Asked, own: bool) -> dict[str, Json]:
    """Finish reason and what the owner said beside the content."""
    fields = ours(finish.extras)
    if own and "~reason" in fields:
        written: dict[str, Json] = {} if fields["~reason"] is None else {"finishReason": fields["~reason"]}
    else:
        word = write_reason(finish.reason, finish.raw)
        written = {"finishReason": word}
        if finish.reason == "unknown" and finish.raw not in KNOWN_REASONS:
            asked.receipt.note("answer.finish", "approximated", f"finish reason {finish.raw[:64]!r} became {word}")
    written.update(wire_fields(fields))
    if "~logprobsResult" in fields:
        written["logprobsResult"] = fields["~logprobsResult"]
    return written


def _note_dropped(part: Opaque, asked: Asked) -> None:
    kind = part.data.get("type")
    what = kind if isinstance(kind, str) else "block"
    asked.receipt.note("answer.content", "dropped", f"{what} is known to {part.dialect} only")


def write_response(response: Response, asked: Asked) -> dict[str, Json]:
    """Spell a whole answer."""
    fields = ours(response.extras)
    own = NAME in response.extras
    shown = own or shows_thoughts(asked)
    candidates = [
        _write_candidate(choice.parts, choice.finish, number, asked, own, shown)
        for number, choice in enumerate(response.choices)
        if "~no_candidate" not in ours(choice.finish.extras)
    ]
    body: dict[str, Json] = {"candidates": candidates} if candidates else {}
    body.update(wire_fields(fields))
    if response.usage != _UNREPORTED:
        body["usageMetadata"] = write_usage(response.usage)
    body.update(_identity(asked, response.id, fields))
    return whole_characters(body)  # type: ignore[no-any-return]


def _write_candidate(
    parts: list[Part], finish: Finish, number: int, asked: Asked, own: bool, shown: bool
) -> dict[str, Json]:
    form = ours(finish.extras) if own else {}
    written = _write_parts(parts, asked, own, shown)
    candidate: dict[str, Json] = {}
    if not (form.get("~no_content") and not written):
        content: dict[str, Json] = {} if form.get("~no_parts") and not written else {"parts": written}
        content.update(form.get("~content", {"role": "model"}))
        candidate["content"] = content
    candidate.update(_ending_fields(finish, asked, own))
    if not form.get("~no_index"):
        candidate["index"] = number
    if not own:
        cited = [
            (at, part.text, citation)
            for at, part in enumerate(parts)
            if isinstance(part, Text)
            for citation in part.citations
        ]
        logprobs = [entry for part in parts if isinstance(part, Text) for entry in part.logprobs]
        if cited:
            candidate.setdefault("groundingMetadata", write_grounding(cited))
        if logprobs:
            candidate.setdefault("logprobsResult", write_logprobs(logprobs))
    return candidate


def _write_parts(parts: list[Part], asked: Asked, own: bool, shown: bool) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    thoughts = _Thoughts()
    last_thought: dict[str, Any] | None = None
    for part in parts:
        match part:
            case Text() | Refusal() if "~beside" not in ours(part.extras):
                written.append(write_text(part))
            case Reasoning():
                thoughts.add(part)
                if ours(part.extras) or (shown and (part.text or own)):
                    last_thought = write_reasoning(part)
                    written.append(last_thought)
            case ToolCall():
                call = write_call(part, own=own)
                thoughts.sign(call)
                written.append(call)
            case Media():
                written.append(write_media(part, own=own))
            case Opaque(dialect=dialect, data=data) if dialect == NAME:
                written.append(dict(data))
            case Opaque():
                _note_dropped(part, asked)
    if thoughts.waiting and last_thought is not None:
        thoughts.sign(last_thought)
    return written
