"""One database, whichever it is: SQLite in one file and one server, or PostgreSQL.

Work is a plain function of a SQLAlchemy connection; ``read`` and ``write`` run it off the event loop in
one transaction. So a query is written once, without ``await``, and runs on both engines. It must not
know tables.

https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#running-synchronous-methods-and-functions-under-asyncio
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import Connection

from dragoman.settings.errors import ConfigError, extra
from dragoman.store.errors import DatabaseInUse, StoreUnavailable
from dragoman.store.sqlite import SqliteDatabase

if TYPE_CHECKING:
    from dragoman.store.postgres import PostgresDatabase

Result = TypeVar("Result")
Work = Callable[[Connection], Result]


class Database(Protocol):
    """``kind`` is sqlite or postgresql.

    All methods raise StoreUnavailable for what is the database's fault, and SQLAlchemy's errors for what is
    the statement's. Work may be run twice when a connection ends in the middle, so it must leave no traces
    outside its transaction. Cancelling ``write`` on SQLite does not stop what has begun.
    """

    @property
    def kind(self) -> str: ...
    async def read(self, work: Work[Result]) -> Result:
        """Run it in a transaction that changes nothing."""

    async def report(self, work: Work[Result], *, seconds: float = 5.0) -> Result:
        """As ``read``, for what may take long: apart from other readers, and no longer than ``seconds``."""

    async def write(self, work: Work[Result]) -> Result:
        """Run it in one transaction, committed durably before this returns."""

    async def alter(self, work: Work[Result]) -> Result:
        """As ``write``, without a limit of time: for changes of tables."""

    async def close(self) -> None: ...


def is_postgres(url: str) -> bool:
    """Whether it names a PostgreSQL database."""
    return url.startswith(("postgresql:", "postgres:", "postgresql+"))


def sqlite_path(url: str) -> Path | None:
    """The file that ``sqlite:///path/to/file`` or a bare path names; None for memory (``sqlite://``).

    Raises ConfigError for the address of something else, which would make a strange folder.
    """
    name = url.removeprefix("sqlite://").removeprefix("/") if url.startswith("sqlite://") else url
    if "://" in name:
        scheme = name.partition("://")[0]
        raise ConfigError(f"{scheme}:// is no database here: name a file, a folder or postgresql://user@host/name")
    return None if name in ("", ":memory:") else Path(name).expanduser()


def open_database(url: str, *, beside: bool = False) -> Database:
    """A database by URL: ``sqlite:///path/to/file`` (or a bare path), ``postgresql://user@host/name``.

    ``beside`` opens a SQLite file for reading only, also while a server works on it. Raises ConfigError,
    DatabaseInUse and StoreUnavailable; PostgreSQL is not asked before the first query.
    """
    if is_postgres(url):
        return open_postgres(url)
    return SqliteDatabase(sqlite_path(url), beside=beside)


def check_address(url: str) -> None:
    """Raises ConfigError for an address that ``open_database`` would not take. Nothing is opened."""
    if is_postgres(url):
        open_postgres(url)
    else:
        sqlite_path(url)


def open_postgres(url: str, *, connections: int = 6) -> PostgresDatabase:
    """PostgreSQL, whose driver is an extra. Raises ConfigError without it, and for an address that is none."""
    with extra("postgres", "PostgreSQL"):
        from dragoman.store.postgres import PostgresDatabase

        return PostgresDatabase(url, connections=connections)


__all__ = [
    "Database",
    "DatabaseInUse",
    "SqliteDatabase",
    "StoreUnavailable",
    "Work",
    "check_address",
    "is_postgres",
    "open_database",
    "open_postgres",
    "sqlite_path",
]
