"""What every call of the management API works with.

It must not know resources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection

from dragoman.settings import Settings
from dragoman.store.accounts.model import Caller
from dragoman.store.database import Database
from dragoman.store.secrets import Cipher
from dragoman.web.api.errors import forbidden
from dragoman.web.api.permissions import permitted
from dragoman.web.audit import note
from dragoman.web.signin import SignIn

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Desk:
    """``clock`` gives microseconds; ``cipher`` seals the credentials of providers."""

    database: Database
    signin: SignIn
    settings: Settings
    cipher: Cipher
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


def desk_of(request: Request) -> Desk:
    """The desk of the application."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


async def admitted(request: Request) -> None:
    """Let in whoever may ask for the matched route; runs before every route, deny by default."""
    route = request.scope.get("route")
    caller = caller_of(request)
    if caller.user_id is None and caller.role != "admin":
        raise forbidden("the shared token is nobody's: use a key of your own", "not_a_user")
    if not permitted(request.method, getattr(route, "path", ""), caller.role):
        raise forbidden(f"a {caller.role} may not do this")


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


Working = Annotated[Desk, Depends(desk_of)]
Asking = Annotated[Caller, Depends(caller_of)]
