"""Fills a database with a million entries, to measure reports on: ``python -m tests.store.million FILE [ENTRIES]``.

Entries are those of 200 people over 90 days, eight models, four providers; sums are kept as the ledger keeps
them, but written once at the end.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, literal, select

from dragoman.store.database import open_database
from dragoman.store.ledger.aggregates import DIMENSIONS, SUMS
from dragoman.store.ledger.rows import Row, final_row
from dragoman.store.ledger.sums import By, sums
from dragoman.store.ledger.windows import DAY, HOUR
from dragoman.store.migrate import migrate
from dragoman.store.schema import entries, usage_day, usage_hour
from tests.store.bookings import NOON, attempted, final

PEOPLE, DAYS = 200, 90
BASE = 50_000
"""Entries that are made one by one; the others repeat them on other days."""


def made(count: int) -> Iterator[Row]:
    """Rows of entries. People work on two models each, at some hours of a day."""
    dice = random.Random(5)
    pattern = final_row(final(attempted()))
    for number in range(count):
        user = int(PEOPLE * dice.random() ** 2) + 1
        day = dice.randrange(DAYS)
        hour = 8 + int(abs(dice.gauss(0, 3))) % 12
        row: dict[str, Any] = dict(pattern)
        row.update(
            call_id=f"{number:032x}",
            at=NOON - (DAYS - day) * DAY + hour * 3_600_000_000 + dice.randrange(3_600_000_000),
            user_id=user,
            key_id=user * 2 + (number % 8 == 0),
            group_id=user % 7,
            model=f"model-{(user + (number % 5 == 0)) % 8}",
            provider=f"provider-{user % 4}",
            request_id=f"req_{dice.getrandbits(96):024x}",
            session=f"s{number // 40}",
            agent=f"a{number // 8}" if number % 3 == 0 else "",
            parent_agent=f"a{number // 40}" if number % 9 == 0 else "",
            prompt=f"p{number // 8}",
            input=dice.randrange(50_000),
            output=dice.randrange(2_000),
        )
        yield row


def fill(connection: Connection, count: int) -> None:
    """Write them, and their sums."""
    rows = list(made(min(count, BASE)))
    for at in range(0, len(rows), 10_000):
        connection.execute(entries.insert(), rows[at : at + 10_000])
    for number in range(1, count // BASE):
        _again(connection, number)
    _sum_up(connection, usage_hour, HOUR)
    _sum_up(connection, usage_day, DAY)


def _again(connection: Connection, number: int) -> None:
    """The same rows as other calls, some days later; behind the last day comes the first."""
    start = NOON - DAYS * DAY
    odd = {
        "call_id": f"{number:08x}" + func.substr(entries.c.call_id, 9),
        "request_id": f"req_{number:08x}" + func.substr(entries.c.request_id, 13),
        "at": (entries.c.at - start + number * 17 * DAY) % ((DAYS + 1) * DAY) + start,
    }
    names = [column.name for column in entries.columns if column.name != "id"]
    rows = select(*(odd.get(name, entries.c[name]) for name in names)).where(entries.c.id <= BASE)
    connection.execute(entries.insert().from_select(names, rows))


def _sum_up(connection: Connection, table: Table, length: int) -> None:
    """What the ledger would have added up: all of these were answered, and reported and priced."""
    bucket = entries.c.at - entries.c.at % length
    each, none = func.count(), literal(0)
    whole = {"calls": each, "attempts": each, "failed": none, "unpriced": none, "estimated": none}
    shares = [whole.get(name, func.coalesce(func.sum(entries.c.get(name, none)), 0)) for name in SUMS]
    groups = [bucket, *(entries.c[name] for name in DIMENSIONS)]
    query = select(*groups, *shares).group_by(*groups)
    connection.execute(table.insert().from_select(["bucket", *DIMENSIONS, *SUMS], query))


async def _main(path: Path, count: int) -> None:
    database = open_database(f"sqlite:///{path}")
    await migrate(database)
    began = time.perf_counter()
    await database.alter(lambda connection: fill(connection, count))
    print(f"{count} entries in {time.perf_counter() - began:.1f} s, {path.stat().st_size >> 20} MiB")
    keys: list[By] = ["user", "model", "day", "key", "provider", "hour"]
    for by in keys:
        began = time.perf_counter()
        lines = await database.report(lambda connection, b=by: sums(connection, [b]))  # type: ignore[misc]
        print(f"by {by}: {len(lines)} lines, {(time.perf_counter() - began) * 1000:.0f} ms")
    await database.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000))
