"""HTTP out: one bounded, pooled client that opens a call and hands its answer on as bytes arrive.

Follows no redirect, keeps no cookie, asks for no compression, believes no proxy variable, and checks
every address it is about to connect to. It must not know providers, dialects or credentials.

https://docs.aiohttp.org/en/stable/client_reference.html
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from dragoman.upstream.answers import read_safe_headers
from dragoman.upstream.calls import UpstreamCall, timed_out, unreachable
from dragoman.upstream.connections import ATTEMPT, AddressRefused, Attempt, ConnectTimedOut, GuardedConnector
from dragoman.upstream.inflate import Inflater, UndecodableAnswer

CONNECT_TIMEOUT = 5.0
FIRST_BYTE_TIMEOUT = 600.0
IDLE_TIMEOUT = 600.0
READ_LIMIT = 64 * 1024 * 1024
READ_BUFFER = 64 * 1024
"""aiohttp stops reading a socket when it holds twice this."""

_MAX_KNOWN_URLS = 1024
_LARGE_BODY = 1024 * 1024
_MAX_HEADER = 32 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)
_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


class UpstreamClient:
    """All connections to providers of this process. May be made anywhere; calls need a running loop.

    ``max_connections`` bounds them; a call beyond waits within its first-byte deadline.
    ``keep_alive`` is how many seconds an idle connection is kept.
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
        again: Callable[[], Awaitable[None]] | None = None,
    ) -> UpstreamAnswer:
        """Send the call and wait for the head of the answer, whatever its status.

        ``again`` is awaited before the call is sent a second time, because a kept connection broke.

        The caller owns the answer and must close it. Raises UpstreamTrouble: 502 when the provider
        cannot be reached or answers with a redirect, 504 when a deadline (seconds) passes.
        Cancelling aborts the call at once.
        """
        attempt = Attempt(connect_timeout, call.allow_private)
        token = ATTEMPT.set(attempt)
        try:
            async with asyncio.timeout(first_byte_timeout):
                response = await self._ask(call, attempt, again)
        except TimeoutError:
            raise timed_out(call.provider, f"no answer within {first_byte_timeout:g} s") from None
        except ConnectTimedOut:
            raise timed_out(call.provider, f"no connection within {connect_timeout:g} s") from None
        except (aiohttp.ClientError, AddressRefused, OSError, ValueError) as error:
            raise unreachable(call.provider, _why(error)) from error
        finally:
            ATTEMPT.reset(token)
        return _checked(response, call.provider)

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self, call: UpstreamCall, attempt: Attempt, again: Callable[[], Awaitable[None]] | None
    ) -> aiohttp.ClientResponse:
        try:
            return await self._send(call)
        except _BROKEN as error:
            if attempt.fresh or isinstance(error, aiohttp.ClientConnectorError) or _answer_began(error):
                raise
        # A kept connection had gone stale. Most likely the server closed it before it saw the call; nobody knows.
        if again is not None:
            await again()
        return await self._send(call)

    async def _send(self, call: UpstreamCall) -> aiohttp.ClientResponse:
        session = self._session or self._make_session()
        url = self._urls.get(call.url) or self._read_url(call.url)
        call.sent = False
        # In one piece a large body would hold up the loop; from a stream it goes out bit by bit.
        large = len(call.body) > _LARGE_BODY
        body = _Large(call) if large else _Small(call) if call.body else None
        return await session.request(call.method, url, data=body, headers=call.headers, allow_redirects=False)

    def _make_session(self) -> aiohttp.ClientSession:
        connector = GuardedConnector(
            limit=self._max_connections,
            limit_per_host=0,
            keepalive_timeout=self._keep_alive,
            ttl_dns_cache=60,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity"},
            skip_auto_headers=_AUTO_HEADERS,
            timeout=_NO_TIMEOUT,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER,
            max_line_size=_MAX_HEADER,
            max_field_size=_MAX_HEADER,
        )
        return self._session

    def _read_url(self, text: str) -> URL:
        if len(self._urls) >= _MAX_KNOWN_URLS:
            self._urls.clear()
        url = self._urls[text] = URL(text, encoded=True)
        return url


class _Small(aiohttp.BytesPayload):
    """A body that tells when it goes out."""

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__(call.body)
        self._call = call

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._call.sent = True
        await super().write_with_length(writer, content_length)


class _Large(aiohttp.BytesIOPayload):
    """As ``_Small``, bit by bit."""

    def __init__(self, call: UpstreamCall) -> None:
        super().__init__(io.BytesIO(call.body))
        self._call = call

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._call.sent = True
        await super().write_with_length(writer, content_length)


class UpstreamAnswer:
    """Status, safe headers (names in lower case), and a body that is read only when asked for."""

    __slots__ = ("_headers", "_response", "_silence", "provider", "status")

    def __init__(self, response: aiohttp.ClientResponse, provider: str) -> None:
        self.status = response.status
        self.provider = provider
        self._response = response
        self._headers: dict[str, str] | None = None
        self._silence: _Silence | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that may be looked at."""
        if self._headers is None:
            self._headers = read_safe_headers(self._response.raw_headers)
        return self._headers

    async def chunks(
        self, *, idle_timeout: float = IDLE_TIMEOUT, first_timeout: float | None = None
    ) -> AsyncIterator[bytes]:
        """The body as it arrives, once. Between two pieces nothing more is read from the socket than a small buffer.

        Raises UpstreamTrouble when the provider is silent for ``idle_timeout`` seconds while we wait
        for it (time the caller takes does not count; ``first_timeout`` holds until the first piece), or
        when the connection breaks.
        """
        content = self._response.content
        inflater = self._inflater()
        silence = self._silence = _Silence(content, idle_timeout if first_timeout is None else first_timeout)
        now = silence.now
        try:
            while True:
                silence.since = now()
                data = await content.readany()
                silence.since = None
                silence.timeout = idle_timeout
                if not data:
                    if content.at_eof():
                        return
                elif inflater is None:
                    yield data
                else:
                    for piece in inflater.feed(data):
                        yield piece
        except _SilentTooLong:
            raise timed_out(self.provider, f"silent for {silence.timeout:g} s") from None
        except (aiohttp.ClientError, UndecodableAnswer, OSError) as error:
            raise unreachable(self.provider, _why(error)) from error
        finally:
            silence.stop()

    async def read(self, limit: int = READ_LIMIT, *, idle_timeout: float = IDLE_TIMEOUT) -> bytes:
        """The whole body. Raises UpstreamTrouble, also when it is larger than ``limit`` bytes."""
        content = self._response.content
        if content.is_eof() and content.exception() is None and self._inflater() is None:
            data = content.read_nowait()  # it came with its head: nothing to wait for
            if len(data) > limit:
                raise unreachable(self.provider, f"its answer is larger than {limit} bytes")
            return data
        pieces: list[bytes] = []
        size = 0
        async for piece in self.chunks(idle_timeout=idle_timeout):
            size += len(piece)
            if size > limit:
                await self.close()
                raise unreachable(self.provider, f"its answer is larger than {limit} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """Done with it. A connection whose answer was not read to its end is cut, so the provider stops at once."""
        if self._silence is not None:
            self._silence.stop()
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _inflater(self) -> Inflater | None:
        encoding = self._response.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return None
        try:
            return Inflater(encoding)
        except UndecodableAnswer as error:
            raise unreachable(self.provider, str(error)) from error


class _SilentTooLong(Exception):
    """The provider said nothing for too long."""


class _Silence:
    """The idle deadline: one timer per answer that looks again, instead of one per piece.

    ``since`` is the loop's time at which waiting began, None while the caller is busy with what came.
    """

    __slots__ = ("_content", "_loop", "_timer", "now", "since", "timeout")

    def __init__(self, content: aiohttp.StreamReader, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._content = content
        self.timeout = timeout
        self._timer = self._loop.call_later(timeout, self._look)
        self.now = self._loop.time
        self.since: float | None = None

    def stop(self) -> None:
        """No more deadline."""
        self._timer.cancel()

    def _look(self) -> None:
        waited = 0.0 if self.since is None else self.now() - self.since
        left = self.timeout - waited
        # The clock of a loop ticks in milliseconds.
        if left < 0.002:
            self._content.set_exception(_SilentTooLong())
        else:
            self._timer = self._loop.call_later(left, self._look)


def _checked(response: aiohttp.ClientResponse, provider: str) -> UpstreamAnswer:
    if 300 <= response.status < 400:
        response.close()
        raise unreachable(provider, "it answered with a redirect, which is not followed")
    return UpstreamAnswer(response, provider)


def _answer_began(error: Exception) -> bool:
    """Whether a part of the answer's head had come before the connection broke."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _why(error: Exception) -> str:
    """A sentence without address, port or path."""
    if isinstance(error, AddressRefused | UndecodableAnswer):
        return str(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError) or _is_certificate(error):
        return "its TLS certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (
            "cannot be reached ("
            + ("refused" if isinstance(error.os_error, ConnectionRefusedError) else "network")
            + ")"
        )
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | aiohttp.ClientConnectionResetError):
        return "the connection broke before the answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    return "its answer is not HTTP that can be read"


def _is_certificate(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 5:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or getattr(error, "certificate_error", None)
        seen += 1
    return False
