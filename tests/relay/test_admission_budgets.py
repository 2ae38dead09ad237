"""Budgets: held before the call, topped up while it speaks, settled after it (N2)."""

from __future__ import annotations

import asyncio
import time

import pytest

from dragoman.language.ir import ReasoningSetting, Request
from dragoman.language.profiles import find_profile
from dragoman.relay.admission.budgets import REFILL, SLICE, WHOLE, first_grant, next_grant
from dragoman.relay.admission.model import Denied, Hold
from dragoman.relay.paying import thinks_unseen
from dragoman.store.accounts.model import Budget
from tests.patience import SOON
from tests.relay.admission_rig import (
    LADDER,
    UNIT_IN,
    UNIT_OUT,
    Books,
    Clock,
    denied,
    dollars,
    let_in,
    memory,
    scope,
    wish,
)

HELD = 1_000 * UNIT_IN + SLICE * UNIT_OUT
"""What a call of the rig holds at first, in nano-USD."""


def spent(admission: object) -> int:
    """What is spent of the only budget."""
    [counter] = admission.tables.counters.values()  # type: ignore[attr-defined]
    return int(counter.spent)


def held(admission: object) -> int:
    """What is held of all budgets."""
    return sum(counter.held for counter in admission.tables.counters.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("room", [100, 50, 10])
async def test_B1_N2_200_parallel_calls_against_a_budget_for_fewer(room: int) -> None:
    books, clock = Books(), Clock()
    admission = memory(clock, books)
    mine = scope(budgets=(Budget("day", nano_usd=room * HELD),))
    refusals: list[Denied] = []

    async def call(number: int) -> int:
        try:
            hold = await admission.admit(wish(f"c{number}", mine))
        except Denied as refused:
            refusals.append(refused)
            return 0
        await asyncio.sleep(0)
        cost = HELD - number  # never more than what was held: the estimate was right
        books.book("key:3", clock.now, cost)
        await hold.settle(5_000, cost)
        return cost

    costs = await asyncio.gather(*(call(number) for number in range(200)))
    assert sum(map(bool, costs)) == room
    assert spent(admission) == sum(costs) <= room * HELD
    assert held(admission) == 0
    assert len(refusals) == 200 - room
    for refused in refusals:
        assert refused.failure.kind == "quota"
        assert refused.failure.should_retry is False
        assert "The daily budget of this key" in refused.failure.message


async def test_B1_K01_parallel_streams_overspend_by_less_than_a_slice_each() -> None:
    """Answers of any length: whoever is refused a slice stops within the slice it has."""
    books, clock = Books(), Clock()
    admission = memory(clock, books)
    limit = 120 * HELD
    mine = scope(budgets=(Budget("day", nano_usd=limit),))
    stopped = 0

    async def call(number: int) -> None:
        nonlocal stopped
        hold = await let_in(admission, wish(f"c{number}", mine))
        if hold is None:
            return
        output = 0
        try:
            while output < 400 * (number % 60):
                output += 350
                await hold.grow(output)
                await asyncio.sleep(0)
        except Denied:
            stopped += 1
        cost = 1_000 * UNIT_IN + output * UNIT_OUT
        books.book("key:3", clock.now, cost)
        await hold.settle(1_000 + output, cost)

    await asyncio.gather(*(call(number) for number in range(200)))
    assert stopped > 0
    assert spent(admission) <= limit
    assert held(admission) == 0


async def test_K01_an_estimate_that_was_wrong_costs_one_call_and_is_seen_by_the_next() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(Budget("day", nano_usd=3 * HELD),))
    hold = await admission.admit(wish("a", mine))
    await hold.settle(100_000, 10 * HELD)  # B4: ten times what was estimated
    assert spent(admission) == 10 * HELD
    refused = await denied(admission, wish("b", mine, input_estimate=0, output_limit=1))
    assert "is spent" in refused.failure.message


async def test_B4_nothing_and_zero() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(Budget("day", nano_usd=2 * HELD),))
    await (await admission.admit(wish("a", mine))).settle(0, 0)
    assert (spent(admission), held(admission)) == (0, 0)
    # A cost nobody can tell is never taken for nothing.
    await (await admission.admit(wish("b", mine))).settle(5_000, None)
    assert (spent(admission), held(admission)) == (HELD, 0)


async def test_B4_a_price_that_changes_mid_call_changes_nothing_of_it() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(Budget("day", nano_usd=100 * HELD),))
    hold = await admission.admit(wish("a", mine))
    dear = await admission.admit(wish("b", mine, unit_in=10 * UNIT_IN, unit_out=10 * UNIT_OUT))
    assert held(admission) == 11 * HELD
    await hold.grow(SLICE)
    assert held(admission) == 11 * HELD + SLICE * UNIT_OUT
    await hold.settle(0, HELD)
    await dear.settle(0, 10 * HELD)
    assert (spent(admission), held(admission)) == (11 * HELD, 0)


# ---------------------------------------------------------------- what is held


def test_B1_slices() -> None:
    assert first_grant(wish("a")) == SLICE
    assert first_grant(wish("a", output_limit=64_000)) == SLICE
    assert first_grant(wish("a", output_limit=100)) == 100
    assert first_grant(wish("a", stream=False, output_limit=64_000)) == 64_000
    assert first_grant(wish("a", stream=False)) == WHOLE
    assert first_grant(wish("a", stream=False, output_ceiling=8_192)) == 8_192
    assert first_grant(wish("a", hidden_reasoning=True, output_limit=32_000)) == 32_000
    assert first_grant(wish("a", hidden_reasoning=True)) == WHOLE
    assert next_grant(SLICE, SLICE - REFILL, None) == SLICE
    assert next_grant(SLICE, SLICE - REFILL + 1, None) == 2 * SLICE
    assert next_grant(SLICE, 3 * SLICE, None) == 4 * SLICE
    assert next_grant(SLICE, SLICE - 1, SLICE + 10) == SLICE + 10
    assert next_grant(100, 99, 100) == 100
    # A provider that goes beyond the client's limit is followed all the same.
    assert next_grant(100, 101, 100) == 100 + SLICE


async def test_B1_top_ups_ask_only_at_the_end_of_a_slice_and_stop_the_call_when_refused() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(Budget("day", nano_usd=HELD + SLICE * UNIT_OUT),))
    hold = await admission.admit(wish("a", mine))
    await hold.grow(SLICE - REFILL)
    assert held(admission) == HELD
    await hold.grow(SLICE - REFILL + 1)
    assert held(admission) == HELD + SLICE * UNIT_OUT
    with pytest.raises(Denied) as stopped:
        await hold.grow(2 * SLICE - REFILL + 1)
    assert stopped.value.failure.kind == "quota"
    assert held(admission) == HELD + SLICE * UNIT_OUT
    await hold.settle(9_000, 1_000 * UNIT_IN + 7_000 * UNIT_OUT)
    assert (spent(admission), held(admission)) == (1_000 * UNIT_IN + 7_000 * UNIT_OUT, 0)


async def test_a_call_without_a_stream_holds_all_it_may_come_to() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(dollars(1),))
    assert await let_in(admission, wish("a", mine, stream=False, output_limit=64_000)) is not None
    refused = await denied(admission, wish("b", mine, stream=False, output_limit=64_000))
    assert refused.failure.message == (
        "The daily budget of this key does not cover this call: $0.00 of $1.00 used and $0.963 reserved by running "
        "calls, and it may come to $0.963. It starts anew at 2026-11-22 00:00 UTC."
    )


# ---------------------------------------------------------------- which budget


async def test_K01_every_step_of_the_ladder_must_pass() -> None:
    for poor in LADDER:
        admission = memory(Clock())
        ladder = [scope(name, budgets=(dollars(0.01 if name == poor else 5),)) for name in LADDER]
        refused = await denied(admission, wish("a", *ladder))
        assert {"global": "this gateway", "group:1": "your group", "user:2": "your account", "key:3": "this key"}[
            poor
        ] in refused.failure.message
        assert held(admission) == 0


async def test_K01_an_unknown_user_is_under_the_budget_of_all() -> None:
    admission = memory(Clock())
    everybody = scope("global", budgets=(Budget("day", nano_usd=HELD),))
    assert await let_in(admission, wish("a", everybody)) is not None
    assert await let_in(admission, wish("b", everybody)) is None


async def test_K02_no_price_no_call_under_a_budget_in_money() -> None:
    admission = memory(Clock())
    mine = scope(rpm=5, budgets=(dollars(5),))
    for unknown in ({"unit_in": None}, {"unit_out": None}, {"unit_in": None, "unit_out": None}):
        refused = await denied(admission, wish("a", mine, model="brand-new-7b", **unknown))
        assert "brand-new-7b" in refused.failure.message
        assert refused.failure.http_status == 400
        assert not refused.failure.retryable
    free = {"unit_in": None, "unit_out": None}
    assert await let_in(admission, wish("b", scope(budgets=(Budget("day", tokens=10_000),)), **free)) is not None
    assert await let_in(admission, wish("c", scope(rpm=5), **free)) is not None
    # A model that costs nothing has a price: nothing.
    assert await let_in(admission, wish("d", mine, unit_in=0, unit_out=0)) is not None


async def test_K03_a_models_budget_binds_snapshots_and_nothing_else() -> None:
    admission = memory(Clock())
    mine = scope(budgets=(Budget("day", nano_usd=HELD, model="claude-sonnet-4-5"),))
    assert await let_in(admission, wish("a", mine, model="claude-sonnet-4-5")) is not None
    for variant in ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "Claude-Sonnet-4-5-latest"):
        refused = await denied(admission, wish("b", mine, model=variant))
        assert "for claude-sonnet-4-5 " in refused.failure.message
    for other in ("claude-sonnet-4", "claude-opus-4-5", "gpt-5"):
        assert await let_in(admission, wish("c", mine, model=other)) is not None
    family = scope(budgets=(Budget("day", nano_usd=0, model="claude-*"),))
    assert await let_in(admission, wish("d", family, model="claude-opus-4-5")) is None


async def test_K03_a_budget_that_is_changed_holds_from_the_next_call_on() -> None:
    admission = memory(Clock())
    assert await let_in(admission, wish("a", scope(budgets=(Budget("day", nano_usd=HELD),)))) is not None
    first = await admission.admit(wish("b", scope(budgets=(Budget("day", nano_usd=4 * HELD),))))
    assert await let_in(admission, wish("c", scope(budgets=(Budget("day", nano_usd=1),)))) is None
    await first.settle(0, 0)


# ---------------------------------------------------------------- windows and the ledger


async def test_N2_what_is_settled_comes_from_the_ledger_at_the_start() -> None:
    clock, books = Clock(), Books()
    books.book("key:3", clock.now, 3 * HELD, 20_000)
    mine = scope(budgets=(Budget("day", nano_usd=4 * HELD),))
    admission = memory(clock, books)
    assert await let_in(admission, wish("a", mine)) is not None
    assert await let_in(admission, wish("b", mine)) is None
    assert books.reads == 1


async def test_N2_two_hundred_calls_on_a_cold_budget_ask_the_ledger_once() -> None:
    clock, books = Clock(), Books()
    admission = memory(clock, books)
    mine = scope(budgets=(dollars(10**6),))
    await asyncio.gather(*(admission.admit(wish(f"a{n}", mine)) for n in range(200)))
    assert books.reads == 1


async def test_N2_a_budget_that_cannot_be_read_is_not_taken_for_unspent() -> None:
    clock, books = Clock(), Books(away=True)
    admission = memory(clock, books, patience=0.3)
    mine = scope(budgets=(dollars(5),))
    began = time.monotonic()
    refusals = await asyncio.gather(*(denied(admission, wish(f"a{number}", mine)) for number in range(40)))
    assert 0.3 <= time.monotonic() - began < SOON, "they wait together, and not for each other"
    refused = refusals[0]
    assert refused.failure.kind == "overloaded"
    assert refused.failure.retry_after == 2
    books.away = False
    hold = await admission.admit(wish("b", mine))
    books.away = True
    assert await let_in(admission, wish("c", mine)) is not None
    await hold.settle(1, 1)


async def test_D2_a_budget_that_cannot_be_read_for_a_moment_is_waited_for() -> None:
    clock, books = Clock(), Books(away=True)
    admission = memory(clock, books, patience=SOON)
    going = asyncio.create_task(admission.admit(wish("a", scope(budgets=(dollars(5),)))))
    while not books.reads:
        await asyncio.sleep(0.005)
    books.away = False
    await (await going).settle(1, 1)


@pytest.mark.parametrize(
    ("dialect", "model", "asked", "unseen"),
    [
        ("openai_responses", "gpt-5", None, True),
        ("openai_responses", "gpt-5", ReasoningSetting(effort="low", summary="auto"), True),
        ("openai_responses", "gpt-5.2", ReasoningSetting(effort="none"), False),
        ("openai_responses", "gpt-4.1", None, False),
        ("openai_chat", "gpt-5", None, True),
        ("openai_chat", "gpt-4o", None, False),
        ("anthropic", "claude-sonnet-4-5", ReasoningSetting(mode="on", budget=2_000), False),
    ],
)
async def test_P7_who_thinks_unseen_holds_all_that_may_come(
    dialect: str, model: str, asked: ReasoningSetting | None, unseen: bool
) -> None:
    assert thinks_unseen(find_profile(dialect, model), Request(dialect, model, [], reasoning=asked)) is unseen


async def test_P7_unseen_thoughts_take_a_budget_and_no_minute() -> None:
    clock = Clock()
    admission = memory(clock)
    mine = scope(tpm=20_000, budgets=(dollars(2),))
    said = {"hidden_reasoning": True, "output_ceiling": 50_000, "input_estimate": 0}
    for name in ("a", "b"):
        assert await let_in(admission, wish(name, mine, **said)) is not None, "two slices are less than a minute's"
    assert held(admission) == 2 * 50_000 * UNIT_OUT
    refused = await denied(admission, wish("c", mine, **said))
    assert "budget" in refused.failure.message


@pytest.mark.parametrize(("window", "days"), [("day", 1), ("week", 2), ("month", 10)])
async def test_a_new_window_starts_anew_and_old_calls_stay_in_theirs(window: str, days: int) -> None:
    clock, books = Clock(), Books()
    admission = memory(clock, books)
    mine = scope(budgets=(Budget(window, nano_usd=HELD),))  # type: ignore[arg-type]
    clock.sleep(12 * 3600 - 1 + (days - 1) * 86_400)
    late = await admission.admit(wish("a", mine))
    assert await let_in(admission, wish("b", mine)) is None
    clock.sleep(1)
    fresh = await let_in(admission, wish("c", mine))
    assert fresh is not None
    await late.settle(5_000, HELD)
    before, after = admission.tables.counters.values()
    assert (before.spent, before.held) == (HELD, 0)
    assert (after.spent, after.held) == (0, HELD)


async def test_a_total_never_starts_anew() -> None:
    clock, books = Clock(), Books()
    admission = memory(clock, books)
    mine = scope(budgets=(Budget("total", nano_usd=HELD),))
    await (await admission.admit(wish("a", mine))).settle(5_000, HELD)
    clock.sleep(400 * 86_400)
    refused = await denied(admission, wish("b", mine))
    assert "total budget" in refused.failure.message
    assert "can raise it" in refused.failure.message


async def test_K05_reconciling_takes_in_what_others_booked_and_loses_nothing_fresh() -> None:
    clock, books = Clock(), Books()
    admission = memory(clock, books)
    mine = scope(budgets=(dollars(5),))
    hold = await admission.admit(wish("a", mine))
    books.book("key:3", clock.now, 7)  # recovered from a call of which nothing more was heard
    await admission.reconcile()
    assert spent(admission) == 7

    original = books.read

    async def slow(spans: object) -> object:
        sums = await original(spans)  # type: ignore[arg-type]
        # While the answer is on its way another call ends.
        books.book("key:3", clock.now, 100)
        await hold.settle(5, 100)
        return sums

    admission._settled = slow  # type: ignore[assignment]
    await admission.reconcile()
    assert spent(admission) == 107
    admission._settled = original
    await admission.reconcile()
    assert spent(admission) == 107


async def test_K05_a_ledger_that_does_not_hold_everything_yet_corrects_nothing() -> None:
    clock, books = Clock(), Books()
    whole = False
    admission = memory(clock, books, complete=lambda: whole)
    hold = await admission.admit(wish("a", scope(budgets=(dollars(5),))))
    await hold.settle(5_000, 100)  # its entry waits in the spool
    await admission.reconcile()
    assert spent(admission) == 100
    books.book("key:3", clock.now, 100)
    whole = True
    await admission.reconcile()
    assert spent(admission) == 100


async def test_K05_a_killed_call_holds_nothing_past_its_lease() -> None:
    clock = Clock()
    admission = memory(clock, lease=10_000)
    mine = scope(budgets=(Budget("day", nano_usd=2 * HELD),))
    dead = await admission.admit(wish("a", mine))
    living = await admission.admit(wish("b", mine))
    assert isinstance(living, object)
    del dead
    clock.sleep(9)
    assert await let_in(admission, wish("c", mine)) is None
    clock.sleep(2)
    third: Hold | None = await let_in(admission, wish("d", mine))
    assert third is not None
    clock.sleep(100)
    assert await let_in(admission, wish("e", mine)) is None
    await living.settle(0, 0)
    await third.settle(0, 0)
    assert held(admission) == 0


async def test_P7_replicas_without_redis_share_budgets_and_limits() -> None:
    clock, books = Clock(), Books()

    async def three() -> int:
        return 3

    made = [memory(clock, books, replicas=three) for _ in range(3)]
    for replica in made:
        await replica.start()
    try:
        mine = scope(rpm=30, budgets=(Budget("month", nano_usd=12 * HELD),))
        found = [await let_in(made[number % 3], wish(f"c{number}", mine)) for number in range(60)]
        assert sum(hold is not None for hold in found) == 12
        limited = [await let_in(made[number % 3], wish(f"d{number}", scope("key:4", rpm=30))) for number in range(60)]
        assert sum(hold is not None for hold in limited) == 30
    finally:
        for replica in made:
            await replica.close()


async def test_K01_a_prompt_that_is_sent_again_is_reserved_again() -> None:
    clock = Clock()
    books = Books()
    tables = memory(clock, books)
    # A prompt of 1,000 tokens and a slice of output; sent again, it is 1,000 + 4,096 tokens more.
    room = 1_000 * UNIT_IN + 4_096 * UNIT_OUT + 5_096 * UNIT_IN
    hold = await tables.admit(wish("a", scope(budgets=(Budget("day", nano_usd=room),))))
    await hold.resend()
    with pytest.raises(Denied):
        await hold.resend()
    await hold.settle(0, 0)
    assert await let_in(tables, wish("b", scope(budgets=(Budget("day", nano_usd=room),)))) is not None
