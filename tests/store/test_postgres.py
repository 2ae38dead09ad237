"""What is particular to PostgreSQL: connections that end, and a server that has the last word."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from dragoman.store.errors import StoreUnavailable
from dragoman.store.facts import read_fact, write_fact
from dragoman.store.postgres import PostgresDatabase, postgres_address
from tests.patience import SOON
from tests.store.engines import Postgres, run_apart
from tests.store.proxy import Proxy

END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    made = run_apart(postgres.make())
    yield made
    run_apart(postgres.drop(made))


@pytest.fixture
async def server(url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(url, connections=2)
    yield database
    await database.close()


@pytest.fixture
async def proxy(postgres: Postgres) -> AsyncIterator[Proxy]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        async with Proxy(postgres.folder, Path(folder)) as made:
            yield made


def _through(proxy: Proxy, url: str, **options: Any) -> PostgresDatabase:
    return PostgresDatabase(f"{url.split('?')[0]}?host={proxy.folder}", connections=2, **options)


def _write(connection: Connection) -> None:
    write_fact(connection, "a", "1")


async def _reason(database: PostgresDatabase) -> str:
    with pytest.raises(StoreUnavailable) as error:
        await database.write(_write)
    await database.close()
    assert not error.value.uncertain
    return error.value.reason


async def test_D2_ended_connections_are_replaced(server: PostgresDatabase, postgres: Postgres) -> None:
    await asyncio.gather(server.write(_write), server.read(lambda c: read_fact(c, "a")))
    await postgres.run(END_ALL.format(server.url.database))
    for _ in range(4):
        assert await server.read(lambda connection: read_fact(connection, "a")) == "1"
        await server.write(_write)


async def test_D2_work_is_run_again_when_its_connection_ends(server: PostgresDatabase) -> None:
    tries = 0

    def work(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        write_fact(connection, "tries", str(tries))
        if tries == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await server.write(work)
    assert await server.read(lambda connection: read_fact(connection, "tries")) == "2"


async def test_D2_an_unknown_end_of_a_commit_is_said(url: str, proxy: Proxy) -> None:
    database = _through(proxy, url)
    await database.write(lambda connection: write_fact(connection, "b", "1"))
    proxy.cut_after = b"COMMIT"
    with pytest.raises(StoreUnavailable) as error:
        await database.write(_write)
    assert error.value.uncertain
    proxy.cut_after = b""
    assert await database.read(lambda connection: read_fact(connection, "a")) == "1"
    await database.close()


async def test_D2_a_silent_network_is_given_up(url: str, proxy: Proxy) -> None:
    database = _through(proxy, url, patience=0.5)
    await database.write(_write)
    proxy.silent = True
    before = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailable) as error:
        await database.write(_write)
    assert error.value.reason == "slow"
    assert asyncio.get_running_loop().time() - before < SOON
    proxy.silent = False
    assert await database.read(lambda connection: read_fact(connection, "a")) == "1"
    await database.close()


async def test_D2_too_many_connections(url: str, postgres: Postgres) -> None:
    name = PostgresDatabase(url).url.database
    await postgres.run(
        "DO $$ BEGIN CREATE ROLE visitor LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER DATABASE {name} CONNECTION LIMIT 0",
    )
    assert await _reason(PostgresDatabase(url.replace("postgres@", "visitor@"))) == "crowded"


async def test_D2_nobody_listens(tmp_path: Path) -> None:
    assert await _reason(PostgresDatabase(f"postgresql://postgres@/x?host={tmp_path}")) == "unreachable"
    assert await _reason(PostgresDatabase("postgresql://postgres@127.0.0.1:9/x")) == "unreachable"


async def test_an_unknown_name_is_said(postgres: Postgres, url: str) -> None:
    assert await _reason(PostgresDatabase(postgres.url("nothing"))) == "refused"
    assert await _reason(PostgresDatabase(url.replace("postgres@", "nobody@"))) == "refused"


async def test_a_deadlock_is_one_sides_loss(server: PostgresDatabase) -> None:
    def both(first: str, second: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            write_fact(connection, first, "1")
            connection.execute(text("SELECT pg_sleep(0.3)"))
            write_fact(connection, second, "1")

        return work

    turns = [server.write(both("a", "b")), server.write(both("b", "a"))]
    found = [one for one in await asyncio.gather(*turns, return_exceptions=True) if one is not None]
    assert [getattr(one, "reason", one) for one in found] == ["contended"]


async def test_K10_the_pool_is_bounded_and_its_connections_are_used_again(url: str) -> None:
    database = PostgresDatabase(url, connections=3)
    seen: set[int] = set()

    def look(connection: Connection) -> None:
        seen.add(int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()))

    for _ in range(3):
        await asyncio.gather(*(database.read(look) for _ in range(40)), *(database.write(look) for _ in range(40)))
    assert 1 <= len(seen) <= 3
    await database.close()


async def test_a_pooler_may_lend_any_connection(url: str) -> None:
    database = PostgresDatabase(f"{url}&statement_cache_size=0")
    for _ in range(3):
        await database.write(_write)
    await database.write(lambda connection: connection.execute(text("DEALLOCATE ALL")))
    await database.write(_write)
    await database.close()


def test_what_people_write_is_understood() -> None:
    address = postgres_address("postgres://me:pw@db.example:5433/dragoman?sslmode=require")
    assert address.drivername == "postgresql+asyncpg"
    assert dict(address.query) == {"ssl": "require"}
    assert (address.host, address.port, address.password) == ("db.example", 5433, "pw")
    assert postgres_address("postgresql+psycopg://db/x").drivername == "postgresql+asyncpg"
