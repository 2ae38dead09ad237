"""Copies every row of one database into another of the same schema, and proves that it did.

Tables and their types are read from the databases themselves, so that older schemas can be copied too.
Sums do not depend on the order of rows, nor on how an engine spells JSON. It must not know what tables mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Integer, MetaData, String, Table, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from dragoman.store.migrate import VERSION_TABLE

PASSING = frozenset({"leases", "sign_ins"})
"""Tables that say what runs now, which is true of one place and one time only."""

_BATCH = 500
_DIGEST = 1 << 256

Values = dict[str, Any]


class CopyFailed(Exception):
    """The copy is not the original, or cannot be made; nothing was changed."""


@dataclass(frozen=True, slots=True)
class TableSum:
    """``digest``: hexadecimal, the same for the same rows in any order. ``mended``: rows that had to be changed."""

    rows: int
    digest: str
    mended: int = 0

    def same(self, other: TableSum | None) -> bool:
        """Whether the rows are the same."""
        return other is not None and (self.rows, self.digest) == (other.rows, other.digest)


Sums = dict[str, TableSum]


def tables_of(connection: Connection) -> list[Table]:
    """The tables that hold what lasts, those that are referred to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    tables = [table for table in metadata.sorted_tables if table.name != VERSION_TABLE]
    return [table for table in tables if table.name not in PASSING and not table.name.startswith("backup_")]


def sums_of(connection: Connection) -> Sums:
    """Rows and digest of every table."""
    return {table.name: _sum_of(connection, table) for table in tables_of(connection)}


def copy_rows(source: Connection, target: Connection) -> Sums:
    """Replace all rows of the target by the source's; the sums of both, which are the same.

    The target's transaction is left open. Raises CopyFailed.
    """
    theirs = {table.name: table for table in tables_of(source)}
    ours = tables_of(target)
    if set(theirs) != {table.name for table in ours}:
        odd = ", ".join(sorted(set(theirs) ^ {table.name for table in ours}))
        raise CopyFailed(f"the databases do not have the same tables: {odd}")
    for table in reversed(ours):
        target.execute(table.delete())
    copied = {table.name: _copy(source, theirs[table.name], target, table) for table in ours}
    _carry_counters(source, target, ours)
    for name, found in sums_of(target).items():
        if not copied[name].same(found):
            raise CopyFailed(f"the copy of {name} is not the original: nothing was kept")
    return copied


def is_empty(connection: Connection) -> bool:
    """Whether there is nothing to lose: no rows but facts."""
    tables = [table for table in tables_of(connection) if table.name != "facts"]
    return all(connection.execute(select(table).limit(1)).first() is None for table in tables)


# ---------------------------------------------------------------- rows


def _copy(source: Connection, origin: Table, target: Connection, table: Table) -> TableSum:
    mend = _mender(target, table)
    tally = _Tally(table)
    later = _self_references(table)
    for rows in _batches(source, origin):
        batch = [mend(row) for row in rows]
        tally.add(batch, mended=sum(was != is_now for was, is_now in zip(rows, batch, strict=True)))
        _insert(target, table, [{**row, **dict.fromkeys(later)} for row in batch])
    for name in later:
        _refer(source, origin, target, table, name)
    return tally.sum


def _sum_of(connection: Connection, table: Table) -> TableSum:
    tally = _Tally(table)
    for rows in _batches(connection, table):
        tally.add(rows)
    return tally.sum


def _batches(connection: Connection, table: Table) -> Iterator[list[Values]]:
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=_BATCH)
    for rows in connection.execute(query).mappings().partitions():
        yield [dict(row) for row in rows]


def _insert(target: Connection, table: Table, rows: list[Values]) -> None:
    try:
        target.execute(table.insert(), rows)
    except DBAPIError as error:
        raise CopyFailed(f"the target refuses a row of {table.name}: {error.orig}") from error


def _self_references(table: Table) -> list[str]:
    """Columns that refer to rows of the same table, which may come later."""
    return [key.parent.name for key in table.foreign_keys if key.column.table is table]


def _refer(source: Connection, origin: Table, target: Connection, table: Table, name: str) -> None:
    column = origin.c[name]
    rows = source.execute(select(origin.c.id, column).where(column.is_not(None))).all()
    if rows:
        statement = table.update().where(table.c.id == bindparam("row_id")).values({name: bindparam("refers_to")})
        target.execute(statement, [{"row_id": row[0], "refers_to": row[1]} for row in rows])


# ---------------------------------------------------------------- sums


class _Tally:
    """Counts rows and adds up their digests."""

    def __init__(self, table: Table) -> None:
        self._names = sorted(column.name for column in table.columns)
        self._nested = [at for at, name in enumerate(self._names) if isinstance(table.c[name].type, JSON)]
        self._rows = self._mended = self._digest = 0

    def add(self, rows: list[Values], *, mended: int = 0) -> None:
        """Take a batch in."""
        for row in rows:
            self._digest += int.from_bytes(hashlib.sha256(self._line(row)).digest())
        self._rows += len(rows)
        self._mended += mended

    def _line(self, row: Values) -> bytes:
        values = [row[name] for name in self._names]
        for at in self._nested:
            values[at] = _plain(values[at])
        try:
            return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # a number of more than 64 bits
            return json.dumps(values, sort_keys=True).encode()

    @property
    def sum(self) -> TableSum:
        return TableSum(self._rows, f"{self._digest % _DIGEST:064x}", self._mended)


def _plain(value: Any) -> Any:
    """Numbers as both engines have them: JSONB does not tell 1e3 from 1000."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


# ---------------------------------------------------------------- what PostgreSQL is strict about


def _mender(target: Connection, table: Table) -> Callable[[Values], Values]:
    """Makes rows fit: SQLite keeps texts of any length, and NUL in them; PostgreSQL neither."""
    if target.dialect.name != "postgresql":
        return lambda row: row
    texts = [column for column in table.columns if isinstance(column.type, String | JSON)]
    limits = {column.name: getattr(column.type, "length", None) for column in texts}

    def mend(row: Values) -> Values:
        fitting = {name: _fitting(table.name, name, row[name], limit) for name, limit in limits.items()}
        return {**row, **fitting}

    return mend


def _fitting(table: str, name: str, value: Any, limit: int | None) -> Any:
    if limit is not None and value is not None and len(value) > limit:
        raise CopyFailed(f"{table}.{name} holds a text of {len(value)} characters; PostgreSQL takes {limit}")
    return _without_nul(value)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}") if "\x00" in value else value
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


# ---------------------------------------------------------------- numbers that were given


def _carry_counters(source: Connection, target: Connection, tables: list[Table]) -> None:
    """Ids are never given twice, not even those of rows that are gone: the ledger names them."""
    for table in tables:
        if "id" in table.c and isinstance(table.c.id.type, Integer):
            given = max(_given(source, table), target.execute(select(func.max(table.c.id))).scalar() or 0)
            if given:
                spend_ids(target, table, given)


def _given(source: Connection, table: Table) -> int:
    """The last id that was given, 0 when none was or nobody knows."""
    if source.dialect.name == "postgresql":
        query = "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence(:name, 'id') AS regclass))"
    else:
        query = "SELECT seq FROM sqlite_sequence WHERE name = :name"
    return int(source.execute(text(query), {"name": table.name}).scalar() or 0)


def spend_ids(target: Connection, table: Table, given: int) -> None:
    """Let new rows have ids after ``given``. Whoever inserts rows with ids of their own has to say so."""
    values = {"name": table.name, "given": given}
    if target.dialect.name == "postgresql":
        target.execute(text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :given)"), values)
        return
    changed = target.execute(text("UPDATE sqlite_sequence SET seq = :given WHERE name = :name"), values)
    if not changed.rowcount and table.name in _autoincremented(target):
        target.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :given)"), values)


def _autoincremented(target: Connection) -> set[str]:
    query = text("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'")
    return set(target.execute(query).scalars())
