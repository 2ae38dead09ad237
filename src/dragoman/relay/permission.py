"""Which of a plan's targets a caller may use. Rules bind to the route or the target that a name comes to (K03).

A rule is a route's name, an alias, a name that a deployment is mapped to, or ``provider/model``, where
``provider`` is the account's name; ``*`` stands for anything. It allows what the names it fits stand for,
and the targets whose provider and model it fits; without a slash, a model of any provider. How a client
spells the name it asks for changes nothing.

It must not know how names are resolved, nor who the caller is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from dragoman.language.failures import Refused
from dragoman.store.accounts.model import Caller
from dragoman.store.accounts.rules import matches
from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.plans import Plan, Resolved
from dragoman.upstream.resolution import Resolver

_MOST = 4096


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a list of rules comes to: routes and targets by name, in lower case."""

    routes: frozenset[str]
    targets: frozenset[tuple[str, str]]


_reaches: WeakKeyDictionary[Resolver, dict[tuple[str, ...], _Reach]] = WeakKeyDictionary()


def may_use(resolver: Resolver, surface: str, name: str, caller: Caller) -> bool:
    """Whether a client of the given dialect who asks for ``name`` is served."""
    try:
        return allowed(resolver, resolver.plan(name, surface=surface), caller) is not None
    except (Refused, UpstreamTrouble):
        return False


def allowed(resolver: Resolver, plan: Plan, caller: Caller) -> Plan | None:
    """The plan with those targets that every scope of the caller allows; None when none is left."""
    for scope in caller.scopes:
        if scope.rules.models:
            kept = _kept(resolver, plan, scope.rules.models)
            if not kept:
                return None
            if len(kept) < len(plan.candidates):
                plan = replace(plan, candidates=kept)
    return plan


def _kept(resolver: Resolver, plan: Plan, models: tuple[str, ...]) -> tuple[Resolved, ...]:
    reach = _reach(resolver, models)
    if plan.route and plan.route.lower() in reach.routes:
        return plan.candidates
    return tuple(one for one in plan.candidates if _fits(one, models, reach))


def _fits(target: Resolved, models: Sequence[str], reach: _Reach) -> bool:
    if _names(target) in reach.targets:
        return True
    full = f"{target.provider_name}/{target.upstream_model}"
    return any(matches(rule, full if "/" in rule else target.upstream_model) for rule in models)


def _reach(resolver: Resolver, models: tuple[str, ...]) -> _Reach:
    known = _reaches.setdefault(resolver, {})
    reach = known.get(models)
    if reach is None:
        if len(known) >= _MOST:
            known.clear()
        reach = known[models] = _reached(resolver, models)
    return reach


def _reached(resolver: Resolver, models: Sequence[str]) -> _Reach:
    routes: set[str] = set()
    targets: set[tuple[str, str]] = set()
    for name in resolver.every_name():
        if not any(matches(rule, name) for rule in models):
            continue
        try:
            plan = resolver.plan(name)
        except (Refused, UpstreamTrouble):
            continue
        if plan.route:
            routes.add(plan.route.lower())
        else:
            targets.update(_names(candidate) for candidate in plan.candidates)
    return _Reach(frozenset(routes), frozenset(targets))


def _names(target: Resolved) -> tuple[str, str]:
    return target.provider_name.lower(), target.upstream_model.lower()
