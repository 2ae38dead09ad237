"""Whether the ledger is what it promises to be: the invariants, as queries that return what breaks them.

===  =======================================================================================
I1   every attempt stands once, and attempts of a call are numbered without gaps; with ``upstream``
     given, calls have exactly the attempts that providers saw
I2   sums by hour and day, and budget windows, are the sums of the entries
I3   no intent of a replica whose lease ran out more than two lease lengths ago
I4   counters kept elsewhere (``counters``) are those of the ledger
I5   an attempt has a final, or a recovered one, or recovered + reversal + final; a call ends once
I6   what a provider reported stands in the entry; a report of 0 is no missing report
I7   a charge is the sum of its bill
===  =======================================================================================

True once nothing is under way. It must not know how entries are written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, literal, select

from dragoman.store.ledger.aggregates import DIMENSIONS, SUMS, TOKENS, Key
from dragoman.store.ledger.bills import charge_of
from dragoman.store.ledger.windows import DAY, HOUR
from dragoman.store.ledger.zones import window_sums, zone_of
from dragoman.store.schema import budget_windows, entries, intents, leases, usage_day, usage_hour

UNSENT = "unsent"
"""The failure of an attempt that was announced and then not sent."""

MOST = 100
"""Violations told of one kind."""


@dataclass(frozen=True, slots=True)
class Violation:
    """``rule`` is I1 to I7, ``what`` a sentence that names the rows."""

    rule: str
    what: str


def violations(
    connection: Connection,
    *,
    now: int,
    lease: int,
    upstream: Mapping[str, int] | None = None,
    counters: Mapping[Key, tuple[int, int]] | None = None,
) -> list[Violation]:
    """Everything that is wrong; empty when all is well. ``now`` is the database's, ``lease`` its length.

    ``upstream`` is how many requests providers saw for each request id; ``counters`` are (money, tokens) by
    (scope, model, window, start). Times are in microseconds.
    """
    found = [
        *_attempts(connection, upstream),
        *_sums(connection, "hour", HOUR),
        *_sums(connection, "day", DAY),
        *_windows(connection),
        *_leases(connection, now - 2 * lease),
        *_counters(connection, counters or {}),
        *_kinds(connection),
        *_reversals(connection),
        *_closings(connection),
        *_entries(connection),
    ]
    told: dict[str, int] = defaultdict(int)
    kept = []
    for violation in found:
        told[violation.rule] += 1
        if told[violation.rule] <= MOST:
            kept.append(violation)
    return kept


def _attempts(connection: Connection, upstream: Mapping[str, int] | None) -> Iterator[Violation]:
    table = entries.c
    query = select(
        table.call_id, func.min(table.attempt), func.max(table.attempt), func.count(table.attempt.distinct())
    )
    query = query.group_by(table.call_id)
    for call_id, first, last, count in connection.execute(query):
        if last - first + 1 != count or first > 1:
            yield Violation("I1", f"call {call_id} has {count} attempts numbered {first} to {last}")
    open_ones = select(intents.c.call_id, func.count()).group_by(intents.c.call_id).having(func.count() > 1)
    for call_id, count in connection.execute(open_ones):
        yield Violation("I1", f"call {call_id} has {count} open attempts")
    if upstream is not None:
        yield from _seen_upstream(connection, upstream)


def _seen_upstream(connection: Connection, upstream: Mapping[str, int]) -> Iterator[Violation]:
    """A recovered attempt may have died before it was sent."""
    table = entries.c
    attempts = select(table.request_id, table.call_id, table.attempt).distinct()
    attempts = attempts.where(table.attempt > 0, table.kind != "reversal", table.failure != UNSENT)
    booked: dict[str, int] = Counter(connection.execute(attempts).scalars())
    lost = set(connection.execute(select(table.request_id).where(table.kind == "recovered")).scalars())
    for request_id in sorted(booked.keys() | upstream.keys()):
        here, there = booked.get(request_id, 0), upstream.get(request_id, 0)
        if here < there or (here > there and request_id not in lost):
            yield Violation("I1", f"request {request_id}: {there} sent, {here} booked")


def _signed(column: Any) -> Any:
    return func.sum(case((entries.c.kind == "reversal", -column), else_=column))


def _by_dimension(length: int) -> Select[Any]:
    """What the sums should be, from the entries themselves."""
    table = entries.c
    one = case((table.closes, 1), else_=0)
    sums = {
        "calls": _signed(one),
        "failed": _signed(case((table.outcome.in_(("failed", "refused")), one), else_=0)),
        "attempts": _signed(case((table.attempt > 0, 1), else_=0)),
        "unpriced": _signed(case((table.cost.is_(None), 1), else_=0)),
        "estimated": _signed(case((table.usage_source == "provider", 0), else_=1)),
    }
    plain = [table[name] for name in DIMENSIONS]
    dimensions = [func.coalesce(table[name], 0) if name.endswith("_id") else table[name] for name in DIMENSIONS]
    columns = [sums[name] if name in sums else _plain(name) for name in SUMS]
    return select(_bucket(length), *dimensions, *columns).group_by(_bucket(length), *plain)


def _bucket(length: int) -> Any:
    """When the hour or day of an entry began. PostgreSQL wants the same text in both places, so no parameter."""
    return entries.c.at - entries.c.at % literal(length, literal_execute=True)


def _plain(name: str) -> Any:
    return func.coalesce(func.sum(entries.c[name]), 0)


def _sums(connection: Connection, word: str, length: int) -> Iterator[Violation]:
    table = usage_hour if word == "hour" else usage_day
    size = 1 + len(DIMENSIONS)
    wanted = _numbers(connection, _by_dimension(length), size)
    kept = _numbers(connection, select(*(table.c[name] for name in ("bucket", *DIMENSIONS, *SUMS))), size)
    nothing = [0] * len(SUMS)
    for key in wanted.keys() | kept.keys():
        should, does = wanted.get(key, nothing), kept.get(key, nothing)
        if should != does:
            wrong = {name: (b, a) for name, a, b in zip(SUMS, should, does, strict=True) if a != b}
            yield Violation("I2", f"{word} {key}: (is, should be) {wrong}")


def _numbers(connection: Connection, query: Select[Any], size: int) -> dict[Key, list[int]]:
    """Rows as sums by key, which are the first columns. Sums come as decimals from PostgreSQL."""
    return {tuple(row[:size]): [int(value) for value in row[size:]] for row in connection.execute(query)}


def _windows(connection: Connection) -> Iterator[Violation]:
    table = budget_windows.c
    query = select(table.scope, table.model, table.window, table.start, table.cost, table.tokens)
    kept = _numbers(connection, query, 4)
    wanted = window_sums(connection, zone_of(connection))
    for key in wanted.keys() | kept.keys():
        should, does = wanted.get(key, [0, 0]), kept.get(key, [0, 0])
        if should != does:
            yield Violation("I2", f"budget window {key}: is {does}, should be {should}")


def _counters(connection: Connection, counters: Mapping[Key, tuple[int, int]]) -> Iterator[Violation]:
    wanted = window_sums(connection, zone_of(connection)) if counters else {}
    for key, counted in counters.items():
        if list(counted) != wanted.get(key, [0, 0]):
            yield Violation("I4", f"counter {key}: is {counted}, should be {wanted.get(key, [0, 0])}")


def _leases(connection: Connection, before: int) -> Iterator[Violation]:
    living = select(leases.c.replica).where(leases.c.until >= before)
    query = select(intents.c.replica, func.count()).where(intents.c.replica.not_in(living)).group_by(intents.c.replica)
    for replica, count in connection.execute(query):
        yield Violation("I3", f"{count} open attempts of {replica}, which is gone")


_KINDS = ({"final"}, {"recovered"}, {"final", "recovered", "reversal"})


def _kinds(connection: Connection) -> Iterator[Violation]:
    table = entries.c
    odd = select(table.call_id, table.attempt).group_by(table.call_id, table.attempt)
    odd = odd.having((func.count() > 1) | (func.max(table.kind) == "reversal"))
    kinds: dict[tuple[str, int], set[str]] = defaultdict(set)
    pairs = odd.subquery()
    query = select(table.call_id, table.attempt, table.kind).join(
        pairs, (pairs.c.call_id == table.call_id) & (pairs.c.attempt == table.attempt)
    )
    for call_id, attempt, kind in connection.execute(query):
        kinds[call_id, attempt].add(kind)
    for (call_id, attempt), found in kinds.items():
        if found not in _KINDS:
            yield Violation("I5", f"attempt {attempt} of call {call_id} has {sorted(found)}")
    both = select(intents.c.call_id, intents.c.attempt).join(
        entries, (table.call_id == intents.c.call_id) & (table.attempt == intents.c.attempt)
    )
    for call_id, attempt in connection.execute(both):
        yield Violation("I5", f"attempt {attempt} of call {call_id} is booked and open")


def _reversals(connection: Connection) -> Iterator[Violation]:
    """What was recovered is taken back where it stands, and wholly."""
    there, back = entries.alias("there"), entries.alias("back")
    same = [back.c[name] == there.c[name] for name in ("at", "route", "provider", "model", "surface", "closes")]
    same += [
        func.coalesce(back.c[name], 0) == func.coalesce(there.c[name], 0) for name in ("user_id", "key_id", "group_id")
    ]
    same += [func.coalesce(back.c[name], 0) == -func.coalesce(there.c[name], 0) for name in ("cost", *TOKENS)]
    query = select(back.c.call_id, back.c.attempt).join(
        there, (there.c.call_id == back.c.call_id) & (there.c.attempt == back.c.attempt)
    )
    query = query.where(back.c.kind == "reversal", there.c.kind == "recovered", ~and_(*same))
    for call_id, attempt in connection.execute(query):
        yield Violation("I5", f"attempt {attempt} of call {call_id} is taken back otherwise than it was booked")


def _closings(connection: Connection) -> Iterator[Violation]:
    """Every call ends once, unless it is still open."""
    table = entries.c
    ends = _signed(case((table.closes, 1), else_=0))
    query = select(table.call_id, ends).where(table.call_id.not_in(select(intents.c.call_id)))
    for call_id, count in connection.execute(query.group_by(table.call_id).having(ends != 1)):
        yield Violation("I5", f"call {call_id} ends {count} times")


def _entries(connection: Connection) -> Iterator[Violation]:
    table = entries.c
    counts = [table[kind] for kind in (*TOKENS, "reasoning")]
    query = select(table.call_id, table.attempt, table.usage_source, table.cost, table.details, *counts)
    for row in connection.execute(query.where(table.kind != "reversal").execution_options(yield_per=1000)):
        details, place = row.details, f"attempt {row.attempt} of call {row.call_id}"
        for kind, value in (details.get("reported") or {}).items():
            if value is not None and getattr(row, kind) != value:
                yield Violation("I6", f"{place}: {kind} was reported as {value}, {getattr(row, kind)} is booked")
        bill = details.get("bill")
        if bill is not None and charge_of(bill) != row.cost:
            yield Violation("I7", f"{place}: {row.cost} is charged, the bill comes to {charge_of(bill)}")
        if row.cost and not bill:
            yield Violation("I7", f"{place}: {row.cost} is charged without a bill")
