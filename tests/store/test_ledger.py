"""The ledger: what is durable when, what is counted where, and what is taken back."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select, update

from dragoman.store.database import Database
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.model import Tokens, Who
from dragoman.store.ledger.recovery import renew
from dragoman.store.ledger.rows import Unbookable, intent_row
from dragoman.store.schema import budget_windows, entries, intents, leases, usage_day
from tests.patience import until_asked
from tests.store.bookings import (
    NOON,
    QUICK,
    RATE_IN,
    RATE_OUT,
    Clock,
    attempted,
    broken,
    counts,
    final,
    found,
    rows,
)


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    opened = Ledger(database, replica="one", clock=Clock(), timing=QUICK)
    await opened.start()
    yield opened
    await opened.close()


async def test_K05_an_intent_is_durable_before_and_an_entry_after(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.intend(call)
    assert await counts(database) == {"entries": 0, "intents": 1, "quarantine": 0, "hours": 0, "days": 0}
    await ledger.settle(final(call))
    assert await counts(database) == {"entries": 1, "intents": 0, "quarantine": 0, "hours": 1, "days": 1}
    (row,) = await rows(database)
    assert (row["kind"], row["closes"], row["at"], row["model"]) == ("final", True, NOON, "gpt-5.2")
    assert (row["input"], row["cache_read"], row["cache_write"], row["output"]) == (900, 0, None, 100)
    assert row["cost"] == 900 * 3000 + 100 * 15000
    assert await found(database) == []


async def test_K05_settling_again_changes_nothing(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.intend(call)
    await ledger.settle(final(call))
    before = await rows(database)
    await ledger.settle(final(call))
    await ledger.settle(final(call, 5, 5))
    assert await rows(database) == before
    assert await found(database) == []


async def test_K07_each_attempt_is_booked_apart_under_one_call(database: Database, ledger: Ledger) -> None:
    first = attempted("c" * 32, 1, provider="azure")
    second = attempted("c" * 32, 2)
    await ledger.intend(first)
    await ledger.advance(broken(first), second)
    assert (await counts(database))["intents"] == 1
    await ledger.settle(final(second))
    assert [(row["provider"], row["closes"], row["outcome"]) for row in await rows(database)] == [
        ("azure", False, "failed"),
        ("openai", True, "answered"),
    ]
    table = usage_day.c
    query = select(table.provider, table.calls, table.failed, table.attempts).order_by(table.provider)
    sums = await database.read(lambda connection: [tuple(row) for row in connection.execute(query)])
    assert sums == [("azure", 0, 0, 1), ("openai", 1, 0, 1)]
    assert await found(database) == []


async def test_K05_calls_at_once_share_commits_and_sums_are_exact(database: Database, ledger: Ledger) -> None:
    async def call(number: int) -> None:
        who = Who(user_id=number % 5, key_id=number % 11)
        one = attempted(who=who, at=NOON + number * 60_000_000, model=f"m{number % 3}")
        await ledger.intend(one)
        await ledger.settle(final(one, number, number % 7))

    await asyncio.gather(*(call(number) for number in range(400)))
    assert (await counts(database))["entries"] == 400
    assert await found(database) == []


async def test_U06_unreported_is_null_and_zero_is_zero(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.settle(final(call, tokens=Tokens(input=0, output=None), cost=None, details={}))
    (row,) = await rows(database)
    assert (row["input"], row["output"], row["cost"]) == (0, None, None)
    table = usage_day.c
    sums = await database.read(lambda connection: connection.execute(select(table.unpriced, table.cost)).one())
    assert tuple(sums) == (1, 0)


async def test_N2_budget_windows_hold_what_was_spent(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.settle(final(call))
    table = budget_windows.c
    query = select(table.scope, table.window, table.cost, table.tokens).where(table.model == "")
    kept = await database.read(lambda connection: {tuple(row[:2]): tuple(row[2:]) for row in connection.execute(query)})
    scopes = ("global", "group:3", "user:7", "key:12")
    spent = (900 * 3000 + 100 * 15000, 1000)
    assert kept == {(scope, window): spent for scope in scopes for window in ("day", "week", "month", "total")}


async def test_K05_output_so_far_is_noted_and_recovered(database: Database) -> None:
    first = Ledger(database, replica="one", clock=Clock(), timing=QUICK)
    await first.start()
    call = attempted()
    await first.intend(call)
    first.listen(lambda: first.noted(call.call_id, 1, 250))

    async def written() -> bool:
        return await database.read(lambda c: c.execute(select(intents.c.output_so_far)).scalar()) == 250

    await until_asked(written)
    await _die(database, first)
    second = await _successor(database)
    (row,) = await rows(database)
    assert (row["kind"], row["usage_source"], row["partial"], row["closes"]) == ("recovered", "recovered", True, True)
    assert (row["input"], row["output"]) == (1000, 250)
    assert row["cost"] == (1000 * RATE_IN + 250 * RATE_OUT) // 1_000_000
    assert row["at"] == NOON
    assert await found(database) == []
    await second.close()


async def test_K05_a_final_takes_a_recovered_entry_back_where_it_was(database: Database) -> None:
    """The final may differ in what sums are kept by: the recovered one goes out of its own bucket and window."""
    first = Ledger(database, replica="one", clock=Clock(), timing=QUICK)
    await first.start()
    call = attempted()
    await first.intend(call)
    await _die(database, first)
    second = await _successor(database)
    moved = replace(call, at=NOON + 40 * 86_400_000_000, model="gpt-5.2-late")
    await second.settle(final(moved))
    kinds = {row["kind"]: row for row in await rows(database)}
    assert set(kinds) == {"final", "recovered", "reversal"}
    assert kinds["reversal"]["at"] == NOON
    assert kinds["reversal"]["cost"] == -kinds["recovered"]["cost"]
    assert await found(database) == []
    await second.settle(final(moved))
    assert len(await rows(database)) == 3
    assert await found(database) == []
    await second.close()


async def _die(database: Database, ledger: Ledger) -> None:
    """End without a word, as after kill -9; its lease has run out."""
    for task in ledger._tasks:
        task.cancel()
    await database.write(lambda connection: connection.execute(update(leases).values(until=1)))


async def _successor(database: Database) -> Ledger:
    ledger = Ledger(database, replica="two", clock=Clock(), timing=QUICK)
    await ledger.start()
    await ledger.recover()
    return ledger


async def test_K05_an_open_call_of_the_living_is_left_alone(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.intend(call)
    assert await ledger.recover() == 0
    await asyncio.sleep(0.7)
    assert (await counts(database))["intents"] == 1
    await ledger.settle(final(call))


async def test_D7_poison_among_five_hundred_is_set_apart(database: Database, ledger: Ledger) -> None:
    calls = [attempted() for _ in range(500)]
    await asyncio.gather(*(ledger.intend(call) for call in calls))
    poison = {
        100: final(calls[100], tokens=Tokens(input=2**63)),
        250: final(calls[250], receipt=[{"path": "x", "what": "dropped", "why": "y" * 10_000_000}]),
        400: replace(final(calls[400]), failure="\ud800 alone"),
    }
    await asyncio.gather(*(ledger.settle(poison.get(at, final(call))) for at, call in enumerate(calls)))
    kept = await counts(database)
    assert kept["entries"] == 497
    assert kept["quarantine"] == 3
    assert ledger.quarantined == 3
    assert kept["intents"] == 3
    assert await found(database) == []


async def test_K05_an_intent_that_no_call_knows_of_is_booked_in_the_end(database: Database) -> None:
    ledger = Ledger(database, replica="one", clock=Clock(), timing=replace(QUICK, sweep=0.05))
    await ledger.start()
    alive, stray = attempted(), attempted()
    await ledger.intend(alive)
    late = intent_row(stray, ledger.replica)
    await database.write(lambda connection: connection.execute(intents.insert(), [late]))
    await until_asked(lambda: rows(database))
    assert [(row["call_id"], row["kind"]) for row in await rows(database)] == [(stray.call_id, "recovered")]
    await ledger.settle(final(alive))
    assert await found(database) == []
    await ledger.close()


async def test_K05_a_defect_while_a_call_is_settled_leaves_it_to_the_estimate(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is lost, the call is not: an intent that nobody will end is booked within two sweeps."""
    ledger = Ledger(database, replica="one", clock=Clock(), timing=replace(QUICK, sweep=0.05))
    await ledger.start()
    call = attempted()
    await ledger.intend(call)

    async def broken(batch: object) -> list[object]:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._batches, "_commit", broken)
        with pytest.raises(RuntimeError):
            await ledger.settle(final(call))
    await until_asked(lambda: rows(database))
    (row,) = await rows(database)
    assert (row["kind"], row["usage_source"]) == ("recovered", "recovered")
    await ledger.close()


async def test_D7_an_intent_that_no_database_takes_is_refused(database: Database, ledger: Ledger) -> None:
    with pytest.raises(Unbookable):
        await ledger.intend(attempted(at=2**70))
    assert (await counts(database))["quarantine"] == 1
    first = attempted("d" * 32, 1)
    await ledger.intend(first)
    with pytest.raises(Unbookable):
        await ledger.advance(broken(first), attempted("d" * 32, 2, at=2**70))
    assert (await counts(database))["entries"] == 1


async def test_K04_a_call_that_was_given_up_while_it_was_announced_leaves_nothing_open(
    database: Database, ledger: Ledger
) -> None:
    call = attempted()
    task = asyncio.create_task(ledger.intend(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.settle(final(call, 0, 0, outcome="left", failure="unsent"))
    assert (await counts(database))["intents"] == 0
    assert await found(database) == []


async def test_I3_I5_what_is_wrong_is_found(database: Database, ledger: Ledger) -> None:
    call = attempted()
    await ledger.settle(final(call))

    def spoil(connection: Connection) -> None:
        connection.execute(update(entries).values(cost=1, details={"bill": [["input", 1, 5, 1_000_000]]}))
        connection.execute(update(entries).values(kind="reversal"))
        stray = {"call_id": "x", "attempt": 1, "replica": "dead", "at": 1, "facts": {}, "output_so_far": 0}
        connection.execute(intents.insert(), [stray])
        renew(connection, "dead", 1)

    await database.write(spoil)
    assert {violation.rule for violation in await found(database)} == {"I2", "I3", "I5"}
    await database.write(lambda connection: connection.execute(update(entries).values(kind="final")))
    details = {"reported": {"input": 5}, "bill": []}
    await database.write(lambda connection: connection.execute(update(entries).values(details=details)))
    assert {violation.rule for violation in await found(database)} == {"I2", "I3", "I6", "I7"}
    assert {violation.rule for violation in await found(database, upstream={"nobody": 1})} >= {"I1"}


@pytest.mark.slow
async def test_K11_a_call_costs_little(database: Database, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    alone: list[float] = []

    async def call(times: list[float]) -> None:
        one = attempted()
        began = time.perf_counter()
        await ledger.intend(one)
        middle = time.perf_counter()
        await ledger.settle(final(one))
        times += [middle - began, time.perf_counter() - middle]

    for _ in range(50):
        await call(alone)
    together: list[float] = []

    async def worker() -> None:
        for _ in range(20):
            await call(together)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(64)))
    rate = 2 * 64 * 20 / (time.perf_counter() - began)
    with capsys.disabled():
        print(
            f"\n{database.kind}: intend {statistics.median(alone[::2]) * 1000:.2f} ms,"
            f" settle {statistics.median(alone[1::2]) * 1000:.2f} ms alone;"
            f" {statistics.median(together) * 1000:.2f} ms at 64, {rate:.0f} steps/s"
        )
    assert statistics.median(alone) < 0.05
