"""``dragoman backup``, ``restore`` and ``db`` as a person uses them."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dragoman.cli.commands import program
from dragoman.keeping import keep
from dragoman.settings import ConfigError, load_settings
from dragoman.store.locks import LockFile
from tests.settings.test_cli import dragoman
from tests.store.engines import Postgres, run_apart


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a database in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_DB", "dragoman.db")
    assert run("db", "migrate").exit_code == 0
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(program, list(words))


def _facts(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name FROM facts ORDER BY name").fetchall()


def _add_fact(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        connection.commit()


def test_migrate_says_what_it_did(here: Path) -> None:
    again = run("db", "migrate")
    assert again.exit_code == 0
    assert "nothing to do" in again.stdout


def test_backup_and_restore(here: Path) -> None:
    before = _facts(here / "dragoman.db")
    saved = run("backup", "monday.backup")
    assert saved.exit_code == 0
    assert "facts" in saved.stdout
    assert "dragoman.secret" in saved.stderr
    _add_fact(here / "dragoman.db")
    tried = run("restore", "monday.backup", "--dry-run")
    assert tried.exit_code == 0
    assert "nothing was changed" in tried.stdout
    assert _facts(here / "dragoman.db") != before
    done = run("restore", "monday.backup")
    assert done.exit_code == 0
    assert "kept in" in done.stderr
    assert _facts(here / "dragoman.db") == before


def test_backup_of_a_running_server_yes_restore_no(here: Path) -> None:
    lock = LockFile(here / "dragoman.db.lock")
    assert run("backup", "monday.backup").exit_code == 0
    refused = run("restore", "monday.backup")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("dragoman: another dragoman")
    assert run("db", "copy", "dragoman.db", "copy.db").stderr.startswith("warning: a server works on the source")
    lock.free()


def test_what_is_wrong_is_one_line(here: Path) -> None:
    (here / "taken").touch()
    (here / "junk").write_text("no database, but long enough to be looked at" * 100)
    for words, code in [
        (("backup", "taken"), 1),
        (("restore", "taken"), 1),
        (("restore", "junk"), 3),
        (("restore", "nothing"), 3),
        (("db", "copy", "nothing", "b.db"), 3),
        (("db", "copy", "dragoman.db", "postgresql://me:canary-1@127.0.0.1:9/x"), 3),
        (("backup", "a.backup", "--config", "nothing.yaml"), 2),
    ]:
        done = run(*words)
        assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert done.stderr.startswith("dragoman: ")
        assert "canary-1" not in done.output
    assert run("restore", "junk").stderr == "dragoman: the file junk is not a database\n"


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("limits: {default: {rmp: 60}}", "limits.default.rmp: is not a rule"),
        ("limits: {default: {budget: 50 USD/mnth}}", "limits.default.budget"),
        ("limits: {fallback_price: {in: 5, outt: 25}}", "limits.fallback_price: 'outt' is unknown here"),
        ("groups: {core: {rpm: sixty}}", "groups.core.rpm: should look like 60 or 400k"),
        ("prices: {openai/x: {in: a, out: 3}}", "prices.openai/x.in: should be a number"),
        ("database: mysql://me:canary-1@host/x", "mysql:// is no database here"),
        ("database: postgresql://me:canary-1@host:port/x", "should look like postgresql://user@host:5432/name"),
        ("database: postgresql://me:canary-1@host/x?sslmode=required", "sslmode cannot be 'required'"),
        ("database: postgresql://me:canary-1@host/x?statement_cache_size=no", "statement_cache_size cannot be 'no'"),
        ("database: postgresql://me:canary-1@host/x?connect_timeout=5", "'connect_timeout' is not one of host, port"),
    ],
)
async def test_config_check_refuses_what_a_start_refuses(
    yaml: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRAGOMAN_DB", raising=False)
    (tmp_path / "config.yaml").write_text(f"version: 1\n{yaml}\n")
    done = run("config", "check")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.output
    with pytest.raises(ConfigError) as caught:
        await keep(load_settings(environment={}, folder=tmp_path))
    assert line in done.stderr
    assert str(caught.value) == done.stderr.strip()
    assert "canary-1" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_copying_into_a_database_of_another_kind_makes_no_folder(here: Path) -> None:
    before = set(here.iterdir())
    done = run("db", "copy", "dragoman.db", "mysql://me:canary-1@host/x")
    assert (done.exit_code, done.stderr) == (
        2, "dragoman: mysql:// is no database here: name a file, a folder or postgresql://user@host/name\n"
    )  # fmt: skip
    assert set(here.iterdir()) == before


@pytest.mark.parametrize("words", [("backup", "a.backup"), ("db", "migrate"), ("config", "check")])
def test_without_postgres_driver_it_is_said_what_to_install(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRAGOMAN_DB", "postgresql://me@127.0.0.1:9/x")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    done = run(*words)
    assert done.exit_code == 2
    assert done.stderr.endswith("PostgreSQL needs the extra 'postgres': pip install 'dragoman[postgres]'\n")


async def test_without_redis_driver_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store.news_redis", "store.deposit_redis", "relay.admission.shared"):
        monkeypatch.delitem(sys.modules, f"dragoman.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    said = {"DRAGOMAN_DB": str(tmp_path / "x.db"), "DRAGOMAN_REDIS": "redis://127.0.0.1:9"}
    settings = load_settings(environment=said, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"Redis needs the extra 'redis': pip install 'dragoman\[redis\]'"):
        await keep(settings)
    kept = await keep(settings.model_copy(update={"redis": None}))
    assert "token" in kept.shown_once[0], "no administrator was made whose token nobody saw"
    await kept.close()


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("import", "--chat-azure", "x.db"), ("db", "migrate")])
def test_exit_codes_are_the_same_for_all(here: Path, words: tuple[str, ...]) -> None:
    """3 is worth another try, 1 and 2 are not."""
    lock = LockFile(here / "dragoman.db.lock")
    for database, code, line in (
        ("postgresql://me:canary-1@127.0.0.1:9/x", 3, "dragoman: the database cannot be reached: "),
        ("dragoman.db", 1, "dragoman: another dragoman"),
        ("/proc/nowhere/dragoman.db", 3, "dragoman: the database /proc/nowhere/dragoman.db cannot be opened"),
    ):
        done = dragoman(here, *words, DRAGOMAN_DB=database)
        assert done.returncode == code, done.stderr
        assert done.stderr.splitlines()[-1].startswith(line)
        assert "Traceback" not in done.stderr
        assert "canary-1" not in done.stdout + done.stderr
    lock.free()


def test_what_the_database_refuses_is_one_line(here: Path) -> None:
    with closing(sqlite3.connect(here / "dragoman.db")) as connection:
        connection.execute("UPDATE schema_version SET version_num = '9999'")
        connection.commit()
    for words in (("serve", "--port", "0"), ("db", "migrate")):
        done = dragoman(here, *words, DRAGOMAN_DB="dragoman.db")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert "the database has schema 9999" in done.stderr


def test_copy_to_postgres_and_back(here: Path, postgres: Postgres) -> None:
    _add_fact(here / "dragoman.db")
    url = run_apart(postgres.borrow())
    there = run("db", "copy", "dragoman.db", url)
    assert there.exit_code == 0, there.stderr
    assert "every sum the same on both sides" in there.stdout
    back = run("db", "copy", url, "back.db")
    assert back.exit_code == 0, back.stderr
    assert _facts(here / "back.db") == _facts(here / "dragoman.db")
    run_apart(postgres.give_back(url))
