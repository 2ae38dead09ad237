"""That a part of a budget is used up is written down once, whoever of many sees it, on both engines."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sqlalchemy import select

from dragoman.store.database import Database
from dragoman.store.ledger.reached import Reached, teller
from dragoman.store.schema import audit, facts

HALF = Reached("key:3", "", "day", 1_000_000, "nano_usd", 50, 51, 100)


async def test_each_part_of_a_window_is_told_once(database: Database) -> None:
    tell = teller(database, lambda: 77)
    assert await tell(HALF)
    assert not await tell(HALF)
    most = replace(HALF, percent=80, spent=81)
    assert await tell(most)
    assert not await tell(HALF)
    assert await tell(replace(HALF, percent=100, spent=100))
    # The next window, and other budgets of the same scope.
    assert await tell(replace(HALF, start=2_000_000))
    assert not await tell(most)
    for other in (replace(HALF, scope="key:4"), replace(HALF, unit="tokens"), replace(HALF, model="opus")):
        assert await tell(other)
        assert not await tell(other)
    rows = (await database.read(lambda c: c.execute(select(audit).order_by(audit.c.id)).mappings().all()))[:2]
    assert [(row["actor"], row["action"], row["object"], row["at"]) for row in rows] == [
        ("gateway", "budget.reached", "key:3", 77)
    ] * 2
    assert [row["details"]["percent"] for row in rows] == [50, 80]
    assert rows[0]["details"] | {"limit": 0} == {
        "model": "", "window": "day", "start": 1_000_000, "unit": "nano_usd", "percent": 50, "spent": 51, "limit": 0,
    }  # fmt: skip
    kept = await database.read(lambda c: c.execute(select(facts.c.name)).scalars().all())
    assert sum(name.startswith("budget.reached:") for name in kept) == 4


async def test_of_many_replicas_one_tells(database: Database) -> None:
    tell = teller(database, lambda: 77)
    told = await asyncio.gather(*(tell(HALF) for _ in range(12)))
    assert sum(told) == 1
