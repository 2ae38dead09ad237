"""Answers of a Gemini provider: chunks of a stream, or a whole body, to events.

Every chunk is a whole ``GenerateContentResponse`` whose parts continue the answer. A finish reason may
come early and be followed by content (S11), so the end is the end of the bytes. This module must not
know how answers are written.

Wire: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import hashlib

from dragoman.language.dialects.gemini.errors import read_error
from dragoman.language.dialects.gemini.grounding import merge_metadata, read_citations, read_logprobs
from dragoman.language.dialects.gemini.partial import PartialArguments
from dragoman.language.dialects.gemini.parts import read_call, read_part
from dragoman.language.dialects.gemini.spelling import camel, extras
from dragoman.language.dialects.gemini.usage import BROKEN, read_counts, read_reason, read_usage, reason_word
from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    fold,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Finish,
    FinishReason,
    Json,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
)
from dragoman.language.streams import StreamReader as BaseReader

_SHAPE = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_LATER_SHAPE = _SHAPE | {"createTime"}
"""The time of creation never changes: once is enough."""
_ENVELOPE = _SHAPE | {"promptFeedback", "createTime", "modelStatus", "error"}


class _Candidate:
    """What is known of one candidate: its open part and what the end will need."""

    __slots__ = (
        "args",
        "blank",
        "called",
        "content",
        "fields",
        "form",
        "index",
        "kind",
        "number",
        "reason",
        "texts",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.kind = ""  # of the open part: text, thought, call, or none
        self.index = -1  # of the open part
        self.texts: list[str] = []  # pieces of the open text
        self.fields: dict[str, Json] = {}  # learnt of the open part, told at its end
        self.blank = ""  # whitespace that opened nothing yet (S05)
        self.args: PartialArguments | None = None
        self.called = False
        self.reason: Json = None
        self.content: dict[str, Json] = {}  # metadata beside the content
        self.form: dict[str, Json] = {}


class StreamReader(BaseReader):
    """Reads SSE, a JSON array, or one body."""

    def __init__(self) -> None:
        super().__init__()
        self._candidates: dict[int, _Candidate] = {}
        self._next = 0
        self._calls = 0
        self._id = ""
        self._usage: dict[str, Json] = {}
        self._reported: tuple[Json, ...] = (None, None, None)
        self._beside: dict[str, Json] = {}
        self._plain = _SHAPE  # fields of a chunk that need no look
        self._complete = False
        self._closing = False

    def close(self) -> list[Event]:
        """The bytes ended: the answer is complete if every candidate gave its reason."""
        self._closing = True
        return super().close()

    # ------------------------------------------------------------ chunks

    def _event(self, name: str, payload: dict[str, Json]) -> None:
        if self.ended:
            return
        if not self.started or not payload.keys() <= self._plain:
            payload = self._beyond_shape(payload)
            if self.ended or not payload:
                return
        candidates = payload.get("candidates")
        if candidates:
            for at, candidate in enumerate(candidates):
                self._candidate(candidate, at)
        usage = payload.get("usageMetadata")
        if usage:
            self._report(usage)

    def _beyond_shape(self, payload: dict[str, Json]) -> dict[str, Json]:
        """A first chunk, or one with unusual fields: begin, keep what stands beside, fail on an error."""
        if any("_" in key for key in payload):
            payload = camel(payload)
        if payload.get("error"):
            self._close_parts()
            self._emit(Failed(read_error(payload)))
            return {}
        if not payload.keys() & _ENVELOPE or not isinstance(payload.get("candidates") or [], list):
            return {}
        beside = {key: value for key, value in payload.items() if key not in _SHAPE}
        if not self.started:
            self._begin(payload, dict(beside))
        self._beside.update(beside)
        if "createTime" in beside:
            self._plain = _LATER_SHAPE
        return payload

    def _begin(self, payload: dict[str, Json], fields: dict[str, Json]) -> None:
        id_, model = str(payload.get("responseId") or ""), str(payload.get("modelVersion") or "")
        self._id = id_
        absent = [key for key in ("responseId", "modelVersion") if key not in payload]
        if absent:
            fields["~absent"] = absent
        fields.setdefault("~own", True)
        self._emit(Started(id_, model, extras(fields)))

    def _candidate(self, candidate: Json, at: int) -> None:
        if not isinstance(candidate, dict):
            return
        number = candidate.get("index", at)
        state = self._candidates.get(number) if isinstance(number, int) else None
        if state is None:
            if not isinstance(number, int) or not 0 <= number < 128:
                number = at
            state = self._candidates.setdefault(number, _Candidate(number))
        content = candidate.get("content")
        if content.__class__ is dict:
            parts = content.get("parts")
            if parts:
                for part in parts if parts.__class__ is list else [parts]:
                    text = part.get("text") if part.__class__ is dict else None
                    if text.__class__ is str and state.kind == "text" and len(part) == 1 and not state.fields:
                        if text:
                            self._out.append(PartDelta(state.index, text))
                            state.texts.append(text)
                    else:
                        self._part(state, part)
        if len(candidate) > ("content" in candidate) + ("index" in candidate) or self._complete:
            self._beside_content(state, candidate, content)

    def _beside_content(self, state: _Candidate, candidate: dict[str, Json], content: Json) -> None:
        if any("_" in key for key in candidate):
            candidate = camel({key: value for key, value in candidate.items() if key != "content"})
        for key, value in candidate.items():
            if key == "finishReason":
                if value:
                    state.reason = value
            elif key not in ("content", "index"):
                merge_metadata(state.content, key, value)
        if self._complete:
            if "index" not in candidate:
                state.form["~no_index"] = True
            if not isinstance(content, dict):
                state.form["~no_content"] = True
            else:
                state.form["~content"] = {key: value for key, value in content.items() if key != "parts"}
                if "parts" not in content:
                    state.form["~no_parts"] = True

    # ------------------------------------------------------------ parts

    def _part(self, state: _Candidate, part: Json) -> None:
        if not isinstance(part, dict):
            return
        if any("_" in key for key in part):
            part = camel(part)
        if isinstance(part.get("functionCall"), dict):
            self._call(state, part)
            return
        read = read_part(part)
        if self._complete:
            self._separate(state, read)
        elif isinstance(read, Text):
            self._text(state, read)
        elif isinstance(read, Reasoning):
            self._thought(state, read)
        else:
            self._close(state)
            self._open(state, read, "")
            self._out.append(PartEnded(state.index))

    def _separate(self, state: _Candidate, read: Part) -> None:
        """A part of a whole body: never joined with its neighbours, so that it can be written as it was."""
        self._close(state)
        if isinstance(read, Text | Reasoning):
            text, read.text = read.text, ""
            self._open(state, read, "text" if isinstance(read, Text) else "thought")
            if text:
                self._grow(state, text)
        else:
            self._open(state, read, "")
            self._out.append(PartEnded(state.index))

    def _text(self, state: _Candidate, read: Text) -> None:
        """Text grows the open text; a signature ends it, and belongs to the whole of it (T04)."""
        text, fields = read.text, read.extras
        if state.kind != "text" or state.fields:
            text = state.blank + text
            state.blank = ""
            if not text and not fields:
                return
            if text.isspace() and not fields:
                state.blank = text
                return
            self._close(state)
            self._open(state, Text(""), "text")
        if text:
            self._grow(state, text)
        for own in fields.values():
            state.fields.update(own)

    def _thought(self, state: _Candidate, read: Reasoning) -> None:
        fields = next(iter(read.extras.values()), {})
        if fields.get("~text") and state.kind == "text" and not state.fields:
            # An empty text with a signature ends a text: a whole body has both in one part.
            state.fields.update({key: value for key, value in fields.items() if key[0] != "~"})
            return
        if not read.text and not fields:
            return
        if fields.get("~text") or state.kind != "thought" or state.fields:
            self._close(state)
            self._open(state, Reasoning("", extras({"~text": True}) if fields.get("~text") else {}), "thought")
        if read.text:
            self._grow(state, read.text)
        state.fields.update(fields)

    def _call(self, state: _Candidate, part: dict[str, Json]) -> None:
        call = part["functionCall"]
        if not call.get("name"):
            if state.kind == "call" and state.args is not None:
                state.args.add(call.get("partialArgs"))
                if not call.get("willContinue"):
                    self._close(state)
            return
        self._close(state)
        state.blank = ""
        grows = bool(call.get("willContinue") or call.get("partialArgs"))
        if grows:
            inner = {key: value for key, value in call.items() if key not in ("partialArgs", "willContinue")}
            part = {**part, "functionCall": {"args": {}, **inner}}
        read = read_call(part, self._call_id(str(call["name"])))
        state.called = True
        arguments, read.arguments = read.arguments, ""
        self._open(state, read, "call")
        if grows:
            state.args = PartialArguments(call.get("args"))
            state.args.add(call.get("partialArgs"))
            if not call.get("willContinue"):
                self._close(state)
        else:
            self._out.append(PartDelta(state.index, arguments))
            self._close(state)

    def _call_id(self, name: str) -> str:
        """An id for a call without one: the same for the same bytes, another in every answer (R04, R05)."""
        answer = "".join(letter for letter in self._id if letter.isascii() and (letter.isalnum() or letter in "-_"))
        if not answer or len(answer) > 48:
            answer = hashlib.sha256(f"{self._id} {name}".encode("utf-8", "replace")).hexdigest()[:16]
        self._calls += 1
        return f"call_{answer}_{self._calls - 1}"

    def _open(self, state: _Candidate, part: Part, kind: str) -> None:
        state.index, state.kind = self._next, kind
        self._next += 1
        self._out.append(PartStarted(state.index, part, state.number))

    def _grow(self, state: _Candidate, text: str) -> None:
        self._out.append(PartDelta(state.index, text))
        if state.kind == "text":
            state.texts.append(text)

    def _close(self, state: _Candidate, *, cut: bool = False) -> None:
        if not state.kind:
            return
        if state.args is not None:
            self._out.append(PartDelta(state.index, state.args.text(cut=cut)))
            state.args = None
        self._out.append(PartEnded(state.index, extras(state.fields)))
        state.kind = ""
        state.texts = []
        state.fields = {}

    # ------------------------------------------------------------ usage and ends

    def _report(self, wire: Json) -> None:
        if not isinstance(wire, dict):
            return
        if "promptTokenCount" not in wire:
            wire = {**self._usage, **camel(wire)}
        # Reports do not grow: each stands alone, and what it leaves out the older one does not fill in (U03).
        self._usage = wire
        get = wire.get
        counts = (get("candidatesTokenCount"), get("thoughtsTokenCount"), get("promptTokenCount"))
        if counts != self._reported:
            self._reported = counts
            self._out.append(UsageReported(read_counts(wire)))

    def _close_parts(self) -> None:
        for state in self._candidates.values():
            self._close(state, cut=True)
        self._report_last()

    def _report_last(self) -> None:
        if self.started and self._usage:
            self._emit(UsageReported(read_usage(self._usage)))
            self._usage = {}

    def _end(self) -> None:
        if not self.started:
            return
        states = [self._candidates[number] for number in sorted(self._candidates)]
        feedback = self._beside.get("promptFeedback")
        if not states:
            if isinstance(feedback, dict) and feedback.get("blockReason"):
                self._blocked(feedback)
            return
        if self._closing and not self._complete and any(state.reason is None for state in states):
            return
        finishes = [self._finish(state) for state in states]
        self._report_last()
        broken = reason_word(states[0].reason)
        if len(states) == 1 and broken in BROKEN:
            said = str(states[0].content.get("finishMessage") or "the model broke off its answer")
            self._emit(Failed(Failure("server", f"{broken}: {said}", code=broken)))
            return
        self._finished(self._padded(states, finishes))

    @staticmethod
    def _padded(states: list[_Candidate], finishes: list[Finish]) -> list[Finish]:
        """One finish per choice number, in order, also where a number never came."""
        padded = [Finish("unknown") for _ in range(states[-1].number + 1)]
        for state, finish in zip(states, finishes, strict=True):
            padded[state.number] = finish
        return padded

    def _finished(self, finishes: list[Finish]) -> None:
        self._emit(Finished(finishes, extras(self._beside)))

    def _blocked(self, feedback: dict[str, Json]) -> None:
        """The prompt was blocked: a refusal with the stated reason (E15)."""
        self._say_reason(0, feedback.get("blockReasonMessage"))
        self._report_last()
        word = str(feedback["blockReason"])
        self._finished([Finish("refusal", raw=word, extras=extras({"~no_candidate": True}))])

    def _say_reason(self, choice: int, words: Json) -> None:
        """Words about a refusal, shown to clients that have no field for them; ours is written beside."""
        if isinstance(words, str) and words:
            index = self._next
            self._next += 1
            self._out.append(PartStarted(index, Refusal("", extras({"~beside": True})), choice))
            self._out.append(PartDelta(index, words))
            self._out.append(PartEnded(index))

    def _finish(self, state: _Candidate) -> Finish:
        word = reason_word(state.reason)
        reason: FinishReason = read_reason(word) if word else "end"
        if state.blank and not state.called and not state.kind:
            blank, state.blank = state.blank, ""
            self._open(state, Text(""), "text")
            self._grow(state, blank)
        if state.kind == "text":
            for citation in read_citations(state.content, "".join(state.texts)):
                self._out.append(PartDelta(state.index, citation=citation))
            logprobs = read_logprobs(state.content.get("logprobsResult"))
            if logprobs:
                self._out.append(PartDelta(state.index, logprobs=logprobs))
        self._close(state, cut=reason == "length")
        if reason == "refusal":
            self._say_reason(state.number, state.content.get("finishMessage"))
        if state.called and reason in ("end", "unknown"):
            reason = "tool_calls"
        # Carried by the text itself; kept whole for whoever writes this wire again.
        fields = {("~logprobsResult" if key == "logprobsResult" else key): item for key, item in state.content.items()}
        return Finish(
            reason,
            raw=word if reason in ("refusal", "unknown") else "",
            extras=extras({**fields, **state.form, "~reason": state.reason}),
        )

    def read_body(self, body: dict[str, Json]) -> list[Event]:
        """All events of a whole answer."""
        self._whole(body)
        return self._drain()

    def _whole(self, body: dict[str, Json]) -> None:
        self._complete = True
        self._event("", body)
        if not self.ended:
            self._end()
        if not self.ended:
            self._fail("the answer holds no candidates")


def read_response(body: dict[str, Json]) -> Response:
    """Read a whole answer. Raises AnswerFailed for an error in its place."""
    return fold(StreamReader().read_body(body))
