"""What administration works with, whichever calls it is asked by. It must not know calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from dragoman.settings import Settings
from dragoman.store.accounts.model import Caller
from dragoman.store.database import Database
from dragoman.web.audit import note
from dragoman.web.signin import SignIn

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workroom:
    """``clock`` gives microseconds."""

    database: Database
    signin: SignIn
    settings: Settings
    clock: Callable[[], int]

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run it in a transaction that changes nothing."""
        return await self.database.read(work)

    async def report(self, work: Callable[[Connection], Result]) -> Result:
        """As ``read``, for sums and long lists: they may take a while, and not for ever."""
        return await self.database.report(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run it in one transaction, and let keys and rights be known anew before this returns."""
        return await self.signin.ring.write(work)

    def note(self, connection: Connection, caller: Caller, action: str, target: str, **details: Any) -> None:
        """Write down what was done, in the transaction that does it. ``details`` hold no secrets."""
        note(connection, self.clock(), caller, action, target, **details)
