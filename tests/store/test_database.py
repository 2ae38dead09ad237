"""Transactions, limits and errors, on both engines."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dragoman.store.database import Database, open_database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.facts import keep_fact, read_fact, write_fact
from dragoman.store.schema import facts
from tests.patience import SOON

FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000000) SELECT count(*) FROM n"


async def test_what_was_written_is_there_for_all(database: Database) -> None:
    await database.write(lambda connection: write_fact(connection, "a", "1"))
    await database.write(lambda connection: write_fact(connection, "a", "2"))
    assert await database.read(lambda connection: read_fact(connection, "a")) == "2"
    assert await database.report(lambda connection: read_fact(connection, "a")) == "2"


async def test_what_was_written_outlives_the_connection(database_url: str) -> None:
    first = open_database(database_url)
    await first.write(lambda connection: write_fact(connection, "a", "1"))
    await first.close()
    second = open_database(database_url)
    assert await second.read(lambda connection: read_fact(connection, "a")) == "1"
    await second.close()


async def test_a_failing_write_leaves_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        write_fact(connection, "a", "1")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await database.read(lambda connection: read_fact(connection, "a")) is None


async def test_what_is_the_statements_fault_is_not_the_databases(database: Database) -> None:
    def twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(insert(facts).values(name="a", value="1"))

    with pytest.raises(IntegrityError):
        await database.write(twice)
    with pytest.raises(DBAPIError):
        await database.write(lambda connection: connection.execute(text("SELECT nothing FROM nowhere")))
    await database.write(lambda connection: write_fact(connection, "a", "1"))


async def test_errors_do_not_show_values(database: Database) -> None:
    def twice(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(insert(facts).values(name="a", value="canary-1"))

    with pytest.raises(IntegrityError) as error:
        await database.write(twice)
    assert "canary-1" not in str(error.value)


async def test_a_read_changes_nothing(database: Database) -> None:
    with pytest.raises(StoreUnavailable) as error:
        await database.read(lambda connection: write_fact(connection, "a", "1"))
    assert error.value.reason == "read_only"
    assert await database.read(lambda connection: read_fact(connection, "a")) is None


async def test_a_report_ends_in_time(database: Database) -> None:
    before = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailable) as error:
        await database.report(lambda connection: connection.execute(text(FOREVER)).scalar(), seconds=0.2)
    assert error.value.reason == "slow"
    assert asyncio.get_running_loop().time() - before < SOON
    assert await database.report(lambda connection: connection.execute(select(1)).scalar()) == 1


async def test_reads_do_not_wait_for_a_report(database: Database) -> None:
    report = asyncio.create_task(database.report(lambda connection: connection.execute(text(FOREVER)), seconds=2))
    await asyncio.sleep(0.1)
    await database.write(lambda connection: write_fact(connection, "a", "1"))
    assert await database.read(lambda connection: read_fact(connection, "a")) == "1"
    assert not report.done()
    with pytest.raises(StoreUnavailable):
        await report


async def test_of_many_at_once_one_is_kept(database: Database) -> None:
    said = [database.write(lambda c, n=n: keep_fact(c, "a", str(n))) for n in range(20)]  # type: ignore[misc]
    heard = set(await asyncio.gather(*said))
    assert len(heard) == 1


async def test_many_writers_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(database.write(lambda c, n=n: write_fact(c, f"n{n}", "")) for n in range(200)))  # type: ignore[misc]
    names = await database.read(lambda c: c.execute(select(facts.c.name).where(facts.c.name.like("n%"))).all())
    assert len(names) == 200
