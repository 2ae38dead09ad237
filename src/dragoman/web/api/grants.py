"""No grant exceeds its granter (SR3): what is asked for stays within what whoever grants it has.

What was left unsaid is inherited; what was said and is wider is refused. It must not know resources.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dragoman.store.accounts.model import Caller, Role, Rules, Scope
from dragoman.store.accounts.rules import first_wider, narrows

_RANK: dict[Role, int] = {"user": 0, "manager": 1, "admin": 2}


class Exceeds(Exception):
    """More was asked for than the granter has; ``field`` says of what."""

    def __init__(self, field: str) -> None:
        super().__init__("is more than you have yourself")
        self.field = field


def may_grant(caller: Caller, role: Role) -> bool:
    """Whether the caller may give a role: an admin any, a manager only that of a plain user."""
    return caller.role == "admin" or _RANK[role] < _RANK[caller.role]


def bounded(asked: Rules, bounds: Iterable[Rules]) -> Rules:
    """The rules within all the bounds. Raises Exceeds."""
    for bound in bounds:
        asked = _inherited(asked, bound)
        wider = first_wider(asked, bound)
        if wider:
            raise Exceeds(wider)
    return asked


def own_bounds(caller: Caller) -> list[Rules]:
    """What binds the caller alone: rules of itself and of the key it shows.

    What binds everybody or the group binds those whom it grants something, too: they are of the same group.
    """
    return [] if caller.role == "admin" else [scope.rules for scope in caller.scopes if _is_own(scope)]


def _is_own(scope: Scope) -> bool:
    return scope.name.startswith(("user:", "key:"))


def within(ladder: Iterable[Rules], bounds: Iterable[Rules]) -> bool:
    """Whether rules that are there already, of a user and of its key, stay within all the bounds."""
    steps = list(ladder)
    return all(any(narrows(step, bound) for step in steps) for bound in bounds)


RESTRICTED = "this key has rules of its own: it may look, but change nothing"


def restricted(caller: Caller) -> bool:
    """Whether the very credential shown is narrower than its owner: it must not bring forth a wider one."""
    return any(scope.rules != Rules() for scope in caller.scopes if scope.name.startswith("key:"))


def _inherited(asked: Rules, bound: Rules) -> Rules:
    said = {(one.window, one.model.lower(), one.tokens is None) for one in asked.budgets}
    more = [one for one in bound.budgets if (one.window, one.model.lower(), one.tokens is None) not in said]
    limited = {one.model.lower() for one in asked.per_model}
    slower = [one for one in bound.per_model if one.model.lower() not in limited]
    return replace(
        asked,
        models=asked.models or bound.models,
        surfaces=asked.surfaces or bound.surfaces,
        rpm=bound.rpm if asked.rpm is None else asked.rpm,
        tpm=bound.tpm if asked.tpm is None else asked.tpm,
        parallel=bound.parallel if asked.parallel is None else asked.parallel,
        budgets=(*asked.budgets, *more),
        strict=asked.strict or bound.strict,
        per_model=(*asked.per_model, *slower),
    )
