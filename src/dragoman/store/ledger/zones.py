"""In which time zone budget windows begin: one for the whole database, written in it.

Windows are sums that are kept, so another zone means other sums: they are made anew from the entries, once, by the
first replica that starts alone under it. It must not know calls.
"""

from __future__ import annotations

from datetime import UTC, tzinfo

from sqlalchemy import Connection, delete, exists, func, literal, select

from dragoman.store.facts import read_fact, write_fact
from dragoman.store.ledger.aggregates import SPENDERS, TOKENS, Deltas, add_windows, window_keys
from dragoman.store.ledger.windows import DAY, QUARTER, read_zone
from dragoman.store.schema import budget_windows, entries, leases

_FACT = "budget_zone"


def zone_of(connection: Connection) -> tzinfo:
    """The database's."""
    return read_zone(read_fact(connection, _FACT) or "")


def adopt_zone(connection: Connection, asked: tzinfo, replica: str, now: int) -> tzinfo:
    """The zone that holds from now on: the one asked for, unless other replicas live under another."""
    held = zone_of(connection)
    if str(held) == str(asked):
        return asked
    others = exists(select(leases.c.replica).where(leases.c.replica != replica, leases.c.until >= now))
    if connection.execute(select(others)).scalar_one():
        return held
    write_fact(connection, _FACT, str(asked))
    connection.execute(delete(budget_windows))
    add_windows(connection, {key: sums for key, sums in window_sums(connection, asked).items() if any(sums)})
    return asked


def window_sums(connection: Connection, zone: tzinfo) -> Deltas:
    """What budget windows should hold, from the entries themselves: money and tokens."""
    table = entries.c
    length = DAY if zone is UTC else QUARTER
    # PostgreSQL wants the same text in both places, so no parameter.
    began = table.at - table.at % literal(length, literal_execute=True)
    dimensions = [table[name] for name in SPENDERS]
    spent = [func.coalesce(func.sum(table[name]), 0) for name in ("cost", *TOKENS)]
    sums: Deltas = {}
    for row in connection.execute(select(began, *dimensions, *spent).group_by(began, *dimensions)):
        at, *spenders = row[: len(SPENDERS) + 1]
        cost, *counts = (int(value) for value in row[len(SPENDERS) + 1 :])
        for key in window_keys({"at": at, **dict(zip(SPENDERS, spenders, strict=True))}, zone):
            kept = sums.setdefault(key, [0, 0])
            kept[0] += cost
            kept[1] += sum(counts)
    return sums
