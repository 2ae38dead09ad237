"""Ranges of time as the earlier proxies took them: inclusive, no zone means UTC, a bare end date is the whole day.

It must not know calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dragoman.store.ledger.sums import FOR_EVER, Filters
from dragoman.web.legacy.answers import Refused
from dragoman.web.legacy.parameters import maybe_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Range:
    """From ``since`` to before ``until``, in microseconds; what was said stands beside it."""

    since: int | None
    until: int | None
    start_date: str | None
    end_date: str | None

    def filters(self, *, users: tuple[int, ...] = (), keys: tuple[int, ...] = ()) -> Filters:
        """What the ledger is asked; empty means everybody's."""
        since = 0 if self.since is None else self.since
        return Filters(since=since, until=FOR_EVER if self.until is None else self.until, users=users, keys=keys)


def read_range(said: dict[str, object]) -> Range:
    """``start_date`` and ``end_date`` of the parameters. Raises Refused."""
    start, end = maybe_text(said, "start_date"), maybe_text(said, "end_date")
    since = _moment(start, "start_date") if start else None
    until = None
    if end:
        # Inclusive: the last microsecond of a bare date's day, and the named moment itself.
        until = _moment(end, "end_date") + (_DAY if _is_bare(end) else _resolution(end))
    return Range(since, until, start, end)


def _is_bare(text: str) -> bool:
    """Whether it is a date without a time."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _resolution(text: str) -> int:
    """What the named moment lasts: a second, unless it says fractions."""
    return 1 if "." in text or "," in text else 1_000_000


def _moment(text: str, name: str) -> int:
    try:
        # A plus that came through a query unescaped is a blank.
        moment = datetime.fromisoformat(re.sub(r"(?<=\d) (?=\d\d:\d\d$)(?<=:\d\d )", "+", text))
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Refused(400, f"{name} is no ISO date or date-time") from None


def iso(moment: int | None) -> str | None:
    """A moment as ISO 8601 in UTC with ``Z``."""
    if moment is None:
        return None
    return (_EPOCH + timedelta(microseconds=moment)).isoformat().removesuffix("+00:00") + "Z"
