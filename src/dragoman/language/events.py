"""The event stream of an answer, its grammar, and the fold to a whole answer and back.

A streamed and a whole answer are the same thing: ``Response = fold(events)`` and
``unfold(response)`` gives events again. This module must not know any wire.

Grammar::

    Started (UsageReported | PartStarted PartDelta* PartEnded)* (Finished | Failed)

Parts may overlap. ``Finished`` and ``Failed`` are terminal and always last, after the last usage.
A stream may fail before it started, so ``Failed`` alone is a stream too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Extras,
    Finish,
    Json,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
    merge_extras,
)


@dataclass(slots=True)
class Started:
    """The answer has an identity. ``extras`` are envelope fields of the owner."""

    id: str
    model: str
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class PartStarted:
    """A part opens. ``part`` holds what is known: a ToolCall has id and name, and any first payload
    follows as a delta. Opaque and Media parts are complete here and take no delta.

    ``index`` is unique in the answer and gives the parts their order; ``choice`` tells which of
    ``n`` answers the part belongs to.
    """

    index: int
    part: Part
    choice: int = 0


@dataclass(slots=True)
class PartDelta:
    """``text`` is appended to the growing field: text of Text, Refusal, Reasoning; arguments of ToolCall."""

    index: int
    text: str = ""
    citation: Citation | None = None
    logprobs: list[Json] | None = None


@dataclass(slots=True)
class PartEnded:
    """A part closes. ``extras`` known only at the end (a signature, an item's status) join the part's."""

    index: int
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class UsageReported:
    """Usage so far. Reports are cumulative: each replaces what the one before said."""

    usage: Usage


@dataclass(slots=True)
class Finished:
    """The end. One Finish per choice, in order. ``extras`` are envelope fields known only now."""

    finishes: list[Finish]
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Failed:
    """The end of an answer that broke, before or after some of it was said."""

    failure: Failure


Event = Started | PartStarted | PartDelta | PartEnded | UsageReported | Finished | Failed


class GrammarError(ValueError):
    """Events that break the grammar: a defect of a reader, never of a client."""


class AnswerFailed(Exception):
    """The events folded to a failure instead of an answer. ``usage`` is what was reported all the same (K04)."""

    def __init__(self, failure: Failure, usage: Usage | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.usage = usage or Usage()


def check(events: Iterable[Event]) -> Iterator[Event]:
    """Pass the events on, raising GrammarError at the first that breaks the grammar."""
    started = ended = False
    open_parts: dict[int, Part] = {}
    seen: set[int] = set()
    for event in events:
        if ended:
            raise GrammarError(f"{event!r} after the end")
        match event:
            case Started():
                if started:
                    raise GrammarError("started twice")
                started = True
            case Failed():
                ended = True
            case _ if not started:
                raise GrammarError(f"{event!r} before the start")
            case PartStarted(index=index, part=part):
                if index in seen:
                    raise GrammarError(f"part {index} started twice")
                seen.add(index)
                open_parts[index] = part
            case PartDelta(index=index):
                if not isinstance(open_parts.get(index), Text | Refusal | Reasoning | ToolCall):
                    raise GrammarError(f"delta for part {index}, which is closed or does not grow")
            case PartEnded(index=index):
                if open_parts.pop(index, None) is None:
                    raise GrammarError(f"part {index} ended but is not open")
            case Finished(finishes=finishes):
                if open_parts:
                    raise GrammarError(f"finished with open parts {sorted(open_parts)}")
                if not finishes:
                    raise GrammarError("finished without a reason")
                ended = True
            case UsageReported():
                pass
        yield event
    if not ended:
        raise GrammarError("no end")


@dataclass(slots=True)
class _Growing:
    """A part under construction: pieces are joined once, so folding stays linear."""

    part: Part
    choice: int
    pieces: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    extras: Extras = field(default_factory=dict)

    def built(self) -> Part:
        grown = "".join(self.pieces)
        extras = merge_extras(self.part.extras, self.extras)
        match self.part:
            case Text() as part:
                return replace(
                    part,
                    text=part.text + grown,
                    citations=part.citations + self.citations,
                    logprobs=part.logprobs + self.logprobs,
                    extras=extras,
                )
            case Refusal() | Reasoning() as part:
                return replace(part, text=part.text + grown, extras=extras)
            case ToolCall() as part:
                return replace(part, arguments=part.arguments + grown, extras=extras)
            case part:
                return replace(part, extras=extras)


class Folder:
    """Builds the whole answer while events pass by; ``response()`` gives what is known so far."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.usage = Usage()
        self.finishes: list[Finish] = []
        self.failure: Failure | None = None
        self._extras: Extras = {}
        self._parts: dict[int, _Growing] = {}

    def add(self, event: Event) -> None:
        """Take one event."""
        match event:
            case PartDelta(index=index, text=text, citation=citation, logprobs=logprobs):
                growing = self._parts[index]
                if text:
                    growing.pieces.append(text)
                if citation is not None:
                    growing.citations.append(citation)
                if logprobs:
                    growing.logprobs.extend(logprobs)
            case PartStarted(index=index, part=part, choice=choice):
                self._parts[index] = _Growing(part, choice)
            case PartEnded(index=index, extras=extras):
                if extras:
                    self._parts[index].extras = extras
            case Started(id=id_, model=model, extras=extras):
                self.id, self.model, self._extras = id_, model, extras
            case UsageReported(usage=usage):
                self.usage = self.usage.merged(usage)
            case Finished(finishes=finishes, extras=extras):
                self.finishes = finishes
                self._extras = merge_extras(self._extras, extras)
            case Failed(failure=failure):
                self.failure = failure

    def response(self) -> Response:
        """The answer so far. Without a finish (an answer that broke) every choice ends ``unknown``."""
        count = max([len(self.finishes), 1, *(growing.choice + 1 for growing in self._parts.values())])
        finishes = self.finishes + [Finish("unknown")] * (count - len(self.finishes))
        choices = [Choice([], finish) for finish in finishes]
        for _, growing in sorted(self._parts.items()):
            choices[growing.choice].parts.append(growing.built())
        return Response(self.id, self.model, choices, self.usage, self._extras)


def fold(events: Iterable[Event]) -> Response:
    """Fold events to the whole answer; raises AnswerFailed when they end in Failed."""
    folder = Folder()
    for event in events:
        folder.add(event)
    if folder.failure is not None:
        raise AnswerFailed(folder.failure, folder.usage)
    return folder.response()


def unfold(response: Response) -> Iterator[Event]:
    """The events of a whole answer: each part in one piece. ``fold(unfold(r)) == r``."""
    yield Started(response.id, response.model, response.extras)
    index = 0
    for number, choice in enumerate(response.choices):
        for part in choice.parts:
            yield from _unfold_part(index, part, number)
            index += 1
    yield UsageReported(response.usage)
    yield Finished([choice.finish for choice in response.choices])


def _unfold_part(index: int, part: Part, choice: int) -> Iterator[Event]:
    match part:
        case Text(text=text, citations=citations, logprobs=logprobs):
            yield PartStarted(index, replace(part, text="", citations=[], logprobs=[]), choice)
            if text or logprobs:
                yield PartDelta(index, text, logprobs=logprobs or None)
            for citation in citations:
                yield PartDelta(index, citation=citation)
        case Refusal(text=text) | Reasoning(text=text):
            yield PartStarted(index, replace(part, text=""), choice)
            if text:
                yield PartDelta(index, text)
        case ToolCall(arguments=arguments):
            yield PartStarted(index, replace(part, arguments=""), choice)
            if arguments:
                yield PartDelta(index, arguments)
        case _:
            yield PartStarted(index, part, choice)
    yield PartEnded(index)
