"""Sign-ins by cookie. They hold on every replica, and what a cookie says is never stored in clear.

It must not know passwords.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from functools import partial

from dragoman.store.accounts import sign_ins
from dragoman.store.accounts.model import Caller
from dragoman.store.database import Database

COOKIE = "admin_session"
LIFETIME = 24 * 3600
"""Seconds."""


class Sessions:
    """Open sign-ins. ``clock`` gives microseconds.

    ``bond`` is what they rest on, such as the password: with another one none of them is valid.
    """

    def __init__(self, database: Database, clock: Callable[[], int], bond: str = "") -> None:
        self._database = database
        self._clock = clock
        self._bond = bond.encode("utf-8", "surrogateescape")

    async def start(self, caller: Caller) -> str:
        """A new sign-in; what is returned goes into the cookie and nowhere else. Raises StoreUnavailable."""
        token, now = secrets.token_urlsafe(32), self._clock()
        until = now + LIFETIME * 1_000_000
        work = partial(sign_ins.begin, mark=self._mark(token), caller=caller, until=until, now=now)
        await self._database.write(work)
        return token

    async def caller(self, cookies: str) -> Caller | None:
        """Who has signed in with the cookie of this header. Raises StoreUnavailable."""
        token = cookie_value(cookies)
        if not token:
            return None
        work = partial(sign_ins.find, mark=self._mark(token), now=self._clock())
        return await self._database.read(work)

    async def end(self, cookies: str) -> None:
        """The cookie of this header opens nothing any more. Raises StoreUnavailable."""
        if token := cookie_value(cookies):
            await self._database.write(partial(sign_ins.end, mark=self._mark(token)))

    def _mark(self, token: str) -> str:
        return hmac.digest(self._bond, token.encode("utf-8", "surrogateescape"), "sha256").hex()


def cookie_value(header: str) -> str:
    """The value of our cookie in a ``Cookie`` header, empty if there is none."""
    # By hand: ours is never quoted, and http.cookies takes seconds for quotations that others make up.
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip().strip('"')
    return ""
