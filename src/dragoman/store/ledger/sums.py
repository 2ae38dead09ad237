"""Reports: what was used, by whom, of what and when.

What hours and days keep is summed from them; the edges of a period that cut an hour, and what only
entries know (sessions, agents), from the entries. It must not know how reports are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, case, func, literal, literal_column, select

from dragoman.store.ledger.aggregates import SUMS
from dragoman.store.ledger.windows import DAY, HOUR
from dragoman.store.schema import entries, usage_day, usage_hour

By = Literal[
    "user", "key", "group", "route", "model", "provider", "surface", "hour", "day", "session", "agent", "parent_agent",
    "prompt",
]  # fmt: skip
"""What sums are told apart by."""

_COLUMNS: dict[By, str] = {
    "user": "user_id",
    "key": "key_id",
    "group": "group_id",
    "route": "route",
    "model": "model",
    "provider": "provider",
    "surface": "surface",
    "session": "session",
    "agent": "agent",
    "parent_agent": "parent_agent",
    "prompt": "prompt",
}
_ONLY_ENTRIES = frozenset({"session", "agent", "parent_agent", "prompt"})
_LENGTHS: dict[By, int] = {"hour": HOUR, "day": DAY}
FOR_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Filters:
    """What is counted: everything that is named must hold, an empty list means anything.

    ``since`` and ``until`` (not itself) are in microseconds since 1970. Ids of 0 stand for nobody.
    """

    since: int = 0
    until: int = FOR_EVER
    users: Sequence[int] = ()
    keys: Sequence[int] = ()
    groups: Sequence[int] = ()
    routes: Sequence[str] = ()
    models: Sequence[str] = ()
    providers: Sequence[str] = ()
    surfaces: Sequence[str] = ()
    sessions: Sequence[str] = ()
    agents: Sequence[str] = ()
    parent_agents: Sequence[str] = ()
    prompts: Sequence[str] = ()
    outcomes: Sequence[str] = ()
    request_ids: Sequence[str] = ()
    call_ids: Sequence[str] = ()


_FILTERED = {
    "users": "user_id",
    "keys": "key_id",
    "groups": "group_id",
    "routes": "route",
    "models": "model",
    "providers": "provider",
    "surfaces": "surface",
    "sessions": "session",
    "agents": "agent",
    "parent_agents": "parent_agent",
    "prompts": "prompt",
    "outcomes": "outcome",
    "request_ids": "request_id",
    "call_ids": "call_id",
}
_INDEXED_WHERE_NAMED = frozenset({"session", "agent", "parent_agent", "prompt", "request_id"})
_KEPT_BY_ALL = frozenset({"users", "keys", "groups", "routes", "models", "providers", "surfaces"})


@dataclass(slots=True)
class Sum:
    """One line of a report. ``by`` are its keys in the order they were asked for; times are bucket starts.

    Money is nano-USD; ``unpriced`` and ``estimated`` count attempts, ``milliseconds`` are of all attempts.
    """

    by: tuple[Any, ...] = ()
    calls: int = 0
    failed: int = 0
    attempts: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0
    unpriced: int = 0
    estimated: int = 0
    milliseconds: int = 0

    @property
    def tokens(self) -> int:
        """All tokens; reasoning is part of the output."""
        return self.input + self.cache_read + self.cache_write + self.output


_NAMES = tuple(one.name for one in fields(Sum) if one.name != "by")
assert _NAMES == SUMS


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a period, and the table that knows it."""

    table: Any
    since: int
    until: int
    conditions: list[ColumnElement[bool]] = field(default_factory=list)


def totals(connection: Connection, filters: Filters | None = None) -> Sum:
    """Everything in one line."""
    found = sums(connection, (), filters)
    return found[0] if found else Sum()


def sums(
    connection: Connection, by: Sequence[By], filters: Filters | None = None, *, limit: int | None = None
) -> list[Sum]:
    """Lines by these keys: times ascending, else the dearest first. Nobody is id 0."""
    filters, width = filters or Filters(), len(by)
    found: dict[tuple[Any, ...], Sequence[Any]] = {}
    for piece in _pieces(by, filters):
        for row in connection.execute(_query(piece, by, filters)):
            key, counts = row[:width], row[width:]
            before = found.get(key)
            found[key] = counts if before is None else [one + more for one, more in zip(before, counts, strict=True)]
    # PostgreSQL's sums are no plain integers.
    lines = [Sum(key, *map(int, counts)) for key, counts in found.items()]
    # The last sort is the first key: several plain ones take half as long as one by everything.
    lines.sort(key=attrgetter("by"))
    lines.sort(key=attrgetter("tokens"), reverse=True)
    lines.sort(key=attrgetter("cost"), reverse=True)
    for at in reversed([at for at, one in enumerate(by) if one in _LENGTHS]):
        lines.sort(key=lambda line: line.by[at])
    return lines[:limit]


def _pieces(by: Sequence[By], filters: Filters) -> Iterator[_Piece]:
    """A period as whole days, whole hours and the rest."""
    since, until = max(0, filters.since), filters.until
    if since >= until:
        return
    only_entries = any(one in _ONLY_ENTRIES for one in by) or any(
        getattr(filters, name) for name in _FILTERED if name not in _KEPT_BY_ALL
    )
    if only_entries:
        yield _Piece(entries, since, until)
        return
    widest = [(usage_hour, HOUR)] if "hour" in by else [(usage_day, DAY), (usage_hour, HOUR)]
    yield from _nested(since, until, widest)


def _nested(since: int, until: int, widths: Sequence[tuple[Any, int]]) -> Iterator[_Piece]:
    if since >= until:
        return
    if not widths:
        yield _Piece(entries, since, until)
        return
    (table, length), *narrower = widths
    first = -(-since // length) * length
    last = until if until == FOR_EVER else until // length * length
    if first >= last:
        yield from _nested(since, until, narrower)
        return
    yield from _nested(since, first, narrower)
    yield _Piece(table, first, last)
    yield from _nested(last, until, narrower)


def _query(piece: _Piece, by: Sequence[By], filters: Filters) -> Any:
    columns = piece.table.c
    moment = columns.at if piece.table is entries else columns.bucket
    keys = [_key(piece.table, one) for one in by]
    values = _entry_sums() if piece.table is entries else [func.sum(columns[name]) for name in SUMS]
    query = select(*keys, *values).where(*conditions(piece.table, filters))
    if piece.since > 0:
        query = query.where(moment >= piece.since)
    if piece.until < FOR_EVER:
        query = query.where(moment < piece.until)
    if keys:
        return query.group_by(*(_group(piece.table, one) for one in by))
    return query.having(func.count() > 0)


def _key(table: Any, by: By) -> Any:
    column = _group(table, by)
    return func.coalesce(column, 0) if table is entries and _COLUMNS.get(by, "").endswith("_id") else column


def _group(table: Any, by: By) -> Any:
    if (table, by) in ((usage_hour, "hour"), (usage_day, "day")):
        return table.c.bucket
    if by in _LENGTHS:
        moment = table.c.at if table is entries else table.c.bucket
        # No parameter: PostgreSQL wants the same text in the list and in the grouping.
        return moment - moment % literal(_LENGTHS[by], literal_execute=True)
    return table.c[_COLUMNS[by]]


def _entry_sums() -> list[Any]:
    """The same sums from the entries: a reversal's numbers are negative, what is counted goes by its sign."""
    table = entries.c
    sign = case((table.kind == "reversal", -1), else_=1)
    closes = case((table.closes, sign), else_=0)
    counted = {
        "calls": closes,
        "failed": case((table.outcome.in_(("failed", "refused")), closes), else_=0),
        "attempts": case((table.attempt > 0, sign), else_=0),
        "unpriced": case((table.cost.is_(None), sign), else_=0),
        "estimated": case((table.usage_source == "provider", 0), else_=sign),
    }
    # Of what no entry reports there is no sum.
    return [func.coalesce(func.sum(counted[name] if name in counted else table[name]), 0) for name in SUMS]


def conditions(table: Any, filters: Filters) -> Iterable[ColumnElement[bool]]:
    """Filters as conditions, apart from the period."""
    for name, column in _FILTERED.items():
        values = list(getattr(filters, name))
        if values:
            place = table.c[column]
            found = place.in_(values)
            if column in _INDEXED_WHERE_NAMED and all(values):
                yield place != literal_column("''")  # or the index, which leaves empty ones out, is none for this
            yield found | place.is_(None) if table is entries and 0 in values and column.endswith("_id") else found


def as_row(line: Sum, by: Sequence[By]) -> dict[str, Any]:
    """A line as one flat mapping, for tables and CSV."""
    named: Mapping[str, Any] = dict(zip(by, line.by, strict=True))
    return {**named, **{name: getattr(line, name) for name in _NAMES}, "tokens": line.tokens}
