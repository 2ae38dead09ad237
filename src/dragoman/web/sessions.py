"""Sign-ins by cookie. They live in this process and end with it; their names are never stored in clear.

It must not know passwords.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from dragoman.store.accounts.model import Caller

COOKIE = "admin_session"
LIFETIME = 24 * 3600
"""Seconds."""

_OPEN = 1_000


class Sessions:
    """Open sign-ins. ``clock`` gives microseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._open: dict[str, tuple[int, Caller]] = {}

    def start(self, caller: Caller) -> str:
        """A new sign-in; what is returned goes into the cookie and nowhere else."""
        self._forget_old()
        token = secrets.token_urlsafe(32)
        self._open[_hashed(token)] = (self._clock() + LIFETIME * 1_000_000, caller)
        return token

    def caller(self, cookies: str) -> Caller | None:
        """Who has signed in with the cookie of this header."""
        until, caller = self._open.get(_hashed(cookie_value(cookies)), (0, None))
        return caller if until > self._clock() else None

    def end(self, cookies: str) -> None:
        """The cookie of this header opens nothing any more."""
        self._open.pop(_hashed(cookie_value(cookies)), None)

    def _forget_old(self) -> None:
        now = self._clock()
        self._open = {name: one for name, one in self._open.items() if one[0] > now}
        while len(self._open) >= _OPEN:
            self._open.pop(next(iter(self._open)))


def cookie_value(header: str) -> str:
    """The value of our cookie in a ``Cookie`` header, empty if there is none."""
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
