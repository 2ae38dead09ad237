"""Steps of the ledger as statements of one transaction. It must not know who calls, nor files.

Writing the same steps again changes nothing, so a commit of unknown outcome is simply repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dragoman.language.wire import encode
from dragoman.store.facts import insert_of
from dragoman.store.ledger import crash_points
from dragoman.store.ledger.aggregates import add_up
from dragoman.store.ledger.model import Attempted, Final, Step
from dragoman.store.ledger.rows import Row, final_row, intent_row, reversal_row, step_data
from dragoman.store.schema import entries, intents, quarantine

Keys = Sequence[tuple[str, int]]

_FORGET = delete(intents).where(
    intents.c.call_id == bindparam("gone_call"), intents.c.attempt == bindparam("gone_attempt")
)
_NOTE = (
    update(intents)
    .where(intents.c.call_id == bindparam("noted_call"), intents.c.attempt == bindparam("noted_attempt"))
    .values(output_so_far=bindparam("noted_output"))
)
_RECOVERED = select(entries).where(
    entries.c.kind == "recovered", entries.c.call_id.in_(bindparam("calls", expanding=True))
)
_PRESENT = (
    select(entries.c.call_id, entries.c.attempt)
    .where(entries.c.call_id.in_(bindparam("calls", expanding=True)))
    .distinct()
)


@cache
def _opening(engine: str) -> Any:
    return insert_of(engine, intents).on_conflict_do_nothing()


@cache
def _booking(engine: str) -> Any:
    statement = insert_of(engine, entries).on_conflict_do_nothing(index_elements=("call_id", "attempt", "kind"))
    return statement.returning(entries.c.call_id, entries.c.attempt, entries.c.kind)


def write_steps(
    connection: Connection, steps: Sequence[Step], replica: str, *, late: bool = False, zone: tzinfo = UTC
) -> None:
    """Write them in one transaction. ``late``: they were put aside, so what they begin may have ended since.
    ``zone`` is that of budget windows.

    Raises Unbookable, and whatever the driver says of data it does not take.
    """
    finals: dict[tuple[str, int], Final] = {}
    opened: dict[tuple[str, int], Attempted] = {}
    for step in steps:
        if step.final is not None:
            finals.setdefault(step.final.key, step.final)
        if step.attempted is not None:
            opened.setdefault(step.attempted.key, step.attempted)
    rows = [final_row(final) for final in finals.values()]
    beginning = [key for key in opened if key not in finals]
    if late:
        over = present(connection, beginning)
        beginning = [key for key in beginning if key not in over]
    forget_intents(connection, sorted(finals))
    if beginning:
        connection.execute(_opening(connection.dialect.name), [intent_row(opened[key], replica) for key in beginning])
    crash_points.reach("between_delete_and_insert")
    if rows:
        add_up(connection, [*insert_entries(connection, rows), *_reversed(connection, sorted(finals))], zone)
    crash_points.reach("before_commit")


def insert_entries(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Insert entries; those that were there already stay. Returns the ones that are new."""
    if not rows:
        return []
    new = {tuple(row) for row in connection.execute(_booking(connection.dialect.name), list(rows))}
    return [row for row in rows if (row["call_id"], row["attempt"], row["kind"]) in new]


def _reversed(connection: Connection, keys: Keys) -> list[Row]:
    """Take back what was recovered of attempts whose end is known now. Returns the new rows."""
    wanted = set(keys)
    found = connection.execute(_RECOVERED, {"calls": [call_id for call_id, _ in keys]}).mappings()
    rows = [reversal_row(row) for row in found if (row["call_id"], row["attempt"]) in wanted]
    return insert_entries(connection, rows)


def forget_intents(connection: Connection, keys: Keys) -> None:
    """Delete the intents of these attempts, if there are any."""
    if keys:
        connection.execute(_FORGET, [{"gone_call": call_id, "gone_attempt": attempt} for call_id, attempt in keys])


def present(connection: Connection, keys: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which of these attempts have an entry."""
    wanted = set(keys)
    if not wanted:
        return set()
    found = connection.execute(_PRESENT, {"calls": [call_id for call_id, _ in wanted]})
    return wanted & {(row.call_id, row.attempt) for row in found}


def write_notes(connection: Connection, notes: Mapping[tuple[str, int], int]) -> None:
    """Write how much output open attempts have had so far."""
    if notes:
        rows = [
            {"noted_call": key[0], "noted_attempt": key[1], "noted_output": output}
            for key, output in sorted(notes.items())
        ]
        connection.execute(_NOTE, rows)


def set_aside(connection: Connection, row: str, why: str, at: int) -> None:
    """Keep what no table takes, for a person to look at."""
    connection.execute(insert(quarantine), [{"at": at, "row": row[:1_000_000], "why": why[:4_000]}])


def written_out(step: Step) -> str:
    """A step as text that every database takes."""
    data: dict[str, Any] = step_data(step)
    try:
        text = encode(data).decode("utf-8", "replace")
    except (TypeError, ValueError, OverflowError):
        text = repr(data)
    return text.replace("\x00", "\\u0000").encode("utf-8", "replace").decode()
