"""A start of the store, from the settings to an open database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dragoman.settings.dotenv import Variable, Variables
from dragoman.settings.variables import understand
from dragoman.store.database import is_postgres, open_database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.migrate import VERSION_TABLE, SchemaTooNew, steps
from dragoman.store.opening import open_store
from dragoman.store.secrets import FILE, SecretUnusable

SECRET = "0f3a9c1be8d24756" * 3


def _from_the_future(connection: Connection) -> None:
    connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608


async def test_a_first_and_a_second_start(database_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        store = await open_store(database_url, str(tmp_path))
        assert store.migrated.after == steps()[-1]
        assert store.database.kind == ("postgresql" if is_postgres(database_url) else "sqlite")
        assert not store.place.warning
        await store.database.close()
    assert (tmp_path / FILE).exists()


async def test_a_configured_secret_makes_no_file(database_url: str, tmp_path: Path) -> None:
    store = await open_store(database_url, str(tmp_path), secret=SECRET)
    await store.database.close()
    assert not (tmp_path / FILE).exists()


async def test_K09_a_refused_start_leaves_the_database_to_others(database_url: str, tmp_path: Path) -> None:
    database = open_database(database_url)
    await database.write(_from_the_future)
    await database.close()
    for _ in range(2):
        with pytest.raises(SchemaTooNew):
            await open_store(database_url, str(tmp_path))
    assert not (tmp_path / FILE).exists()


async def test_a_start_with_a_weak_secret_is_refused(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable):
        await open_store(database_url, str(tmp_path), secret="changeme")
    await (await open_store(database_url, str(tmp_path), secret=SECRET)).database.close()


async def test_a_named_place_that_fails_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await open_store(str(tmp_path / "file" / "x.db"))


def test_the_environment_names_place_and_secret() -> None:
    words = {"DRAGOMAN_DB": "x.db", "DRAGOMAN_SECRET": SECRET, "DRAGOMAN_SECRET_PREVIOUS": "a,b"}
    said = understand(Variables({name: Variable(word, name) for name, word in words.items()}))
    assert said.tree["database"] == "x.db"
    assert said.tree["secrets"] == {"key": SECRET, "previous": "a,b"}
