"""A database that fails when a test says so: not at all, after it committed, or by never answering."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from dragoman.store.database import Database, Work
from dragoman.store.errors import StoreUnavailable

Result = TypeVar("Result")


class Faulty:
    """Wraps one. ``fault``: "" none, "down" nothing is done, "lost" done but the answer is lost, "hangs"."""

    def __init__(self, database: Database) -> None:
        self.inner = database
        self.fault = ""
        self.writes = 0

    @property
    def kind(self) -> str:
        return self.inner.kind

    async def read(self, work: Work[Result]) -> Result:
        await self._fail_before()
        return await self.inner.read(work)

    async def report(self, work: Work[Result], *, seconds: float = 5.0) -> Result:
        return await self.inner.report(work, seconds=seconds)

    async def write(self, work: Work[Result]) -> Result:
        self.writes += 1
        await self._fail_before()
        result = await self.inner.write(work)
        if self.fault == "lost":
            raise StoreUnavailable("gone", reason="lost", uncertain=True)
        return result

    async def alter(self, work: Work[Result]) -> Result:
        return await self.inner.alter(work)

    async def close(self) -> None:
        await self.inner.close()

    async def _fail_before(self) -> None:
        if self.fault == "down":
            raise StoreUnavailable("not there", reason="locked")
        if self.fault == "hangs":
            await asyncio.sleep(3600)
