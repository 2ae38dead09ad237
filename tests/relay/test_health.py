"""Who rests, how long, and who may try again."""

from __future__ import annotations

from dragoman.language.failures import Failure, FailureKind
from dragoman.relay.health import BROKEN, FAILURES, LONGEST, REJECTED, THROTTLED, WINDOW, Health, Spot

SPOT = Spot("azure", 0, "prod")
OTHER_MODEL = Spot("azure", 0, "other")
OTHER_KEY = Spot("azure", 1, "prod")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def failed(health: Health, kind: FailureKind, times: int = 1, spot: Spot = SPOT, **more: float) -> None:
    for _ in range(times):
        health.failed(spot, Failure(kind, "x", **more))  # type: ignore[arg-type]


def test_K07_a_throttle_rests_the_account_and_model_for_the_stated_wait() -> None:
    clock = Clock()
    health = Health(clock)
    failed(health, "rate_limit", retry_after=7)
    assert health.state(SPOT) == "resting"
    assert health.state(OTHER_MODEL) == "well"
    assert health.state(OTHER_KEY) == "well"
    clock.now += 6.9
    assert health.state(SPOT) == "resting"
    clock.now += 0.2
    assert health.state(SPOT) == "trying"
    failed(health, "rate_limit")
    clock.now += THROTTLED - 0.1
    assert health.state(SPOT) == "resting"


def test_K07_the_callers_mistakes_cool_nothing() -> None:
    health = Health(Clock())
    for kind in ("invalid_request", "context_length", "too_large", "permission", "not_found", "authentication"):
        failed(health, kind, times=20)
    assert health.state(SPOT) == "well"
    assert health.resting() == []


def test_E06_a_refused_credential_rests_the_key_for_every_model() -> None:
    clock = Clock()
    health = Health(clock)
    failed(health, "credential")
    assert health.state(OTHER_MODEL) == "resting"
    assert health.state(OTHER_KEY) == "well"
    clock.now += REJECTED + 1
    health.began(OTHER_MODEL)
    health.succeeded(OTHER_MODEL)
    assert health.state(SPOT) == "well"


def test_five_failures_within_the_window_open_the_circuit() -> None:
    clock = Clock()
    health = Health(clock)
    for _ in range(FAILURES - 1):
        failed(health, "server")
        clock.now += 1
    assert health.state(SPOT) == "doubtful"
    failed(health, "timeout")
    assert health.state(SPOT) == "resting"


def test_slow_failures_do_not_open_it() -> None:
    clock = Clock()
    health = Health(clock)
    for _ in range(3 * FAILURES):
        failed(health, "server")
        clock.now += WINDOW / (FAILURES - 2)
        assert health.state(SPOT) != "resting"


def test_half_open_lets_one_through_and_each_relapse_doubles_the_rest() -> None:
    clock = Clock()
    health = Health(clock)
    failed(health, "server", times=FAILURES)
    rest = BROKEN
    for _ in range(6):
        clock.now += rest + 0.1
        assert health.state(SPOT) == "trying"
        health.began(SPOT)
        assert health.state(SPOT) == "resting", "a second call must wait for the first"
        failed(health, "server")
        rest = min(rest * 2, LONGEST)
        clock.now += rest - 1
        assert health.state(SPOT) == "resting"
        clock.now -= rest - 1
    clock.now += rest + 0.1
    health.began(SPOT)
    health.left(SPOT)
    assert health.state(SPOT) == "trying", "a client that hung up has not shown anything"
    health.began(SPOT)
    health.succeeded(SPOT)
    assert health.state(SPOT) == "well"


def test_a_stated_wait_is_bounded_and_never_negative() -> None:
    health = Health(Clock())
    failed(health, "rate_limit", retry_after=10**9)
    assert health.rests_until(SPOT) <= 1000 + 3600
    failed(health, "rate_limit", spot=OTHER_KEY, retry_after=-5)
    assert health.state(OTHER_KEY) != "resting"


def test_changes_are_told_once() -> None:
    told: list[tuple[Spot, str]] = []
    clock = Clock()
    health = Health(clock, lambda spot, why, seconds: told.append((spot, why)))
    failed(health, "rate_limit", times=5, retry_after=3)
    assert told == [(SPOT, "throttled")]
    clock.now += 4
    health.succeeded(SPOT)
    assert told[1:] == [(SPOT, "")]


def test_proof_lasts_a_while_and_ends_with_a_failure() -> None:
    clock = Clock()
    health = Health(clock)
    assert not health.proven(SPOT)
    health.answers(SPOT)
    assert health.proven(SPOT)
    clock.now += WINDOW + 1
    assert not health.proven(SPOT)
    health.answers(SPOT)
    failed(health, "server")
    assert not health.proven(SPOT)
