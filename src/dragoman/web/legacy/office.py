"""What the calls of the earlier proxies work with. It must not know calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from dragoman.settings import Settings
from dragoman.store.accounts.model import Caller
from dragoman.store.database import Database
from dragoman.web.audit import note
from dragoman.web.legacy.login import Login
from dragoman.web.signin import SignIn
from dragoman.web.surfaces import SURFACES

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Office:
    """``clock`` gives microseconds; ``login`` checks the configuration's admin password."""

    database: Database
    signin: SignIn
    settings: Settings
    login: Login
    clock: Callable[[], int]

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run it in a transaction that changes nothing."""
        return await self.database.read(work)

    async def report(self, work: Callable[[Connection], Result]) -> Result:
        """As ``read``, for sums: they may take a while, and not for ever."""
        return await self.database.report(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run it in one transaction, and let keys and rights be known anew before this returns."""
        return await self.signin.ring.write(work)

    def note(self, connection: Connection, caller: Caller, action: str, target: str, **details: Any) -> None:
        """Write down what was done, in the transaction that does it. ``details`` hold no secrets."""
        note(connection, self.clock(), caller, action, target, **details)


def _paths() -> Mapping[str, str]:
    paths: dict[str, str] = {}
    for row in SURFACES:
        paths.setdefault(row.name, row.pattern)
    return paths


ENDPOINTS = _paths()
"""The path that a surface's usage was reported under, by the surface's name."""
