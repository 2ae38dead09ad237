"""Lays what the database keeps under the configuration: providers, routes and prices, object by object.

What the file or the variables name wins whole; an object of the database under the same name is left
aside. One that cannot be used is left out with a complaint and takes nothing else with it: a gateway
that cannot start for a stored row could not be mended through its own API. It must not know the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from dragoman.settings.model import ProviderSettings, Settings
from dragoman.settings.parts import Part
from dragoman.settings.routes import RouteSettings, problems

Branch = TypeVar("Branch", bound=Part)

DATABASE = "database"
"""The ``origin`` of a provider that the database keeps."""


@dataclass(frozen=True, slots=True)
class KeptObjects:
    """Objects by name, as fields of the configuration's branches. Secrets of providers stand among their fields."""

    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prices: Mapping[str, Any] = field(default_factory=dict)


def with_kept(settings: Settings, kept: KeptObjects) -> tuple[Settings, list[str]]:
    """The configuration with what is kept below it, and a sentence for each object that cannot be used.

    A simulated provider that is there for want of any other steps aside; a single provider then takes
    every name, as a single one of the file does.
    """
    complaints: list[str] = []
    own = {name: said for name, said in settings.providers.items() if not (kept.providers and said.stand_in)}
    providers = dict(own)
    for name, data in kept.providers.items():
        if name not in own and (read := _read(ProviderSettings, "provider", name, data, complaints)) is not None:
            providers[name] = read.model_copy(update={"origin": DATABASE, "from_file": True})
    routes = dict(settings.routes)
    for name, data in kept.routes.items():
        if name not in routes and (route := _read(RouteSettings, "route", name, data, complaints)) is not None:
            routes[name] = route
    _leave_out_broken(routes, settings.routes, providers or settings.providers, complaints)
    sole = not own and len(providers) == 1 and not settings.models.unmapped_said
    fresh = {
        "models": settings.models.model_copy(update={"unmapped": "passthrough"}) if sole else settings.models,
        "providers": providers or dict(settings.providers),
        "routes": routes,
        "prices": {**{name: rows for name, rows in kept.prices.items() if name not in _low(settings.prices)},
                   **settings.prices},
    }  # fmt: skip
    return settings.model_copy(update=fresh), complaints


def _read(model: type[Branch], kind: str, name: str, data: Mapping[str, Any], complaints: list[str]) -> Branch | None:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        # The values may be secret: only places and rules are told.
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, problem["loc"]))
        sentence = problem["msg"].removeprefix("Value error, ")
        complaints.append(f"{kind} {name}: {place}: {sentence}" if place else f"{kind} {name}: {sentence}")
        return None


def _leave_out_broken(
    routes: dict[str, RouteSettings],
    fixed: Mapping[str, RouteSettings],
    providers: Mapping[str, ProviderSettings],
    complaints: list[str],
) -> None:
    """Leave out kept routes that lead nowhere, until what is left fits together."""
    while True:
        broken = {place[1]: f"{'.'.join(place[2:])}: {why}" for place, why in problems(routes, providers)}
        broken = {name: why for name, why in broken.items() if name not in fixed}
        if not broken:
            return
        for name, why in broken.items():
            del routes[name]
            complaints.append(f"route {name}: {why}")


def _low(prices: Mapping[str, Any]) -> set[str]:
    return {name.lower() for name in prices}
