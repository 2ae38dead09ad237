"""When hours, days and budget windows begin, in UTC; weeks begin on Monday. It must not know SQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dragoman.store.accounts.model import Window

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WINDOWS: tuple[Window, ...] = ("day", "week", "month", "total")

_WEEK = 7 * DAY
_MONDAY = 4 * DAY
"""1970-01-05, the first Monday."""


def hour_of(at: int) -> int:
    """When its hour began, in microseconds like ``at``."""
    return at - at % HOUR


def day_of(at: int) -> int:
    """When its day began."""
    return at - at % DAY


def start_of(window: Window, at: int) -> int:
    """When the window around ``at`` began; 0 for the one that never ends."""
    if window == "day":
        return day_of(at)
    if window == "week":
        return at - (at - _MONDAY) % _WEEK
    if window == "month":
        return _month(at)
    return 0


def end_of(window: Window, at: int) -> int | None:
    """When the next window begins; None for the one that never ends."""
    if window == "day":
        return day_of(at) + DAY
    if window == "week":
        return start_of("week", at) + _WEEK
    if window == "month":
        return _month(start_of("month", at) + 32 * DAY)
    return None


def _month(at: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return _micros(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0))


def _micros(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND
