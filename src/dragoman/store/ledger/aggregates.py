"""Sums that are always the sum of entries: what new rows add to hours, days and budget windows.

Rows are added in the order of their keys, so that two replicas never wait for each other in a circle. It must
not know who reads the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, tzinfo
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table

from dragoman.store.facts import insert_of
from dragoman.store.ledger.windows import WINDOWS, day_of, hour_of, quarter_of, start_of
from dragoman.store.schema import budget_windows, usage_day, usage_hour

SUMS = (
    "calls", "failed", "attempts", "input", "cache_read", "cache_write", "output", "reasoning", "cost", "unpriced",
    "estimated", "milliseconds",
)  # fmt: skip
"""Columns of ``usage_hour`` and ``usage_day`` that are added up."""

DIMENSIONS = ("user_id", "key_id", "group_id", "route", "provider", "model", "surface")

TOKENS = ("input", "cache_read", "cache_write", "output")
"""Tokens of these kinds add up to what a budget of tokens counts; reasoning is part of the output."""

SPENDERS = ("user_id", "key_id", "group_id", "model")
"""What decides, with the quarter of an hour, in which budget windows an entry counts."""

Key = tuple[Any, ...]
Deltas = dict[Key, list[int]]


@cache
def _adding(engine: str, table: Table, key: tuple[str, ...], sums: tuple[str, ...]) -> Any:
    statement = insert_of(engine, table)
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: table.c[name] + statement.excluded[name] for name in sums}
    )


def add_up(connection: Connection, rows: Iterable[Mapping[str, Any]], zone: tzinfo = UTC) -> None:
    """Add entries that were just inserted, in the same transaction. ``zone`` is that of budget windows."""
    hours: Deltas = {}
    spent: Deltas = {}
    for row in rows:
        _add(hours, (hour_of(row["at"]), *dimensions_of(row)), shares_of(row))
        money = spent_of(row)
        if any(money):
            _add(spent, (quarter_of(row["at"]), *(row[name] for name in SPENDERS)), money)
    days: Deltas = {}
    for (hour, *dimensions), shares in hours.items():
        _add(days, (day_of(hour), *dimensions), shares)
    windows: Deltas = {}
    for (quarter, *spenders), money in spent.items():
        for key in window_keys({"at": quarter, **dict(zip(SPENDERS, spenders, strict=True))}, zone):
            _add(windows, key, money)
    _upsert(connection, usage_hour, ("bucket", *DIMENSIONS), SUMS, hours)
    _upsert(connection, usage_day, ("bucket", *DIMENSIONS), SUMS, days)
    add_windows(connection, windows)


def add_windows(connection: Connection, windows: Deltas) -> None:
    """Add money and tokens to budget windows."""
    _upsert(connection, budget_windows, ("scope", "model", "window", "start"), ("cost", "tokens"), windows)


def dimensions_of(row: Mapping[str, Any]) -> Key:
    """What sums are kept by; 0 stands for nobody."""
    return (
        row["user_id"] or 0,
        row["key_id"] or 0,
        row["group_id"] or 0,
        row["route"],
        row["provider"],
        row["model"],
        row["surface"],
    )


def shares_of(row: Mapping[str, Any]) -> list[int]:
    """What a row adds to each of ``SUMS``. A reversal's numbers are negative already."""
    sign = -1 if row["kind"] == "reversal" else 1
    closes = sign if row["closes"] else 0
    return [
        closes,
        closes if row["outcome"] in ("failed", "refused") else 0,
        sign if row["attempt"] else 0,
        row["input"] or 0,
        row["cache_read"] or 0,
        row["cache_write"] or 0,
        row["output"] or 0,
        row["reasoning"] or 0,
        row["cost"] or 0,
        sign if row["cost"] is None else 0,
        0 if row["usage_source"] == "provider" else sign,
        row["milliseconds"] or 0,
    ]


def spent_of(row: Mapping[str, Any]) -> list[int]:
    """What a row adds to a budget window: money and tokens."""
    return [row["cost"] or 0, sum(row[kind] or 0 for kind in TOKENS)]


def window_keys(row: Mapping[str, Any], zone: tzinfo = UTC) -> Iterator[Key]:
    """Every budget window a row counts in: each scope, of all models and of its own."""
    at = row["at"]
    starts = [(window, start_of(window, at, zone)) for window in WINDOWS]
    models = ("", row["model"]) if row["model"] else ("",)
    for scope in scopes_of(row):
        for model in models:
            for window, start in starts:
                yield scope, model, window, start


def scopes_of(row: Mapping[str, Any]) -> list[str]:
    """The ladder a row counts on, by the names of ``accounts.model.Scope``."""
    ladder = [("group", row["group_id"]), ("user", row["user_id"]), ("key", row["key_id"])]
    return ["global", *(f"{name}:{number}" for name, number in ladder if number is not None)]


def _add(deltas: Deltas, key: Key, shares: list[int]) -> None:
    kept = deltas.get(key)
    deltas[key] = list(shares) if kept is None else [one + more for one, more in zip(kept, shares, strict=True)]


def _upsert(connection: Connection, table: Table, key: tuple[str, ...], sums: tuple[str, ...], deltas: Deltas) -> None:
    if not deltas:
        return
    statement = _adding(connection.dialect.name, table, key, sums)
    names = key + sums
    connection.execute(statement, [dict(zip(names, (*k, *deltas[k]), strict=True)) for k in sorted(deltas)])
