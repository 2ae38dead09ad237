"""Who the caller is, what binds it, and what it used."""

from __future__ import annotations

from fastapi import APIRouter

from dragoman.store.accounts.model import Role
from dragoman.web.api.desk import Asking
from dragoman.web.api.grants import restricted
from dragoman.web.api.rules import RulesBody, shown_rules
from dragoman.web.api.words import View

router = APIRouter(tags=["whoami"])


class ScopeView(View):
    """One step of the ladder of rules: ``global``, ``group:3``, ``user:7`` or ``key:12``."""

    name: str
    rules: RulesBody


class CallerView(View):
    """The caller. ``may_change`` is false for a key with rules of its own, which may only look."""

    name: str
    role: Role
    user_id: int | None
    key_id: int | None
    group_id: int | None
    default_model: str
    may_change: bool
    scopes: list[ScopeView]


@router.get("/whoami", response_model=CallerView)
async def whoami(caller: Asking) -> CallerView:
    """Whose credential this is."""
    return CallerView(
        name=caller.name,
        role=caller.role,
        user_id=caller.user_id,
        key_id=caller.key_id,
        group_id=caller.group_id,
        default_model=caller.default_model,
        may_change=not restricted(caller),
        scopes=[ScopeView(name=scope.name, rules=shown_rules(scope.rules)) for scope in caller.scopes],
    )
