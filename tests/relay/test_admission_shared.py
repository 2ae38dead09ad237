"""Limits of many replicas in a real Redis: the same arithmetic, and no harm when it vanishes (B1, B3, B6, D3)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dragoman.relay.admission.budgets import SLICE
from dragoman.relay.admission.memory import utc
from dragoman.relay.admission.model import Admission, Denied, Hold
from dragoman.relay.admission.reservation import Charge
from dragoman.relay.admission.rules import CALLS, MONEY, PLACES, TOKENS, Line, Verdict
from dragoman.relay.admission.tables import Tables
from dragoman.store.accounts.model import Budget, Scope
from dragoman.store.ledger.settled import Settled
from tests.relay.admission_rig import UNIT_IN, UNIT_OUT, Books, RealRedis, denied, let_in, line, scope, wish

redis = pytest.importorskip("redis", reason="no client for Redis is installed")

from dragoman.relay.admission import remote  # noqa: E402
from dragoman.relay.admission.remote import SCRIPT, Gone, Lost, Missing, RemoteTables  # noqa: E402
from dragoman.relay.admission.shared import RedisAdmission  # noqa: E402
from dragoman.store.news_redis import connect  # noqa: E402

HELD = 1_000 * UNIT_IN + SLICE * UNIT_OUT
LEASE = 4_000
"""Short enough to be waited for, and longer than a busy machine keeps a call from being renewed."""

LONG = 10_000
"""For tests in which nothing lapses, however slow they are."""

PROBE = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    running = RealRedis()
    yield running
    running.close()


@pytest.fixture
def store(server: RealRedis) -> RealRedis:
    """The server, empty."""
    server.client.flushall()
    return server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is not given up, however busy this machine is: what is counted matters, not how fast."""
    monkeypatch.setattr(remote, "PULSE", 5.0)


@asynccontextmanager
async def replicas(store: RealRedis, number: int, books: Books, **options: Any) -> AsyncIterator[list[RedisAdmission]]:
    """So many replicas, all with Redis."""

    async def count() -> int:
        return number

    given = {"settled": books.read, "replicas": count, "lease": LEASE, "probe": PROBE, **options}
    made = [RedisAdmission(store.url, **given) for _ in range(number)]
    await asyncio.gather(*(one.start() for one in made))
    try:
        await back(made)
        yield made
    finally:
        await asyncio.gather(*(one.close() for one in made))


async def back(made: list[RedisAdmission], seconds: float = 20.0) -> None:
    """Wait until all count in Redis again."""
    deadline = time.monotonic() + seconds
    while not all(one.up for one in made):
        assert time.monotonic() < deadline, "Redis is not found again"
        await asyncio.sleep(0.02)


# ---------------------------------------------------------------- B3: memory = Lua

LIMITS = {CALLS: (0, 1, 7, 60), TOKENS: (0, 1_000, 333_333), PLACES: (0, 1, 3), MONEY: (0, 10**6, 10**13)}
NAMES = ("calls", "tokens", "places", "money")


class Traces:
    """One random trace of calls, told to both tables with the same clock."""

    def __init__(self, seed: int, store: RealRedis) -> None:
        self.chance = random.Random(seed)
        self.now = 1_795_262_400_000
        self.here = Tables(10_000)
        # The only thing that is not random: the server's clock is ours.
        script = SCRIPT.replace("redis.call('TIME')", "{redis.call('GET', 'seconds'), redis.call('GET', 'micros')}")
        assert script != SCRIPT
        self.store = store
        self.there = RemoteTables(connect(store.url), f"b3-{seed}", 10_000, script=script)
        self.calls: dict[str, list[Line]] = {}
        self.limits = {name: self.chance.choice(limits) for name, limits in LIMITS.items()}

    async def run(self, steps: int) -> None:
        self.tick(0)
        await self.there.join()
        for number in range(steps):
            self.tick(self.chance.choice((0, 0, 1, 17, 900, 5_000, 61_000, -3_000)))
            step = self.chance.choice((self.admit, self.admit, self.grow, self.settle, self.renew, self.correct))
            await step(f"c{number}")
            if self.chance.random() < 0.05:
                kind = self.chance.choice(list(LIMITS))
                self.limits[kind] = self.chance.choice(LIMITS[kind])
        await self.there.close()

    def tick(self, ticks: int) -> None:
        self.now += ticks
        self.store.client.mset({"seconds": self.now // 1_000, "micros": self.now % 1_000 * 1_000 + 999})

    def lines(self) -> list[Line]:
        kinds = [kind for kind in LIMITS if self.chance.random() < 0.7] or [CALLS]
        self.chance.shuffle(kinds)
        amounts = {CALLS: 1, TOKENS: self.chance.randrange(400_000), PLACES: 1}
        amounts[MONEY] = self.chance.randrange(10 ** self.chance.randrange(1, 13))
        return [line(kind, NAMES[kind], self.limits[kind], amounts[kind]) for kind in kinds]

    async def decided(self, call: str, lines: list[Line]) -> Verdict:
        if missing := self.here.missing(lines):
            with pytest.raises(Missing) as told:
                await self.there.decide(call, lines)
            assert [lines[number] for number in told.value.numbers] == missing
            for one in missing:
                self.here.open(one, Settled(12_345))
            await self.there.correct([(one, 0, 12_345) for one in missing])
        there = await self.there.decide(call, lines)
        here = self.here.decide(call, lines, self.now)
        assert here == there
        return here

    async def admit(self, call: str) -> None:
        lines = self.lines()
        if (await self.decided(call, lines)).refused < 0:
            self.calls[call] = lines

    async def grow(self, _: str) -> None:
        if not self.calls:
            return
        call = self.chance.choice(list(self.calls))
        grown = [one._replace(amount=one.amount * 2) for one in self.calls[call] if one.kind == MONEY]
        if grown and (await self.decided(call, grown)).refused < 0:
            self.calls[call] = [one for one in self.calls[call] if one.kind != MONEY] + grown

    async def settle(self, _: str) -> None:
        if not self.calls:
            return
        call = self.chance.choice(list(self.calls))
        lines = self.calls.pop(call)
        charges: list[Charge] = [
            (one, self.chance.randrange(10**9) if one.kind == MONEY else self.chance.randrange(-(10**5), 10**5))
            for one in lines
            if one.kind != CALLS
        ]
        self.here.settle(call, charges, self.now)
        await self.there.settle(call, charges)

    async def renew(self, _: str) -> None:
        held = list(self.calls.items())
        self.chance.shuffle(held)
        for call, lines in held[:2]:
            self.here.renew(call, lines, self.now)
        await self.there.renew(held[:2])

    async def correct(self, _: str) -> None:
        for one, mark in list(self.here.budgets().values()):
            assert await self.there.marks([one]) == [mark]
            earlier, settled = self.chance.randrange(mark + 1), self.chance.randrange(10**7)
            self.here.correct(one, earlier, Settled(settled))
            await self.there.correct([(one, earlier, settled)])


@pytest.mark.parametrize("seed", range(12))
async def test_B3_memory_and_redis_decide_alike(store: RealRedis, seed: int) -> None:
    await Traces(seed, store).run(250)


async def test_B3_large_sums_stay_exact(store: RealRedis) -> None:
    there = RemoteTables(connect(store.url), "large", 10_000)
    await there.join()
    million = line(MONEY, "large", 9 * 10**15, 10**15 + 1)
    await there.correct([(million, 0, 3 * 10**15 + 7)])
    verdict = await there.decide("a", [million])
    assert verdict.refused < 0
    await there.settle("a", [(million, 10**15 + 1)])
    assert await there.marks([million]) == [10**15 + 1]
    refused = await there.decide("b", [million._replace(amount=5 * 10**15)])
    assert (refused.refused, refused.spent, refused.held) == (0, 4 * 10**15 + 8, 0)
    await there.close()


async def test_D3_a_forgotten_script_is_sent_again(store: RealRedis) -> None:
    async with replicas(store, 1, Books()) as [one]:
        store.client.script_flush()
        assert await let_in(one, wish("a", scope(rpm=5))) is not None
        assert one.up


async def test_remote_tables_of_another_epoch_are_lost(store: RealRedis) -> None:
    there = RemoteTables(connect(store.url), "epoch", 10_000)
    with pytest.raises(Lost):
        await there.decide("a", [line(CALLS, "x", 5, 1)])
    assert await there.join() == (0, False)
    await there.decide("a", [line(CALLS, "x", 5, 1)])
    assert (await there.join())[1] is True
    store.client.flushall()
    with pytest.raises(Lost):
        await there.decide("b", [line(CALLS, "x", 5, 1)])
    await there.close()


# ---------------------------------------------------------------- B1, B6: several replicas


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("room", [100, 50])
async def test_B1_N2_200_parallel_calls_on_three_replicas(store: RealRedis, room: int) -> None:
    books = Books()
    mine = scope(budgets=(Budget("month", nano_usd=room * HELD),))
    words: set[bool] = set()
    async with replicas(store, 3, books, lease=LONG) as made:

        async def call(number: int) -> int:
            try:
                hold = await made[number % 3].admit(wish(f"c{number}", mine))
            except Denied as refused:
                words.add("monthly budget of this key" in refused.failure.message)
                return 0
            await asyncio.sleep(0)
            cost = HELD - number
            books.book("key:3", utc(), cost)
            await hold.settle(5_000, cost)
            return cost

        costs = await asyncio.gather(*(call(number) for number in range(200)))
        # Those that end early give room back: more may come in, but never more is spent.
        assert room <= sum(map(bool, costs))
        assert sum(costs) <= room * HELD
        assert words <= {True}
        assert all(one.up for one in made)
        assert counters(store) == [(sum(costs), 0)]


@pytest.mark.usefixtures("patient")
async def test_K01_limits_are_one_for_all_replicas(store: RealRedis) -> None:
    mine = scope(rpm=20, parallel=15)
    async with replicas(store, 3, Books(), lease=LONG) as made:
        found = await asyncio.gather(*(let_in(made[number % 3], wish(f"c{number}", mine)) for number in range(60)))
        holds = [hold for hold in found if hold is not None]
        assert len(holds) == 15
        for hold in holds:
            await hold.settle(1, 1)
        found = await asyncio.gather(*(let_in(made[number % 3], wish(f"d{number}", mine)) for number in range(60)))
        assert sum(hold is not None for hold in found) == 5


@pytest.mark.usefixtures("patient")
async def test_B6_K05_what_a_dead_replica_held_is_free_within_a_lease(store: RealRedis) -> None:
    books = Books()
    mine = scope(parallel=2, budgets=(Budget("month", nano_usd=2 * HELD),))
    async with replicas(store, 1, books) as [survivor]:
        async with replicas(store, 1, books) as [dying]:
            lost = await dying.admit(wish("a", mine))
            # Killed: nothing is settled, nothing renewed any more.
        living = await survivor.admit(wish("b", mine))
        began = time.monotonic()
        assert await let_in(survivor, wish("c", mine)) is None
        found = None
        while found is None and time.monotonic() < began + 20:
            await asyncio.sleep(0.05)
            found = await let_in(survivor, wish("d", mine))
        assert found is not None
        assert time.monotonic() - began > LEASE / 2_000
        # The living are renewed: far longer than a lease.
        await asyncio.sleep(1.5 * LEASE / 1_000)
        assert await let_in(survivor, wish("e", mine)) is None
        await living.settle(1, 1)
        assert lost is not None


@pytest.mark.usefixtures("patient")
async def test_top_ups_are_one_for_all_replicas(store: RealRedis) -> None:
    mine = scope(budgets=(Budget("month", nano_usd=2 * HELD + SLICE * UNIT_OUT),))
    async with replicas(store, 2, Books(), lease=LONG) as made:
        first, second = await made[0].admit(wish("a", mine)), await made[1].admit(wish("b", mine))
        await first.grow(SLICE)
        with pytest.raises(Denied):
            await second.grow(SLICE)
        await first.settle(0, 0)
        await second.grow(SLICE)
        await second.settle(9, HELD)
        assert counters(store) == [(HELD, 0)]


def counters(store: RealRedis) -> list[tuple[int, int]]:
    """What Redis counts of budgets: spent and held."""
    found = []
    for key in sorted(store.client.keys("dragoman:money:*")):
        if not key.endswith(b":until"):
            spent, held = store.client.hmget(key, "spent", "held")
            found.append((int(spent), int(held)))
    return found


# ---------------------------------------------------------------- D3: Redis vanishes


class Load:
    """Calls on three replicas, as many as are let in, of one key with a rate and a budget."""

    def __init__(self, made: list[RedisAdmission], books: Books, mine: Scope) -> None:
        self.made, self.books, self.mine = made, books, mine
        self.let_in = self.refused = 0
        self.cost = 0
        self.slowest = 0.0
        self.kinds: set[str] = set()
        self.began = time.monotonic()

    async def run(self, seconds: float) -> None:
        """Eight callers at once, until the time is over."""
        await asyncio.gather(*(self._caller(number, time.monotonic() + seconds) for number in range(9)))

    async def _caller(self, number: int, until: float) -> None:
        replica: Admission = self.made[number % 3]
        serial = 0
        while time.monotonic() < until:
            serial += 1
            began = time.monotonic()
            try:
                hold = await replica.admit(wish(f"{id(self)}-{number}-{serial}-{began}", self.mine))
            except Denied as refused:
                self.refused += 1
                self.kinds.add(refused.failure.kind)
                self.slowest = max(self.slowest, time.monotonic() - began)
                await asyncio.sleep(0.02)
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.let_in += 1
            await asyncio.sleep(0.03)
            self.books.book("key:3", utc(), HELD // 2)
            self.cost += HELD // 2
            await hold.settle(2_500, HELD // 2)

    @property
    def most(self) -> float:
        """Calls that may have been let in so far: one burst, then the rate."""
        return 300 + 5 * (time.monotonic() - self.began)


async def vanish(store: RealRedis, how: str) -> None:
    if how == "flush":
        store.client.flushall()
    elif how == "stop":
        store.stop()
    else:
        store.stall()


async def return_(store: RealRedis, how: str) -> None:
    if how == "stop":
        await asyncio.to_thread(store.start)
    elif how == "stall":
        store.go_on()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flush", "stop", "stall"])
async def test_D3_redis_vanishes_under_load(store: RealRedis, how: str) -> None:
    books = Books()
    mine = scope(rpm=300, tpm=10**9, budgets=(Budget("total", nano_usd=200 * HELD),))
    async with replicas(store, 3, books) as made:
        load = Load(made, books, mine)
        await load.run(0.6)
        assert load.let_in > 20
        await vanish(store, how)
        await load.run(1.5)
        if how != "flush":
            assert not any(one.up for one in made)
        await return_(store, how)
        await load.run(0.5)
        await back(made)
        await load.run(0.5)
        assert load.kinds <= {"rate_limit", "quota"}, "a client was told of Redis"
        assert load.slowest < 5
        assert load.let_in <= 1.25 * load.most
        # Each call holds twice what it costs: the budget holds if what is spent stays within it.
        assert load.cost <= 200 * HELD
        # What calls held that ended while it was away lapses, and is seen to by whoever comes next.
        await asyncio.sleep(LEASE / 1_000)
        last = await made[0].admit(wish("last", mine))
        await last.settle(0, 0)
        await made[0]._reconcile()
        assert counters(store) == [(load.cost, 0)], "counts are those of the ledger, and nothing is held"


async def test_D3_a_budget_holds_while_redis_is_gone(store: RealRedis) -> None:
    """What calls hold that began before is counted; of the rest each replica has its part."""
    books = Books()
    mine = scope(budgets=(Budget("total", nano_usd=30 * HELD),))
    async with replicas(store, 3, books) as made:
        early = [await made[number % 3].admit(wish(f"a{number}", mine)) for number in range(12)]
        store.stall()
        try:
            found = [await let_in(made[number % 3], wish(f"b{number}", mine)) for number in range(60)]
            late = [hold for hold in found if hold is not None]
            assert not any(one.up for one in made)
            assert len(late) + len(early) == 30
            for hold in (*early, *late):
                books.book("key:3", utc(), HELD)
                await hold.settle(5_000, HELD)
            assert [await let_in(made[number], wish(f"c{number}", mine)) for number in range(3)] == [None] * 3
        finally:
            store.go_on()
        await back(made)
        refused = await denied(made[0], wish("d", mine))
        assert "is spent" in refused.failure.message
        await asyncio.sleep(LEASE / 1_000)
        await made[0]._reconcile()
        assert await let_in(made[1], wish("e", mine)) is None
        assert counters(store) == [(30 * HELD, 0)]


@pytest.mark.usefixtures("patient")
async def test_D3_one_replica_alone_overspends_by_its_part_of_what_was_left(store: RealRedis) -> None:
    """Two still count in Redis, one does not reach it: it cannot see what calls of the others hold (decision 0010)."""
    books = Books()
    mine = scope(rpm=300, budgets=(Budget("total", nano_usd=30 * HELD),))
    async with replicas(store, 3, books) as made:
        alone, *others = made
        cut_off(alone)
        found = await asyncio.gather(*(let_in(others[number % 2], wish(f"a{number}", mine)) for number in range(60)))
        held = [hold for hold in found if hold is not None]
        assert len(held) == 30
        found = [await let_in(alone, wish(f"b{number}", mine)) for number in range(60)]
        over = [hold for hold in found if hold is not None]
        assert (alone.up, others[0].up) == (False, True)
        assert len(over) == 10, "a third of what the ledger says is left"
        # What is settled is seen by all who look: the rest is never spent.
        for one, hold in [*((others[0], hold) for hold in held), *((alone, hold) for hold in over)]:
            assert one is not None
            books.book("key:3", utc(), HELD)
            await hold.settle(5_000, HELD)
        await alone._local.reconcile()
        await others[0]._reconcile()
        assert [await let_in(one, wish(f"c{number}", mine)) for number, one in enumerate(made)] == [None] * 3
        cut_off(alone, store.url)
        await back([alone])
        await asyncio.sleep(LEASE / 1_000)
        await alone._reconcile()
        assert counters(store) == [(40 * HELD, 0)]


def cut_off(replica: RedisAdmission, url: str = "redis://127.0.0.1:1/0") -> None:
    """Another way to Redis, or none."""
    replica._remote._client = connect(url)


async def test_D3_an_emptied_redis_is_not_used_before_all_have_put_back_what_they_hold(store: RealRedis) -> None:
    books = Books()
    mine = scope(parallel=6)
    async with replicas(store, 3, books) as made:
        held = [await made[number % 3].admit(wish(f"a{number}", mine)) for number in range(6)]
        store.client.flushall()
        for number in range(40):
            assert await let_in(made[number % 2], wish(f"b{number}", mine)) is None, number
            await asyncio.sleep(0.02)
        await back(made)
        assert await let_in(made[0], wish("c", mine)) is None
        for hold in held:
            await hold.settle(1, 1)
        assert await let_in(made[0], wish("d", mine)) is not None


@pytest.mark.usefixtures("patient")
async def test_D3_N2_replicas_that_find_redis_one_after_another_share_one_budget(store: RealRedis) -> None:
    """Whoever finds an empty Redis old enough counts in all of it while others still keep to their part."""
    books = Books()
    mine = scope(budgets=(Budget("total", nano_usd=30 * HELD),), parallel=40)

    async def three() -> int:
        return 3

    given: dict[str, Any] = {"settled": books.read, "replicas": three, "lease": LEASE, "probe": PROBE}
    made = [RedisAdmission(store.url, **given) for _ in range(3)]
    held: list[Hold] = []
    try:
        for one in made:
            await one.start()
            await asyncio.sleep(PROBE / 3)
        asymmetric = False
        number = 0
        end = time.monotonic() + 20
        while not all(one.up for one in made) and time.monotonic() < end:
            asymmetric = asymmetric or any(one.up for one in made)
            # The first may take all there is; the others then ask for their part.
            for one in sorted(made, key=lambda one: not one.up):
                number += 1
                if asymmetric and (hold := await let_in(one, wish(f"c{number}", mine))) is not None:
                    held.append(hold)
            await asyncio.sleep(0.001)
        assert asymmetric, "all found it at once"
        assert len(held) <= 30
        for hold in held:
            await hold.settle(1, HELD)
        assert [held for _, held in counters(store)] == [0]
    finally:
        await asyncio.gather(*(one.close() for one in made))


@pytest.mark.usefixtures("patient")
async def test_what_is_settled_while_holds_are_renewed_is_held_no_more(store: RealRedis) -> None:
    mine = scope(budgets=(Budget("total", nano_usd=3 * HELD),), parallel=3)
    async with replicas(store, 1, Books()) as [one]:
        renew = one._remote.renew

        async def late(held: Any) -> None:
            await asyncio.sleep(0.05)
            await renew(held)

        hold = await one.admit(wish("a", mine))
        one._remote.renew = late  # type: ignore[method-assign]
        await asyncio.gather(one._renew(), hold.settle(0, 0))
        assert counters(store) == [(0, 0)]


async def test_D3_without_redis_from_the_start(store: RealRedis) -> None:
    async def three() -> int:
        return 3

    alone = RedisAdmission("redis://127.0.0.1:1/0", settled=Books().read, replicas=three, lease=LEASE, probe=PROBE)
    await alone.start()
    mine = scope(rpm=30)
    found = [await let_in(alone, wish(f"a{number}", mine)) for number in range(30)]
    assert sum(hold is not None for hold in found) == 10
    assert not alone.up
    await alone.close()


async def test_D3_silence_is_noticed_within_a_quarter_of_a_second(store: RealRedis) -> None:
    there = RemoteTables(connect(store.url), "silence", 10_000)
    await there.join()
    store.stall()
    try:
        began = time.monotonic()
        answers = await asyncio.gather(
            *(there.decide(f"a{number}", [line(CALLS, "x", 5, 1)]) for number in range(50)), return_exceptions=True
        )
        assert all(isinstance(answer, Gone) for answer in answers)
        assert 0.2 < time.monotonic() - began < 2
    finally:
        store.go_on()
    await there.close()
