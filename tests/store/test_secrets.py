"""The installation's secret: strong, private, the same for all, and replaceable."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from dragoman.store.database import Database, Result, Work, open_database
from dragoman.store.migrate import migrate
from dragoman.store.objects import get, open_secret, put
from dragoman.store.schema import facts, objects
from dragoman.store.secrets import FILE, Cipher, Secrets, SecretUnusable, load_secrets
from tests.store.faulty import Faulty

OLD = "0f3a9c1be8d24756" * 3
NEW = "b7e05d61fa298c34" * 3
VALUE = {"api_key": "canary-é-1"}


@pytest.mark.parametrize(
    "weak",
    ["", " " * 40, "short", "changeme" * 6, "x" * 40, "abcd" * 10, "please-changeme-0123456789-abcdefgh", "0" * 64],
)
async def test_T_62_an_empty_or_default_secret_is_refused(database: Database, weak: str) -> None:
    with pytest.raises(SecretUnusable) as error:
        await load_secrets(database, configured=weak)
    assert "openssl rand" in str(error.value)
    assert not weak.strip() or weak not in str(error.value)


async def test_a_first_start_makes_a_private_file(database: Database, tmp_path: Path) -> None:
    first = await load_secrets(database, folder=tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("dragoman.secret*")] == [FILE]
    second = await load_secrets(database, folder=tmp_path)
    assert second.open(first.seal(VALUE)) == VALUE
    assert second.hash_token("tok12345") == first.hash_token("tok12345")


async def test_of_many_first_starts_one_secret_stays(database: Database, tmp_path: Path) -> None:
    loaded = await asyncio.gather(*(load_secrets(database, folder=tmp_path) for _ in range(5)))
    assert {secrets.hash_token("a") for secrets in loaded} == {loaded[0].hash_token("a")}
    assert all(secrets.open(loaded[0].seal(VALUE)) == VALUE for secrets in loaded)


async def test_a_first_start_that_is_overtaken_takes_the_others_secret(database: Database, tmp_path: Path) -> None:
    class Overtaken(Faulty):
        async def read(self, work: Work[Result]) -> Result:
            await load_secrets(self.inner, folder=tmp_path)
            return await super().read(work)

    mine = await load_secrets(Overtaken(database), folder=tmp_path)
    assert mine.hash_token("a") == (await load_secrets(database, folder=tmp_path)).hash_token("a")


async def test_a_lost_or_foreign_secret_is_refused(database: Database, tmp_path: Path) -> None:
    await load_secrets(database, folder=tmp_path)
    (tmp_path / FILE).unlink()
    for options in ({"folder": tmp_path}, {"configured": NEW}, {}):
        with pytest.raises(SecretUnusable, match="another secret"):
            await load_secrets(database, **options)
    assert not (tmp_path / FILE).exists()


async def test_an_emptied_file_is_refused(database: Database, tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with pytest.raises(SecretUnusable):
        await load_secrets(database, folder=tmp_path)


async def test_without_a_folder_postgres_wants_to_be_told(database: Database) -> None:
    if database.kind == "postgresql":
        with pytest.raises(SecretUnusable, match="DRAGOMAN_SECRET"):
            await load_secrets(database)
    else:
        assert (await load_secrets(database)).hash_token("a")


async def test_D9_a_changed_secret_opens_everything_and_is_then_enough(database: Database) -> None:
    old = await load_secrets(database, configured=OLD)
    await database.write(lambda c: put(c, "provider", "a", {}, at=1, cipher=old, secret=VALUE))
    both = await load_secrets(database, configured=NEW, previous=f" {OLD} ,")
    new = await load_secrets(database, configured=NEW)
    assert new.hash_token("tok12345") == both.hash_token("tok12345") == old.hash_token("tok12345")
    assert await database.read(lambda c: open_secret(c, "provider", "a", new)) == VALUE
    with pytest.raises(SecretUnusable):
        await load_secrets(database, configured=OLD)


_KILLED = """
import asyncio, os, sys
from dragoman.store import database, secrets
def reseal(cipher, sealed, whole=secrets.Cipher.reseal, left=[int(sys.argv[4])]):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    return whole(cipher, sealed)
secrets.Cipher.reseal = reseal
opened = database.open_database(sys.argv[1])
asyncio.run(secrets.load_secrets(opened, configured=sys.argv[2], previous=sys.argv[3]))
"""


@pytest.mark.parametrize("done", [0, 1, 3, 5])
async def test_D9_a_change_that_is_killed_half_way_loses_no_credential(database_url: str, done: int) -> None:
    names = [f"account-{number}" for number in range(5)]
    database = open_database(database_url)
    old = await load_secrets(database, configured=OLD)
    for name in names:
        await database.write(lambda c, n=name: put(c, "provider", n, {}, at=1, cipher=old, secret={"key": n}))  # type: ignore[misc]
    await database.close()
    words = [sys.executable, "-c", _KILLED, database_url, NEW, OLD, str(done)]
    killed = subprocess.run(words, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr

    database = open_database(database_url)
    for configured, previous in ((OLD, ""), (NEW, OLD), (NEW, "")):
        secrets = await load_secrets(database, configured=configured, previous=previous)
        for name in names:
            value = await database.read(lambda c, n=name, s=secrets: open_secret(c, "provider", n, s))  # type: ignore[misc]
            assert value == {"key": name}
        assert secrets.hash_token("tok12345") == old.hash_token("tok12345")
    await database.close()


async def test_D9_replicas_change_it_in_three_rounds(database: Database) -> None:
    rounds = [(OLD, ""), (OLD, NEW), (NEW, OLD), (NEW, "")]
    before: Secrets | None = None
    for configured, previous in rounds:
        now = await load_secrets(database, configured=configured, previous=previous)
        await database.write(lambda c, now=now: put(c, "provider", "a", {}, at=1, cipher=now, secret=VALUE))  # type: ignore[misc]
        for reader in (before, now):
            if reader is not None:
                assert await database.read(lambda c, r=reader: open_secret(c, "provider", "a", r)) == VALUE  # type: ignore[misc]
        before = now


async def test_a_configured_secret_replaces_the_file(database: Database, tmp_path: Path) -> None:
    by_file = await load_secrets(database, folder=tmp_path)
    await database.write(lambda c: put(c, "provider", "a", {}, at=1, cipher=by_file, secret=VALUE))
    configured = await load_secrets(database, configured=NEW, folder=tmp_path)
    assert await database.read(lambda c: open_secret(c, "provider", "a", configured)) == VALUE


async def test_T_60_nothing_readable_is_in_the_database(database: Database) -> None:
    secrets = await load_secrets(database, configured=OLD)
    await database.write(lambda c: put(c, "provider", "a", {"url": "x"}, at=1, cipher=secrets, secret=VALUE))
    rows = await database.read(lambda c: [*c.execute(select(objects)).all(), *c.execute(select(facts)).all()])
    assert "canary" not in repr(rows)
    assert OLD not in repr(rows)
    assert "canary" not in repr(await database.read(lambda c: get(c, "provider", "a")))
    assert OLD[:8] not in repr(secrets)


async def test_installations_hash_differently(tmp_path: Path) -> None:
    hashes = set()
    for name in "ab":
        database = open_database(str(tmp_path / f"{name}.db"))
        await migrate(database)
        hashes.add((await load_secrets(database, configured=OLD)).hash_token("tok12345"))
        await database.close()
    assert len(hashes) == 2
    assert {len(one) for one in hashes} == {64}


def test_a_foreign_sealing_is_not_opened() -> None:
    with pytest.raises(SecretUnusable):
        Cipher([NEW]).open(Cipher([OLD]).seal(VALUE))
    with pytest.raises(SecretUnusable):
        Cipher([NEW]).open("garbage")
