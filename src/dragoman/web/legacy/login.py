"""The admin's password: checked slowly and seldom. It must not know HTTP."""

from __future__ import annotations

from dragoman.settings.house import AdminSettings
from dragoman.store.accounts.hashing import equal
from dragoman.store.accounts.model import Caller
from dragoman.store.accounts.passwords import Passwords, is_example
from dragoman.web.attempts import Attempts
from dragoman.web.signin import Clock

_NAME_LIMIT = 5


class Login:
    """Checks names and passwords: five wrong ones a minute for one name, whatever the address."""

    def __init__(self, settings: AdminSettings, clock: Clock) -> None:
        said = settings.password.get_secret_value() if settings.password is not None else ""
        self._username = settings.username
        self._password = "" if is_example(said) else said
        self._passwords = Passwords()
        self._kept = ""
        self.attempts = Attempts(_NAME_LIMIT, clock)

    @property
    def offered(self) -> bool:
        """Whether there is a password that may be used at all: not one that everybody knows."""
        return bool(self._password)

    async def caller(self, username: str, password: str) -> Caller | None:
        """The admin, if both are right. Raises TooManyAttempts."""
        name = username[:200]
        self.attempts.guess(name)
        if await self._fits(password) and equal(username, self._username):
            self.attempts.forgive(name)
            return Caller(self._username, "admin-password", role="admin")
        return None

    async def _fits(self, password: str) -> bool:
        # Hashed once, so that every check takes as long as it must and the text is compared nowhere.
        self._kept = self._kept or await self._passwords.hashed(self._password)
        return await self._passwords.fits(password, self._kept)
