"""The ledger without its database, and with several replicas: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.store.database import Database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.ledger import crash_points
from dragoman.store.ledger.ledger import Ledger, Policy
from dragoman.store.ledger.model import Attempted, Step
from dragoman.store.ledger.rows import read_step, step_data
from dragoman.store.ledger.spool import Spool, SpoolFull
from dragoman.store.ledger.writing import write_steps
from tests.patience import SOON, until
from tests.store.bookings import QUICK, Clock, attempted, broken, counts, final, found, rows
from tests.store.faulty import Faulty


@pytest.fixture
def faulty(database: Database) -> Faulty:
    return Faulty(database)


def made(faulty: Faulty, folder: Path | None, *, policy: Policy | None = None, spool: Spool | None = None) -> Ledger:
    timing = replace(QUICK, commit=1.0, patience=2.0)
    return Ledger(faulty, replica="one", clock=Clock(), folder=folder, policy=policy, timing=timing, spool=spool)


async def until_up(ledger: Ledger) -> None:
    async with asyncio.timeout(SOON):
        while ledger.is_down or ledger.put_aside:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["down", "lost", "hangs"])
async def test_D1_K11_on_sqlite_calls_go_on_and_the_spool_is_replayed(
    faulty: Faulty, database: Database, tmp_path: Path, fault: str
) -> None:
    ledger = made(faulty, tmp_path, policy="spool")
    await ledger.start()
    before = attempted()
    await ledger.intend(before)
    faulty.fault = fault
    first, second = attempted("e" * 32, 1), attempted("e" * 32, 2)
    await ledger.intend(first)
    assert ledger.is_down
    await ledger.advance(broken(first), second)
    await ledger.settle(final(second))
    await ledger.settle(final(before))
    await ledger.settle(final(before))
    left_open = attempted()
    await ledger.intend(left_open)
    assert ledger.put_aside > 0
    faulty.fault = ""
    await until_up(ledger)
    kept = await counts(database)
    assert (kept["entries"], kept["intents"]) == (3, 1)
    await ledger.settle(final(left_open))
    assert not list((tmp_path / "spool").glob("*.jsonl"))
    assert await found(database) == []
    await ledger.close()


async def test_K2_a_replica_is_ready_until_its_database_is_away_for_longer_than_calls_wait(
    faulty: Faulty, tmp_path: Path
) -> None:
    ledger = made(faulty, tmp_path, policy="queue")
    await ledger.start()
    assert ledger.takes_calls
    faulty.fault = "down"
    with pytest.raises(StoreUnavailable):
        await ledger.intend(attempted())
    await until(lambda: not ledger.takes_calls)
    faulty.fault = ""
    await until(lambda: ledger.takes_calls)
    faulty.fault = "down"
    assert made(faulty, tmp_path / "other", policy="spool").takes_calls, "it puts everything aside"
    faulty.fault = ""
    await ledger.close()


@pytest.mark.parametrize("fault", ["down", "lost", "hangs"])
async def test_D2_on_postgres_ends_are_put_aside_and_new_calls_wait(
    faulty: Faulty, database: Database, tmp_path: Path, fault: str
) -> None:
    ledger = made(faulty, tmp_path, policy="queue")
    await ledger.start()
    running = attempted()
    await ledger.intend(running)
    faulty.fault = fault
    new = attempted()
    with pytest.raises(StoreUnavailable):
        await ledger.intend(new)
    await ledger.settle(final(running))
    # Whoever could not announce a call books that nothing was sent: it may have been committed all the same.
    await ledger.settle(final(new, 0, 0, outcome="failed", failure="unsent"))
    waiting = asyncio.create_task(ledger.intend(later := attempted()))
    await asyncio.sleep(0.1)
    faulty.fault = ""
    await waiting
    await ledger.settle(final(later))
    await until_up(ledger)
    kept = await counts(database)
    assert (kept["entries"], kept["intents"]) == (3, 0)
    assert await found(database) == []
    await ledger.close()


async def test_D1_refuse_is_selectable(faulty: Faulty, database: Database, tmp_path: Path) -> None:
    ledger = made(faulty, tmp_path, policy="refuse")
    await ledger.start()
    running = attempted()
    await ledger.intend(running)
    faulty.fault = "down"
    with pytest.raises(StoreUnavailable):
        await ledger.intend(attempted())
    await ledger.settle(final(running))
    faulty.fault = ""
    await until_up(ledger)
    assert await found(database) == []
    await ledger.close()


async def test_D5_a_gateway_that_dies_with_a_spool_loses_nothing(
    faulty: Faulty, database: Database, tmp_path: Path
) -> None:
    if database.kind != "sqlite":
        pytest.skip("intents are put aside on SQLite only")
    first = made(faulty, tmp_path)
    await first.start()
    known = attempted()
    await first.intend(known)
    faulty.fault = "down"
    await first.settle(final(known))
    open_one = attempted()
    await first.intend(open_one)
    await _kill(first)
    with next((tmp_path / "spool").glob("*.jsonl")).open("ab") as file:
        file.write(b'{"final": {"attempted"')  # cut by the crash: nobody was told
    faulty.fault = ""
    second = made(faulty, tmp_path)
    await second.start()
    kinds = {row["call_id"]: row["kind"] for row in await rows(database)}
    assert kinds == {known.call_id: "final", open_one.call_id: "recovered"}
    assert (await counts(database))["quarantine"] == 0
    assert await found(database) == []
    await second.close()


async def _kill(ledger: Ledger) -> None:
    for task in (*ledger._tasks, *([ledger._drain] if ledger._drain else [])):
        task.cancel()
    ledger._spool.close()


async def test_D1_at_the_cap_new_calls_are_refused_and_ends_are_not(
    faulty: Faulty, database: Database, tmp_path: Path
) -> None:
    ledger = made(faulty, None, policy="spool", spool=Spool(tmp_path / "spool", cap=4_000, reserve=100_000))
    await ledger.start()
    calls: list[Attempted] = []
    faulty.fault = "down"
    reason = ""
    while not reason and len(calls) < 100:
        calls.append(attempted())
        try:
            await ledger.intend(calls[-1])
        except StoreUnavailable as refused:
            reason = refused.reason
    assert reason == "full"
    assert 1 < len(calls) < 20
    for call in calls:
        await ledger.settle(final(call))
    faulty.fault = ""
    await until_up(ledger)
    assert (await counts(database))["entries"] == len(calls)
    assert await found(database) == []
    await ledger.close()


async def test_K11_without_a_folder_calls_are_refused(faulty: Faulty) -> None:
    ledger = made(faulty, None, policy="spool")
    await ledger.start()
    call = attempted()
    await ledger.intend(call)
    faulty.fault = "down"
    with pytest.raises(StoreUnavailable):
        await ledger.intend(attempted())
    with pytest.raises(StoreUnavailable):
        await ledger.settle(final(call))
    faulty.fault = ""
    await ledger.close()


async def test_K11_many_calls_through_an_outage_are_exact(faulty: Faulty, database: Database, tmp_path: Path) -> None:
    ledger = made(faulty, tmp_path, policy="spool")
    await ledger.start()

    async def call(number: int) -> None:
        await asyncio.sleep(number / 500)
        first = attempted(f"{number:032x}", 1)
        await ledger.intend(first)
        if number % 4:
            await asyncio.sleep(0.05)
            await ledger.settle(final(first, number))
        else:
            second = replace(first, attempt=2)
            await ledger.advance(broken(first), second)
            await ledger.settle(final(second, number))

    async def weather() -> None:
        for fault in ("", "down", "", "lost", "", "hangs", ""):
            faulty.fault = fault
            await asyncio.sleep(0.1)

    await asyncio.gather(weather(), *(call(number) for number in range(300)))
    await until_up(ledger)
    await ledger.quiet()
    kept = await counts(database)
    assert (kept["entries"], kept["intents"], kept["quarantine"]) == (375, 0, 0)
    assert sum(row["input"] or 0 for row in await rows(database)) == sum(range(300))
    assert await found(database) == []
    await ledger.close()


# ---------------------------------------------------------------- several replicas


@pytest.fixture
async def pair(database: Database) -> AsyncIterator[tuple[Ledger, Ledger]]:
    if database.kind != "postgresql":
        pytest.skip("several replicas need PostgreSQL")
    both = [Ledger(database, replica=name, timing=QUICK) for name in ("one", "two")]
    for ledger in both:
        await ledger.start()
    yield both[0], both[1]
    for ledger in both:
        await ledger.close()


async def test_D8_a_paused_replica_is_recovered_and_takes_it_back(
    database: Database, pair: tuple[Ledger, Ledger]
) -> None:
    first, second = pair
    call, other = attempted(), attempted()
    await first.intend(call)
    await second.intend(other)
    for task in first._tasks:  # stopped, as by SIGSTOP
        task.cancel()
    async with asyncio.timeout(SOON):
        while not (await counts(database))["entries"]:
            await asyncio.sleep(0.05)
    assert [row["kind"] for row in await rows(database)] == ["recovered"]
    await first.settle(final(call))
    await second.settle(final(other))
    assert sorted(row["kind"] for row in await rows(database)) == ["final", "final", "recovered", "reversal"]
    assert await found(database) == []


async def test_D8_reapers_and_ends_race_without_harm(database: Database, pair: tuple[Ledger, Ledger]) -> None:
    """Some of one replica's calls end while the other takes them for dead."""
    first, second = pair
    calls = [attempted() for _ in range(300)]
    await asyncio.gather(*(first.intend(call) for call in calls))
    for task in first._tasks:
        task.cancel()
    await asyncio.sleep(0.8)
    third = Ledger(database, replica="three", timing=QUICK)
    await third.start()
    await asyncio.gather(
        second.recover(), third.recover(), *(first.settle(final(call, 7)) for call in calls), second.recover()
    )
    kept = await rows(database)
    assert sum(row["kind"] == "final" for row in kept) == 300
    assert sum(row["input"] for row in kept) == 300 * 7
    assert await found(database) == []
    await third.close()


async def test_D8_an_outage_of_the_database_makes_nobody_look_dead(database: Database) -> None:
    if database.kind != "postgresql":
        pytest.skip("several replicas need PostgreSQL")
    faulty = Faulty(database)
    both = [Ledger(faulty, replica=name, timing=replace(QUICK, patience=5.0)) for name in ("one", "two")]
    for ledger in both:
        await ledger.start()
    call = attempted()
    await both[0].intend(call)
    faulty.fault = "down"
    await asyncio.sleep(1.2)  # two leases
    faulty.fault = ""
    await asyncio.sleep(0.3)
    assert (await counts(database))["entries"] == 0
    await both[0].settle(final(call))
    for ledger in both:
        await ledger.close()
    assert [row["kind"] for row in await rows(database)] == ["final"]


async def test_D4_what_a_closed_replica_left_open_is_booked_at_once(
    database: Database, pair: tuple[Ledger, Ledger]
) -> None:
    first, second = pair
    await first.intend(attempted())
    await first.close()
    assert await second.recover() == 1
    assert await found(database) == []


@pytest.mark.parametrize("point", ["between_delete_and_insert", "before_commit"])
async def test_D4_a_death_inside_the_transaction_leaves_the_intent(
    database: Database, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    class Killed(BaseException):
        pass

    ledger = Ledger(database, replica="one", clock=Clock(), timing=QUICK)
    await ledger.start()
    call = attempted()
    await ledger.intend(call)

    def reach(here: str) -> None:
        if here == point:
            raise Killed

    monkeypatch.setattr(crash_points, "reach", reach)
    with pytest.raises(Killed):
        await database.write(lambda connection: write_steps(connection, [Step(final(call))], ledger.replica))
    monkeypatch.undo()
    kept = await counts(database)
    assert (kept["entries"], kept["intents"]) == (0, 1)
    await ledger.settle(final(call))
    assert await found(database) == []
    await ledger.close()


# ---------------------------------------------------------------- files


def test_K11_a_spool_is_read_as_it_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open()
    spool.append([{"n": 1}, {"n": 2}])
    path = spool.take()
    spool.append([{"n": 3}])
    assert path is not None
    assert list(spool.read(path)) == [{"n": 1}, {"n": 2}]
    spool.done(path)
    assert not spool.empty
    last = spool.take()
    assert last is not None
    assert list(spool.read(last)) == [{"n": 3}]
    spool.done(last)
    assert spool.size == 0
    assert spool.take() is None
    spool.close()


def test_D1_a_full_disk_gives_up_its_ballast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool", reserve=65_536)
    spool.open()
    spool.load_ballast()
    ballast = tmp_path / "spool" / "ballast"
    assert ballast.stat().st_size == 65_536
    from dragoman.store.ledger import spool as module

    def full(file: object) -> None:
        if ballast.exists():
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_sync", full)
    spool.append([{"n": 1}])
    assert not ballast.exists()
    path = spool.take()
    assert path is not None
    assert list(spool.read(path)) == [{"n": 1}]
    spool.done(path)
    monkeypatch.undo()
    spool.load_ballast()
    assert ballast.exists()

    def broken_disk(file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_sync", broken_disk)
    with pytest.raises(SpoolFull):
        spool.append([{"n": 2}])
    monkeypatch.undo()
    spool.append([{"n": 3}])
    path = spool.take()
    assert path is not None
    assert list(spool.read(path)) == [{"n": 3}]
    spool.close()


def test_two_processes_do_not_share_a_spool(tmp_path: Path) -> None:
    first, second = Spool(tmp_path / "spool"), Spool(tmp_path / "spool")
    first.open()
    second.open()
    assert first.folder != second.folder
    first.append([{"n": 1}])
    second.append([{"n": 2}])
    first.close()
    second.close()
    third = Spool(tmp_path / "spool")
    third.open()
    seen = []
    while (path := third.take()) is not None:
        seen += list(third.read(path))
        third.done(path)
    assert sorted(str(one) for one in seen) == ["{'n': 1}", "{'n': 2}"]
    third.close()
    assert os.listdir(tmp_path / "spool-2") == ["lock"]


def test_a_step_survives_the_spool() -> None:
    one = attempted()
    step = Step(final(one, stated_cost=3, receipt=[{"path": "a", "what": "dropped", "why": "b"}]), attempted())
    assert read_step(step_data(step)) == step
    assert read_step(step_data(Step(attempted=one))) == Step(attempted=one)
    later = step_data(step)
    for place in (later["final"], later["final"]["tokens"], later["final"]["attempted"]["who"]):
        place["said_by_a_later_release"] = 1
    assert read_step(later) == step
