"""The connector: looks at every address before it is connected to, bounds the time that takes, and
remembers whether a connection is new.

It builds on two methods that aiohttp's connectors are made to be extended by, ``_create_connection``
and ``_resolve_host``; a test fails if they move.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from dragoman.settings.addresses import reach_of_address


class AddressRefused(Exception):
    """A name led to an address that this provider may not reach. The message is for a person."""


class ConnectTimedOut(Exception):
    """Name, socket and TLS together took too long."""


@dataclass(slots=True)
class Attempt:
    """One call's wishes for its connection, and what became of them: ``fresh`` is set when one was made."""

    connect_timeout: float
    allow_private: bool
    fresh: bool = False


ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")


class GuardedConnector(aiohttp.TCPConnector):
    """A TCPConnector that obeys the ATTEMPT of the task that connects."""

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        attempt = ATTEMPT.get()
        attempt.fresh = True
        try:
            async with asyncio.timeout(attempt.connect_timeout) as deadline:
                return await super()._create_connection(req, traces, timeout)
        except TimeoutError:
            if deadline.expired():
                raise ConnectTimedOut from None
            raise

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        found = await super()._resolve_host(host, port, traces)
        # The cache belongs to the host, the permission to the call: judged anew each time.
        allowed = ("public", "private") if ATTEMPT.get().allow_private else ("public",)
        kept = [result for result in found if reach_of_address(ipaddress.ip_address(result["host"])) in allowed]
        if found and not kept:
            raise AddressRefused("its name leads to a private address; if that is meant, set allow_private: true")
        return kept
