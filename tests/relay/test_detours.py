"""Detours of conversations, shared by replicas through a real Redis (K06, R04)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from dragoman.language.failures import Failure
from dragoman.relay import detours as module
from dragoman.relay.detours import LIFE, Detours
from dragoman.relay.health import Spot
from dragoman.relay.routing import Routing
from dragoman.upstream.plans import Plan, Resolved
from tests.patience import SOON, until
from tests.relay.admission_rig import RealRedis

pytest.importorskip("redis", reason="no client for Redis is installed")

from dragoman.store.news_redis import RedisNews

KEY = b"an installation's own secret"
NAME = ("user:7", "5e1f-session", "sonnet")
EAST, WEST = Spot("east", 0, "claude-sonnet-4-5"), Spot("west", 1, "claude-sonnet-4-5")


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    running = RealRedis()
    yield running
    running.close()


@pytest.fixture
def redis(server: RealRedis) -> RealRedis:
    """The server, empty and alive."""
    try:
        server.client.flushall()
    except Exception:
        server.start()
    return server


@contextlib.asynccontextmanager
async def replicas(
    redis: RealRedis, number: int, key: bytes = KEY, **options: Any
) -> AsyncIterator[Sequence[tuple[Detours, RedisNews]]]:
    made = []
    for _ in range(number):
        news = RedisNews(redis.url)
        made.append((Detours(news, key, **options), news))
        await news.start()
    try:
        await until(lambda: all(news.up for _, news in made))
        yield made
    finally:
        for _, news in made:
            await news.close()


def plan() -> Plan:
    spots = (EAST, WEST)
    return Plan(tuple(Resolved(one.provider, one.model, "route") for one in spots), "sonnet")


async def test_K06_a_detour_of_one_replica_is_taken_on_the_other(redis: RealRedis) -> None:
    async with replicas(redis, 2) as ((here, _), (there, _)):
        here.put(NAME, WEST)
        assert here.take(NAME) == WEST
        await until(lambda: there.take(NAME) == WEST)
        there.drop(NAME)
        assert there.take(NAME) is None
        await until(lambda: here.take(NAME) is None)
        here.put(NAME, EAST)
        await until(lambda: there.take(NAME) == EAST)


async def test_K06_who_comes_later_knows_the_detours_that_live(redis: RealRedis) -> None:
    async with replicas(redis, 1) as ((here, _),):
        for number in range(2_500):
            here.put(("user:7", f"c{number}", "sonnet"), WEST)
        here.put(NAME, WEST)
        here.drop(NAME)
        await until(lambda: redis.client.hlen("dragoman:notes:detours") == 2_501)
        async with replicas(redis, 1) as ((later, _),):
            assert all(later.take(("user:7", f"c{number}", "sonnet")) == WEST for number in range(2_500))
            assert later.take(NAME) is None


@pytest.mark.parametrize("trouble", ["killed", "flushed"])
async def test_K06_detours_made_while_redis_was_away_are_shared_later(redis: RealRedis, trouble: str) -> None:
    async with replicas(redis, 2) as ((here, near), (there, far)):
        here.put(NAME, EAST)
        await until(lambda: there.take(NAME) == EAST)
        if trouble == "killed":
            redis.stop()
            await until(lambda: not near.up and not far.up)
        else:
            redis.client.flushall()
        here.put(NAME, WEST)
        assert (here.take(NAME), there.take(NAME)) == (WEST, EAST), "each by itself, and nothing fails"
        if trouble == "killed":
            redis.start()
        await until(lambda: there.take(NAME) == WEST)


async def test_K06_a_conversation_that_goes_on_is_not_forgotten_by_the_others(
    redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    async with replicas(redis, 2, clock=lambda: now[0]) as ((here, _), (there, _)):
        here.put(NAME, WEST)
        await until(lambda: there.take(NAME) == WEST)
        for _ in range(4):
            now[0] += LIFE * 0.4
            assert here.take(NAME) == WEST
            await asyncio.sleep(0.05)
        assert there.take(NAME) == WEST
        now[0] += LIFE + 1
        assert there.take(NAME) is None


async def test_K06_the_later_choice_holds_whatever_the_clocks_say(redis: RealRedis) -> None:
    ahead, behind = (lambda: 2_000_000), (lambda: 1_000_000)
    first, second = RedisNews(redis.url), RedisNews(redis.url)
    fast, slow = Detours(first, KEY, stamps=ahead), Detours(second, KEY, stamps=behind)
    await first.start()
    await second.start()
    try:
        await until(lambda: first.up and second.up)
        fast.put(NAME, WEST)
        await until(lambda: slow.take(NAME) == WEST)
        slow.put(NAME, EAST)
        await until(lambda: fast.take(NAME) == EAST)
    finally:
        await first.close()
        await second.close()


async def test_R04_names_are_told_only_as_hashes_of_their_installation(redis: RealRedis) -> None:
    async with replicas(redis, 1) as ((here, _),), replicas(redis, 1, b"another secret") as ((foreign, _),):
        here.put(NAME, WEST)
        await until(lambda: redis.client.hlen("dragoman:notes:detours") == 1)
        await asyncio.sleep(0.05)
        assert foreign.take(NAME) is None
        assert here.take(("user:8", *NAME[1:])) is None
        there = repr((redis.client.keys("*"), redis.client.hgetall("dragoman:notes:detours")))
    assert not any(word in there for word in ("user", "5e1f", "session", "sonnet\x00"))


async def test_what_is_no_note_of_ours_is_passed_over(redis: RealRedis) -> None:
    async with replicas(redis, 1) as ((here, news),):
        for text in (b"", b"x" * 40, b"%016d" % 9 + b"{}", b"%016d" % 9 + b'["short",null]', b"%016d\xff" % 9):
            redis.client.publish("dragoman:news:detours", b"0" * 16 + text)
        place = here._place(NAME)
        redis.client.publish("dragoman:news:detours", b"0" * 32 + b'["%s",["west",1,"m"]]' % place.encode())
        await until(lambda: here.take(NAME) == Spot("west", 1, "m"))
        assert news.up


async def test_K06_routing_goes_where_another_replica_has_led_the_conversation(redis: RealRedis) -> None:
    accounts: dict[str, tuple[int, int | None]] = {"east": (1, None), "west": (2, None)}
    async with replicas(redis, 2) as ((near, _), (far, _)):
        here, there = Routing.of(accounts, sticky=near), Routing.of(accounts, sticky=far)
        tries = here.tries(plan(), lambda: ("user:7", "c"))
        shot = await tries.next()
        assert shot is not None
        tries.failed(shot, Failure("overloaded", "busy", status=529))
        other = await tries.next()
        assert other is not None
        tries.succeeded(other)
        await until(lambda: far.take(("user:7", "c", "sonnet")) == other.spot)
        led = await there.tries(plan(), lambda: ("user:7", "c")).next()
        assert led is not None
        assert led.spot == other.spot != shot.spot


async def test_a_call_never_waits_for_the_others(redis: RealRedis) -> None:
    async with replicas(redis, 1) as ((here, _),):
        redis.stop()
        began = time.perf_counter()
        for number in range(1_000):
            here.put(("user:7", str(number), "r"), WEST)
            assert here.take(("user:7", str(number), "r")) == WEST
        assert time.perf_counter() - began < SOON


def test_alone_detours_are_what_they_were() -> None:
    now = [0.0]
    alone = Detours(clock=lambda: now[0])
    alone.drop(NAME)
    alone.put(NAME, EAST)
    now[0] = LIFE - 1
    assert alone.take(NAME) == EAST
    now[0] += LIFE - 1
    assert alone.take(NAME) == EAST
    now[0] += LIFE + 1
    assert alone.take(NAME) is None
    assert module.LIFE == 900
