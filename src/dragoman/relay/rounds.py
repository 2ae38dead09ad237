"""Rounds: one answer for which the provider is asked more than once.

A provider that runs tools itself pauses a long turn (``pause_turn``) and goes on when it is sent back what
it said. A client whose dialect has no such thing would take the pause for the end, so the gateway sends it
back, and what the client sees is one answer: parts joined, usage summed (trap S20)::

    request ─────────► what it said in round 1, pause      Started, parts 0 1 2
    request + round 1 ► what it said in round 2, end       parts 3 4, Finished

https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons

Why there is another round is for a ``Why`` to say; pauses are the one there is. Pure; it must not know
connections, nor how a dialect is spelt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    Folder,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import Choice, Finish, FinishReason, Message, Response, ToolCall, Usage, merge_extras
from dragoman.language.losses import Receipt
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import StreamReader
from dragoman.language.wire import encode
from dragoman.relay.outgoing import Outgoing, Target

PAUSING = frozenset({"anthropic"})
"""Dialects in which a turn can pause: their providers do it, and their clients know what to do then."""

MOST = 8
"""Rounds of one answer."""

Why = Callable[[Response], str]
"""Given what was said in a round that is over: why another is to follow, empty for the end."""

Booked = Callable[[str, Usage], None]
"""Told of every round when it is over, if there are several: why another follows, and what it used."""


def paused(said: Response) -> str:
    """Why there is another round after a pause. None after a call that the client is to answer first."""
    return "pause" if said.finish.reason == "pause" and said.parts and not _calls(said) else ""


def continued(outgoing: Outgoing, turn: list[Message], target: Target) -> Outgoing:
    """The request as it went out, and then the turn."""
    assert outgoing.request is not None, "what passed by the short cut has no rounds"
    request = replace(outgoing.request, messages=[*outgoing.request.messages, *turn])
    # What this loses was noted when the first round was written.
    written = DIALECTS[target.profile.dialect].write_request(request, target.profile, Receipt())
    return replace(outgoing, request=request, body=encode(written))


def joined(before: Response, after: Response) -> Response:
    """Two rounds as one answer: it begins as the first and ends as the second. Of one choice each."""
    return Response(
        before.id,
        before.model,
        [Choice(before.parts + after.parts, after.finish)],
        before.usage.plus(after.usage),
        merge_extras(before.extras, after.extras),
    )


class Rounds:
    """The rounds of one answer, streamed (``feed``, ``close``, ``fail``, as of one reader) or whole.

    When a round is ``over``, ``next`` tells how to ask for another. ``ended``: the answer is complete.
    """

    def __init__(self, reader: Callable[[], StreamReader], why: Why, booked: Booked, most: int = MOST) -> None:
        self._make_reader = reader
        self._why = why
        self._booked = booked
        self._most = most
        self._number = 1
        self._reader = reader()
        self._folder = Folder()
        self._first = 0
        self._parts = 0
        self._before = Usage()
        self._late: list[Event] = []
        self._joined: Response | None = None
        self._turn: list[Message] | None = None
        self.ended = False

    @property
    def over(self) -> bool:
        """Whether this round is, and there is to be another."""
        return self._turn is not None

    def next(self) -> list[Message] | None:
        """This round's bytes are at their end: what to add to the request for the next, ``None`` if there is none."""
        if not self.over and not self.ended:
            self._late = self.close()
        turn, self._turn = self._turn, None
        if turn is not None:
            self._number += 1
            self._first = self._parts
            self._reader, self._folder = self._make_reader(), Folder()
        return turn

    # ------------------------------------------------------------ streamed

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes of this round, return the events they complete."""
        return self._passed(self._reader.feed(data))

    def close(self) -> list[Event]:
        """No more bytes."""
        return self._passed(self._reader.close())

    def fail(self, failure: Failure) -> list[Event]:
        """The transport broke, or there should have been another round and it cannot be had."""
        return self._passed(self._reader.fail(failure))

    def _passed(self, events: list[Event]) -> list[Event]:
        """The events as those of the whole answer, after any that came too late to be returned."""
        out, self._late = self._late, []
        for event in events:
            self._folder.add(event)
            if type(event) is PartDelta:
                event.index += self._first
                out.append(event)
            elif (passed := self._seen(event)) is not None:
                out.append(passed)
        return out

    def _seen(self, event: Event) -> Event | None:
        """Everything but a delta; ``None`` for what only a round has and the answer has not."""
        if isinstance(event, PartStarted):
            event.index += self._first
            self._parts = max(self._parts, event.index + 1)
        elif isinstance(event, PartEnded):
            event.index += self._first
        elif isinstance(event, UsageReported):
            return UsageReported(self._before.plus(self._folder.usage))
        elif isinstance(event, Started):
            return None if self._number > 1 else event
        elif isinstance(event, Failed):
            self._book("")
        elif isinstance(event, Finished):
            said = self._folder.response()
            return None if self._goes_on(said) else replace(event, finishes=_ends(said))
        return event

    # ------------------------------------------------------------ whole

    def whole(self, said: Response) -> Response | None:
        """Take this round's whole answer; returns that of all rounds after the last, ``None`` before."""
        self._folder.usage = said.usage
        whole = said if self._joined is None else joined(self._joined, said)
        if self._goes_on(said):
            self._joined = whole
            return None
        for choice, finish in zip(whole.choices, _ends(said), strict=False):
            choice.finish = finish
        return whole

    # ------------------------------------------------------------ both

    def _goes_on(self, said: Response) -> bool:
        """Close the round; whether there is another after it."""
        why = self._why(said) if self._number < self._most else ""
        self._book(why)
        if why:
            self._turn = [Message("assistant", said.parts)]
        return bool(why)

    def _book(self, why: str) -> None:
        self.ended = not why
        if why or self._number > 1:
            self._booked(why, self._folder.usage)
        self._before = self._before.plus(self._folder.usage)


def _ends(said: Response) -> list[Finish]:
    """A pause that nobody will end is no normal stop: the client has to answer calls, or the answer is cut short."""
    reason: FinishReason = "tool_calls" if _calls(said) else "length"
    finishes = [choice.finish for choice in said.choices]
    return [replace(one, reason=reason) if one.reason == "pause" else one for one in finishes]


def _calls(said: Response) -> bool:
    return any(isinstance(part, ToolCall) for part in said.parts)
