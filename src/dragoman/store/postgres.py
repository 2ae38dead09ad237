"""PostgreSQL: truth shared by equal replicas, each with a few connections. It must not know tables.

https://magicstack.github.io/asyncpg/current/api/index.html#asyncpg.connection.connect
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dragoman.settings.errors import ConfigError
from dragoman.store.errors import Reason, StoreUnavailable
from dragoman.store.values import read_json, write_json

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

CONNECT_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
"""How long one transaction may take, reaching the server included. Migrations have no limit."""

_REASONS: dict[str, tuple[Reason, str]] = {
    "08": ("lost", "the connection to the database ended"),
    "28": ("refused", "the database refuses our user or password"),
    "3D": ("refused", "there is no database of this name"),
    "53100": ("full", "the database has no space left"),
    "53": ("crowded", "the database has no room for another connection"),
    "40": ("contended", "two transactions were in one another's way"),
    "55P03": ("contended", "another transaction holds what is needed"),
    "57014": ("slow", "the query took too long"),
    "57P03": ("unreachable", "the database is starting or stopping"),
    "57P": ("lost", "the database ended the connection"),
    "25006": ("read_only", "the database can only be read"),
}


_SSL = "disable|allow|prefer|require|verify-ca|verify-full"
_OPTIONS = {
    "host": ".+",
    "port": r"\d+",
    "sslmode": _SSL,
    "ssl": _SSL,
    "application_name": ".+",
    "statement_cache_size": r"\d+",
    "passfile": ".+",
    "service": ".+",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
}
"""What may stand behind the address, and how it is written. The driver would fail on anything else."""


@dataclass(slots=True)
class _Stage:
    """How far a transaction came: from here on nobody knows whether it was committed."""

    committing: bool = False


class PostgresDatabase:
    """A bounded pool of connections, and a smaller one for reports.

    The address may carry ``host`` (a folder: its Unix socket), ``sslmode``, ``application_name``, and
    ``statement_cache_size=0`` for a pooler in transaction mode. Work that meets a dead connection is run
    once more on a new one, so it must not leave traces outside the transaction. Raises ConfigError for an
    address that is none.
    """

    kind = "postgresql"

    def __init__(self, url: str, *, connections: int = 6, patience: float = PATIENCE_SECONDS) -> None:
        self.url = postgres_address(url)
        self._patience = patience
        self._engine = _engine(self.url, connections)
        self._reading = self._engine.execution_options(postgresql_readonly=True)
        self._reporting = _engine(self.url, 2).execution_options(postgresql_readonly=True)

    async def read(self, work: Work[Result]) -> Result:
        """Run it in a transaction that changes nothing."""
        return await self._run(self._reading, work, self._patience)

    async def report(self, work: Work[Result], *, seconds: float = 5.0) -> Result:
        """As ``read``, for what may take long: apart from other readers, and no longer than ``seconds``."""

        def timed(connection: Connection) -> Result:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            return work(connection)

        return await self._run(self._reporting, timed, CONNECT_SECONDS + seconds * 2)

    async def write(self, work: Work[Result]) -> Result:
        """Run it in one transaction, committed durably before this returns."""
        return await self._run(self._engine, work, self._patience)

    async def alter(self, work: Work[Result]) -> Result:
        """As ``write``, without a limit of time: for changes of tables."""
        return await self._run(self._engine, work, None)

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[Connection]:
        """One transaction on one unchanging state, in the caller's hands, committed at the end: for copies.

        The connection only works inside ``greenlet_spawn``.
        """
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                assert connection.sync_connection is not None
                yield connection.sync_connection
                await connection.commit()
        except (DBAPIError, PoolTimeout, OSError) as error:
            if (said := _unavailable(error, uncertain=False)) is None:
                raise
            raise said from error

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()
        await self._reporting.dispose()

    async def _run(self, engine: AsyncEngine, work: Work[Result], seconds: float | None) -> Result:
        stage = _Stage()
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await _once(engine, work, stage)
                except StoreUnavailable as error:
                    if error.reason != "lost" or error.uncertain:
                        raise
                return await _once(engine, work, stage)
        except TimeoutError as error:
            message = "the database does not answer in time"
            raise StoreUnavailable(message, reason="slow", uncertain=stage.committing) from error


async def _once(engine: AsyncEngine, work: Work[Result], stage: _Stage) -> Result:
    try:
        async with engine.connect() as connection:
            result = await connection.run_sync(work)
            stage.committing = True
            await connection.commit()
            stage.committing = False
            return result
    except (DBAPIError, PoolTimeout, OSError) as error:
        if (said := _unavailable(error, uncertain=stage.committing)) is None:
            raise
        raise said from error


def _unavailable(error: DBAPIError | PoolTimeout | OSError, *, uncertain: bool) -> StoreUnavailable | None:
    """What is the database's fault; None for what is the statement's."""
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("all connections to the database are busy", reason="crowded")
    if isinstance(error, OSError):
        why = error.strerror or type(error).__name__
        return StoreUnavailable(f"the database cannot be reached: {why}", uncertain=uncertain)
    state = getattr(error.orig, "sqlstate", None) or ""
    for length in (5, 3, 2):
        if (found := _REASONS.get(state[:length])) is not None and len(state) >= length:
            sure = found[0] in ("contended", "slow", "full")  # the server lives and says that it did not
            return StoreUnavailable(found[1], reason=found[0], uncertain=uncertain and not sure)
    if error.connection_invalidated:
        return StoreUnavailable("the connection to the database ended", reason="lost", uncertain=uncertain)
    return None


def postgres_address(url: str) -> URL:
    """The address for the driver, of what people write: ``postgres://``, ``postgresql://``, with libpq's options.

    Raises ConfigError, which does not echo the address: it may hold a password.
    """
    try:
        address = make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
    except (ArgumentError, ValueError):
        raise ConfigError("the database's address should look like postgresql://user@host:5432/name") from None
    for option, value in address.query.items():
        if option not in _OPTIONS:
            raise ConfigError(f"the database's address: {option!r} is not one of {', '.join(_OPTIONS)}")
        if not re.fullmatch(_OPTIONS[option], str(value)):
            raise ConfigError(f"the database's address: {option} cannot be {str(value)!r}")
    if (mode := address.query.get("sslmode")) is not None:
        address = address.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return address


def _engine(address: URL, connections: int) -> AsyncEngine:
    options: dict[str, Any] = {"timeout": CONNECT_SECONDS}
    options["server_settings"] = {"application_name": str(address.query.get("application_name", "dragoman"))}
    if (cache := address.query.get("statement_cache_size")) is not None:
        options["statement_cache_size"] = int(str(cache))
        options["prepared_statement_cache_size"] = int(str(cache))
        # A pooler lends one connection to many: their statements may not share names.
        options["prepared_statement_name_func"] = lambda: f"__dragoman_{uuid4().hex}__"
    engine = create_async_engine(
        address.difference_update_query(["application_name", "statement_cache_size"]),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        hide_parameters=True,
        connect_args=options,
        json_serializer=write_json,
        json_deserializer=read_json,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead)
    return engine


def _refuse_dead(_connection: Any, record: Any, _proxy: Any) -> None:
    """A connection that the server closed is replaced before it is used, which costs no message."""
    if record.driver_connection.is_closed():
        raise DisconnectionError
