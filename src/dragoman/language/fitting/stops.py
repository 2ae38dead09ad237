"""Cutting text at stop sequences the target was not told of.

The cut text, the finish and its string are what they would be had the target stopped itself. Only
text is searched; thoughts and tool arguments pass. This module must not know any wire.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.events import Event, Finished, PartDelta, PartEnded, PartStarted
from dragoman.language.ir import Finish, Text


class StopCutter:
    """An event stage. Text that may be the beginning of a stop sequence is held until it is decided.

    ``done`` tells that the only choice was cut, so the rest of the answer can be left unread.
    """

    def __init__(self, stops: list[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held: dict[int, str] = {}
        self._choices: dict[int, int] = {}
        self._cut: dict[int, str] = {}
        self._swallowed: set[int] = set()

    @property
    def done(self) -> bool:
        """A stop sequence came, and no other choice is under way."""
        return bool(self._cut) and all(choice in self._cut for choice in self._choices.values())

    def pass_event(self, event: Event) -> list[Event]:
        """The events to pass on instead of this one."""
        if isinstance(event, PartDelta):
            if event.index in self._swallowed:
                return []
            return self._delta(event) if event.index in self._held else [event]
        if isinstance(event, PartStarted):
            return self._start(event)
        if isinstance(event, PartEnded):
            return self._end(event)
        if isinstance(event, Finished) and self._cut:
            return [replace(event, finishes=[self._finish(n, finish) for n, finish in enumerate(event.finishes)])]
        return [event]

    def _start(self, event: PartStarted) -> list[Event]:
        if event.choice in self._cut:
            self._swallowed.add(event.index)
            return []
        self._choices[event.index] = event.choice
        if not isinstance(event.part, Text):
            return [event]
        self._held[event.index] = ""
        if not event.part.text:
            return [event]
        opened = PartStarted(event.index, replace(event.part, text=""), event.choice)
        return [opened, *self._delta(PartDelta(event.index, event.part.text))]

    def _delta(self, event: PartDelta) -> list[Event]:
        choice = self._choices[event.index]
        if choice in self._cut:
            return []
        text = self._held[event.index] + event.text
        cut = self._first_stop(text)
        if cut is not None:
            start, stop = cut
            self._cut[choice] = stop
            text, kept = text[:start], ""
        else:
            keep = self._undecided(text)
            text, kept = text[:keep], text[keep:]
        self._held[event.index] = kept
        if not text and event.citation is None and not event.logprobs:
            return []
        return [PartDelta(event.index, text, event.citation, event.logprobs)]

    def _end(self, event: PartEnded) -> list[Event]:
        if event.index in self._swallowed:
            return []
        held = self._held.pop(event.index, "")
        return [PartDelta(event.index, held), event] if held else [event]

    def _first_stop(self, text: str) -> tuple[int, str] | None:
        """Where the text is cut: at the stop sequence that is complete first."""
        found: tuple[int, int, str] | None = None
        for stop in self._stops:
            start = text.find(stop)
            if start >= 0 and (found is None or (start + len(stop), start) < found[:2]):
                found = (start + len(stop), start, stop)
        return None if found is None else (found[1], found[2])

    def _undecided(self, text: str) -> int:
        """Where the longest tail begins that may still become a stop sequence."""
        first = len(text)
        for stop in self._stops:
            place = text.find(stop[0], max(0, len(text) - len(stop) + 1), first)
            while place >= 0:
                if stop.startswith(text[place:]):
                    first = place
                    break
                place = text.find(stop[0], place + 1, first)
        return first

    def _finish(self, choice: int, finish: Finish) -> Finish:
        stop = self._cut.get(choice)
        return finish if stop is None else Finish("stop_sequence", stop_sequence=stop, extras=finish.extras)
