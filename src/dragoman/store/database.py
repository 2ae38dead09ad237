"""One database, whichever it is: SQLite in one file and one process, or PostgreSQL.

Work is a plain function of a SQLAlchemy connection; ``read`` and ``write`` run it off the event loop in
one transaction. So a query is written once, without ``await``, and runs on both engines. It must not
know tables.

https://www.sqlite.org/wal.html
https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#running-synchronous-methods-and-functions-under-asyncio
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

Result = TypeVar("Result")
Work = Callable[[Connection], Result]


class StoreUnavailable(Exception):
    """The database cannot be reached or is locked; what was asked was not done."""


class Database(Protocol):
    """``kind`` is sqlite or postgresql. All methods raise StoreUnavailable."""

    @property
    def kind(self) -> str: ...
    async def read(self, work: Work[Result]) -> Result:
        """Run it in a transaction that changes nothing."""

    async def write(self, work: Work[Result]) -> Result:
        """Run it in one transaction, committed durably before this returns."""

    async def close(self) -> None: ...


def open_database(url: str) -> Database:
    """A database by URL: ``sqlite:///path/to/file`` (or a bare path), ``postgresql://user@host/name``."""
    if url.startswith(("postgresql:", "postgres:", "postgresql+")):
        return PostgresDatabase(url)
    return SqliteDatabase(Path(url.removeprefix("sqlite:///")))


class SqliteDatabase:
    """One writer thread with its own connection, and a few readers beside it."""

    kind = "sqlite"

    def __init__(self, path: Path, *, readers: int = 2) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = _sqlite_engine(path)
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(readers, "store-reader")

    async def read(self, work: Work[Result]) -> Result:
        return await self._run(self._readers, work)

    async def write(self, work: Work[Result]) -> Result:
        return await self._run(self._writer, work, immediate=True)

    async def close(self) -> None:
        await asyncio.to_thread(self._shut)

    async def _run(self, pool: ThreadPoolExecutor, work: Work[Result], *, immediate: bool = False) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, self._worked, work, immediate)

    def _worked(self, work: Work[Result], immediate: bool) -> Result:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
                result = work(connection)
                connection.commit()
                return result
        except OperationalError as error:
            raise StoreUnavailable(str(error.orig)) from error

    def _shut(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # Transactions are begun by hand: the driver would begin them late.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


class PostgresDatabase:
    """A bounded pool of connections."""

    kind = "postgresql"

    def __init__(self, url: str, *, connections: int = 6) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        address = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
        self._engine = create_async_engine(address, pool_size=connections, max_overflow=0, pool_pre_ping=True)

    async def read(self, work: Work[Result]) -> Result:
        return await self.write(work)

    async def write(self, work: Work[Result]) -> Result:
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    async def close(self) -> None:
        await self._engine.dispose()
