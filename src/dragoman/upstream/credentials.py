"""How calls are signed: a key in a header, or a token that is fetched and kept fresh.

``TokenFlow`` decides and does no I/O: it is asked what to do now and told what came of it, so its
timing can be tested without a clock or a network. ``GoogleToken`` drives it with google-auth in a thread.
This module must not know URLs or dialects. A credential never prints.

https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from dragoman.upstream.calls import no_credential

REFRESH_EARLY = 300.0
"""Seconds before its end at which a token is renewed while it still serves."""

STILL_GOOD = 10.0
"""A token with fewer seconds left is not sent any more."""

RETRY_PAUSE = 5.0
"""Seconds after a failed renewal before the next is tried while the old token still serves."""


class Credential(Protocol):
    """Signs calls. ``headers`` may fetch a token and raises UpstreamTrouble when it cannot."""

    async def headers(self, provider: str) -> Mapping[str, str]: ...


class NoKey:
    """For services that take calls unsigned."""

    async def headers(self, provider: str) -> Mapping[str, str]:
        """No header."""
        return {}


class HeaderKey:
    """A fixed key in one header."""

    def __init__(self, name: str, value: str) -> None:
        self._headers = {name: value}

    async def headers(self, provider: str) -> Mapping[str, str]:
        """The one header."""
        return self._headers

    def __repr__(self) -> str:
        return f"HeaderKey({next(iter(self._headers))!r})"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and the moment (on the flow's clock, seconds) it ends."""

    value: str = field(repr=False)
    expires: float


class Step(Enum):
    """What to do now."""

    USE = "use the token"
    USE_AND_RENEW = "use the token and fetch a new one beside it"
    FETCH = "wait for a new token"


class TokenFlow:
    """When to fetch a token. Pure: the caller tells the time and the outcome."""

    def __init__(self) -> None:
        self.token: Token | None = None
        self._not_before = float("-inf")

    def step(self, now: float) -> Step:
        """What to do with a call at ``now``."""
        if self.token is None or now >= self.token.expires - STILL_GOOD:
            return Step.FETCH
        if now >= self.token.expires - REFRESH_EARLY and now >= self._not_before:
            return Step.USE_AND_RENEW
        return Step.USE

    def fetched(self, token: Token) -> None:
        """A new token came."""
        self.token = token

    def failed(self, now: float) -> None:
        """No token came; an old one serves on, and the next try waits a little."""
        self._not_before = now + RETRY_PAUSE


class FreshToken:
    """Drives a TokenFlow: one fetch at a time, in a thread, shared by all who wait."""

    def __init__(self, fetch: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._flow = TokenFlow()
        self._running: asyncio.Task[None] | None = None

    async def headers(self, provider: str) -> Mapping[str, str]:
        """The bearer header. Raises UpstreamTrouble (kind credential) when no token can be had."""
        step = self._flow.step(self._clock())
        if step is not Step.USE:
            task = self._fetching()
            if step is Step.FETCH:
                await self._wait(task, provider)
        token = self._flow.token
        assert token is not None
        return {"authorization": f"Bearer {token.value}"}

    def _fetching(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._renew())
            # A renewal nobody waits for may fail; the next call sees to it.
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._running

    async def _renew(self) -> None:
        try:
            self._flow.fetched(await asyncio.to_thread(self._fetch))
        except Exception:
            self._flow.failed(self._clock())
            raise

    async def _wait(self, task: asyncio.Task[None], provider: str) -> None:
        try:
            await asyncio.shield(task)
        except ImportError as error:
            raise no_credential(provider, "google-auth is missing: install dragoman with its extra 'google'") from error
        except Exception as error:
            # google-auth's messages may hold URLs and answers of the token server; the type says enough.
            raise no_credential(provider, f"no access token could be had ({type(error).__name__})") from error


class GoogleToken(FreshToken):
    """Application Default Credentials of Google: whatever google-auth finds on this machine."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(self._from_google, clock)
        self._credentials: Any = None

    def _from_google(self) -> Token:
        import google.auth
        import google.auth.transport.requests

        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        self._credentials.refresh(google.auth.transport.requests.Request())
        expiry = self._credentials.expiry
        if expiry is None:
            return Token(self._credentials.token, self._clock() + 3600.0)
        import datetime

        # google-auth keeps naive UTC.
        seconds = expiry.replace(tzinfo=datetime.UTC).timestamp()
        return Token(self._credentials.token, seconds)
