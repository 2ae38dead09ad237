"""Refusals in the form that each client understands, so that none asks for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dragoman.language.registry import DIALECTS
from dragoman.relay.admission.refusals import dollars as told
from dragoman.relay.calls import Headers
from dragoman.relay.failing import failure_answer
from dragoman.relay.limits import own_limit_headers, with_own_limits
from dragoman.store.accounts.model import NANO, Budget
from tests.relay.admission_rig import Clock, denied, dollars, memory, scope, wish

CLIENTS = ["anthropic", "openai_chat", "openai_responses", "gemini"]


async def answer_to(dialect: str, **rules: Any) -> tuple[int, dict[str, str], Any]:
    """What a client of the dialect gets for its second call under these rules."""
    admission = memory(Clock())
    mine = scope(**rules)
    if not rules.get("budgets"):
        hold = await admission.admit(wish("a", mine))
        assert hold.headers is not None
        refused = await denied(admission, wish("b", mine))
    else:
        refused = await denied(admission, wish("b", mine))
    answer = failure_answer(dialect, refused.failure, "req_1")
    headers = with_own_limits(own_limit_headers(refused.headers, dialect), answer.headers)
    return answer.status, dict(headers), json.loads(answer.body)


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("rules", [{"rpm": 1}, {"tpm": 5_096}, {"parallel": 1}])
async def test_K01_a_limit_is_a_429_with_whole_seconds_to_wait(dialect: str, rules: dict[str, int]) -> None:
    status, headers, body = await answer_to(dialect, **rules)
    assert status == 429
    assert headers["retry-after"].isdigit()
    assert 1 <= int(headers["retry-after"]) <= 60
    assert headers["x-should-retry"] == "true"
    words = json.dumps(body)
    assert "this key" in words
    if dialect == "anthropic":
        assert body["error"]["type"] == "rate_limit_error"
    elif dialect == "gemini":
        assert body["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert f'"retryDelay": "{headers["retry-after"]}s"' in words
    else:
        assert body["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_N2_a_spent_budget_stops_every_client_after_one_request(dialect: str) -> None:
    status, headers, body = await answer_to(dialect, budgets=(dollars(0),))
    assert status == 429
    # Codex stops at a 429 without it, Claude Code and the SDKs at the word of x-should-retry.
    assert "retry-after" not in headers
    assert "retry-after-ms" not in headers
    assert headers["x-should-retry"] == "false"
    assert headers["x-dragoman-budget-reset"] == "2026-11-22T00:00:00Z"
    message = body["error"]["message"]
    assert message.startswith("The daily budget of this key is spent: $0.00 of $0.00 used.")
    assert "It starts anew at 2026-11-22 00:00 UTC." in message
    assert "try again" not in message.lower()
    assert "retry" not in message.lower()
    if dialect.startswith("openai"):
        assert body["error"]["code"] == "insufficient_quota"
        assert "details" not in body["error"]
    if dialect == "gemini":
        # Gemini CLI asks again after every other 429.
        [quota] = [one for one in body["error"]["details"] if one["@type"].endswith("QuotaFailure")]
        assert "PerDay" in quota["violations"][0]["quotaId"]
        assert not any(one["@type"].endswith("RetryInfo") for one in body["error"]["details"])


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_K02_an_unpriced_model_stops_every_client_after_one_request(dialect: str) -> None:
    admission = memory(Clock())
    refused = await denied(admission, wish("b", scope(budgets=(dollars(5),)), unit_in=None))
    answer = failure_answer(dialect, refused.failure, "req_1")
    assert answer.status == 400
    assert "claude-sonnet-4-5" in answer.body.decode()
    assert not refused.headers


def test_B5_a_budget_that_ends_mid_way_is_a_quota_in_every_stream() -> None:
    """Codex gives up at this code; Claude Code asks once more, and is then told by the status."""
    from dragoman.language.failures import Failure

    failure = Failure("quota", "The daily budget of this key is spent.", code="budget_spent", should_retry=False)
    for dialect in CLIENTS:
        status, body = DIALECTS[dialect].write_failure(failure, "")
        assert status == 429, dialect
        assert "budget" in json.dumps(body)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget("day", nano_usd=0), "The daily budget of this key is spent"),
        (Budget("week", nano_usd=0), "starts anew at 2026-11-23 00:00 UTC"),
        (Budget("month", nano_usd=0), "starts anew at 2026-12-01 00:00 UTC"),
        (Budget("total", nano_usd=0), "does not start anew"),
        (Budget("day", tokens=4_000), "0 tokens of 4,000 tokens used, and it may come to 5,096 tokens"),
        (Budget("day", nano_usd=0, model="claude-*"), "budget of this key for claude-* is spent"),
    ],
)
async def test_N2_a_refusal_names_the_budget_and_its_end(budget: Budget, words: str) -> None:
    refused = await denied(memory(Clock()), wish("a", scope(budgets=(budget,))))
    assert words in refused.failure.message


async def test_a_spent_budget_outweighs_a_limit_that_opens_by_itself() -> None:
    refused = await denied(memory(Clock()), wish("a", scope(rpm=0, parallel=0, budgets=(dollars(0),))))
    assert refused.failure.kind == "quota"
    refused = await denied(memory(Clock()), wish("a", scope(rpm=0, parallel=0)))
    assert refused.failure.retry_after == 60


def test_money_is_told_in_cents_and_small_sums_in_more() -> None:
    assert told(5 * NANO) == "$5.00"
    assert told(1_234 * NANO + 500_000_000) == "$1,234.50"
    assert told(4_230_000) == "$0.00423"
    assert told(1) == "$0.00"
    assert told(0) == "$0.00"


# ---------------------------------------------------------------- headers

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def test_every_answer_tells_our_limits_in_the_clients_words() -> None:
    hold = await memory(Clock()).admit(wish("a", scope(rpm=60, tpm=60_000), output_limit=1_000))
    assert own_limit_headers(hold.headers, "anthropic", NOW) == [
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "59"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T12:00:01Z"),
        ("anthropic-ratelimit-tokens-limit", "60000"),
        ("anthropic-ratelimit-tokens-remaining", "58000"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-21T12:00:02Z"),
    ]
    for dialect in CLIENTS[1:]:
        headers = dict(own_limit_headers(hold.headers, dialect))
        assert headers["x-ratelimit-limit-requests"] == "60"
        assert headers["x-ratelimit-remaining-tokens"] == "58000"
        assert headers["x-ratelimit-reset-tokens"] == "2s"


async def test_without_limits_nothing_is_told() -> None:
    hold = await memory(Clock()).admit(wish("a"))
    await hold.grow(10**6)
    await hold.settle(1, None)
    assert hold.headers == []


def test_our_limit_takes_the_place_of_a_providers() -> None:
    theirs: Headers = [("x-ratelimit-limit-requests", "9"), ("x-ratelimit-limit-tokens", "8"), ("x-a", "b")]
    ours: Headers = [("x-ratelimit-limit-requests", "5")]
    assert with_own_limits(ours, theirs) == [
        ("x-ratelimit-limit-tokens", "8"),
        ("x-a", "b"),
        ("x-ratelimit-limit-requests", "5"),
    ]
