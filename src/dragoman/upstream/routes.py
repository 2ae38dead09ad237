"""Routes of the configuration, found by name, by alias, by a dated name without its date, or by pattern.

It must not know which target of a route will serve.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate

from dragoman.settings.model import Settings
from dragoman.settings.parts import Secret
from dragoman.settings.routes import Overrides, RouteSettings, TargetSettings
from dragoman.upstream.plans import Overriding, Plan, Resolved

_DATED = re.compile(r"(-\d{8}|-\d{4}-\d{2}-\d{2}|@\d{8}|-\d{4})$")
_CLAUDE = ("claude", "anthropic")


@dataclass(frozen=True, slots=True)
class Route:
    """A route and what it comes to."""

    settings: RouteSettings
    plan: Plan


class Routes:
    """All routes of one configuration. Names are found whatever their case."""

    def __init__(self, settings: Settings) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        implied: dict[str, Route] = {}
        for name, route in settings.routes.items():
            found = Route(route, _plan_of(name, route))
            for alias in (name, *route.aliases):
                if "*" in alias:
                    self._patterns.append((_pattern(alias), found))
                else:
                    self._exact[alias.lower()] = found
            implied[claude_name(name, route)] = found
        self._exact = implied | self._exact

    def __len__(self) -> int:
        return len(self._exact)

    def get(self, model: str) -> Route | None:
        """The route that serves a name, or None."""
        folded = model.lower()
        found = self._exact.get(folded) or self._exact.get(undated(folded))
        if found is not None:
            return found
        return next((route for pattern, route in self._patterns if pattern.fullmatch(folded)), None)


def undated(model: str) -> str:
    """A name without the date or the version digits at its end."""
    return _DATED.sub("", model)


def claude_name(name: str, route: RouteSettings) -> str:
    """The name under which clients that list only Claude's see the route: its own, an alias, or ``claude-<name>``."""
    names = [name, *(alias for alias in route.aliases if "*" not in alias)]
    own = next((one for one in names if any(word in one.lower() for word in _CLAUDE)), "")
    return own or f"claude-{name}".lower()


def _pattern(alias: str) -> re.Pattern[str]:
    """``*`` stands for anything, and nothing else is special."""
    return re.compile(translate(alias.lower().replace("[", "[[]").replace("?", "[?]")))


def _plan_of(name: str, route: RouteSettings) -> Plan:
    candidates = tuple(_candidate(route, target) for target in route.targets)
    return Plan(candidates, name, route.first_byte, route.deadline, route.sticky)


def _candidate(route: RouteSettings, target: TargetSettings) -> Resolved:
    return Resolved(
        target.provider,
        target.model,
        "route",
        family=target.profile,
        weight=target.weight,
        overriding=Overriding(
            effort=target.effort or route.effort,
            max_output=_smaller(target, route),
            headers=_plain(route.headers) | _plain(target.headers),
        ),
    )


def _smaller(*overrides: Overrides) -> int | None:
    return min((one.max_output for one in overrides if one.max_output is not None), default=None)


def _plain(headers: Mapping[str, Secret]) -> dict[str, str]:
    return {name.lower(): secret.get_secret_value() for name, secret in headers.items()}
