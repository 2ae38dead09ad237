"""Budgets and limits through a running gateway: none gets past them, whoever calls and however (N2, B1-B6)."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.store.accounts.model import NANO
from tests.relay.admission_gateway import PRICE_IN, PRICE_OUT, SHARED, House, house

COST = 5 * PRICE_IN + 100 * PRICE_OUT
"""What a call comes to that is answered with as much as it allows."""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as one:
        yield one


def is_spent(status: int, headers: Any, words: str) -> bool:
    """Whether a refusal is one that no client repeats."""
    return (
        status == 429
        and headers["x-should-retry"] == "false"
        and "retry-after" not in headers
        and "budget of" in words
        and "x-dragoman-budget-reset" in headers
    )


@pytest.mark.slow
async def test_B1_N2_K03_200_parallel_calls_of_everybody_on_one_budget(running: House) -> None:
    """Keys of a user and of an admin, the shared token, names of all kinds, streams, hang-ups, dear surprises."""
    _, user = await running.key("ann")
    _, admin = await running.key("root2", role="admin")
    budget = 100 * COST
    await running.api("PUT", "/limits/global", {"budgets": [{"window": "month", "nano_usd": budget}]})
    await asyncio.sleep(1.2)
    dice = random.Random(7)
    became: Counter[str] = Counter()

    async def call(number: int) -> None:
        key = dice.choice((user, admin, SHARED))
        model = dice.choice(("main", "claude-big-5", "up/up-model", "CLAUDE-BIG-5"))
        kind = dice.choice(("whole", "stream", "leave", "unpriced"))
        order: dict[str, Any] = {"out": 100, "pace": dice.choice((0, 0.05))}
        if kind == "unpriced":
            status, _, body = await running.chat(key, "up/nobody-knows-7b", **order)
            became[f"unpriced {status} {body['error']['code']}"] += 1
        elif kind == "whole":
            status, headers, body = await running.chat(key, model, **order)
            assert status == 200 or is_spent(status, headers, json.dumps(body)), body
            became[f"whole {status}"] += 1
        else:
            status, _ = await running.streamed(key, model, leave=kind == "leave", **order)
            became[f"{kind} {status}"] += 1

    for _ in range(2):
        await asyncio.gather(*(call(number) for number in range(200)))
    await running.quiet()
    rows = await running.rows()
    sent = [row for row in rows if row["attempt"]]
    assert running.upstream.seen == {"up-model": len(sent)}, "an unpriced model was asked, or a call is not booked"
    assert {name for name in became if name.startswith("unpriced")} == {"unpriced 400 model_without_price"}
    assert became["whole 429"] > 0
    assert became["stream 429"] > 0
    assert len(sent) >= 80
    spent = sum(row["cost"] for row in rows)
    # Estimates of the prompt are a little off; no more than one call's error may be spent above.
    error = max(abs(row["input"] - 20) for row in sent) * PRICE_IN
    assert spent <= budget + error
    assert spent == await running.spent("global")
    await running.sound()
    status, headers, body = await running.chat(user, most=100_000)
    assert is_spent(status, headers, json.dumps(body))


@pytest.mark.slow
async def test_B5_a_stream_that_crosses_its_budget_is_charged_once_and_not_repeated(running: House) -> None:
    key_id, key = await running.key("ann", budgets=[{"window": "day", "nano_usd": 100_000_000}])
    status, told = await running.streamed(key, most=64_000, out=20_000, pace=0.01)
    assert status == 200
    assert b"insufficient_quota" in told
    assert b"[DONE]" not in told
    await running.quiet()
    [row] = await running.rows(key_id)
    assert (row["partial"], row["usage_source"], row["failure"]) == (True, "estimated", "quota")
    assert 2_000 * PRICE_OUT < row["cost"] <= 100_000_000
    assert await running.spent(f"key:{key_id}") == row["cost"]
    # As Claude Code does after an error in a stream: the same again, without one.
    body = {"model": "main", "max_tokens": 64_000, "messages": [{"role": "user", "content": '{"out": 5}'}]}
    status, headers, answer = await running.post("/v1/messages", key, body)
    assert is_spent(status, headers, json.dumps(answer))
    assert answer["type"] == "error"
    # What is left is still there for whoever asks for less.
    assert (await running.chat(key, most=50, out=5))[0] == 200
    assert running.upstream.seen["up-model"] == 2
    await running.sound()


@pytest.mark.slow
async def test_B4_reports_of_ten_times_the_estimate_of_nothing_and_none(running: House) -> None:
    key_id, key = await running.key("ann", budgets=[{"window": "day", "nano_usd": 20 * COST}])
    for order in ({"out": 1_000}, {"in": 0, "out": 0}, {"silent": True}):
        assert (await running.chat(key, most=100, **order))[0] == 200
    await running.quiet()
    dear, nothing, silent = await running.rows(key_id)
    assert (dear["cost"], dear["usage_source"]) == (5 * PRICE_IN + 1_000 * PRICE_OUT, "provider")
    assert (nothing["input"], nothing["output"], nothing["cost"]) == (0, 0, 0)
    assert silent["usage_source"] == "estimated"
    assert silent["cost"] > 0
    assert await running.spent(f"key:{key_id}") == dear["cost"] + silent["cost"]
    status, _, body = await running.chat(key, most=100_000)
    # The counter that refuses is the one that is reported.
    dollars = f"${(dear['cost'] + silent['cost']) / NANO:.6f}".rstrip("0")
    assert status == 429
    assert f"{dollars} of $0.0303" in body["error"]["message"]


@pytest.mark.slow
async def test_B6_places_are_free_after_a_hang_up_a_timeout_and_a_failure(running: House) -> None:
    _, key = await running.key("ann", parallel=1)
    assert (await running.streamed(key, leave=True, out=5_000, pace=0.05))[0] == 200
    began = time.monotonic()
    while (answer := await running.chat(key))[0] == 429:
        assert answer[1]["retry-after"] == "5"
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    slow = asyncio.create_task(running.chat(key, hang=True))
    await asyncio.sleep(0.3)
    assert (await running.chat(key))[0] == 429
    assert (done := await slow)[0] in (502, 503, 504), done
    assert (await running.chat(key))[0] == 200


@pytest.mark.slow
async def test_K03_limits_of_a_model_bind_it_by_whatever_name_it_is_asked(running: House) -> None:
    slow = {"model": "up-model", "rpm": 2}
    _, key = await running.key("ann", per_model=[slow])
    names = ("main", "claude-big-5", "up/up-model")
    found = [(await running.chat(key, name, out=1)) for name in names]
    assert [status for status, _, _ in found] == [200, 200, 429]
    assert "2 calls a minute of up-model" in found[-1][2]["error"]["message"]
    assert found[0][1]["x-ratelimit-limit-requests"] == "2"
    assert (await running.chat(key, "up/other", out=1))[0] == 200


@pytest.mark.slow
async def test_a_window_is_raised_once_by_a_change_that_is_audited(running: House) -> None:
    rule = {"window": "month", "nano_usd": 0}
    key_id, key = await running.key("ann", budgets=[rule])
    assert (await running.chat(key))[0] == 429
    raised = rule | {"once": 10 * COST, "until": "2999-01-01"}
    shown = await running.api("PATCH", f"/keys/{key_id}", {"rules": {"budgets": [raised]}})
    assert shown["rules"]["budgets"][0]["until"] == "2999-01-01T00:00:00.000000Z"
    assert shown["rules"]["budgets"][0]["nano_usd"] == 0
    await asyncio.sleep(1.2)
    assert (await running.chat(key))[0] == 200
    [line] = (await running.api("GET", f"/audit?action=key.change&object=key:{key_id}"))["items"]
    assert line["details"]["rules"]["budgets"][0]["once"] == 10 * COST


@pytest.mark.slow
async def test_80_percent_is_told_once_in_the_log_and_the_audit_log(running: House) -> None:
    key_id, key = await running.key("ann", budgets=[{"window": "day", "nano_usd": 10 * COST}])
    assert (await running.chat(key, out=850))[0] == 200
    for _ in range(60):
        told = (await running.api("GET", "/audit?action=budget.reached"))["items"]
        if told:
            break
        await asyncio.sleep(0.2)
    [line] = told
    assert (line["actor"], line["object"]) == ("gateway", f"key:{key_id}")
    assert line["details"]["percent"] == 80
    assert line["details"]["spent"] == 5 * PRICE_IN + 850 * PRICE_OUT
    assert "budget_reached" in (running.folder / "serve.log").read_text()


@pytest.mark.slow
async def test_K02_a_fallback_price_is_held_charged_reported_and_refused_by(tmp_path: Path) -> None:
    more = "limits: {fallback_price: {in: 5, out: 25}, zone: Asia/Kolkata}"
    async with house(tmp_path, more) as running:
        cost = 5 * 5_000 + 100 * 25_000
        key_id, key = await running.key("ann", budgets=[{"window": "day", "nano_usd": 3 * cost}])
        found = [await running.chat(key, "up/nobody-knows-7b", out=100) for _ in range(4)]
        assert [status for status, _, _ in found] == [200, 200, 429, 429]
        # Midnight in India is half past six in the evening.
        assert found[-1][1]["x-dragoman-budget-reset"].endswith("T18:30:00Z")
        await running.quiet()
        rows = await running.rows(key_id)
        assert [(row["cost"], row["price"]) for row in rows] == [(cost, "fallback")] * 2
        assert await running.spent(f"key:{key_id}") == 2 * cost
        assert f"${2 * cost / NANO:.5f} of" in found[-1][2]["error"]["message"]
        # A price that somebody knows comes first.
        assert (await running.chat(key, out=10))[0] == 200
        await running.quiet()
        assert (await running.rows(key_id))[-1]["price"].startswith("config:up-model")
        await running.sound()
