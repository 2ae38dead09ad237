"""Which targets can be expected to answer: what came of the last calls, and until when each one rests.

A target is an account's key and a model. Pure but for the clock it is given; state is this process's
own. It must not know wires, requests or clients.

==================================  =============================================================
what came back                      what follows
==================================  =============================================================
a throttle (429), quota spent       rests for the wait the provider stated, else for ``THROTTLED``
our credential refused              the key rests for every model, for ``REJECTED``
5 failures within 30 s              rests for ``BROKEN``, twice as long each time, at most ``LONGEST``
the caller's own mistake            nothing
==================================  =============================================================

When a rest is over one call at a time may try (half open) until one has succeeded.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dragoman.language.failures import Failure

THROTTLED = 5.0
SPENT = 60.0
REJECTED = 60.0
BROKEN = 10.0
LONGEST = 120.0
LONGEST_STATED = 3600.0
"""Seconds a provider may ask us to stay away."""

FAILURES = 5
WINDOW = 30.0
RECENT = 10.0
"""Seconds for which a target that failed counts as doubtful."""

_MAX_TARGETS = 10_000
_OURS = frozenset({"server", "overloaded", "timeout"})

State = Literal["well", "doubtful", "resting", "trying"]


class Spot(NamedTuple):
    """A target as health sees it. An empty model stands for the key as a whole."""

    provider: str
    key: int
    model: str


@dataclass(slots=True)
class _Condition:
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES))
    until: float = 0.0
    rest: float = BROKEN
    why: str = ""
    half_open: bool = False
    trying: bool = False
    last_failure: float = -math.inf


class Health:
    """The condition of every target that ever failed. ``changed`` is told of each rest that begins or ends."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[Spot, str, float], None] = lambda spot, why, seconds: None,
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._conditions: dict[Spot, _Condition] = {}
        self._answered: dict[Spot, float] = {}

    def state(self, spot: Spot) -> State:
        """How the target is: ``doubtful`` failed lately, ``resting`` is to be left alone, ``trying`` is half open."""
        states = [self._state(one) for one in (spot, spot._replace(model=""))]
        for worst in ("resting", "trying", "doubtful"):
            if worst in states:
                return worst
        return "well"

    def rests_until(self, spot: Spot) -> float:
        """The moment, on the clock, at which a rest ends; in the past when there is none."""
        return max(self._until(spot), self._until(spot._replace(model="")))

    def proven(self, spot: Spot) -> bool:
        """Whether the target has answered within ``WINDOW`` and not failed since."""
        return self._answered.get(spot, -math.inf) > self._clock() - WINDOW and self.state(spot) == "well"

    def began(self, spot: Spot) -> None:
        """A call goes to the target: of a half-open one only this."""
        for one in (spot, spot._replace(model="")):
            condition = self._conditions.get(one)
            if condition is not None and condition.half_open:
                condition.trying = True

    def left(self, spot: Spot) -> None:
        """The call ended without telling anything, because the client hung up."""
        for one in (spot, spot._replace(model="")):
            condition = self._conditions.get(one)
            if condition is not None:
                condition.trying = False

    def answers(self, spot: Spot) -> None:
        """The target has begun to answer."""
        if spot not in self._answered and len(self._answered) >= _MAX_TARGETS:
            self._answered.clear()
        self._answered[spot] = self._clock()

    def succeeded(self, spot: Spot) -> None:
        """The target answered."""
        for one in (spot, spot._replace(model="")):
            if self._conditions.pop(one, None) is not None:
                self._changed(one, "", 0.0)

    def failed(self, spot: Spot, failure: Failure) -> None:
        """The target failed. A mistake of the caller says nothing about it."""
        if failure.kind == "rate_limit":
            self._rest(spot, _stated(failure, THROTTLED), "throttled")
        elif failure.kind == "quota":
            self._rest(spot, _stated(failure, SPENT), "quota spent")
        elif failure.kind == "credential":
            self._rest(spot._replace(model=""), REJECTED, "credential refused")
        elif failure.kind in _OURS:
            self._broke(spot, failure)
        else:
            self.left(spot)

    def forget(self, provider: str) -> None:
        """The account is another now: what was known of it says nothing."""
        for spot in [spot for spot in self._conditions if spot.provider == provider]:
            del self._conditions[spot]
        for spot in [spot for spot in self._answered if spot.provider == provider]:
            del self._answered[spot]

    def resting(self) -> list[tuple[Spot, str, float]]:
        """Who rests, why, and for how many more seconds."""
        now = self._clock()
        return [(spot, one.why, one.until - now) for spot, one in self._conditions.items() if one.until > now]

    # ------------------------------------------------------------ one condition

    def _state(self, spot: Spot) -> State:
        condition = self._conditions.get(spot)
        if condition is None:
            return "well"
        now = self._clock()
        if condition.until > now:
            return "resting"
        if condition.half_open:
            return "resting" if condition.trying else "trying"
        return "doubtful" if now - condition.last_failure < RECENT else "well"

    def _until(self, spot: Spot) -> float:
        condition = self._conditions.get(spot)
        return -math.inf if condition is None else condition.until

    def _broke(self, spot: Spot, failure: Failure) -> None:
        now = self._clock()
        condition = self._condition(spot)
        condition.failures.append(now)
        condition.last_failure = now
        stated = failure.retry_after
        if stated is not None and failure.kind == "overloaded":
            self._rest(spot, min(stated, LONGEST), "overloaded")
        elif condition.half_open or (len(condition.failures) == FAILURES and now - condition.failures[0] <= WINDOW):
            self._rest(spot, condition.rest, failure.kind)
            condition.rest = min(condition.rest * 2, LONGEST)
        else:
            condition.trying = False

    def _rest(self, spot: Spot, seconds: float, why: str) -> None:
        now = self._clock()
        condition = self._condition(spot)
        condition.last_failure = now
        rested = condition.until > now
        condition.until = max(condition.until, now + seconds)
        condition.why = why
        condition.half_open = True
        condition.trying = False
        condition.failures.clear()
        if not rested:
            self._changed(spot, why, seconds)

    def _condition(self, spot: Spot) -> _Condition:
        condition = self._conditions.get(spot)
        if condition is None:
            if len(self._conditions) >= _MAX_TARGETS:
                self._conditions.pop(next(iter(self._conditions)))
            condition = self._conditions[spot] = _Condition()
        return condition


def _stated(failure: Failure, otherwise: float) -> float:
    return otherwise if failure.retry_after is None else min(max(failure.retry_after, 0.0), LONGEST_STATED)
