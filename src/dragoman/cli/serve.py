"""``dragoman serve``: reads the configuration, binds, tells what it found, and runs until it is stopped."""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from dragoman.cli.config import check_use
from dragoman.cli.exits import DONE, REFUSED, tell
from dragoman.cli.stopping import GentleServer
from dragoman.cli.summary import shown_url, start_lines
from dragoman.observe.logs import get_logger, set_up_logging
from dragoman.settings import ConfigError, Settings, load_settings
from dragoman.store.errors import StoreUnavailable
from dragoman.store.migrate import SchemaUnusable
from dragoman.store.secrets import SecretUnusable
from dragoman.web.readiness import Readiness

if TYPE_CHECKING:
    from dragoman.keeping import Kept

_GC_THRESHOLD = 20_000
"""Containers that may pile up before a search for cycles: a call leaves few, and its body holds many containers."""

Run = Callable[[Coroutine[Any, Any, None]], None]


def run(*, config: str | None, host: str | None, port: int | None, reload: bool) -> int:
    """Serve until stopped; the exit code."""
    try:
        settings = load_settings(config=config, host=host, port=port)
        check_use(settings)
    except ConfigError as error:
        return tell(error)
    try:
        listener = bind(settings.server.host, settings.server.port)
    except OSError as error:
        print(f"dragoman: {_why_not_bound(settings, error)}", file=sys.stderr)
        return REFUSED
    try:
        if reload or settings.server.reload:
            _run_reloading(listener, config=config, host=host, port=port)
        else:
            run_once([listener], settings=settings)
    except (ConfigError, StoreUnavailable, SchemaUnusable, SecretUnusable, KeyboardInterrupt) as error:
        return tell(error)
    finally:
        listener.close()
    return DONE


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def run_once(sockets: list[socket.socket], *, settings: Settings | None = None, **options: Any) -> None:
    """Serve on the sockets. Without ``settings`` they are read by the ``options`` of ``load_settings``."""
    settings = settings or load_settings(**options)
    set_up_logging(settings.log, secrets=settings.all_secrets())
    _loop_runner()(_serve(settings, sockets))


def _loop_runner() -> Run:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.run
    return uvloop.run


async def _serve(settings: Settings, sockets: list[socket.socket]) -> None:
    from dragoman.app import Works
    from dragoman.keeping import keep

    kept = await keep(settings)
    try:
        settings = kept.in_force.settings
        works = Works(settings, books=kept.books, admission=kept.admission, memory=kept.memory)
        readiness = kept.readiness()
        app = works.gateway(kept.gate, kept.mounts, readiness)
        kept.in_force.follow(works.adopt)
        _spare_the_collector()
        server = _Server(server_config(app), readiness, functools.partial(_tell_start, settings, kept))
        await server.serve(sockets=sockets)
    finally:
        await kept.close()
    if server.interrupted:
        raise KeyboardInterrupt


def _spare_the_collector() -> None:
    """What was loaded stays for good: the search for cycles need not look at it, now or ever.

    It was off until here, which halves the time of a start.
    """
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    gc.enable()


def server_config(app: Any) -> uvicorn.Config:
    """How the gateway is served: httptools for its strictness, no access log, no server header."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        backlog=2048,
    )


class _Server(GentleServer):
    """Says where it listens as soon as it does, and that it is no longer ready when it is to stop."""

    def __init__(self, config: uvicorn.Config, readiness: Readiness, listens: Callable[[str, int], None]) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._listens = listens

    def hear(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop."""
        self._readiness.draining = True
        super().hear(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started and sockets:
            self._listens(*sockets[0].getsockname()[:2])


def _tell_start(settings: Settings, kept: Kept, address: str, port: int) -> None:
    lines = start_lines(settings, address, port, keys=kept.ring.guarded, place=kept.store.place)
    print("\n".join([*lines, *kept.shown_once]), flush=True)
    log = get_logger("cli")
    log.info("listens", url=shown_url(address, port), preset=settings.preset, reason=settings.preset_reason)
    for name, provider in settings.providers.items():
        if provider.missing:
            log.error("provider is not ready", provider=name, missing=provider.missing)


def _run_reloading(listener: socket.socket, **options: Any) -> None:
    from uvicorn.supervisors import ChangeReload

    config = uvicorn.Config(
        "dragoman.app:build", log_config=None, reload=True, reload_dirs=[str(Path(__file__).resolve().parents[1])]
    )
    ChangeReload(config, target=functools.partial(run_once, **options), sockets=[listener]).run()


def _why_not_bound(settings: Settings, error: OSError) -> str:
    place = f"{settings.server.host}:{settings.server.port}"
    if isinstance(error, socket.gaierror):
        return f"{settings.server.host!r} is not an address of this machine"
    return f"cannot listen on {place} ({error.strerror or type(error).__name__}); choose another with --port or --host"
