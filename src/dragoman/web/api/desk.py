"""What every call of the management API works with.

It must not know resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from dragoman.store.accounts.model import Caller
from dragoman.store.secrets import Cipher
from dragoman.web.api.errors import forbidden, invalid
from dragoman.web.api.permissions import permitted
from dragoman.web.workroom import Workroom


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Workroom):
    """``cipher`` seals the credentials of providers."""

    cipher: Cipher


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
    known = _parameters(route.dependant) if isinstance(route, APIRoute) else set()
    for name in request.query_params.keys() - known:
        raise invalid(name, f"is no parameter here; there are {', '.join(sorted(known)) or 'none'}")


def _parameters(asked: Dependant) -> set[str]:
    """Names in the query that a route knows. One misspelt would be a filter that lets everything pass."""
    return {field.alias for field in asked.query_params}.union(*map(_parameters, asked.dependencies))


def caller_of(request: Request) -> Caller:
    """Who asks."""
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


Working = Annotated[Desk, Depends(desk_of)]
Asking = Annotated[Caller, Depends(caller_of)]
