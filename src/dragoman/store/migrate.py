"""Brings a database to the present schema, or refuses to touch it. It must not know what the tables mean.

All steps run in one transaction, so a database is never half way. On PostgreSQL an advisory lock lets one
of several starting replicas do the work while the others wait; a SQLite file is copied first.

Each step says which earlier schemas' releases still work on its result (``RUNS_ON``); the database keeps
that list, so that an older release knows whether it may go on beside a newer one, or has to refuse.

https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from dragoman.store.database import Database, SqliteDatabase
from dragoman.store.errors import StoreUnavailable
from dragoman.store.facts import read_fact, write_fact
from dragoman.store.schema import facts

FOLDER = Path(__file__).parent / "migrations"
VERSION_TABLE = "schema_version"
RUNS = "schema.runs"
"""The fact that names the present schema and then, by spaces, the older ones whose releases work on it."""

_LOCK = int.from_bytes(b"dragoman")


class SchemaUnusable(Exception):
    """The database cannot be brought to our schema; nothing was changed."""


class SchemaTooNew(SchemaUnusable):
    """It was brought to a schema that this release does not know."""


class StepFailed(SchemaUnusable):
    """A step could not be done. ``step`` is the schema it leads to, or comes from when going down."""

    def __init__(self, step: str, why: str, copy: Path | None) -> None:
        kept = f", and a copy of it is {copy}" if copy is not None else ""
        super().__init__(f"step {step} of the database's schema failed ({why}): the database is as it was{kept}")
        self.step = step


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
    """The known schemas, oldest first, by the names of their files."""
    return tuple(sorted(path.name[1:5] for path in (FOLDER / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py")))


def schema_of(connection: Connection) -> str:
    """The schema a database has; empty for a new one."""
    if VERSION_TABLE not in _tables(connection):
        return ""
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or ""  # noqa: S608


async def migrate(database: Database, *, to: str = "") -> Migrated:
    """Bring it to the newest schema, or ``to`` another one. Raises SchemaTooNew, StepFailed, StoreUnavailable.

    A newer schema is left alone when it says that this release works on it.
    """
    copy = await _saved(database, to or steps()[-1]) if isinstance(database, SqliteDatabase) else None
    begun: list[str] = []
    try:
        done = await database.alter(lambda connection: migrated(connection, to=to, told=begun.append))
    except (SchemaUnusable, StoreUnavailable):
        raise
    except Exception as error:
        if not begun:
            raise
        raise StepFailed(begun[-1], _first_line(error), copy) from error
    return replace(done, copy=copy)


def migrated(connection: Connection, *, to: str = "", told: Callable[[str], None] = lambda _step: None) -> Migrated:
    """The same within a transaction that the caller commits; ``told`` hears of each step before it is done."""
    lock_schema(connection)
    before = schema_of(connection)
    if before and before not in steps():
        named, *runs = (read_fact(connection, RUNS) or "?").split()
        if named != before or steps()[-1] not in runs:
            raise SchemaTooNew(_too_new(before))
        return Migrated(before, before)
    target = to or steps()[-1]
    if before != target:
        _move(connection, before, target, told)
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


def _move(connection: Connection, before: str, target: str, told: Callable[[str], None]) -> None:
    from dragoman.store.moves import move, running_on  # what runs steps takes long to load, and few starts have one

    move(connection, before, target, folder=FOLDER, table=VERSION_TABLE, told=told)
    if facts.name in _tables(connection):
        write_fact(connection, RUNS, " ".join(running_on(target, FOLDER)))


def _tables(connection: Connection) -> list[str]:
    return connection.dialect.get_table_names(connection)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
