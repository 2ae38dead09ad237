"""What a start loads: no more than it needs, because every command and every restart waits for it (P11)."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman import __version__
from tests.settings.test_cli import dragoman, environment, serving

_LOADED = """
import asyncio, atexit, sys, runpy
sys.argv[0] = "dragoman"
atexit.register(lambda: print("\\n".join(sys.modules), file=sys.stderr))
runpy.run_module("dragoman", run_name="__main__")
"""
SERVER = {"aiohttp", "fastapi", "uvicorn", "sqlalchemy", "alembic", "structlog", "genai_prices", "redis"}


def loaded(folder: Path, *words: str) -> set[str]:
    """The modules of a command that has ended well."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *words],
        cwd=folder, env=environment(DRAGOMAN_DB="dragoman.db"), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("version",), ("config", "show"), ("serve", "--help")])
def test_P11_plain_commands_load_nothing_of_the_server(words: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded(tmp_path, *words) & SERVER == set()


def test_P11_what_runs_migrations_is_loaded_when_there_is_one(tmp_path: Path) -> None:
    assert "alembic" in loaded(tmp_path, "db", "migrate")
    assert "alembic" not in loaded(tmp_path, "db", "migrate")


def test_P11_a_gateway_without_redis_does_not_load_its_driver() -> None:
    script = "import sys, dragoman.app, dragoman.keeping; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"aiohttp", "sqlalchemy"} <= set(found)
    assert set(found) & {"redis", "alembic", "genai_prices"} == set()


def test_the_version_is_an_option_too(tmp_path: Path) -> None:
    for word in ("--version", "version"):
        assert dragoman(tmp_path, word).stdout.strip() == __version__


def test_P11_L6_a_start_and_a_stop_take_less_than_two_seconds_of_work(tmp_path: Path) -> None:
    """Of the processor's time, which tells more than the clock on a shared machine; on an existing database."""
    for _ in range(2):
        before = worked()
        with serving(tmp_path, "serve", "--port", "0", DRAGOMAN_DB="dragoman.db") as (url, printed):
            assert url.startswith("http://127.0.0.1:")
        took = worked() - before
        assert "Traceback" not in "".join(printed)
    assert took < 2


def test_P11_the_collector_is_off_until_all_is_loaded_and_then_on() -> None:
    script = (
        "import gc; gc.disable(); from dragoman.cli.serve import _spare_the_collector as spare; spare();"
        " print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def worked() -> float:
    """Seconds of the processor that programs of this one have taken, those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
