"""When hours, days and budget windows begin. Hours and days of reports are those of UTC, weeks begin on Monday.

Budget windows begin at midnight in one time zone, the whole gateway's. It must not know SQL.

https://docs.python.org/3/library/zoneinfo.html
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from dragoman.store.accounts.model import Window
from dragoman.store.moments import moment_of, time_of

SECOND = 1_000_000
QUARTER = 900 * SECOND
"""Every zone's midnight falls on one, however odd its offset."""

HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WINDOWS: tuple[Window, ...] = ("day", "week", "month", "total")


def read_zone(name: str) -> tzinfo:
    """A zone by its name, like ``Europe/Berlin``. Raises ValueError for one that this machine does not know."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name[:80]!r} is no time zone that is known here") from None


def hour_of(at: int) -> int:
    """When its hour began, in microseconds like ``at``."""
    return at - at % HOUR


def day_of(at: int) -> int:
    """When its day began."""
    return at - at % DAY


def quarter_of(at: int) -> int:
    """When its quarter of an hour began: all of it is in the same budget windows, wherever that is."""
    return at - at % QUARTER


def start_of(window: Window, at: int, zone: tzinfo = UTC) -> int:
    """When the window around ``at`` began; 0 for the one that never ends."""
    return 0 if window == "total" else _bounds(window, quarter_of(at), zone)[0]


def end_of(window: Window, at: int, zone: tzinfo = UTC) -> int | None:
    """When the next window begins; None for the one that never ends."""
    return None if window == "total" else _bounds(window, quarter_of(at), zone)[1]


@lru_cache(maxsize=4096)
def _bounds(window: Window, at: int, zone: tzinfo) -> tuple[int, int]:
    first = time_of(at).astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window == "day":
        after = first + timedelta(days=1)
    elif window == "week":
        first -= timedelta(days=first.weekday())
        after = first + timedelta(days=7)
    else:
        first = first.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return _instant(first, zone), _instant(after, zone)


def _instant(midnight: datetime, zone: tzinfo) -> int:
    """A midnight that comes twice is the first one; one that is skipped is the moment it is skipped at."""
    return moment_of(midnight.replace(tzinfo=zone))
