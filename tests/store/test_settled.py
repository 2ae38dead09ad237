"""What is settled of budget windows, and who lives, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, insert

from dragoman.store.database import Database
from dragoman.store.ledger.settled import Settled, Span, count_replicas, covers, ledger_reader
from dragoman.store.schema import budget_windows, leases

DAY = 86_400_000_000
NOW = 1_795_262_400_000_000


def add(*rows: tuple[str, str, str, int, int, int]) -> Any:
    names = ("scope", "model", "window", "start", "cost", "tokens")

    def work(connection: Connection) -> None:
        connection.execute(insert(budget_windows), [dict(zip(names, row, strict=True)) for row in rows])

    return work


async def test_N2_sums_are_those_of_scope_model_and_window(database: Database) -> None:
    await database.write(
        add(
            ("key:3", "", "day", NOW, 5_000_000_000_000, 700),
            ("key:3", "claude-sonnet-4-5", "day", NOW, 30, 3),
            ("key:3", "claude-sonnet-4-5-20250929", "day", NOW, 4, 4),
            ("key:3", "gpt-5", "day", NOW, 500, 5),
            ("key:3", "", "day", NOW - DAY, 1, 1),
            ("key:3", "", "month", NOW, 2, 2),
            ("key:30", "", "day", NOW, 9, 9),
            ("key:3", "", "total", 0, 8, 8),
        )
    )
    read = ledger_reader(database)
    of_all = Span("key:3", "", "day", NOW)
    sonnet = Span("key:3", "claude-sonnet-4-5", "day", NOW)
    claude = Span("key:3", "claude-*", "day", NOW)
    total = Span("key:3", "", "total", 0)
    unused = Span("user:1", "", "day", NOW)
    assert await read({of_all, sonnet, claude, total, unused}) == {
        of_all: Settled(5_000_000_000_000, 700),
        sonnet: Settled(34, 7),
        claude: Settled(34, 7),
        total: Settled(8, 8),
        unused: Settled(0, 0),
    }
    assert await read(set()) == {}


async def test_living_replicas_are_those_with_a_lease(database: Database) -> None:
    far = 2**62

    def work(connection: Connection) -> tuple[int, int]:
        none = count_replicas(connection, lambda: NOW)
        connection.execute(
            insert(leases),
            [{"replica": "a", "until": far}, {"replica": "b", "until": far}, {"replica": "c", "until": 1}],
        )
        return none, count_replicas(connection, lambda: NOW)

    assert await database.write(work) == (1, 2)


@pytest.mark.parametrize(
    ("name", "model", "is_covered"),
    [
        ("", "anything", True),
        ("gpt-5", "gpt-5", True),
        ("gpt-5", "GPT-5", True),
        ("gpt-5", "gpt-5-2025-08-07", True),
        ("gpt-5", "gpt-5-mini", False),
        ("gpt-5*", "gpt-5-mini", True),
        ("gpt.5", "gpt-5", False),
        ("*", "", True),
    ],
)
def test_K03_names_cover_their_snapshots(name: str, model: str, is_covered: bool) -> None:
    assert covers(name, model) is is_covered
