"""Passwords of people: argon2id, computed off the event loop, a few at a time. There is no default password.

https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html

It must not know whose they are.
"""

from __future__ import annotations

import asyncio
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dragoman.settings.parts import EXAMPLES

AT_ONCE = 4
"""Each takes tens of megabytes."""


def is_example(secret: str | None) -> bool:
    """Whether a secret is none: missing, blank, or one that manuals and scanners know."""
    return secret is None or secret.strip().lower() in EXAMPLES | {""}


class Passwords:
    """Hashes and checks. One for the whole process, so that not more than a few run at once."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def hashed(self, password: str) -> str:
        """What is kept of a password, salt and costs included."""
        async with self._room:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether the password is the one that was kept. Takes as long where nothing was kept."""
        async with self._room:
            return await asyncio.to_thread(self._fits, password, kept)

    def _fits(self, password: str, kept: str | None) -> bool:
        try:
            return self._hasher.verify(kept or self._nobodys, password) and bool(kept)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("nobody's password")
