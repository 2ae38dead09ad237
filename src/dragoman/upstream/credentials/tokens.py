"""Tokens that end: when to fetch one, and who waits for it.

``TokenFlow`` decides and does no I/O: it is asked what to do now and told what came of it, so its
timing can be tested without a clock or a network. ``FreshToken`` drives it with a fetch in a thread.
Neither must know who issues the token.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from dragoman.upstream.calls import UpstreamTrouble, no_credential

REFRESH_EARLY = 300.0
"""Seconds before its end at which a token is renewed while it still serves; half its life if that is less."""

STILL_GOOD = 10.0
"""A token with fewer seconds left is not sent any more."""

RETRY_PAUSE = 5.0
"""Seconds after a failed renewal before the next is tried while the old token still serves."""

REFUSED_PAUSE = 30.0
"""A token younger than this that is refused is not at fault: another would fare no better."""

FETCH_TIMEOUT = 30.0
"""Seconds a call waits for a token before it fails."""

_REASON = re.compile(
    r"\bAADSTS\d{4,}|\b(?:invalid_grant|invalid_client|invalid_scope|invalid_request|unauthorized_client|access_denied)\b"
)


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
        self._born = 0.0
        self._renew_at = 0.0

    def step(self, now: float) -> Step:
        """What to do with a call at ``now``."""
        if self.token is None or now >= self.token.expires - STILL_GOOD:
            return Step.FETCH
        return Step.USE_AND_RENEW if now >= self._renew_at else Step.USE

    def fetched(self, token: Token, now: float) -> None:
        """A token came; issuers with a cache of their own may hand out the old one once more."""
        if self.token is not None and token.value == self.token.value:
            self._renew_at = max(self._renew_at, now + RETRY_PAUSE)
            return
        self.token, self._born = token, now
        self._renew_at = token.expires - min(REFRESH_EARLY, (token.expires - now) / 2)

    def failed(self, now: float) -> None:
        """No token came; an old one serves on, and the next try waits a little."""
        self._renew_at = max(self._renew_at, now + RETRY_PAUSE)

    def refused(self, value: str, now: float) -> bool:
        """The provider did not accept the token ``value``. Whether another will be sent instead."""
        if self.token is None or self.token.value != value:
            return True
        if now - self._born < REFUSED_PAUSE:
            return False
        self.token = None
        return True


class FreshToken:
    """Drives a TokenFlow: one fetch at a time, in a thread, shared by all who wait.

    ``fetch`` blocks and returns a token; ``forget`` makes its next call ask the issuer, whatever it
    has kept; ``missing`` is what to say when the library it needs is not installed.
    """

    def __init__(
        self,
        fetch: Callable[[], Token],
        clock: Callable[[], float] = time.time,
        *,
        forget: Callable[[], None] = lambda: None,
        missing: str = "a library is missing",
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._forget = forget
        self._missing = missing
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
        if token is None:  # refused by another call in the meantime
            raise no_credential(provider, "its access token was refused")
        return {"authorization": f"Bearer {token.value}"}

    def refused(self, sent: Mapping[str, str]) -> bool:
        """The provider did not accept what was sent: a token of some age is thrown away."""
        known = self._flow.token
        anew = self._flow.refused(sent.get("authorization", "").removeprefix("Bearer "), self._clock())
        if anew and known is not None and self._flow.token is None:
            self._forget()
        return anew

    def _fetching(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._renew())
            # A renewal nobody waits for may fail; the next call sees to it.
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._running

    async def _renew(self) -> None:
        try:
            self._flow.fetched(await asyncio.to_thread(self._fetch), self._clock())
        except Exception:
            self._flow.failed(self._clock())
            raise

    async def _wait(self, task: asyncio.Task[None], provider: str) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(task), FETCH_TIMEOUT)
        except Exception as error:
            raise self._trouble(error, provider) from error

    def _trouble(self, error: Exception, provider: str) -> UpstreamTrouble:
        if isinstance(error, ImportError):
            return no_credential(provider, self._missing)
        # The libraries' messages hold URLs and answers of the token server; type and error code say enough.
        code = _REASON.search(str(error))
        said = type(error).__name__ + (f", {code[0]}" if code else "")
        return no_credential(provider, f"no access token could be had ({said})")
