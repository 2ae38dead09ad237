"""Brings a database to the present schema, or refuses to touch it. It must not know what the tables mean.

All steps run in one transaction, so a database is never half way. On PostgreSQL an advisory lock lets one
of several starting replicas do the work while the others wait; a SQLite file is copied first.

Each step says which earlier schemas' releases still work on its result (``RUNS_ON``); the database keeps
that list, so that an older release knows whether it may go on beside a newer one, or has to refuse.

https://alembic.sqlalchemy.org/en/latest/api/runtime.html
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from dragoman.store.database import Database, SqliteDatabase
from dragoman.store.facts import read_fact, write_fact
from dragoman.store.schema import facts

FOLDER = Path(__file__).parent / "migrations"
VERSION_TABLE = "schema_version"
RUNS = "schema.runs"
"""The fact that names the present schema and then, by spaces, the older ones whose releases work on it."""

_LOCK = int.from_bytes(b"dragoman")


class SchemaTooNew(Exception):
    """The database was brought to a schema that this release does not know; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """``before`` is empty for a new database; ``copy`` is the file as it was before, where one was made."""

    before: str
    after: str
    copy: Path | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.before != self.after


@cache
def steps() -> tuple[str, ...]:
    """The known schemas, oldest first."""
    return tuple(reversed([step.revision for step in _scripts().walk_revisions()]))


def schema_of(connection: Connection) -> str:
    """The schema a database has; empty for a new one."""
    return _context(connection).get_current_revision() or ""


async def migrate(database: Database, *, to: str = "") -> Migrated:
    """Bring it to the newest schema, or ``to`` another one. Raises SchemaTooNew, StoreUnavailable.

    A newer schema is left alone when it says that this release works on it.
    """
    copy = await _saved(database, to or steps()[-1]) if isinstance(database, SqliteDatabase) else None
    done = await database.alter(lambda connection: migrated(connection, to=to))
    return replace(done, copy=copy)


def migrated(connection: Connection, *, to: str = "") -> Migrated:
    """The same within a transaction that the caller commits."""
    lock_schema(connection)
    before = schema_of(connection)
    if before and before not in steps():
        named, *runs = (read_fact(connection, RUNS) or "?").split()
        if named != before or steps()[-1] not in runs:
            raise SchemaTooNew(_too_new(before))
        return Migrated(before, before)
    target = to or steps()[-1]
    if before != target:
        _move(connection, before, target)
    return Migrated(before, target)


def lock_schema(connection: Connection) -> None:
    """Until the end of the transaction nobody else migrates. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})


def _too_new(schema: str) -> str:
    return (
        f"the database has schema {schema}, this release knows up to {steps()[-1]}:"
        " start the release that wrote it, or a newer one"
    )


async def _saved(database: SqliteDatabase, target: str) -> Path | None:
    """A copy beside the file, when there is something to lose; it takes the place of an older one."""
    before = await database.read(schema_of)
    if database.path is None or before not in steps() or before == target:
        return None
    copy = database.path.with_name(f"{database.path.name}.schema-{before}")
    await database.save_copy(copy)
    return copy


def _move(connection: Connection, before: str, target: str) -> None:
    def chosen(_revision: Any, _context: Any) -> Iterable[RevisionStep]:
        return _down(before, target) if before and before > target else _up(before, target)

    context = _context(connection, chosen)
    context.run_migrations(operations=Operations(context))
    if facts.name in _tables(connection):
        write_fact(connection, RUNS, " ".join(_running_on(target)))


def _up(before: str, target: str) -> Iterable[RevisionStep]:
    return _scripts()._upgrade_revs(target, before or None)  # type: ignore[arg-type]


def _down(before: str, target: str) -> Iterable[RevisionStep]:
    return _scripts()._downgrade_revs(target, before)


def _running_on(schema: str) -> Iterator[str]:
    """The schema, then the older ones whose releases work on it."""
    yield schema
    step = _scripts().get_revision(schema)
    yield from step.module.RUNS_ON if step is not None else ()


def _tables(connection: Connection) -> list[str]:
    return connection.dialect.get_table_names(connection)


def _context(connection: Connection, chosen: Any = None) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"fn": chosen, "version_table": VERSION_TABLE})


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER))
