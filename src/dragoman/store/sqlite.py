"""SQLite: one file, one server, one writer, readers beside it. It must not know tables.

https://www.sqlite.org/wal.html
https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from dragoman.store.errors import Reason, StoreUnavailable
from dragoman.store.locks import LockFile
from dragoman.store.values import read_json, write_json

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

BUSY_SECONDS = 5.0
"""How long a transaction waits for another program that holds the file."""

_WRITING = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk when it returns
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "journal_size_limit=67108864",
)
_READING = ("temp_store=MEMORY", "query_only=ON")
_REASONS: dict[int, tuple[Reason, str]] = {
    sqlite3.SQLITE_BUSY: ("locked", "another program holds {file}"),
    sqlite3.SQLITE_LOCKED: ("locked", "another program holds {file}"),
    sqlite3.SQLITE_FULL: ("full", "the disk of {file} is full"),
    sqlite3.SQLITE_READONLY: ("read_only", "{file} cannot be written"),
    sqlite3.SQLITE_IOERR: ("broken", "the disk of {file} fails"),
    sqlite3.SQLITE_CORRUPT: ("broken", "{file} is damaged"),
    sqlite3.SQLITE_NOTADB: ("broken", "{file} is not a database"),
    sqlite3.SQLITE_CANTOPEN: ("broken", "{file} cannot be opened"),
    sqlite3.SQLITE_INTERRUPT: ("slow", "a query of {file} took too long"),
}


class SqliteDatabase:
    """A file, or memory without a ``path``. Writes stand in one queue, reads run beside them.

    ``beside`` opens a file that a server may be working on: it only reads, and takes no lock. Otherwise
    the file is made when it is not there, readable by its owner alone, and a second server is refused.
    Raises DatabaseInUse and StoreUnavailable.
    """

    kind = "sqlite"

    def __init__(
        self, path: Path | None, *, readers: int = 2, beside: bool = False, busy: float = BUSY_SECONDS
    ) -> None:
        self.path = path
        self._beside = beside
        self._lock = None if path is None or beside else _claimed(path)
        if path is not None and beside and not path.is_file():
            raise StoreUnavailable(f"there is no database {path}", reason="broken")
        self._writing = _memory_engine() if path is None else _file_engine(path, busy, reading=beside)
        self._reading = self._writing if path is None else _file_engine(path, busy, reading=True)
        self._writer = ThreadPoolExecutor(1, "store-writer")
        # Memory is one connection: whoever uses it waits for the others.
        self._readers = self._writer if path is None else ThreadPoolExecutor(readers, "store-reader")
        self._reporters = self._writer if path is None else ThreadPoolExecutor(1, "store-report")

    async def read(self, work: Work[Result]) -> Result:
        """Run it on one unchanging state."""
        return await self._run(self._readers, lambda: _worked(self._reading, work, "BEGIN"))

    async def report(self, work: Work[Result], *, seconds: float = 5.0) -> Result:
        """As ``read``, for what may take long: apart from other readers, and no longer than ``seconds``."""
        return await self._run(self._reporters, lambda: _worked(self._reading, _timed(work, seconds), "BEGIN"))

    async def write(self, work: Work[Result]) -> Result:
        """Run it in one transaction, on the disk when this returns."""
        return await self._run(self._writer, lambda: _worked(self._writing, work, "BEGIN IMMEDIATE"))

    async def alter(self, work: Work[Result]) -> Result:
        """As ``write``, for changes of tables: references are checked at the end instead of at each step."""
        return await self._run(self._writer, lambda: _altered(self._writing, work))

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[Connection]:
        """One transaction in the caller's hands and thread, committed at the end: for copies, not for a server."""
        begin = "BEGIN" if self._beside else "BEGIN IMMEDIATE"
        engine = self._reading if self._beside else self._writing
        with _said(engine), engine.connect() as connection:
            connection.exec_driver_sql(begin)
            yield connection
            connection.commit()

    async def save_copy(self, target: Path) -> None:
        """Write the whole database, as it is now, to a file: all of it, or the file stays as it was."""
        await self._run(self._writer, lambda: self._copied(target))

    async def close(self) -> None:
        """Wait for what runs, and let others have the file."""
        await asyncio.to_thread(self._shut)

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def _copied(self, target: Path) -> None:
        draft = target.with_name(f"{target.name}.part")
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with _said(self._writing), self._writing.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(draft),))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def _shut(self) -> None:
        for pool in (self._writer, self._readers, self._reporters):
            pool.shutdown()
        self._writing.dispose()
        self._reading.dispose()
        if self._lock is not None:
            self._lock.free()


def _claimed(path: Path) -> LockFile:
    """The lock of a file that is there, made where necessary, and belongs to its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = LockFile(path.with_name(path.name + ".lock"))
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StoreUnavailable(f"the database {path} cannot be opened: {why}", reason="read_only") from error
    with contextlib.suppress(OSError):  # a foreign owner, or a file system without modes
        path.chmod(0o600)
    return lock


def _engine(url: str, pragmas: tuple[str, ...], **options: Any) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, json_serializer=write_json, json_deserializer=read_json, **options
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # Transactions are begun by hand: the driver would begin them late.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _file_engine(path: Path, busy: float, *, reading: bool) -> Engine:
    waiting = f"busy_timeout={int(busy * 1000)}"
    return _engine(f"sqlite:///{path}", (waiting, *(_READING if reading else _WRITING)))


def _memory_engine() -> Engine:
    options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    return _engine("sqlite://", ("foreign_keys=ON",), **options)


def _worked(engine: Engine, work: Work[Result], begin: str) -> Result:
    with _said(engine), engine.connect() as connection:
        connection.exec_driver_sql(begin)
        result = work(connection)
        connection.commit()
        return result


def _altered(engine: Engine, work: Work[Result]) -> Result:
    """A table that is made anew is dropped first, which would delete whatever refers to its rows."""
    with _said(engine), engine.connect() as connection:
        _pragma(connection, "foreign_keys=OFF")
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            result = work(connection)
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise RuntimeError(f"a row of {broken[0]} would refer to nothing in {broken[2]}")
            connection.commit()
            return result
        finally:
            connection.rollback()
            _pragma(connection, "foreign_keys=ON")


def _pragma(connection: Connection, pragma: str) -> None:
    connection.exec_driver_sql(f"PRAGMA {pragma}")
    connection.rollback()


def _timed(work: Work[Result], seconds: float) -> Work[Result]:
    """The work, interrupted when its time is over."""

    def timed(connection: Connection) -> Result:
        end = time.monotonic() + seconds
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > end, 20_000)
        try:
            return work(connection)
        finally:
            driver.set_progress_handler(None, 0)

    return timed


@contextlib.contextmanager
def _said(engine: Engine) -> Iterator[None]:
    """What is the database's fault becomes StoreUnavailable; what is the statement's stays."""
    try:
        yield
    except DBAPIError as error:
        if (found := _REASONS.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)) is None:
            raise
        file = f"the file {engine.url.database}" if engine.url.database else "the database in memory"
        raise StoreUnavailable(found[1].format(file=file), reason=found[0]) from error
