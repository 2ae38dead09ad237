"""The order of targets, and when a call stops trying. Pure: clock and outcomes are told."""

from __future__ import annotations

import asyncio
from collections import Counter

from dragoman.language.failures import Failure
from dragoman.relay.health import Health
from dragoman.relay.routing import MOST_TRIES, SPARE, Routing, Shot
from dragoman.upstream.plans import Plan, Resolved
from tests.patience import SOON

A, B, C = (Resolved(name, "m", "route") for name in "abc")
THROTTLE = Failure("rate_limit", "slow down", retry_after=30)
BROKEN = Failure("server", "broken")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def routing(clock: Clock | None = None, retries: int = 0, most: int | None = None, **keys: int) -> Routing:
    clock = clock or Clock()
    accounts = {name: (keys.get(name, 1), most) for name in "abc"}
    made = Routing.of(accounts, retries=retries, health=Health(clock))
    made.clock = clock
    return made


async def order(made: Routing, plan: Plan, conversation: str = "x", **more: bool) -> list[Shot]:
    """Every target of a call, none of which has the model; all have answered others lately."""
    for candidate in plan.candidates:
        for key in range(made.accounts[candidate.provider_name].keys):
            made.health.answers(Shot(candidate, key).spot)
    tries = made.tries(plan, lambda: ("owner", conversation), **more)
    shots: list[Shot] = []
    while (shot := await tries.next()) is not None:
        shots.append(shot)
        if tries.failed(shot, Failure("not_found", "x")) is None:
            break
    return shots


def names(shots: list[Shot]) -> str:
    return "".join(shot.resolved.provider_name for shot in shots)


async def test_targets_are_tried_in_their_order() -> None:
    assert names(await order(routing(), Plan((A, B, C)))) == "abc"


async def test_weights_share_out_conversations_and_a_conversation_stays() -> None:
    made = routing()
    plan = Plan((Resolved("a", "m", "route", weight=3), Resolved("b", "m", "route", weight=1), C))
    firsts: Counter[str] = Counter()
    for number in range(2000):
        shots = await order(made, plan, f"conversation {number}")
        assert shots == await order(made, plan, f"conversation {number}")
        assert names(shots)[2] == "c"
        firsts[names(shots)[0]] += 1
    assert 1400 < firsts["a"] < 1600


async def test_a_weight_of_nothing_is_a_reserve() -> None:
    plan = Plan((Resolved("a", "m", "route", weight=0), Resolved("b", "m", "route", weight=1)))
    assert all([names(await order(routing(), plan, str(number))) == "ba" for number in range(50)])


async def test_keys_of_an_account_are_shared_out_and_tried_before_the_next_account() -> None:
    made = routing(a=3)
    seen = set()
    for number in range(60):
        shots = await order(made, Plan((A, B)), str(number))
        assert names(shots) == "aaab"
        assert {shot.key for shot in shots[:3]} == {0, 1, 2}
        seen.add(shots[0].key)
    assert seen == {0, 1, 2}


async def test_K06_who_was_served_elsewhere_stays_there() -> None:
    clock = Clock()
    made = routing(clock)
    plan = Plan((A, B), route="r")
    tries = made.tries(plan, lambda: ("owner", "x"))
    first = await tries.next()
    assert first is not None
    assert tries.failed(first, THROTTLE) == 0
    second = await tries.next()
    assert second is not None
    tries.succeeded(second)
    clock.now += 60  # the throttle is over
    assert names(await order(made, plan))[0] == "b"
    assert names(await order(made, plan, "another"))[0] == "a"
    tries = made.tries(plan, lambda: ("stranger", "x"))
    shot = await tries.next()
    assert shot is not None
    assert shot.resolved == A
    tries.succeeded(shot)
    assert names(await order(made, plan, fresh=True))[0] == "a", "a compacted history has no cache to go back to"
    assert names(await order(made, plan))[0] == "a"


async def test_resting_targets_come_last_and_the_least_bad_one_is_tried() -> None:
    clock = Clock()
    made = routing(clock)
    for name, seconds in (("a", 50), ("b", 10), ("c", 30)):
        made.health.failed(Shot(Resolved(name, "m", ""), 0).spot, Failure("rate_limit", "", retry_after=seconds))
    tries = made.tries(Plan((A, B, C)), lambda: ("", ""))
    shot = await tries.next()
    assert shot is not None
    assert shot.resolved == B
    tries.failed(shot, THROTTLE)
    assert await tries.next() is None, "one attempt is enough when all rest"


async def test_what_the_caller_did_wrong_is_not_tried_elsewhere() -> None:
    for kind in ("invalid_request", "context_length", "permission", "too_large"):
        tries = routing().tries(Plan((A, B)), lambda: ("", ""))
        shot = await tries.next()
        assert shot is not None
        assert tries.failed(shot, Failure(kind, "x")) is None


async def test_the_same_target_is_asked_again_only_where_the_operator_wants_it() -> None:
    for retries, total in ((0, 1), (2, 3)):
        clock = Clock()
        tries = routing(clock, retries=retries).tries(Plan((A,)), lambda: ("", ""))
        count = 0
        while (shot := await tries.next()) is not None:
            count += 1
            pause = tries.failed(shot, BROKEN)
            if pause is None:
                break
            assert 0.1 <= pause <= 2
            clock.now += pause
        assert count == total


async def test_a_stated_wait_is_kept_before_the_same_target_is_asked_again() -> None:
    tries = routing(retries=1).tries(Plan((A,)), lambda: ("", ""))
    shot = await tries.next()
    assert shot is not None
    assert tries.failed(shot, Failure("rate_limit", "", retry_after=3)) == 3
    tries = routing(retries=1).tries(Plan((A,)), lambda: ("", ""))
    shot = await tries.next()
    assert shot is not None
    assert tries.failed(shot, Failure("rate_limit", "", retry_after=3600)) is None, "nobody waits an hour"


async def test_E08_a_failure_of_chance_is_tried_once_more_at_once() -> None:
    tries = routing().tries(Plan((A, B)), lambda: ("", ""))
    shot = await tries.next()
    assert shot is not None
    assert tries.failed(shot, Failure("invalid_request", "x"), once_more=True) == 0
    again = await tries.next()
    assert again == shot
    assert tries.failed(again, Failure("invalid_request", "x"), once_more=True) is None


async def test_K07_attempts_are_capped_and_end_with_the_deadline() -> None:
    plan = Plan(tuple(Resolved("a", f"m{number}", "route") for number in range(20)))
    assert len(await order(routing(), plan)) == MOST_TRIES
    clock = Clock()
    tries = routing(clock).tries(Plan((A, B), deadline=10), lambda: ("", ""))
    shot = await tries.next()
    assert shot is not None
    assert tries.failed(shot, BROKEN) == 0
    clock.now += 11
    assert await tries.next() is None


async def test_a_storm_is_not_answered_with_a_larger_one() -> None:
    """Every target fails: hundreds of calls at once make hardly more attempts than there are calls."""
    clock = Clock()
    made = routing(clock)
    attempts = 0
    for _ in range(40):
        calls = [made.tries(Plan((A, B)), lambda: ("", "")) for _ in range(25)]
        shots = [await call.next() for call in calls]
        attempts += sum(shot is not None for shot in shots)
        for call, shot in zip(calls, shots, strict=True):
            if shot is None or call.failed(shot, BROKEN) is None:
                continue
            second = await call.next()
            if second is not None:
                attempts += 1
                call.failed(second, BROKEN)
        clock.now += 0.25
    assert 1000 <= attempts <= 1100


async def test_a_detour_to_a_target_that_works_costs_nothing() -> None:
    clock = Clock()
    made = routing(clock)
    made.health.answers(Shot(B, 0).spot)
    calls = [made.tries(Plan((A, B)), lambda: ("", "")) for _ in range(100)]
    shots = [await call.next() for call in calls]
    for call, shot in zip(calls, shots, strict=True):
        assert shot is not None
        assert call.failed(shot, THROTTLE) == 0
        second = await call.next()
        assert second is not None
        call.succeeded(second)


async def test_many_wait_for_the_few_who_find_out() -> None:
    made = Routing.of(dict.fromkeys("ab", (1, None)))
    calls = [made.tries(Plan((A, B)), lambda: ("", "")) for _ in range(30)]
    shots = [await call.next() for call in calls]
    for call, shot in zip(calls, shots, strict=True):
        assert shot is not None
        call.failed(shot, THROTTLE)
    going = [asyncio.ensure_future(call.next()) for call in calls]
    await asyncio.sleep(0.05)
    assert sum(one.done() for one in going) == SPARE
    made.health.answers(Shot(B, 0).spot)
    done, _ = await asyncio.wait(going, timeout=SOON)
    assert len(done) == 30
    assert all(one.result() is not None for one in done)


async def test_an_account_takes_as_many_calls_as_it_is_meant_to() -> None:
    made = routing(most=2)
    calls = [made.tries(Plan((A, B)), lambda: ("", "")) for _ in range(5)]
    shots = [await call.next() for call in calls]
    assert "".join(shot.resolved.provider_name if shot else "-" for shot in shots) == "aabb-"
    assert shots[0] is not None
    calls[0].succeeded(shots[0])
    late = made.tries(Plan((A, B)), lambda: ("", ""))
    shot = await late.next()
    assert shot is not None
    assert shot.resolved == A
