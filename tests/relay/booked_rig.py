"""A gateway with books and somebody at the door, for tests of what is booked and what was reserved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from dragoman.app import build
from dragoman.relay.admission.model import Wish
from dragoman.relay.booking import Books
from dragoman.store.database import Database, open_database
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.migrate import migrate
from tests.patience import SOON
from tests.relay.rig import CALM, FakeProvider, Rig, served, settings_for
from tests.relay.rig import _stop as stop
from tests.store.bookings import QUICK, found, rows

PRICES = {"fake/*": {"in": 10, "out": 100}}
ASK = {"model": "big", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Doorman:
    """Lets everybody in, and remembers what was wished for and how it grew."""

    wishes: list[Wish] = field(default_factory=list)
    grown: list[int] = field(default_factory=list)
    resent: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    counted: frozenset[str] = frozenset({"calls:key:3"})

    async def admit(self, wish: Wish) -> Doorman:
        self.wishes.append(wish)
        return self

    async def grow(self, output_tokens: int) -> None:
        self.grown.append(output_tokens)

    async def resend(self) -> None:
        self.resent += 1

    async def settle(self, tokens: int, cost: int | None) -> None:
        """Nothing was held."""

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class House:
    """A gateway with books and somebody at the door."""

    rig: Rig
    database: Database
    doorman: Doorman

    async def booked(self, many: int = 1) -> list[dict[str, Any]]:
        """So many rows, once they are there, and nothing wrong with them."""
        async with asyncio.timeout(SOON):
            while len(got := await rows(self.database)) < many:
                await asyncio.sleep(0.02)
        assert len(got) == many
        assert await found(self.database) == []
        return got


@contextlib.asynccontextmanager
async def booked_house(folder: Path) -> AsyncIterator[House]:
    """Run all of it, with one provider behind accounts of every dialect."""
    database = open_database(f"sqlite:///{folder / 'x.db'}")
    await migrate(database)
    ledger = Ledger(database, replica="one", timing=QUICK, folder=folder / "spool")
    await ledger.start()
    provider = FakeProvider()
    await provider.start()
    records: list[Any] = []
    targets = [{"provider": "fake", "model": "one"}, {"provider": "fake", "model": "two"}]
    paused = {"targets": [{"provider": "claude", "model": "claude-up"}]}
    settings = settings_for(provider.port, routes={"both": {"targets": targets}, "paused": paused})
    others = {
        "claude": settings_for(provider.port, kind="anthropic").providers["fake"],
        "gem": settings_for(provider.port, kind="gemini").providers["fake"],
        "chat": settings_for(provider.port, account={"vendor": "openai"}).providers["fake"],
        "resp": settings_for(provider.port, account={"vendor": "openai", "api": "responses"}).providers["fake"],
    }
    settings = settings.model_copy(update={"providers": {**settings.providers, **others}})
    books = Books(ledger, PriceBook(PRICES))
    doorman = Doorman()
    app = build(settings, sinks=[records.append], patience=CALM, books=books, admission=doorman)
    async with served(app) as port, aiohttp.ClientSession() as client:
        yield House(Rig(provider, port, client, records, lambda: stop(app)), database, doorman)
    await provider.stop()
    await ledger.close()
    await database.close()
