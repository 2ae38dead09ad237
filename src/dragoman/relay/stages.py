"""Stages: what changes the events of an answer between reader and writer.

A stage takes the events of one read and returns those to write instead. It must not know any wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted
from dragoman.language.ir import Finish, Reasoning, Refusal, Text

Stage = Callable[[list[Event]], list[Event]]

LABEL = "[Thinking] "
"""Stands before thoughts that are shown as text."""


class Passing(Protocol):
    """What fitting gives to undo its work: one event in, the events to pass on out."""

    def pass_event(self, event: Event) -> list[Event]: ...


class Cutting(Passing, Protocol):
    """The same for stop sequences; ``done`` once the rest of the answer does not matter."""

    @property
    def done(self) -> bool: ...


def each(passing: Passing) -> Stage:
    """A stage of one that takes events singly."""
    pass_event = passing.pass_event

    def stage(events: list[Event]) -> list[Event]:
        return [passed for event in events for passed in pass_event(event)]

    return stage


class Cut:
    """Ends the answer where a stop sequence cut it, instead of waiting for the provider to finish."""

    def __init__(self, cutter: Cutting) -> None:
        self._cutter = cutter
        self._open: set[int] = set()
        self._choices = 1
        self._over = False

    def __call__(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if self._over:
                break
            for passed in self._cutter.pass_event(event):
                self._note(passed)
                out.append(passed)
            if not self._over and self._cutter.done and not isinstance(event, Finished | Failed):
                out += self._ending()
        return out

    def _note(self, event: Event) -> None:
        if isinstance(event, PartStarted):
            self._open.add(event.index)
            self._choices = max(self._choices, event.choice + 1)
        elif isinstance(event, PartEnded):
            self._open.discard(event.index)
        elif isinstance(event, Finished | Failed):
            self._over = True

    def _ending(self) -> list[Event]:
        self._over = True
        events: list[Event] = [*map(PartEnded, sorted(self._open)), Finished([Finish("end")] * self._choices)]
        return [passed for event in events for passed in self._cutter.pass_event(event)]


def looking(look: Callable[[Event], None]) -> Stage:
    """A stage that changes nothing: for who must see the events as they are before a later stage."""

    def stage(events: list[Event]) -> list[Event]:
        for event in events:
            look(event)
        return events

    return stage


class ThinkTags:
    """Thoughts as text between ``<think>`` and ``</think>``, once, at the head of the answer.

    Thoughts that follow each other share the pair; those that come after the first word are left out,
    and without a word of thought there is no pair. Each of several answers has its own.
    """

    def __init__(self) -> None:
        self._choices: dict[int, _Pair] = {}
        self._thoughts: dict[int, int] = {}

    def __call__(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, PartStarted):
                pair = self._choices.setdefault(event.choice, _Pair())
                if isinstance(event.part, Reasoning):
                    self._thoughts[event.index] = event.choice
                    pair.fresh = True
                    out += pair.said(event.index, event.choice, event.part.text)
                else:
                    out += pair.closed()
                    pair.over = pair.over or isinstance(event.part, Text | Refusal)
                    out.append(event)
            elif isinstance(event, PartDelta | PartEnded) and event.index in self._thoughts:
                if isinstance(event, PartDelta):
                    choice = self._thoughts[event.index]
                    out += self._choices[choice].said(event.index, choice, event.text)
            else:
                if isinstance(event, Finished | Failed):
                    out += [one for pair in self._choices.values() for one in pair.closed()]
                out.append(event)
        return out


@dataclass(slots=True)
class _Pair:
    """The tags of one answer. ``over``: text has begun, or the pair is closed, so no more thoughts are shown."""

    index: int | None = None
    fresh: bool = False
    over: bool = False

    def said(self, index: int, choice: int, text: str) -> list[Event]:
        if self.over or not text:
            return []
        if self.index is None:
            self.index, self.fresh = index, False
            return [PartStarted(index, Text(""), choice), PartDelta(index, f"<think>{text}")]
        between, self.fresh = ("\n\n" if self.fresh else ""), False
        return [PartDelta(self.index, between + text)]

    def closed(self) -> list[Event]:
        if self.index is None or self.over:
            return []
        self.over = True
        return [PartDelta(self.index, "</think>"), PartEnded(self.index)]


class ReasoningShown:
    """Shows thoughts as labelled text, or not at all, for clients that cannot take them."""

    def __init__(self, *, as_text: bool) -> None:
        self._as_text = as_text
        self._thoughts: set[int] = set()

    def __call__(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, PartStarted) and isinstance(event.part, Reasoning):
                self._thoughts.add(event.index)
                if self._as_text:
                    out += [replace(event, part=Text("")), PartDelta(event.index, LABEL + event.part.text)]
            elif isinstance(event, PartDelta | PartEnded) and event.index in self._thoughts:
                if self._as_text:
                    out.append(replace(event, extras={}) if isinstance(event, PartEnded) else event)
            else:
                out.append(event)
        return out


def call_id(seed: str, number: int) -> str:
    """An id no other answer has."""
    return f"call_{seed}{number}"
