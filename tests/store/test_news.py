"""What replicas tell each other through a real Redis that may vanish: keys that are revoked, notes of one name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from dragoman.store.accounts import keys
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.database import Database
from dragoman.store.news import read_note
from tests.patience import until
from tests.relay.admission_rig import RealRedis
from tests.store.accounts_rig import HASHER, add_person

pytest.importorskip("redis", reason="no client for Redis is installed")

from dragoman.store import news_redis
from dragoman.store.news_redis import RedisNews, connect


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    running = RealRedis()
    yield running
    running.close()


@pytest.fixture
def redis(server: RealRedis) -> RealRedis:
    """The server, empty and alive."""
    with contextlib.suppress(OSError):
        server.go_on()
    try:
        server.client.flushall()
    except Exception:
        server.start()
    return server


class Listener:
    """One replica: what it heard, and how often it may have missed something."""

    def __init__(self, redis: RealRedis, prefix: str = "dragoman", **options: float) -> None:
        self.news = RedisNews(redis.url, prefix, **options)
        self.news.follow("weather", self._heard, self._joined)
        self.heard: list[bytes] = []
        self.kept: list[bytes] = []
        self.joins = 0

    def _heard(self, text: bytes) -> None:
        self.heard.append(text)

    async def _joined(self) -> None:
        self.joins += 1
        self.kept = [note async for notes in self.news.notes("weather") for note in notes]


@contextlib.asynccontextmanager
async def listening(*listeners: Listener) -> AsyncIterator[None]:
    for one in listeners:
        await one.news.start()
    try:
        await until(lambda: all(one.news.up for one in listeners))
        yield
    finally:
        for one in listeners:
            await one.news.close()


async def test_news_are_heard_by_others_of_the_same_prefix_and_not_by_who_tells(redis: RealRedis) -> None:
    here, there, stranger = Listener(redis), Listener(redis), Listener(redis, "elsewhere")
    async with listening(here, there, stranger):
        here.news.tell("weather", b"rain")
        await until(lambda: there.heard)
        await asyncio.sleep(0.05)
    assert (here.heard, there.heard, stranger.heard) == ([], [b"rain"], [])


async def test_the_newest_note_of_a_name_holds_whoever_comes_first(redis: RealRedis) -> None:
    here, there, later = Listener(redis), Listener(redis), Listener(redis)
    async with listening(here, there):
        here.news.note("weather", "town", b"sun", stamp=7, seconds=60)
        await until(lambda: there.heard)
        there.news.note("weather", "town", b"older", stamp=6, seconds=60)
        there.news.note("weather", "hill", b"fog", stamp=1, seconds=60)
        await until(lambda: here.heard)
        async with listening(later):
            assert sorted(map(read_note, later.kept)) == [(1, b"fog"), (7, b"sun")]
    assert [read_note(one) for one in here.heard] == [(1, b"fog")]


async def test_notes_lapse_and_are_bounded(redis: RealRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_redis, "MOST_NOTES", 50)
    here, there = Listener(redis), Listener(redis)
    async with listening(here):
        for number in range(120):
            here.news.note("weather", f"n{number}", b"%d" % number, stamp=1, seconds=60)
        await until(lambda: redis.client.hexists("dragoman:notes:weather", "n119"))
        assert redis.client.hlen("dragoman:notes:weather") == redis.client.zcard("dragoman:lapses:weather") == 50
        assert 0 < redis.client.ttl("dragoman:notes:weather") <= 60
        monkeypatch.setattr(news_redis, "MOST_NOTES", 51)
        here.news.note("weather", "brief", b"-", stamp=1, seconds=1)
        await until(lambda: redis.client.hexists("dragoman:notes:weather", "brief"))
        await asyncio.sleep(1.1)
        async with listening(there):
            assert [int(read_note(one)[1]) for one in there.kept] == list(range(119, 69, -1))


async def test_what_was_told_while_redis_was_away_is_told_when_it_is_back(redis: RealRedis) -> None:
    here, there = Listener(redis), Listener(redis)
    async with listening(here, there):
        redis.stop()
        await until(lambda: not there.news.up)
        here.news.tell("weather", b"obsolete")
        here.news.tell("weather", b"storm")
        here.news.note("weather", "town", b"hail", stamp=1, seconds=60)
        await asyncio.sleep(0.3)
        redis.start()
        await until(lambda: here.news.up and there.news.up)
        await until(lambda: redis.client.hexists("dragoman:notes:weather", "town"))
        assert b"obsolete" not in there.heard
        assert there.joins == 2, "who may have missed something looks again"


async def test_a_redis_that_is_silent_is_given_up_and_found_again(redis: RealRedis) -> None:
    one = Listener(redis, silence=0.2)
    async with listening(one):
        redis.stall()
        try:
            await until(lambda: not one.news.up)
        finally:
            redis.go_on()
        await until(lambda: one.news.up)
        assert one.joins == 2


async def test_what_waits_for_redis_is_bounded(redis: RealRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_redis, "_MOST_WAITING", 10)
    one = Listener(redis)
    for number in range(1000):
        one.news.note("weather", str(number), b"-", stamp=1, seconds=60)
    async with listening(one):
        await until(lambda: redis.client.hlen("dragoman:notes:weather") == 10)
        assert redis.client.hexists("dragoman:notes:weather", "999")


async def test_neither_address_nor_password_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    news = RedisNews(connect("redis://:hunter2@127.0.0.1:1/0"))
    news.follow("weather", lambda text: None, lambda: asyncio.sleep(0))
    await news.start()
    news.tell("weather", b"sun")
    await asyncio.sleep(0.5)
    assert not news.up
    await news.close()
    said = capfd.readouterr()
    assert "hunter2" not in said.out + said.err


# ---------------------------------------------------------------- keys


class Replica:
    """One gateway's keys and news."""

    def __init__(self, database: Database, redis: RealRedis, poll: float = 0.4) -> None:
        self.ring = KeyRing(database, HASHER, poll=poll)
        self.news = RedisNews(redis.url)
        self.ring.spread(self.news)

    async def close(self) -> None:
        await self.news.close()
        await self.ring.stop()


@contextlib.asynccontextmanager
async def replicas(database: Database, redis: RealRedis, poll: float = 0.4) -> AsyncIterator[tuple[Replica, Replica]]:
    here, there = Replica(database, redis, poll), Replica(database, redis, poll)
    for one in (here, there):
        await one.ring.start()
        await one.news.start()
    try:
        await until(lambda: here.news.up and there.news.up)
        yield here, there
    finally:
        await here.close()
        await there.close()


async def test_S5_a_key_revoked_on_one_replica_is_refused_on_the_other_at_once(
    database: Database, redis: RealRedis
) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    async with replicas(database, redis, poll=60.0) as (here, there):
        assert there.ring.caller(made.credential) is not None
        await here.ring.write(lambda connection: keys.deactivate(connection, made.key.id))
        # It was told, and did not find it by looking.
        await until(lambda: there.ring.caller(made.credential) is None)


async def test_S5_a_revocation_is_told_although_the_watch_was_first_to_see_it(
    database: Database, redis: RealRedis
) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    async with replicas(database, redis, poll=60.0) as (here, there):
        await asyncio.sleep(0.2)  # both look once more when they have joined
        await database.write(lambda connection: keys.deactivate(connection, made.key.id))
        here.ring.notify()
        await until(lambda: here.ring.caller(made.credential) is None)
        await here.ring.refresh()
        await until(lambda: there.ring.caller(made.credential) is None)


@pytest.mark.parametrize("trouble", ["killed", "stalled", "flushed", "killed_during"])
async def test_S5_a_revoked_key_is_refused_within_a_second_whatever_becomes_of_redis(
    database: Database, redis: RealRedis, trouble: str
) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    async with replicas(database, redis) as (here, there):
        if trouble == "killed":
            redis.stop()
        elif trouble == "stalled":
            redis.stall()
        elif trouble == "flushed":
            redis.client.flushall()
        writing = asyncio.create_task(here.ring.write(lambda connection: keys.deactivate(connection, made.key.id)))
        if trouble == "killed_during":
            redis.stop()
        await writing
        try:
            await until(lambda: there.ring.caller(made.credential) is None)
        finally:
            if trouble == "stalled":
                redis.go_on()


async def test_S5_what_was_revoked_while_redis_was_away_is_known_when_it_is_back(
    database: Database, redis: RealRedis
) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    async with replicas(database, redis, poll=60.0) as (here, there):
        redis.stop()
        await until(lambda: not there.news.up)
        await here.ring.write(lambda connection: keys.deactivate(connection, made.key.id))
        assert there.ring.caller(made.credential) is not None
        redis.start()
        await until(lambda: there.ring.caller(made.credential) is None)
