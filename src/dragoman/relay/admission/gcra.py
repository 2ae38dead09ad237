"""The rule for calls and tokens per minute: the generic cell rate algorithm, with costs and refunds.

Its one number, the theoretical arrival time, is kept multiplied by the limit, as a *level* above now:
``level = (arrival - now) * limit``. So all of it is whole numbers, equal in Python and in Lua, and a
limit that is changed holds from the next call on. A bucket lets one minute's worth through at once. Time is in
ticks, milliseconds. It must not know clocks or stores.

https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from __future__ import annotations

MINUTE = 60_000
"""Ticks in which a limit is used up. One unit of cost weighs as many."""


def drained(level: int, elapsed: int, limit: int) -> int:
    """The level after so many ticks."""
    return max(0, level - elapsed * limit) if elapsed > 0 else level


def wait(level: int, cost: int, limit: int) -> int:
    """Ticks until the cost fits; 0: it does now.

    A cost above the limit would never fit; it passes when the bucket is empty, and leaves a debt.
    """
    if limit <= 0:
        return MINUTE
    excess = level + (min(cost, limit) - limit) * MINUTE
    return -(-excess // limit) if excess > 0 else 0


def filled(level: int, cost: int) -> int:
    """The level with the cost in it. A negative cost is a refund: never more than the bucket holds."""
    return max(0, level + cost * MINUTE)


def remaining(level: int, limit: int) -> int:
    """What may still come at once."""
    return max(0, limit - -(-level // MINUTE))


def emptied(level: int, limit: int) -> int:
    """Ticks until all of the limit is there again."""
    return -(-level // limit) if limit > 0 else MINUTE


class Bucket:
    """One limit of one scope: the level at a tick."""

    __slots__ = ("at", "level")

    def __init__(self, at: int, level: int = 0) -> None:
        self.at = at
        self.level = level

    def level_at(self, now: int, limit: int) -> int:
        """The level now. A clock that was set back does not stop the flow for longer."""
        if now < self.at:
            self.at = now
        return drained(self.level, now - self.at, limit)

    def fill(self, now: int, limit: int, cost: int) -> int:
        """Put the cost in, or take it out; returns the level."""
        self.level = filled(self.level_at(now, limit), cost)
        self.at = now
        return self.level
