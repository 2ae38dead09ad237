"""A server that stops without cutting anybody off.

::

    first signal    no new connections; calls that run, or are on their way, go on for up to ``GRACE`` seconds
    second signal   every call that still runs ends at once, with an error in its client's words

What is behind the server is closed by whoever runs it, after that: no signal ends the process before. It must
not know what is served.

https://github.com/encode/uvicorn/blob/0.35.0/uvicorn/server.py
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

GRACE = 120.0
"""Seconds that open streams get after a stop was asked for."""

LINGER = 1.0
"""Seconds in which a connection that is open may still bring a call: it was on its way when we were asked to stop."""

LAST_WORDS = 5.0
"""Seconds in which calls that were ended may say so."""

_LOOK = 0.05


def _no_cancellation(record: logging.LogRecord) -> bool:
    """A call that we end ourselves is no defect."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


class GentleServer(uvicorn.Server):
    """``interrupted`` tells whether it was stopped from a keyboard."""

    interrupted = False
    _at_once = False

    def hear(self, sig: int, frame: FrameType | None) -> None:
        """A signal to stop."""
        self.interrupted = self.interrupted or sig == signal.SIGINT
        self._at_once = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As its base does, but signals are not raised again at the end: there are books to close after it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.hear) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, heard in before.items():
                signal.signal(number, heard)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, let what there is come to its end, then stop."""
        await self._stop_listening(sockets or [])
        await self._linger()
        hurrying = asyncio.create_task(self._hurry())
        try:
            await super().shutdown(sockets)
        finally:
            hurrying.cancel()

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        """Closing a listener resets connections that wait in its queue, so those are taken first."""
        spares = [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        waiting: list[socket.socket] = []
        for spare in spares:
            spare.setblocking(False)
            with contextlib.suppress(OSError):
                while True:
                    waiting.append(spare.accept()[0])
            spare.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            connection.setblocking(False)
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _linger(self) -> None:
        """Answer what is on its way, and tell clients that their connection ends with it."""
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                connection.shutdown()
        loop = asyncio.get_running_loop()
        end = loop.time() + LINGER
        # Not by an event: what a signal calls may not touch one.
        while self.server_state.connections and loop.time() < end and not self._at_once:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)

    async def _hurry(self) -> None:
        """End what still runs: when the grace is over, or we are asked again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + GRACE
        while loop.time() < end and not self._at_once:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
        logging.getLogger("uvicorn.error").addFilter(_no_cancellation)
        for call in list(self.server_state.tasks):
            call.cancel()
        await asyncio.sleep(LAST_WORDS)
        self.force_exit = True
