"""Who is asking to see or change the house: an admin's key, a user's key, the shared token or a cookie.

One place for the management API and the calls of the earlier proxies. What somebody may do once known
is decided by the tables of routes. It must not know routes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import Connection

from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.model import SHARED, Caller
from dragoman.web.attempts import Attempts, address_of
from dragoman.web.credentials import shown_credentials
from dragoman.web.sessions import Sessions

Result = TypeVar("Result")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ADMIN_KEY = Caller("admin-key", "admin-key", role="admin")
"""Whoever shows the configuration's admin key: nobody in the store."""


class NotSignedIn(Exception):
    """No valid credential; ``shown`` tells whether there was one at all."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__("send a valid key" if not shown else "invalid credential: send a valid key")
        self.shown = shown


class ForeignOrigin(Exception):
    """A page of another origin tried to write with somebody's cookie."""


class Ring(Protocol):
    """Knows the keys of all users, in memory; what is changed by ``write`` holds when it returns."""

    @property
    def hasher(self) -> Hasher: ...
    def caller(self, credential: str) -> Caller | None: ...
    async def write(self, work: Callable[[Connection], Result]) -> Result: ...


class SignIn:
    """Finds out who calls.

    ``attempts`` bounds wrong guesses by address; ``trusted`` are the networks of proxies that may tell
    a client's address; ``peek`` says what a credential is worth without the request around it.
    """

    def __init__(
        self,
        ring: Ring,
        attempts: Attempts,
        sessions: Sessions,
        *,
        admin_key: str | None = None,
        shared_token: str | None = None,
        trusted: Sequence[str] = (),
    ) -> None:
        self.ring = ring
        self.attempts = attempts
        self.sessions = sessions
        self._trusted = trusted
        fixed = ((admin_key, ADMIN_KEY), (shared_token, SHARED))
        self._fixed = [(_digest(text.strip()), caller) for text, caller in fixed if text]

    async def caller(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Caller:
        """Who calls. Raises NotSignedIn, ForeignOrigin, TooManyAttempts, StoreUnavailable."""
        address = self.address(scope, headers)
        self.attempts.check(address)
        shown = shown_credentials(headers, b"")
        if not shown:
            return await self._by_cookie(scope, headers)
        callers: dict[str, Caller] = {}
        for value in shown:
            if (found := self.peek(value)) is not None:
                callers.setdefault(found.owner, found)
        if len(callers) != 1:  # C01: two that contradict are none
            self.attempts.failed(address)
            raise NotSignedIn(shown=True)
        return next(iter(callers.values()))

    def peek(self, value: str) -> Caller | None:
        """Whose credential this is."""
        given = _digest(value)
        found = [caller for expected, caller in self._fixed if hmac.compare_digest(expected, given)]
        return found[0] if found else self.ring.caller(value)

    def address(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        """The client's address, for counting its failures."""
        return address_of(scope, headers, self._trusted)

    async def _by_cookie(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Caller:
        caller = await self.sessions.caller(headers.get("cookie", ""))
        if caller is None:
            raise NotSignedIn(shown=False)
        if scope["method"] not in SAFE_METHODS and not same_origin(headers):
            raise ForeignOrigin
        return caller


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that our own page made the request. What says nothing is not our page."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return site == "same-origin"
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(host) and host == headers.get("host", "")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


Clock = Callable[[], int]
"""Microseconds since 1970."""
