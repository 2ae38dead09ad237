"""The admin's password: checked slowly and seldom. It must not know HTTP.

https://www.rfc-editor.org/rfc/rfc9106
"""

from __future__ import annotations

import asyncio
import hmac

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from dragoman.settings.house import AdminSettings
from dragoman.store.accounts.model import Caller
from dragoman.web.attempts import Attempts
from dragoman.web.signin import Clock

DEFAULTS = frozenset({"changeme"})
"""Passwords that open nothing: an earlier proxy shipped with one."""

_AT_ONCE = 4
_NAME_LIMIT = 5


class Login:
    """Checks names and passwords: five wrong ones a minute for one name, whatever the address."""

    def __init__(self, settings: AdminSettings, clock: Clock) -> None:
        password = settings.password.get_secret_value() if settings.password is not None else ""
        self._username = settings.username
        self._password = "" if password.strip().lower() in DEFAULTS else password
        self._hasher = PasswordHasher()
        self._expected = ""
        self._places = asyncio.Semaphore(_AT_ONCE)
        self.attempts = Attempts(_NAME_LIMIT, clock)

    @property
    def offered(self) -> bool:
        """Whether there is a password that may be used at all."""
        return bool(self._password)

    async def caller(self, username: str, password: str) -> Caller | None:
        """The admin, if both are right. Raises TooManyAttempts."""
        name = username[:200]
        self.attempts.check(name)
        async with self._places:
            right = await asyncio.to_thread(self._verified, password)
        if right and hmac.compare_digest(username.encode(), self._username.encode()):
            return Caller(self._username, "admin-password", role="admin")
        self.attempts.failed(name)
        return None

    def _verified(self, password: str) -> bool:
        # Hashed once, so that every check takes as long as it must and the text is compared nowhere.
        self._expected = self._expected or self._hasher.hash(self._password)
        try:
            return self._hasher.verify(self._expected, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            return False
