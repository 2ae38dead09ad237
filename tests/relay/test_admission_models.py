"""Limits of some models only, and budgets that are raised once."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.relay.admission.budgets import SLICE
from dragoman.store.accounts.model import Budget, ModelLimit
from tests.relay.admission_rig import NOON, SECOND, UNIT_IN, UNIT_OUT, Clock, denied, let_in, memory, scope, wish

HELD = 1_000 * UNIT_IN + SLICE * UNIT_OUT


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"rpm": 2}, "may use 2 calls a minute of claude-opus-*. Try again in 30 s."),
        ({"tpm": 2 * 5_096}, "may use 10,192 tokens a minute of claude-opus-*."),
        ({"parallel": 2}, "may use 2 calls at once of claude-opus-*, and 2 are running."),
    ],
)
@pytest.mark.parametrize("name", ["global", "group:1", "user:2", "key:3"])
async def test_K03_a_models_limit_binds_it_and_nothing_else(limit: dict[str, int], words: str, name: str) -> None:
    admission = memory(Clock())
    mine = scope(name, rpm=50, per_model=(ModelLimit("claude-opus-*", **limit),))
    models = ("claude-opus-4-8", "Claude-Opus-4-5-20251101")
    holds = [await admission.admit(wish(f"a{number}", mine, model=model)) for number, model in enumerate(models)]
    refused = await denied(admission, wish("b", mine, model="claude-opus-4-8"))
    assert refused.failure.kind == "rate_limit"
    assert words in refused.failure.message
    # What was refused took nothing of the limit of all models.
    other = await admission.admit(wish("c", mine, model="claude-haiku-4-5"))
    assert dict(other.headers)["x-ratelimit-remaining-requests"] == "47"
    for hold in (*holds, other):
        await hold.settle(0, 0)
    if "rpm" not in limit:
        assert await let_in(admission, wish("d", mine, model="claude-opus-4-8")) is not None


async def test_the_tightest_of_all_limits_is_told() -> None:
    admission = memory(Clock())
    mine = scope(rpm=50, per_model=(ModelLimit("a", rpm=3), ModelLimit("*", rpm=9)))
    told = dict((await admission.admit(wish("a", mine, model="a"))).headers)
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("3", "2")
    told = dict((await admission.admit(wish("b", mine, model="b"))).headers)
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("9", "7")


async def test_limits_of_two_models_are_counted_apart() -> None:
    admission = memory(Clock())
    mine = scope(per_model=(ModelLimit("a", rpm=1), ModelLimit("b", rpm=1)))
    for model in ("a", "b"):
        assert await let_in(admission, wish(f"1{model}", mine, model=model)) is not None
        assert await let_in(admission, wish(f"2{model}", mine, model=model)) is None


async def test_K07_a_call_that_goes_on_to_another_target_is_one_call() -> None:
    """Limits of all models have counted it; those of the other model have not."""
    admission = memory(Clock())
    mine = scope(rpm=1, per_model=(ModelLimit("a", rpm=1), ModelLimit("b", rpm=1)))
    first = await admission.admit(wish("1", mine, model="a"))
    await first.settle(0, 0)
    second = await admission.admit(wish("1.1", mine, model="b", counted=first.counted))
    await second.settle(0, 0)
    back = wish("1.2", mine, model="a", counted=second.counted)
    assert await let_in(admission, back) is not None
    for model in ("a", "b", "c"):
        assert (await denied(admission, wish("2", mine, model=model))).failure.kind == "rate_limit"


# ---------------------------------------------------------------- raised once


def raised(once: int, until: int, window: Any = "month") -> Budget:
    return Budget(window, nano_usd=HELD, once=once, until=until)


async def test_a_raise_holds_until_its_time_and_no_longer() -> None:
    clock = Clock()
    admission = memory(clock)
    mine = scope(budgets=(raised(HELD, NOON + 60 * SECOND),))
    first = await admission.admit(wish("a", mine))
    second = await admission.admit(wish("b", mine))
    assert await let_in(admission, wish("c", mine)) is None
    clock.sleep(59)
    assert await let_in(admission, wish("d", mine)) is None
    await second.settle(0, 0)
    clock.sleep(1)
    refused = await denied(admission, wish("e", mine))
    assert "does not cover this call" in refused.failure.message
    assert "of $0.06444 used" in refused.failure.message
    await first.settle(0, 0)
    assert await let_in(admission, wish("f", mine)) is not None
    assert await let_in(admission, wish("g", mine)) is None


async def test_a_raise_holds_from_the_next_call_on_and_keeps_what_was_spent() -> None:
    admission = memory(Clock())
    plain = scope(budgets=(Budget("month", nano_usd=HELD),))
    await (await admission.admit(wish("a", plain))).settle(5_000, HELD)
    assert await let_in(admission, wish("b", plain)) is None
    more = scope(budgets=(raised(HELD, NOON + 60 * SECOND),))
    hold = await admission.admit(wish("c", more))
    assert await let_in(admission, wish("d", more)) is None
    await hold.settle(5_000, HELD)
    [counter] = admission.tables.counters.values()
    assert (counter.spent, counter.held) == (2 * HELD, 0)
