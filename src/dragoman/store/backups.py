"""Backups, and the move from one engine to the other.

A backup is a SQLite database in one file, whichever engine it was taken from, with a manifest in a table of
its own: schema, rows and digest of every table. It is taken from one unchanging state while the server
works, and does not hold the installation's secret. A restore takes the place of what is there, which is
kept beside it. It must not know what the tables mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.util import greenlet_spawn

from dragoman import __version__
from dragoman.store.copying import CopyFailed, Sums, TableSum, copy_rows, is_empty, sums_of
from dragoman.store.database import is_postgres, open_postgres, sqlite_path
from dragoman.store.errors import DatabaseInUse
from dragoman.store.locks import LockFile
from dragoman.store.migrate import SchemaTooNew, lock_schema, migrated, schema_of, steps
from dragoman.store.sqlite import SqliteDatabase

FORMAT = 1
MANIFEST = "backup_manifest"

_BESIDE = ("", "-wal", "-shm")
"""What belongs to a SQLite database: its file, and what follows the same name."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``made_at`` is UTC, ``engine`` where it was taken."""

    schema: str
    engine: str
    made_at: str
    version: str
    tables: Sums


@dataclass(frozen=True, slots=True)
class Restored:
    """``kept`` is where the former content went; None when there was none."""

    manifest: Manifest
    kept: Path | None = None


async def back_up(url: str, file: Path) -> Manifest:
    """Write a backup into a new file. Raises CopyFailed, SchemaTooNew, StoreUnavailable."""
    _refuse_taken(file)
    draft = file.with_name(f"{file.name}.part")
    _remove(draft)
    try:
        manifest = await _taken(url, draft)
        _settle(draft)
        draft.replace(file)
    finally:
        _remove(draft)
    return manifest


async def check_backup(file: Path) -> Manifest:
    """The manifest of a backup that is whole and that this release understands.

    Raises CopyFailed, SchemaTooNew, StoreUnavailable.
    """
    async with _end(f"sqlite:///{file}", beside=True) as connection:
        manifest = _read_manifest(connection, file)
        if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
            raise CopyFailed(f"{file} is damaged")
        found = sums_of(connection)
    for name in manifest.tables.keys() | found.keys():
        if name not in manifest.tables or not manifest.tables[name].same(found.get(name)):
            raise CopyFailed(f"{file} is damaged: {name} is not what its manifest says")
    return manifest


async def restore(file: Path, url: str, *, dry_run: bool = False) -> Restored:
    """Put a backup in the place of what is there. ``dry_run`` checks everything and changes nothing.

    Raises DatabaseInUse for a running server, CopyFailed, SchemaTooNew, StoreUnavailable.
    """
    manifest = await check_backup(file)
    if is_postgres(url):
        return Restored(manifest, await _restore_postgres(file, url, dry_run=dry_run))
    path = sqlite_path(url)
    if path is None:
        raise CopyFailed("a database in memory cannot be restored")
    return Restored(manifest, await _restore_sqlite(file, path, dry_run=dry_run))


async def copy_database(source: str, target: str) -> Sums:
    """Copy everything into an empty database of either engine; the sums of both.

    Raises DatabaseInUse, CopyFailed, SchemaTooNew, StoreUnavailable.
    """
    async with _end(source, beside=True) as origin, _end(target) as goal:
        return await _work(lambda: _copied(origin, goal), origin, goal)


def is_running(url: str) -> bool:
    """Whether a server works on a SQLite file. PostgreSQL is asked in the transaction that needs to know."""
    path = None if is_postgres(url) else sqlite_path(url)
    if path is None or not path.exists():
        return False
    try:
        LockFile(path.with_name(path.name + ".lock")).free()
    except (DatabaseInUse, OSError):
        return True
    return False


def _copied(origin: Connection, goal: Connection) -> Sums:
    refuse_running(goal)
    schema = _known_schema(origin)
    if schema_of(goal) and not is_empty(goal):
        raise CopyFailed("the target holds data already: choose an empty one")
    migrated(goal, to=schema)
    return copy_rows(origin, goal)


def refuse_running(connection: Connection) -> None:
    """Raise DatabaseInUse while a replica's lease holds, by the database's clock."""
    if connection.dialect.name != "postgresql" or not schema_of(connection):
        return
    query = "SELECT replica FROM leases WHERE until > extract(epoch FROM clock_timestamp()) * 1000000"
    if replicas := connection.execute(text(query)).scalars().all():
        raise DatabaseInUse(f"servers work on the database ({', '.join(replicas)}): stop them first")


def _known_schema(connection: Connection) -> str:
    schema = schema_of(connection)
    if not schema:
        raise CopyFailed("the source is not a database of ours, or an empty one")
    if schema not in steps():
        raise SchemaTooNew(f"the source has schema {schema}, this release knows up to {steps()[-1]}")
    return schema


# ---------------------------------------------------------------- taking


def _refuse_taken(file: Path) -> None:
    if file.exists():
        raise CopyFailed(f"{file} exists already")
    if not file.parent.is_dir():
        raise CopyFailed(f"there is no folder {file.parent}")


async def _taken(url: str, draft: Path) -> Manifest:
    async with _end(url, beside=True) as origin, _end(f"sqlite:///{draft}") as goal:
        return await _work(lambda: _filled(origin, goal), origin, goal)


def _filled(origin: Connection, goal: Connection) -> Manifest:
    schema = _known_schema(origin)
    migrated(goal, to=schema)
    sums = copy_rows(origin, goal)
    made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    manifest = Manifest(schema, origin.dialect.name, made_at, __version__, sums)
    goal.execute(text(f"CREATE TABLE {MANIFEST} (value TEXT NOT NULL)"))
    value = json.dumps({"format": FORMAT, **asdict(manifest)})
    goal.execute(text(f"INSERT INTO {MANIFEST} VALUES (:value)"), {"value": value})  # noqa: S608
    return manifest


def _read_manifest(connection: Connection, file: Path) -> Manifest:
    if MANIFEST not in connection.dialect.get_table_names(connection):
        raise CopyFailed(f"{file} is not a backup of ours")
    said = json.loads(connection.execute(text(f"SELECT value FROM {MANIFEST}")).scalar_one())  # noqa: S608
    if said.pop("format") != FORMAT or said["schema"] not in steps():
        raise SchemaTooNew(
            f"{file} was written by release {said['version']} with schema {said['schema']},"
            f" this release knows up to {steps()[-1]}"
        )
    said["tables"] = {name: TableSum(**one) for name, one in said["tables"].items()}
    return Manifest(**said)


def _settle(draft: Path) -> None:
    """One file, without a journal beside it, on the disk."""
    with contextlib.closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    with draft.open("rb") as written:
        os.fsync(written.fileno())


def _remove(draft: Path) -> None:
    for end in (*_BESIDE, ".lock"):
        draft.with_name(draft.name + end).unlink(missing_ok=True)


# ---------------------------------------------------------------- restoring


async def _restore_sqlite(file: Path, path: Path, *, dry_run: bool) -> Path | None:
    if dry_run:
        if is_running(f"sqlite:///{path}"):
            raise DatabaseInUse(f"a server works on {path}: stop it first")
        with tempfile.TemporaryDirectory() as folder:
            await _unpack(file, Path(folder, "database"))
        return None
    with _place_of(path) as draft:
        await _unpack(file, draft)
        return _swap(draft, path)


@contextlib.contextmanager
def _place_of(path: Path) -> Iterator[Path]:
    """A draft beside the database, which no server has or gets meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = LockFile(path.with_name(path.name + ".lock"))
    draft = path.with_name(f"{path.name}.restoring")
    _remove(draft)
    try:
        yield draft
    finally:
        _remove(draft)
        lock.free()


async def _unpack(file: Path, draft: Path) -> None:
    """A database of the present schema, made of a backup."""
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    shutil.copyfile(file, draft)
    database = SqliteDatabase(draft)
    try:
        await database.alter(_made_ours)
    finally:
        await database.close()
    _settle(draft)


def _made_ours(connection: Connection) -> None:
    connection.execute(text(f"DROP TABLE {MANIFEST}"))
    migrated(connection)


def _swap(draft: Path, path: Path) -> Path | None:
    """What was there goes aside with its journal, which would otherwise be played into the new file."""
    kept = path.with_name(f"{path.name}.before-restore.{_stamp()}") if path.exists() else None
    if kept is not None:
        for end in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + end).replace(kept.with_name(kept.name + end))
    draft.replace(path)
    return kept


async def _restore_postgres(file: Path, url: str, *, dry_run: bool) -> Path | None:
    kept = None
    if not dry_run and await _at_stake(url):
        kept = file.with_name(f"before-restore.{_stamp()}.backup")
        await back_up(url, kept)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, "database")
        await _unpack(file, draft)
        async with _end(f"sqlite:///{draft}", beside=True) as origin, _end(url) as goal:
            await _work(lambda: _replaced(origin, goal, dry_run=dry_run), origin, goal)
    return kept


async def _at_stake(url: str) -> bool:
    """Whether there is something to save first. Raises DatabaseInUse, before anything is written."""
    async with _end(url, beside=True) as connection:
        await _work(lambda: refuse_running(connection), connection)
        return await _work(lambda: bool(schema_of(connection)) and not is_empty(connection), connection)


def _replaced(origin: Connection, goal: Connection, *, dry_run: bool) -> None:
    lock_schema(goal)
    refuse_running(goal)
    migrated(goal)
    copy_rows(origin, goal)
    if dry_run:
        goal.rollback()


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime())


# ---------------------------------------------------------------- either engine


@contextlib.asynccontextmanager
async def _end(url: str, *, beside: bool = False) -> AsyncIterator[Connection]:
    """One transaction, committed at the end; its connection is used within ``_work``."""
    if is_postgres(url):
        postgres = open_postgres(url, connections=1)
        try:
            async with postgres.hold() as connection:
                yield connection
        finally:
            await postgres.close()
        return
    database = SqliteDatabase(sqlite_path(url), beside=beside)
    try:
        async with database.hold() as connection:
            yield connection
    finally:
        await database.close()


async def _work(work: Callable[[], Result], *connections: Connection) -> Result:
    """Run it where connections of both engines work. SQLite alone does without the extra of the other."""
    if all(connection.dialect.name == "sqlite" for connection in connections):
        return work()
    return await greenlet_spawn(work)
