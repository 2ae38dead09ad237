"""Migrations: they end where the tables are, all or nothing, once, and never backwards by accident."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from dragoman.store import migrate as steps_of
from dragoman.store import moves
from dragoman.store.database import Database, SqliteDatabase, open_database
from dragoman.store.facts import write_fact
from dragoman.store.migrate import VERSION_TABLE, Migrated, SchemaTooNew, StepFailed, migrate, schema_of, steps
from dragoman.store.schema import metadata
from tests.store import released
from tests.store.engines import Postgres, run_apart
from tests.store.rows import fill, total

NEXT = """
import os
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "9999", "{last}", None, None
RUNS_ON = {runs_on}

def upgrade(operations):
    operations.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
    with operations.batch_alter_table("users", recreate="always" if operations.get_bind().dialect.name == "sqlite"
                                      else "auto") as users:
        users.add_column(sa.Column("nick", sa.String(20)))
    {end}

def downgrade(operations):
    operations.drop_table("later")
"""

Later = Callable[..., Path]


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Later]:
    """Makes this release one that has another step."""

    def add(*, end: str = "pass", runs_on: str = "()") -> Path:
        last = steps()[-1]
        folder = tmp_path / "migrations"
        shutil.copytree(steps_of.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "v9999_later.py").write_text(NEXT.format(last=last, end=end, runs_on=runs_on))
        use(folder)
        return folder

    def use(folder: Path) -> None:
        monkeypatch.setattr(steps_of, "FOLDER", folder)
        _forget()

    yield add
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    steps.cache_clear()
    moves._scripts.cache_clear()


def _differences(connection: Connection) -> list[Any]:
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": _defaults_differ}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _defaults_differ(*arguments: Any) -> bool:
    """Whether two defaults differ, quotes and casts apart: those are the engine's spelling."""
    _context, _inspected, _column, found, _default, meant = arguments

    def plain(default: str | None) -> str | None:
        return None if default is None else default.split("::")[0].strip("(')")

    return plain(found) != plain(meant) and "nextval" not in (found or "")


def _has_later(connection: Connection) -> bool:
    return "later" in inspect(connection).get_table_names()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = run_apart(server.make(template="template0"))
    yield url
    run_apart(server.drop(url))


async def test_K09_migrations_end_where_the_tables_are(database: Database) -> None:
    assert await database.read(_differences) == []


def test_K09_steps_are_named_as_their_files_are() -> None:
    found = moves._scripts(steps_of.FOLDER).walk_revisions()
    assert steps() == tuple(reversed([step.revision for step in found]))


def test_K09_every_schema_is_kept_as_it_was_released() -> None:
    """Else: ``python -m tests.store.released``."""
    kept = {path.name for path in released.HERE.iterdir()}
    assert {f"{schema}{end}" for schema in steps() for end in (".sqlite.sql", ".postgresql.sql", ".json")} <= kept


@pytest.mark.parametrize("schema", steps())
async def test_K09_every_released_schema_is_upgraded(empty_url: str, schema: str) -> None:
    """From the tables and rows that the release left behind, not from those that its step would make today."""
    database = open_database(empty_url)
    rows = released.row_counts(schema)
    await database.alter(lambda connection: released.load(connection, schema))
    assert await database.read(lambda connection: released.kept_rows(connection, schema)) == rows
    assert await migrate(database) == Migrated(schema, steps()[-1], copy_of(empty_url, schema))
    assert await database.read(_differences) == []
    assert await database.read(lambda connection: released.kept_rows(connection, schema)) == rows
    await migrate(database, to=schema)
    assert await database.read(lambda connection: released.kept_rows(connection, schema)) == rows
    await database.close()


def copy_of(url: str, schema: str) -> Path | None:
    """Where an upgrade from this schema leaves a copy."""
    old_file = url.startswith("sqlite") and schema != steps()[-1]
    return Path(f"{url.removeprefix('sqlite:///')}.schema-{schema}") if old_file else None


async def test_a_second_start_changes_nothing(empty_url: str) -> None:
    database = open_database(empty_url)
    first, second = await migrate(database), await migrate(database)
    assert first == Migrated("", steps()[-1])
    assert not second.changed
    await database.close()


async def test_K4_three_at_once_run_once(postgres: Postgres) -> None:
    url = await postgres.make(template="template0")
    replicas = [open_database(url) for _ in range(3)]
    done = await asyncio.gather(*map(migrate, replicas))
    assert sorted(one.before for one in done) == ["", steps()[-1], steps()[-1]]
    await asyncio.gather(*(replica.close() for replica in replicas))
    await postgres.drop(url)


def test_K4_several_programs_at_once(empty_url: str, tmp_path: Path) -> None:
    """PostgreSQL lets the others wait; a SQLite file has one user, and whoever comes later is told."""
    command = [sys.executable, "-m", "dragoman", "db", "migrate"]
    environment = {"PATH": os.environ["PATH"], "DRAGOMAN_DB": empty_url}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    programs = [subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    told = [(*program.communicate(timeout=60), program.returncode) for program in programs]
    assert sum("was empty" in out for out, _, _ in told) == 1
    for out, error, code in told:
        refused = code == 1 and error.startswith("dragoman: another dragoman")
        assert (refused and empty_url.startswith("sqlite")) or (code == 0 and out.startswith("ok: schema")), error


async def test_K09_a_step_that_fails_leaves_nothing(database: Database, later: Later) -> None:
    before = steps()[-1]
    rows = await database.write(fill)
    later(end="raise ArithmeticError")
    with pytest.raises(StepFailed, match="step 9999") as failed:
        await migrate(database)
    assert failed.value.step == "9999"
    assert await database.read(schema_of) == before
    assert not await database.read(_has_later)
    assert await database.read(total) == rows


async def test_K4_a_killed_migration_is_completed_by_the_next_start(database_url: str, later: Later) -> None:
    before = steps()[-1]
    folder = later(end="os.kill(os.getpid(), 9)")
    script = (
        "import asyncio, sys; from pathlib import Path; from dragoman.store import migrate as m, database as d;"
        " m.FOLDER = Path(sys.argv[1]); asyncio.run(m.migrate(d.open_database(sys.argv[2])))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder), database_url], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    step = folder / "versions" / "v9999_later.py"
    step.write_text(step.read_text().replace("os.kill(os.getpid(), 9)", "pass"))
    _forget()
    database = open_database(database_url)
    assert await database.read(schema_of) == before
    assert not await database.read(_has_later)
    assert (await migrate(database)).after == "9999"
    assert await database.read(_has_later)
    await database.close()


async def test_K09_making_a_table_anew_keeps_what_refers_to_it(database: Database, later: Later) -> None:
    rows = await database.write(fill)
    later()
    await migrate(database)
    assert await database.read(total) == rows
    with pytest.raises(Exception, match=r"(?i)foreign"):
        await database.write(lambda connection: connection.execute(text("UPDATE keys SET user_id = 99")))


async def test_K09_a_newer_schema_is_refused(database: Database, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    later()
    await migrate(database)
    monkeypatch.undo()
    _forget()
    with pytest.raises(SchemaTooNew, match="schema 9999"):
        await migrate(database)
    assert await database.read(schema_of) == "9999"


async def test_K2_a_newer_schema_that_suits_us_is_left_alone(
    database: Database, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = steps()[-1]
    later(runs_on=f"('{present}',)")
    await migrate(database)
    monkeypatch.undo()
    _forget()
    assert await migrate(database) == Migrated("9999", "9999")


async def test_K09_a_file_is_copied_before_an_upgrade(tmp_path: Path, later: Later) -> None:
    database = SqliteDatabase(tmp_path / "dragoman.db")
    assert (await migrate(database)).copy is None
    await database.write(lambda connection: write_fact(connection, "a", "1"))
    before = steps()[-1]
    later(end="raise ArithmeticError")
    with pytest.raises(StepFailed, match=f"dragoman.db.schema-{before}"):
        await migrate(database)
    await database.close()
    [copy] = tmp_path.glob("dragoman.db.schema-*")
    assert copy.name == f"dragoman.db.schema-{before}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT value FROM facts WHERE name = 'a'").fetchall() == [("1",)]
        assert kept.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall() == [(before,)]  # noqa: S608
