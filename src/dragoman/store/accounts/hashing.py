"""Credentials as they are kept: hashed, never in clear.

A generated key is 256 random bits, which a plain SHA-256 of the whole key keeps well; so keys of another
installation stay good. A token that a person chose may be short, so it is hashed with the installation's
secret (HMAC-SHA-256). Of a presented value nobody knows which it is, so both are always computed.

It must not know where hashes are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

PREFIX_LENGTH = 12
SHORTEST_WITH_PREFIX = 24
"""Of a shorter credential not even the beginning is shown."""

_GENERATED = re.compile(r"sk-[0-9a-f]{64}")


class Hasher:
    """Hashes of one installation. ``keyed`` is its HMAC-SHA-256, ``store.secrets.Secrets.hash_token``."""

    __slots__ = ("_keyed",)

    def __init__(self, keyed: Callable[[str], str]) -> None:
        self._keyed = keyed

    def generated(self, key: str) -> str:
        """Of a key that ``new_key`` made: 64 hexadecimal digits."""
        return hashlib.sha256(_octets(key)).hexdigest()

    def chosen(self, token: str) -> str:
        """Of a token that a person chose: 64 hexadecimal digits that mean nothing without the secret."""
        return self._keyed(token)

    def both(self, presented: str) -> tuple[str, str]:
        """What to look for when somebody presents a value."""
        return self.generated(presented), self.chosen(presented)


def new_key() -> str:
    """A key of 256 random bits: ``sk-`` and 64 hexadecimal digits."""
    return f"sk-{secrets.token_hex(32)}"


def looks_generated(value: str) -> bool:
    """Whether a value has the form of ``new_key``."""
    return _GENERATED.fullmatch(value) is not None


def shown_prefix(credential: str) -> str:
    """The beginning by which its owner may know it again; empty for one too short to show any of."""
    return credential[:PREFIX_LENGTH] if len(credential) >= SHORTEST_WITH_PREFIX else ""


def equal(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(_octets(one), _octets(other))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
