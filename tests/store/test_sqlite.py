"""What is particular to SQLite: one server, a private file, and a disk that may refuse."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dragoman.store.database import open_database, sqlite_path
from dragoman.store.errors import DatabaseInUse, StoreUnavailable
from dragoman.store.facts import read_fact, write_fact
from dragoman.store.migrate import migrate
from dragoman.store.sqlite import SqliteDatabase


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "dragoman.db", busy=0.2)
    await migrate(database)
    yield database
    await database.close()


def _write(connection: Connection) -> None:
    write_fact(connection, "a", "1")


async def _reason(database: SqliteDatabase) -> str:
    with pytest.raises(StoreUnavailable) as error:
        await database.write(_write)
    assert not error.value.uncertain
    return error.value.reason


def test_the_file_is_its_owners_alone(file: SqliteDatabase) -> None:
    assert file.path is not None
    made = sorted(one for one in file.path.parent.iterdir())
    assert [one.name for one in made] == [f"dragoman.db{end}" for end in ("", "-shm", "-wal", ".lock")]
    assert {stat.S_IMODE(one.stat().st_mode) for one in made} == {0o600}


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    path.touch()
    path.chmod(0o644)
    await SqliteDatabase(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_commit_is_on_the_disk(file: SqliteDatabase) -> None:
    pragmas = ("journal_mode", "synchronous", "foreign_keys")
    found = await file.write(lambda c: [c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas])
    assert found == ["wal", 2, 1]


async def test_a_second_server_is_refused_with_the_reason(file: SqliteDatabase) -> None:
    script = "import sys; from dragoman.store.database import open_database; open_database(sys.argv[1])"
    command = [sys.executable, "-c", script, f"sqlite:///{file.path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    said = done.stderr.splitlines()[-1]
    assert "DatabaseInUse" in said
    assert str(file.path) in said
    assert "pid" in said
    with pytest.raises(DatabaseInUse):
        open_database(f"sqlite:///{file.path}")


async def test_a_killed_server_frees_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    script = (
        "import sys, os, signal; from dragoman.store.database import open_database;"
        " database = open_database(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=False)
    assert done.returncode == -9
    await open_database(str(path)).close()


async def test_a_closed_database_can_be_opened_again(file: SqliteDatabase) -> None:
    assert file.path is not None
    await file.write(_write)
    await file.close()
    again = SqliteDatabase(file.path)
    assert await again.read(lambda connection: read_fact(connection, "a")) == "1"
    await again.close()


async def test_beside_a_server_only_reads(file: SqliteDatabase) -> None:
    await file.write(_write)
    beside = open_database(str(file.path), beside=True)
    assert await beside.read(lambda connection: read_fact(connection, "a")) == "1"
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        await beside.write(_write)
    await beside.close()
    with pytest.raises(StoreUnavailable, match="there is no database"):
        open_database(str(file.path) + ".no", beside=True)


async def test_D1_locked_by_another_program(file: SqliteDatabase) -> None:
    assert file.path is not None
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert await _reason(file) == "locked"
        other.execute("ROLLBACK")
    await file.write(_write)


async def test_D1_disk_full(file: SqliteDatabase) -> None:
    pages = await file.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    await file.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreUnavailable) as error:
        await file.write(lambda connection: write_fact(connection, "large", "x" * 1_000_000))
    assert error.value.reason == "full"
    await file.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 1000000"))
    await file.write(lambda connection: write_fact(connection, "large", "x" * 1_000_000))


async def test_D1_file_read_only(file: SqliteDatabase) -> None:
    await file.write(lambda c: c.exec_driver_sql("PRAGMA query_only = ON"))
    assert await _reason(file) == "read_only"


async def test_D1_file_damaged(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    path.write_bytes(b"this is no database " * 500)
    database = SqliteDatabase(path)
    assert await _reason(database) == "broken"
    await database.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened") as error:
        SqliteDatabase(tmp_path / "file" / "dragoman.db")
    assert error.value.reason == "read_only"


async def test_T_51_memory_serves_like_a_file() -> None:
    database = open_database("sqlite://")
    await migrate(database)
    await asyncio.gather(*(database.write(_write) for _ in range(10)))
    assert await database.read(lambda connection: read_fact(connection, "a")) == "1"
    assert await database.report(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    await database.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a.db", "a.db"),
        ("sqlite:////var/a.db", "/var/a.db"),
        ("/var/a.db", "/var/a.db"),
        ("a.db", "a.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        (":memory:", None),
    ],
)
def test_what_an_address_names(url: str, path: str | None) -> None:
    assert sqlite_path(url) == (None if path is None else Path(path))
