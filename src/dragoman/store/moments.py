"""Time as everything here is kept in it: whole microseconds since 1970, UTC. It must not know what is timed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def wall_clock() -> int:
    """Now, by this machine's clock."""
    return time.time_ns() // 1000


def moment_of(time: datetime) -> int:
    """The moment of a time in whatever zone; without one it is UTC."""
    return ((time if time.tzinfo is not None else time.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def time_of(moment: int) -> datetime:
    """The time of a moment, in UTC. Raises OverflowError beyond the year 9999."""
    return _EPOCH + moment * _MICROSECOND
