"""Reports and listings: they say what the entries say, to the last digit."""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from dragoman.store.database import Database
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.listing import MOST, BadCursor, page
from dragoman.store.ledger.model import Tokens, Who
from dragoman.store.ledger.rows import final_row
from dragoman.store.ledger.sums import By, Filters, as_row, sums, totals
from dragoman.store.ledger.windows import DAY, HOUR
from dragoman.store.ledger.writing import write_steps
from dragoman.store.schema import usage_day, usage_hour
from tests.store.bookings import NOON, QUICK, Clock, attempted, broken, counts, final, found
from tests.store.million import fill

ALL: list[By] = ["user", "key", "group", "route", "model", "provider", "surface", "hour", "day"]


@pytest.fixture
async def booked(database: Database) -> AsyncIterator[Database]:
    """Some hundred calls over four days."""
    ledger = Ledger(database, replica="one", clock=Clock(), timing=QUICK)
    await ledger.start()
    dice = random.Random(7)
    for number in range(150):
        who = Who(
            user_id=dice.choice([None, 1, 2, 3]), key_id=dice.choice([10, 11]), group_id=dice.choice([None, 5]),
            session=f"s{number % 4}", agent=f"a{number % 3}",
            parent_agent=("", "a0", "a1")[number % 3], prompt=f"p{number % 5}",
        )  # fmt: skip
        one = attempted(
            who=who, at=NOON + dice.randrange(4 * DAY), model=dice.choice(["m1", "m2"]),
            provider=dice.choice(["p1", "p2"]), surface=dice.choice(["chat", "messages"]), route=dice.choice(["", "r"]),
        )  # fmt: skip
        if number % 10 == 0:
            second = replace(one, attempt=2, provider="p3", at=one.at + 5_000_000)
            await ledger.intend(one)
            await ledger.advance(broken(one), second)
            await ledger.settle(final(second, number, 1, cost=None, details={}))
        else:
            await ledger.settle(final(one, number, dice.randrange(50)))
    yield database
    await ledger.close()


def by_hand(rows: list[dict[str, Any]], keys: list[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    """What a report should say."""
    lines: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        named = {
            **row,
            "user": row["user_id"] or 0,
            "key": row["key_id"] or 0,
            "group": row["group_id"] or 0,
            "hour": row["at"] - row["at"] % HOUR,
            "day": row["at"] - row["at"] % DAY,
        }
        line = lines[tuple(named[key] for key in keys)]
        line["calls"] += row["closes"]
        line["attempts"] += 1
        line["cost"] += row["cost"] or 0
        line["unpriced"] += row["cost"] is None
        for kind in ("input", "output"):
            line[kind] += row[kind] or 0
    return lines


async def listed(database: Database, filters: Filters | None = None) -> list[dict[str, Any]]:
    """All entries, page by page."""

    def work(connection: Connection) -> Iterator[dict[str, Any]]:
        here = page(connection, filters, limit=MOST)
        yield from here.entries
        while here.cursor:
            here = page(connection, filters, cursor=here.cursor, limit=MOST)
            yield from here.entries

    return await database.read(lambda connection: list(work(connection)))


@pytest.mark.parametrize("by", [*ALL, "session", "agent", "parent_agent", "prompt"])
async def test_N7_sums_by_anything_equal_the_ledger(booked: Database, by: By) -> None:
    rows = await listed(booked)
    wanted = by_hand(rows, [by])
    lines = await booked.read(lambda connection: sums(connection, [by]))
    assert {line.by for line in lines} == set(wanted)
    for line in lines:
        assert {name: getattr(line, name) for name in wanted[line.by]} == wanted[line.by]


async def test_N7_sums_by_the_tree_of_agents_equal_the_ledger(booked: Database) -> None:
    tree: list[By] = ["session", "parent_agent", "agent", "prompt"]
    for filters in (Filters(), Filters(parent_agents=["a0"]), Filters(sessions=["s1", "s2"], agents=["a1"])):
        wanted = by_hand(await listed(booked, filters), list(tree))
        lines = await booked.read(lambda connection, f=filters: sums(connection, tree, f))  # type: ignore[misc]
        assert {line.by for line in lines} == set(wanted)
        for line in lines:
            assert {name: getattr(line, name) for name in wanted[line.by]} == wanted[line.by]
    assert {line.by for line in await booked.read(lambda connection: sums(connection, ["parent_agent", "agent"]))} == {
        ("", "a0"), ("a0", "a1"), ("a1", "a2"),
    }  # fmt: skip


NAMED = ("session", "agent", "parent_agent", "prompt", "request_id")


async def test_K10_entries_of_a_name_are_found_by_an_index(database: Database) -> None:
    """Not by a look at every entry: that takes 300 ms of 200 000 and 2 s of a million."""

    def plan(connection: Connection, filters: Filters) -> str:
        asked: list[Any] = []
        listening = (connection, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
        event.listen(*listening)
        page(connection, filters)
        event.remove(*listening)
        statement, values = asked[-1]
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        return str(connection.exec_driver_sql(explain + statement, values).all())

    await database.alter(lambda connection: fill(connection, 20_000))
    if database.kind == "postgresql":
        await database.alter(lambda connection: connection.execute(text("ANALYZE entries")))
    for name in NAMED:
        filters = Filters(**{f"{name}s": ["one"]})  # type: ignore[arg-type]
        assert f"ix_entries_{name}" in await database.read(lambda connection, f=filters: plan(connection, f)), name  # type: ignore[misc]
    blank = await database.read(lambda connection: page(connection, Filters(agents=[""])))
    assert len(blank.entries) == 100


async def test_N7_sums_of_any_period_equal_the_ledger(booked: Database) -> None:
    """A period may cut days and hours anywhere."""
    dice = random.Random(1)
    for _ in range(12):
        since = NOON + dice.randrange(3 * DAY)
        until = since + dice.choice([dice.randrange(HOUR), dice.randrange(DAY), dice.randrange(3 * DAY), DAY])
        filters = Filters(since=since, until=until, models=["m1"], users=[0, 1])
        wanted = by_hand(await listed(booked, filters), [])
        line = await booked.read(lambda connection, f=filters: totals(connection, f))  # type: ignore[misc]
        assert {name: getattr(line, name) for name in wanted[()]} == wanted[()]


async def test_sums_by_several_keys_with_filters(booked: Database) -> None:
    filters = Filters(providers=["p1", "p3"], surfaces=["chat"])
    keys: list[By] = ["day", "model", "user"]
    wanted = by_hand(await listed(booked, filters), list(keys))
    lines = await booked.read(lambda connection: sums(connection, keys, filters))
    assert {line.by: line.cost for line in lines} == {key: line["cost"] for key, line in wanted.items()}
    assert [line.by[0] for line in lines] == sorted(line.by[0] for line in lines)
    row = as_row(lines[0], keys)
    assert list(row)[:3] == keys
    assert row["tokens"] == row["input"] + row["output"]
    few = await booked.read(lambda connection: sums(connection, ["user"], limit=2))
    assert len(few) == 2


async def test_entries_come_page_by_page_and_none_twice(booked: Database) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        one = await booked.read(lambda connection, c=cursor: page(connection, cursor=c, limit=17))  # type: ignore[misc]
        seen += [row["id"] for row in one.entries]
        cursor = one.cursor
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == (await counts(booked))["entries"]
    rows = await listed(booked)
    assert [row["id"] for row in rows] == seen
    assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
    some = await listed(booked, Filters(sessions=["s1"], outcomes=["answered"], since=NOON + DAY, until=NOON + 2 * DAY))
    assert some
    assert all(row["session"] == "s1" and NOON + DAY <= row["at"] < NOON + 2 * DAY for row in some)


@pytest.mark.parametrize("cursor", ["x", "====", "YQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6MQ", "a" * 100, "é"])
async def test_a_cursor_that_is_none_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await database.read(lambda connection: page(connection, cursor=cursor))


async def test_K07_all_attempts_of_a_call_are_listed(booked: Database) -> None:
    rows = await listed(booked, Filters(providers=["p3"]))
    attempts = await listed(booked, Filters(call_ids=[rows[0]["call_id"]]))
    assert [(row["attempt"], row["closes"]) for row in reversed(attempts)] == [(1, False), (2, True)]


async def test_sums_of_nothing(database: Database) -> None:
    assert await database.read(lambda connection: sums(connection, ["user"])) == []
    line = await database.read(totals)
    assert (line.calls, line.cost) == (0, 0)
    assert await database.read(lambda connection: sums(connection, [], Filters(since=5, until=5))) == []


@pytest.mark.slow
async def test_K10_a_million_entries_are_summed_at_once(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Sums by user, model and day in 150 ms; see ``python -m tests.store.million`` for a file to look at."""
    if database.kind != "sqlite":
        pytest.skip("the figure is SQLite's")
    await database.alter(lambda connection: fill(connection, 1_000_000))

    def rows_of(connection: Connection) -> tuple[int, int]:
        hours = len(connection.execute(usage_hour.select()).all())
        return hours, len(connection.execute(usage_day.select()).all())

    kept = await database.read(rows_of)
    told: list[str] = [f"{kept[0]} hours' and {kept[1]} days' rows"]
    for by in ("user", "model", "day"):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await database.report(lambda connection, b=by: sums(connection, [b]))  # type: ignore[misc]
            took.append(time.perf_counter() - began)
        told.append(f"by {by} {statistics.median(took) * 1000:.0f} ms")
        assert statistics.median(took) < 0.5
    began = time.perf_counter()
    await database.read(lambda connection: page(connection, Filters(users=[3]), limit=100))
    told.append(f"a page of entries {(time.perf_counter() - began) * 1000:.1f} ms")
    with capsys.disabled():
        print("\n" + ", ".join(told))


async def test_writing_a_step_twice_in_one_batch_counts_once(database: Database) -> None:
    from dragoman.store.ledger.model import Step

    one = final(attempted(), tokens=Tokens(5))
    await database.write(lambda connection: write_steps(connection, [Step(one), Step(one)], "r"))
    assert (await counts(database))["entries"] == 1
    assert final_row(one)["input"] == 5
    assert await found(database) == []
