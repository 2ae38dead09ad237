"""Attempts and their ends for tests of the ledger, and a clock that tests move."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from sqlalchemy import Connection, func, select

from dragoman.store.database import Database
from dragoman.store.ledger.check import Violation, violations
from dragoman.store.ledger.ledger import Timing
from dragoman.store.ledger.model import Attempted, Final, Tokens, Who
from dragoman.store.schema import entries, intents, quarantine, usage_day, usage_hour

NOON = 1_780_000_000_000_000 - 1_780_000_000_000_000 % 86_400_000_000 + 43_200_000_000
"""Midday of some day in 2026, in microseconds."""

RATE_IN, RATE_OUT = 3_000_000_000, 15_000_000_000
"""Nano-USD for a million tokens."""

QUICK = Timing(lease=0.6, renew=0.1, note=0.05, commit=10.0, patience=10.0, retry=0.05, sweep=60.0)

_numbers = count(1)


class Clock:
    """Microseconds since 1970, as tests say."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def attempted(call_id: str = "", attempt: int = 1, *, at: int = NOON, **more: Any) -> Attempted:
    """One attempt of a call."""
    facts: dict[str, Any] = {
        "who": Who(user_id=7, key_id=12, group_id=3, session="s1", agent="a1"),
        "request_id": f"req-{call_id}",
        "surface": "anthropic.messages",
        "route": "sonnet",
        "provider": "openai",
        "asked_model": "claude-sonnet-5",
        "model": "gpt-5.2",
        "stream": True,
        "input_estimate": 1000,
        "output_estimate": 4096,
        "price": "test:1",
        "rate_in": RATE_IN,
        "rate_out": RATE_OUT,
        **more,
    }
    return Attempted(call_id or f"{next(_numbers):032x}", attempt, at, **facts)


def final(of: Attempted, input: int = 900, output: int = 100, **more: Any) -> Final:
    """Its end: answered, as the provider reported it."""
    cost = (input * RATE_IN + output * RATE_OUT + 500_000) // 1_000_000
    bill = [["input", input, RATE_IN, 1_000_000], ["output", output, RATE_OUT, 1_000_000]]
    facts: dict[str, Any] = {
        "tokens": Tokens(input=input, cache_read=0, output=output),
        "source": "provider",
        "outcome": "answered",
        "status": 200,
        "cost": cost,
        "milliseconds": 1200,
        "first_byte_milliseconds": 300,
        "attempts": of.attempt,
        "details": {"bill": bill},
        **more,
    }
    return Final(of, **facts)


def broken(of: Attempted, **more: Any) -> Final:
    """Its end: failed, with nothing to pay, and another target is tried."""
    facts: dict[str, Any] = {
        "tokens": Tokens(),
        "cost": 0,
        "outcome": "failed",
        "status": 500,
        "closes": False,
        "failure": "server",
        "details": {},
        **more,
    }
    return replace(final(of), **facts)


async def found(database: Database, lease: int = 10_000_000, **more: Any) -> list[Violation]:
    """What is wrong with the ledger."""

    def work(connection: Connection) -> list[Violation]:
        now = connection.execute(select(func.coalesce(func.max(entries.c.at), 0))).scalar_one()
        return violations(connection, now=now, lease=lease, **more)

    return await database.read(work)


async def rows(database: Database) -> list[dict[str, Any]]:
    """All entries, oldest first."""
    query = select(entries).order_by(entries.c.id)
    return await database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


async def counts(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    tables = {"entries": entries, "intents": intents, "quarantine": quarantine, "hours": usage_hour, "days": usage_day}

    def work(connection: Connection) -> dict[str, int]:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }

    return await database.read(work)
