"""What becomes of the calls of a process that is gone, and how others know that it is.

Every replica renews a lease, by the clock of the database. Intents of a replica without a valid lease
become ``recovered`` entries, charged by estimate; should the replica live after all, its own final entry
takes them back (``writing``). It must not know tasks or timers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, tzinfo
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, exists, func, select

from dragoman.store.facts import insert_into
from dragoman.store.ledger.aggregates import add_up
from dragoman.store.ledger.rows import Row, Unbookable, read_attempted, recovered_row
from dragoman.store.ledger.writing import forget_intents, insert_entries, present, set_aside
from dragoman.store.schema import intents, leases

SOME = 500
"""Intents that are recovered in one transaction."""

FOR_EVER = 2**62
_OLD = 24 * 3600 * 1_000_000


def database_now(connection: Connection, clock: Callable[[], int]) -> int:
    """Microseconds since 1970 by the database's clock; SQLite has none but ours."""
    if connection.dialect.name == "sqlite":
        return clock()
    seconds = func.extract("epoch", func.clock_timestamp())
    return int(connection.execute(select(cast(func.floor(seconds * 1_000_000), BigInteger))).scalar_one())


def renew(connection: Connection, replica: str, until: int) -> None:
    """The replica lives, at least until then."""
    statement = insert_into(connection, leases)
    statement = statement.on_conflict_do_update(index_elements=("replica",), set_={"until": statement.excluded.until})
    connection.execute(statement, [{"replica": replica, "until": until}])


def renew_alone(connection: Connection, replica: str) -> None:
    """The replica is the only one there can be: nobody else's lease is worth anything."""
    connection.execute(delete(leases))
    renew(connection, replica, FOR_EVER)


def give_up(connection: Connection, replica: str, now: int) -> None:
    """The replica ends: what it leaves open, if anything, is for others at once."""
    own = exists(select(intents.c.call_id).where(intents.c.replica == replica))
    if connection.execute(select(own)).scalar_one():
        renew(connection, replica, now - 1)
    else:
        connection.execute(delete(leases).where(leases.c.replica == replica))


def forget_leases(connection: Connection, now: int) -> None:
    """Remove leases that ran out long ago and have no intents."""
    used = exists(select(intents.c.call_id).where(intents.c.replica == leases.c.replica))
    connection.execute(delete(leases).where(leases.c.until < now - _OLD, ~used))


def recover_some(connection: Connection, replica: str, now: int, zone: tzinfo = UTC) -> int:
    """Book some intents of replicas that are gone; returns how many, 0 when none are left.

    On PostgreSQL every replica may do it: rows that another one has in hand are passed over.
    """
    living = exists(select(leases.c.replica).where(leases.c.replica == intents.c.replica, leases.c.until >= now))
    return _book(connection, (intents.c.replica != replica) & ~living, now, zone)


def left_behind(connection: Connection, replica: str) -> set[tuple[str, int]]:
    """The attempts of a replica that are open in the tables."""
    query = select(intents.c.call_id, intents.c.attempt).where(intents.c.replica == replica)
    return {(row.call_id, row.attempt) for row in connection.execute(query)}


def recover_these(
    connection: Connection, replica: str, keys: Collection[tuple[str, int]], now: int, zone: tzinfo = UTC
) -> int:
    """Book intents of a replica that it knows nothing of any more; returns how many."""
    calls = [call_id for call_id, _ in sorted(keys)[:SOME]]
    return _book(connection, (intents.c.replica == replica) & intents.c.call_id.in_(calls), now, zone, keys)


def _book(
    connection: Connection,
    which: ColumnElement[bool],
    now: int,
    zone: tzinfo,
    keys: Collection[tuple[str, int]] | None = None,
) -> int:
    query = select(intents).where(which)
    query = query.order_by(intents.c.call_id, intents.c.attempt).limit(SOME).with_for_update(skip_locked=True)
    found = [dict(row) for row in connection.execute(query).mappings()]
    if keys is not None:
        found = [row for row in found if (row["call_id"], row["attempt"]) in keys]
    if not found:
        return 0
    gone = [(row["call_id"], row["attempt"]) for row in found]
    forget_intents(connection, gone)
    over = present(connection, gone)
    rows = [row for intent in found if (intent["call_id"], intent["attempt"]) not in over
            for row in _recovered(connection, intent, now)]  # fmt: skip
    add_up(connection, insert_entries(connection, rows), zone)
    return len(found)


def _recovered(connection: Connection, intent: dict[str, Any], now: int) -> list[Row]:
    try:
        return [recovered_row(read_attempted(intent["facts"]), intent["output_so_far"])]
    except Unbookable as error:
        set_aside(connection, repr(intent), str(error), now)
        return []
