"""The running gateway with accounts: a ring of keys over a database of either engine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from sqlalchemy import Connection

from dragoman.app import build
from dragoman.settings import Settings
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.database import Database
from dragoman.web.credentials import gate_of
from tests.compat.setups import every_dialect, moved
from tests.relay.rig import CALM, FakeProvider, Rig, served
from tests.store.accounts_rig import HASHER

Result = TypeVar("Result")


@dataclass
class Guarded:
    """The gateway, its provider, and the accounts behind it."""

    rig: Rig
    ring: KeyRing

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Change accounts, as the management API does."""
        return await self.ring.write(work)

    async def ask(self, path: str, body: Any, credential: str = "", **headers: str) -> tuple[int, Any]:
        """Status and answer of one call."""
        if credential:
            headers["authorization"] = f"Bearer {credential}"
        status, _, answer = await self.rig.post(path, body, **headers)
        return status, answer


@contextlib.asynccontextmanager
async def guarded(database: Database, settings: Settings) -> AsyncIterator[Guarded]:
    """The real gateway for the settings, with accounts, in front of a provider that answers in every dialect."""
    provider = FakeProvider()
    provider.script = every_dialect
    await provider.start()
    records: list[Any] = []
    ring = KeyRing(database, HASHER, house_rules(settings))
    await ring.start()
    app = build(
        moved(settings, provider.port), sinks=[records.append], patience=CALM, gate=gate_of(settings.auth, ring)
    )
    try:
        async with served(app) as port, aiohttp.ClientSession() as client:
            yield Guarded(Rig(provider, port, client, records, lambda: None), ring)
    finally:
        await ring.stop()
        await provider.stop()
