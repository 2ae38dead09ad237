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
from dataclasses import replace
from functools import partial

import uvicorn

from dragoman import __version__
from dragoman.observe.logs import get_logger
from dragoman.relay.admission.model import Admission
from dragoman.relay.answering import Memory
from dragoman.relay.booking import Books
from dragoman.relay.compacting import CompactionRelay, ResponsesRelay
from dragoman.relay.cursor import CursorRelay
from dragoman.relay.detours import Detours
from dragoman.relay.health import Health, Spot
from dragoman.relay.house import House
from dragoman.relay.metering import Sink, log_record
from dragoman.relay.model_names import ModelNames
from dragoman.relay.outgoing import Options
from dragoman.relay.permission import may_use
from dragoman.relay.relay import Relay
from dragoman.relay.routing import Routing
from dragoman.relay.streaming import Patience
from dragoman.settings import Settings
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.providers import Provider, SimProvider, make_providers
from dragoman.upstream.resolution import Resolver
from dragoman.upstream.sim import sim_app
from dragoman.web.asgi import Gateway, Mount, Serving
from dragoman.web.credentials import Gate, gate_of
from dragoman.web.information import Information
from dragoman.web.listing import Listed, ListedForCursor
from dragoman.web.models import Catalog
from dragoman.web.readiness import Readiness
from dragoman.web.surfaces import ANTHROPIC, CHAT, COMPACTION, CURSOR, RESPONDING

_log = get_logger("app")


def build(
    settings: Settings,
    *,
    sinks: Sequence[Sink] = (log_record,),
    patience: Patience | None = None,
    gate: Gate | None = None,
    mounts: Sequence[Mount] = (),
    books: Books | None = None,
    admission: Admission | None = None,
    memory: Memory | None = None,
) -> Gateway:
    """The whole gateway for one configuration. Raises ConfigError.

    What lasts comes from ``keeping``: the ``gate`` that replaces that of the settings, what is mounted
    beside the surfaces, ``books``, ``admission`` and the ``memory`` shared with other replicas. Without them
    nothing outlives the process.
    """
    works = Works(settings, sinks=sinks, patience=patience, books=books, admission=admission, memory=memory)
    return works.gateway(gate or gate_of(settings.auth), mounts)


class Works:
    """What stands behind the gateway, and is put together anew whenever the configuration changes.

    What calls have in common lasts: connections, keepsakes, the health of targets, books, admission.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sinks: Sequence[Sink] = (log_record,),
        patience: Patience | None = None,
        books: Books | None = None,
        admission: Admission | None = None,
        memory: Memory | None = None,
    ) -> None:
        providers = make_providers(settings)
        memory = memory or Memory()
        self._simulated = SimulatedServer()
        self._began = int(time.time())
        self._house = House(
            resolver=Resolver(settings),
            providers=providers,
            upstream=UpstreamClient(),
            routing=routing_for(settings, providers, memory.detours),
            memory=memory,
            options=_options(settings),
            patience=patience or Patience(idle=settings.timeout),
            sinks=sinks,
            tell_bodies=settings.log.bodies,
            books=books or Books(),
            admission=admission,
        )
        self._settings = settings
        self._gateway: Gateway | None = None

    def gateway(self, gate: Gate, mounts: Sequence[Mount] = (), readiness: Readiness | None = None) -> Gateway:
        """The application, which follows every later ``adopt``."""
        settings, house = self._settings, self._house
        self._gateway = Gateway(
            self._serving(),
            gate,
            house.memory.stored,
            body_limit=settings.limits.body,
            cors_origins=settings.server.cors_origins,
            readiness=readiness,
            mounts=mounts,
            on_start=[self._start],
            on_stop=[house.upstream.close, self._simulated.stop],
        )
        return self._gateway

    async def adopt(self, settings: Settings) -> None:
        """Serve by another configuration from the next call on. Raises ConfigError, and goes on as before."""
        before = self._house
        providers = make_providers(settings, before.providers)
        await self._simulated.serve(providers)
        before.books.prices.adopt(settings.prices)
        for name, provider in before.providers.items():
            if providers.get(name) is not provider:
                before.routing.health.forget(name)
        self._house = replace(
            before,
            resolver=Resolver(settings),
            providers=providers,
            routing=before.routing.over(_facts(providers), retries=settings.retries),
            options=_options(settings),
        )
        self._settings = settings
        if self._gateway is not None:
            self._gateway.serving = self._serving()

    async def _start(self) -> None:
        await self._simulated.serve(self._house.providers)

    def _serving(self) -> Serving:
        settings, house = self._settings, self._house
        relay, cursor = Relay(house), CursorRelay(house, settings)
        names = Listed(settings, house.resolver, ModelNames(house.providers, house.upstream))
        return Serving(
            relay,
            Catalog(names, self._began, partial(may_use, house.resolver, ANTHROPIC)),
            Catalog(ListedForCursor(settings), self._began, partial(may_use, cursor.resolver, CHAT)),
            _information(settings),
            {CURSOR: cursor, RESPONDING: ResponsesRelay(relay), COMPACTION: CompactionRelay(relay)},
        )


def _information(settings: Settings) -> Information:
    return Information(
        name=settings.about.name,
        version=settings.about.version or __version__,
        status=settings.about.status,
        providers=list(settings.providers),
        model=settings.models.default,
    )


def _options(settings: Settings) -> Options:
    return Options(
        settings.max_output_tokens,
        settings.reasoning,
        settings.content_filter_stop,
        settings.models.open_claude_cache,
    )


def _facts(providers: Mapping[str, Provider]) -> dict[str, tuple[int, int | None]]:
    return {name: (provider.keys, provider.settings.max_parallel) for name, provider in providers.items()}


def routing_for(settings: Settings, providers: Mapping[str, Provider], detours: Detours | None = None) -> Routing:
    """Routing over the accounts of one configuration; who rests and who is back is logged."""
    return Routing.of(_facts(providers), retries=settings.retries, health=Health(changed=_tell_health), sticky=detours)


def _tell_health(spot: Spot, why: str, seconds: float) -> None:
    place = {"provider": spot.provider, "key": spot.key, "model": spot.model or "every model"}
    if why:
        _log.warning("target rests", **place, why=why, seconds=round(seconds, 1))
    else:
        _log.info("target is back", **place)


class SimulatedServer:
    """The simulated provider's own server on a free loopback port, as soon as some account needs it."""

    def __init__(self) -> None:
        self._url = ""
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def serve(self, providers: Mapping[str, Provider]) -> None:
        """Listen, if one of them is simulated and has no server of its own, and tell it where."""
        simulated = [provider for provider in providers.values() if isinstance(provider, SimProvider)]
        waiting = [provider for provider in simulated if not provider.base_url]
        if waiting and not self._url:
            self._listen()
        for provider in waiting:
            provider.base_url = self._url

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(sim_app, log_level="warning", access_log=False, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        # The gateway's own server hears the signals; this one is stopped by it.
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listener]))
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        _log.info("simulated provider", url=self._url)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=3)


__all__ = ["Works", "build"]
