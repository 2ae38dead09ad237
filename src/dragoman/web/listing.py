"""Which model names clients are shown: what the settings map, else what the provider lists itself.

It must not know in which shape a client is told.
"""

from __future__ import annotations

from dragoman.relay.cursor import NAMES
from dragoman.relay.model_names import ModelNames
from dragoman.settings.model import Settings
from dragoman.upstream.resolution import Resolver
from dragoman.upstream.routes import claude_name
from dragoman.web.models import Model

_SIZES = {"sonnet": "claude-sonnet-4-5", "opus": "claude-opus-4-1", "haiku": "claude-haiku-4-5"}
"""Full names for the three words: some clients list only names that begin with ``claude``."""


class Listed:
    """The names a client may ask for, in stable order: those that are mapped, else what the provider lists."""

    def __init__(self, settings: Settings, resolver: Resolver, upstream: ModelNames) -> None:
        self._upstream = upstream
        self._provider = resolver.preferred
        self._models = _mapped(settings, resolver)

    async def __call__(self) -> list[Model]:
        """The list, without asking anybody where names are mapped."""
        if self._models:
            return self._models
        names = dict.fromkeys(await self._upstream.of(self._provider))
        return [Model(name) for name in names]


def _mapped(settings: Settings, resolver: Resolver) -> list[Model]:
    models = {model.id: model for model in _of_routes(settings)}
    hidden = {alias for name, route in settings.routes.items() if not route.listed for alias in (name, *route.aliases)}
    names = [_SIZES.get(name, name) for name in resolver.known_names() if "<" not in name and name not in hidden]
    if settings.simulated:
        names += ["claude-simulated", "simulated"]
    return [models.get(name) or Model(name) for name in dict.fromkeys(names)]


def _of_routes(settings: Settings) -> list[Model]:
    """A model for each name of each route that is listed; the route's Claude-like name goes with its own name."""
    models = []
    for name, route in settings.routes.items():
        if route.listed:
            shown = {"description": route.description, "display_name": route.display_name}
            models.append(Model(name, claude_id=claude_name(name, route), **shown))
            models += [Model(alias, **shown) for alias in route.aliases if "*" not in alias]
    return models


class ListedForCursor:
    """What Cursor is shown: its own four names, then the routes."""

    def __init__(self, settings: Settings) -> None:
        names = [*NAMES, *(name for name, route in settings.routes.items() if route.listed)]
        self._models = [Model(name) for name in dict.fromkeys(names)]

    async def __call__(self) -> list[Model]:
        """The list."""
        return self._models
