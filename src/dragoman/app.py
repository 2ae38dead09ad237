"""The composition root: wires the rooms together into one ASGI application, and nothing else.

``build(settings)`` is what the server runs. Nothing is opened before the application starts and
everything is closed when it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping, Sequence

import uvicorn

from dragoman import __version__
from dragoman.observe.logs import get_logger
from dragoman.relay.answering import Memory
from dragoman.relay.compacting import CompactionRelay, ResponsesRelay
from dragoman.relay.cursor import CursorRelay
from dragoman.relay.health import Health, Spot
from dragoman.relay.house import House
from dragoman.relay.metering import Sink, log_record
from dragoman.relay.model_names import ModelNames
from dragoman.relay.outgoing import Options
from dragoman.relay.relay import Relay
from dragoman.relay.routing import Routing
from dragoman.relay.streaming import Patience
from dragoman.settings import Settings
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.providers import Provider, SimProvider, make_providers
from dragoman.upstream.resolution import Resolver
from dragoman.upstream.sim import sim_app
from dragoman.web.asgi import Gateway
from dragoman.web.credentials import gate_of
from dragoman.web.information import Information
from dragoman.web.listing import Listed, cursor_names
from dragoman.web.models import Catalog
from dragoman.web.surfaces import COMPACTION, CURSOR, RESPONDING

_log = get_logger("app")


def build(settings: Settings, *, sinks: Sequence[Sink] = (log_record,), patience: Patience | None = None) -> Gateway:
    """The whole gateway for one configuration. Raises ConfigError."""
    providers = make_providers(settings)
    resolver = Resolver(settings)
    upstream = UpstreamClient()
    memory = Memory()
    house = House(
        resolver=resolver,
        providers=providers,
        upstream=upstream,
        routing=routing_for(settings, providers),
        memory=memory,
        options=Options(
            settings.max_output_tokens,
            settings.reasoning,
            settings.content_filter_stop,
            settings.models.open_claude_cache,
        ),
        patience=patience or Patience(idle=settings.timeout),
        sinks=sinks,
        tell_bodies=settings.log.bodies,
    )
    simulated = SimulatedServer(providers)
    relay = Relay(house)
    return Gateway(
        relay,
        gate_of(settings.auth),
        Catalog(Listed(settings, resolver, ModelNames(providers, upstream)), int(time.time())),
        Information(
            name=settings.about.name,
            version=settings.about.version or __version__,
            status=settings.about.status,
            providers=list(providers),
            model=settings.models.default,
        ),
        memory.stored,
        carriers={
            CURSOR: CursorRelay(house, settings),
            RESPONDING: ResponsesRelay(relay),
            COMPACTION: CompactionRelay(relay),
        },
        cursor_names=cursor_names(settings),
        body_limit=settings.limits.body,
        cors_origins=settings.server.cors_origins,
        on_start=[simulated.start],
        on_stop=[upstream.close, simulated.stop],
    )


def routing_for(settings: Settings, providers: Mapping[str, Provider]) -> Routing:
    """Routing over the accounts of one configuration; who rests and who is back is logged."""
    accounts = {name: (provider.keys, provider.settings.max_parallel) for name, provider in providers.items()}
    return Routing.of(accounts, retries=settings.retries, health=Health(changed=_tell_health))


def _tell_health(spot: Spot, why: str, seconds: float) -> None:
    place = {"provider": spot.provider, "key": spot.key, "model": spot.model or "every model"}
    if why:
        _log.warning("target rests", **place, why=why, seconds=round(seconds, 1))
    else:
        _log.info("target is back", **place)


class SimulatedServer:
    """The simulated provider's own server on a free loopback port, when some account needs it."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._waiting = [provider for provider in providers.values() if isinstance(provider, SimProvider)]
        self._waiting = [provider for provider in self._waiting if not provider.base_url]
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and tell the accounts where."""
        if not self._waiting:
            return
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(sim_app, log_level="warning", access_log=False, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        # The gateway's own server hears the signals; this one is stopped by it.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))
        for provider in self._waiting:
            provider.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        _log.info("simulated provider", port=listener.getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=3)


__all__ = ["build"]
