"""Backups, restores and the move between engines: nothing is lost, nothing is overwritten in silence."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from dragoman.store.backups import MANIFEST, back_up, check_backup, copy_database, is_running, restore
from dragoman.store.copying import CopyFailed, Sums, sums_of, tables_of
from dragoman.store.database import Database, is_postgres, open_database
from dragoman.store.errors import DatabaseInUse, StoreUnavailable
from dragoman.store.facts import read_fact, write_fact
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.migrate import SchemaTooNew, migrate
from dragoman.store.schema import entries, groups, keys, leases, users
from tests.store.bookings import QUICK, attempted, counts, final, found
from tests.store.engines import Postgres, run_apart
from tests.store.rows import fill


def _replace_keys(connection: Connection) -> None:
    """A key that was replaced refers to a later one."""
    connection.execute(update(keys).where(keys.c.id == 1).values(replaced_by=4))


@pytest.fixture
async def filled(database: Database) -> Database:
    """Rows in every table."""
    await database.write(fill)
    await database.write(_replace_keys)
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, of either engine; the file is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'other' / 'dragoman.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = run_apart(server.borrow())
    yield url
    run_apart(server.give_back(url))


async def _sums(url: str) -> Sums:
    database = open_database(url)
    found = await database.read(sums_of)
    await database.close()
    return found


async def test_D9_db_copy_has_the_same_sums_in_every_direction(
    filled: Database, database_url: str, other_url: str
) -> None:
    before = await filled.read(sums_of)
    assert {name: table.rows for name, table in before.items() if table.rows < 5} == {"facts": 1}
    assert await copy_database(database_url, other_url) == before
    assert await _sums(other_url) == before


async def test_D9_db_copy_there_and_back_is_the_same(
    filled: Database, database_url: str, other_url: str, tmp_path: Path
) -> None:
    await copy_database(database_url, other_url)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    await copy_database(other_url, back)
    assert await _sums(back) == await filled.read(sums_of)


def _new_group(connection: Connection) -> int:
    row = {"name": "new", "rules": {}, "created_at": 1}
    return int(connection.execute(insert(groups).values(row).returning(groups.c.id)).scalar_one())


async def test_ids_are_never_given_again_after_a_copy(filled: Database, database_url: str, other_url: str) -> None:
    given = await filled.write(_new_group)
    await filled.write(lambda c: c.execute(delete(groups).where(groups.c.id == given)))
    await copy_database(database_url, other_url)
    other = open_database(other_url)
    assert await other.write(_new_group) > given
    await other.close()


async def test_a_copied_database_starts(filled: Database, database_url: str, other_url: str) -> None:
    await copy_database(database_url, other_url)
    other = open_database(other_url)
    assert not (await migrate(other)).changed
    rows = await other.read(lambda c: c.execute(select(keys.c.replaced_by).where(keys.c.id == 1)).scalar())
    assert rows == 4
    await other.close()


async def test_db_copy_refuses_a_target_that_holds_data(filled: Database, database_url: str, other_url: str) -> None:
    await copy_database(database_url, other_url)
    with pytest.raises(CopyFailed, match="holds data"):
        await copy_database(database_url, other_url)


async def test_db_copy_refuses_what_is_not_ours(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as foreign:
        foreign.execute("CREATE TABLE x (y)")
    with pytest.raises(CopyFailed, match="not a database of ours"):
        await copy_database(str(tmp_path / "foreign.db"), str(tmp_path / "b.db"))
    with pytest.raises(StoreUnavailable, match="there is no database"):
        await copy_database(str(tmp_path / "nothing.db"), str(tmp_path / "c.db"))


async def test_what_postgres_cannot_hold_is_mended_or_said(
    tmp_path: Path, postgres: Postgres, sqlite_template: Path
) -> None:
    source = str(tmp_path / "source.db")
    database = open_database(source)
    await migrate(database)
    await database.write(lambda c: write_fact(c, "nul", "a\x00b"))
    await database.close()
    url = await postgres.make(template="template0")
    sums = await copy_database(source, url)
    assert (sums["facts"].rows, sums["facts"].mended) == (2, 1)
    target = open_database(url)
    assert await target.read(lambda c: read_fact(c, "nul")) == "a\N{REPLACEMENT CHARACTER}b"
    await target.close()
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("INSERT INTO facts VALUES (?, '')", ("x" * 201,))
        connection.commit()
    other = await postgres.make(template="template0")
    with pytest.raises(CopyFailed, match=r"facts\.name holds a text of 201 characters"):
        await copy_database(source, other)


async def test_D9_backup_of_a_working_server_is_one_state(filled: Database, database_url: str, tmp_path: Path) -> None:
    """Two facts that always change together are the same in the copy."""
    done = asyncio.Event()

    async def work() -> int:
        turns = 0
        while not done.is_set():
            turns += 1

            def both(connection: Connection, turn: int = turns) -> None:
                write_fact(connection, "left", str(turn))
                write_fact(connection, "right", str(turn))

            await filled.write(both)
        return turns

    working = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    for number in range(3):
        await asyncio.to_thread(run_apart, back_up(database_url, tmp_path / f"{number}.backup"))
        copy = open_database(str(tmp_path / f"{number}.backup"), beside=True)
        left, right = [await copy.read(lambda c, n=name: read_fact(c, n)) for name in ("left", "right")]  # type: ignore[misc]
        await copy.close()
        assert left == right
        assert left is not None
    done.set()
    assert await working > 3


async def test_D9_a_backup_under_load_is_a_ledger_that_adds_up(
    database: Database, database_url: str, other_url: str, tmp_path: Path
) -> None:
    """Calls in flight are in it as intents: the next start books them, as after a crash."""
    ledger = Ledger(database, replica="one", timing=QUICK)
    await ledger.start()
    done = asyncio.Event()

    async def calls() -> int:
        number = 0
        while not done.is_set():
            await ledger.intend(call := attempted())
            await asyncio.sleep(0.01)
            await ledger.settle(final(call))
            number += 1
        return number

    working = [asyncio.create_task(calls()) for _ in range(20)]
    await asyncio.sleep(0.2)
    await asyncio.to_thread(run_apart, back_up(database_url, tmp_path / "busy.backup"))
    done.set()
    made = sum(await asyncio.gather(*working))
    await ledger.close()
    await restore(tmp_path / "busy.backup", other_url)
    other = open_database(other_url)
    another = Ledger(other, replica="two", timing=QUICK)
    await another.start()
    await another.recover()
    kept = await counts(other)
    assert 0 < kept["entries"] < made
    assert kept["intents"] == 0
    assert await found(other) == []
    await another.close()
    await other.close()


async def test_D9_backup_and_restore_elsewhere(
    filled: Database, database_url: str, other_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "monday.backup"
    before = await filled.read(sums_of)
    manifest = await back_up(database_url, file)
    assert manifest.tables == before
    assert manifest.engine == filled.kind
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("monday*")] == ["monday.backup"]
    assert await check_backup(file) == manifest
    assert (await restore(file, other_url)).kept is None
    assert await _sums(other_url) == before


async def test_restore_keeps_what_was_there(filled: Database, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    before = await filled.read(sums_of)
    await back_up(database_url, file)
    await filled.write(lambda c: c.execute(delete(users)))
    after = await filled.read(sums_of)
    await filled.close()
    kept = (await restore(file, database_url)).kept
    assert kept is not None
    assert await _sums(database_url) == before
    aside = open_database(str(kept), beside=True)
    assert await aside.read(sums_of) == after
    await aside.close()


async def test_restore_dry_run_changes_nothing(filled: Database, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    await back_up(database_url, file)
    await filled.write(lambda c: c.execute(delete(users)))
    after = await filled.read(sums_of)
    await filled.close()
    folder = sorted(path.name for path in tmp_path.iterdir())
    assert (await restore(file, database_url, dry_run=True)).kept is None
    assert sorted(path.name for path in tmp_path.iterdir()) == folder
    assert await _sums(database_url) == after


@pytest.mark.parametrize("dry_run", [False, True])
async def test_restore_refuses_a_running_server(
    filled: Database, database_url: str, tmp_path: Path, dry_run: bool
) -> None:
    file = tmp_path / "monday.backup"
    await back_up(database_url, file)
    until = int(time.time() * 1_000_000) + 60_000_000
    await filled.write(lambda c: c.execute(insert(leases).values(replica="r1", until=until)))
    before, folder = await filled.read(sums_of), set(tmp_path.iterdir())
    with pytest.raises(DatabaseInUse):
        await restore(file, database_url, dry_run=dry_run)
    assert await filled.read(sums_of) == before
    assert set(tmp_path.iterdir()) == folder
    assert is_running(database_url) is not is_postgres(database_url)


async def test_restore_refuses_a_newer_schema(filled: Database, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    await back_up(database_url, file)
    with closing(sqlite3.connect(file)) as connection:
        said = json.loads(connection.execute(f"SELECT value FROM {MANIFEST}").fetchone()[0])  # noqa: S608
        changed = (json.dumps({**said, "schema": "9999"}),)
        connection.execute(f"UPDATE {MANIFEST} SET value = ?", changed)  # noqa: S608
        connection.commit()
    await filled.close()
    with pytest.raises(SchemaTooNew, match="9999"):
        await restore(file, database_url)


async def test_restore_refuses_a_changed_or_broken_file(filled: Database, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    await back_up(database_url, file)
    await filled.close()
    changed, cut = tmp_path / "changed.backup", tmp_path / "cut.backup"
    changed.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(changed)) as connection:
        connection.execute("UPDATE entries SET cost = cost + 1 WHERE id = 2")
        connection.commit()
    cut.write_bytes(file.read_bytes()[:30_000])
    with pytest.raises(CopyFailed, match="entries is not what its manifest says"):
        await restore(changed, database_url)
    with pytest.raises((CopyFailed, StoreUnavailable)):
        await restore(cut, database_url)
    (tmp_path / "empty.backup").touch()
    with pytest.raises(CopyFailed, match="not a backup"):
        await restore(tmp_path / "empty.backup", database_url)


async def test_a_backup_never_takes_the_place_of_a_file(filled: Database, database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("precious")
    with pytest.raises(CopyFailed, match="exists already"):
        await back_up(database_url, file)
    assert file.read_text() == "precious"
    with pytest.raises(CopyFailed, match="no folder"):
        await back_up(database_url, tmp_path / "nowhere" / "x")


async def test_sums_tell_any_change(filled: Database) -> None:
    before = await filled.read(sums_of)
    tables = await filled.read(tables_of)
    assert {table.name for table in tables} == set(before)
    await filled.write(lambda c: c.execute(update(entries).where(entries.c.id == 1).values(stream=True)))
    after = await filled.read(sums_of)
    assert [name for name in before if before[name] != after[name]] == ["entries"]


async def test_a_large_ledger_is_copied_whole(database: Database, database_url: str, other_url: str) -> None:
    """More rows than a batch, so that their number is no accident."""
    await database.write(lambda connection: fill(connection, count=603))
    before = await database.read(sums_of)
    assert (await copy_database(database_url, other_url))["entries"] == before["entries"]
    other = open_database(other_url)
    assert await other.read(lambda c: c.execute(text("SELECT count(*) FROM entries")).scalar()) == 603
    await other.close()
