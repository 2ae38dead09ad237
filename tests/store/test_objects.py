"""Configuration kept in the database."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.store.database import Database, open_database
from dragoman.store.objects import Stored, get, listed, open_secret, put, remove, version
from dragoman.store.secrets import Cipher

CIPHER = Cipher(["0f3a9c1be8d24756" * 3])
DATA = {"url": "https://example.org", "models": ["a", "é"], "weight": 1.5, "off": None}


async def test_what_was_put_is_got(database: Database) -> None:
    await database.write(lambda c: put(c, "provider", "b", DATA, at=7))
    await database.write(lambda c: put(c, "provider", "a", {}, at=8))
    await database.write(lambda c: put(c, "route", "a", {"x": 1}, at=9))
    assert await database.read(lambda c: get(c, "provider", "b")) == Stored("provider", "b", DATA, False, 7)
    assert await database.read(lambda c: get(c, "provider", "c")) is None
    assert [one.name for one in await database.read(lambda c: listed(c, "provider"))] == ["a", "b"]


async def test_a_second_put_replaces(database: Database) -> None:
    await database.write(lambda c: put(c, "provider", "a", DATA, at=1))
    await database.write(lambda c: put(c, "provider", "a", {"x": 1}, at=2))
    assert await database.read(lambda c: get(c, "provider", "a")) == Stored("provider", "a", {"x": 1}, False, 2)


async def test_a_secret_goes_in_stays_and_goes(database: Database) -> None:
    secret = {"api_key": "canary-1"}
    await database.write(lambda c: put(c, "provider", "a", {}, at=1, cipher=CIPHER, secret=secret))
    await database.write(lambda c: put(c, "provider", "a", {"x": 1}, at=2))
    found = await database.read(lambda c: get(c, "provider", "a"))
    assert found == Stored("provider", "a", {"x": 1}, True, 2)
    assert await database.read(lambda c: open_secret(c, "provider", "a", CIPHER)) == secret
    await database.write(lambda c: put(c, "provider", "a", {}, at=3, secret=None))
    assert await database.read(lambda c: open_secret(c, "provider", "a", CIPHER)) == {}
    with pytest.raises(ValueError, match="cipher"):
        await database.write(lambda c: put(c, "provider", "a", {}, at=1, secret=secret))


async def test_another_replica_sees_every_change_in_one_number(database: Database, database_url: str) -> None:
    other = open_database(database_url, beside=True)
    seen = [await other.read(version)]
    await database.write(lambda c: put(c, "route", "a", {}, at=1))
    seen.append(await other.read(version))
    assert await database.write(lambda c: remove(c, "route", "a"))
    seen.append(await other.read(version))
    assert not await database.write(lambda c: remove(c, "route", "a"))
    seen.append(await other.read(version))
    assert seen == [0, 1, 2, 2]
    await other.close()


async def test_changes_at_once_are_all_counted(database: Database) -> None:
    await asyncio.gather(*(database.write(lambda c, n=n: put(c, "route", f"r{n}", {}, at=1)) for n in range(30)))  # type: ignore[misc]
    assert await database.read(version) == 30
    assert len(await database.read(lambda c: listed(c, "route"))) == 30
