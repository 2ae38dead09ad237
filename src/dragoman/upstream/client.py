"""HTTP out: one bounded, pooled client that opens a call and hands its answer on as bytes arrive.

Follows no redirect, keeps no cookie, asks for no compression, believes no proxy variable, and checks
every address it is about to connect to. It must not know providers, dialects or credentials.

https://docs.aiohttp.org/en/stable/client_reference.html
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from dragoman.upstream.answers import read_safe_headers
from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble, timed_out, unreachable
from dragoman.upstream.connections import ATTEMPT, AddressRefused, Attempt, GuardedConnector
from dragoman.upstream.inflate import Inflater, UndecodableAnswer

CONNECT_TIMEOUT = 5.0
FIRST_BYTE_TIMEOUT = 600.0
IDLE_TIMEOUT = 600.0
READ_LIMIT = 64 * 1024 * 1024
READ_BUFFER = 64 * 1024
"""Bytes aiohttp holds before it stops reading the socket are twice this."""

_BASE_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
_MAX_KNOWN_URLS = 1024


class UpstreamClient:
    """All connections to providers of this process. The first call must come from a running loop.

    ``max_connections`` bounds them; a call beyond waits within its first-byte deadline.
    """

    def __init__(self, *, max_connections: int = 10_000, keep_alive: float = 75.0) -> None:
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def open(
        self,
        call: UpstreamCall,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        first_byte_timeout: float = FIRST_BYTE_TIMEOUT,
    ) -> UpstreamAnswer:
        """Send the call and wait for the head of the answer, whatever its status.

        The caller owns the answer and must close it. Raises UpstreamTrouble. Cancelling aborts the call.
        """
        raise NotImplementedError


class UpstreamAnswer:
    """Status, safe headers (names in lower case), and a body that is read only when asked for."""
