"""What every branch of the configuration is made of: a strict, frozen model, and a text that never prints.

It must not know any branch.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict
from pydantic import Secret as _Secret

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "cookie", "te"}
)


EXAMPLES = frozenset(
    """
    123456 12345678 123456789 1234567890 admin administrator changeme change-me default letmein passw0rd password
    password1 password123 qwerty root secret test welcome
    """.split()
)
"""Secrets that manuals show and scanners try."""


class Secret(_Secret[str]):
    """A secret text that prints as dots; ``get_secret_value()`` reveals it."""

    def _display(self) -> str:
        return "••••"


def revealed(secret: Secret | None) -> str | None:
    """The text of a secret, for whoever has to send or compare it."""
    return None if secret is None else secret.get_secret_value()


def check_secret(secret: Secret | None) -> Secret | None:
    """Refuse a secret that is blank or could not stand in a header."""
    if secret is None:
        return None
    text = secret.get_secret_value()
    if not text.strip():
        raise ValueError("is empty: leave it out, or give a value")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("holds a line break or another control character")
    return secret


def check_unguessed(secret: Secret | None, shortest: int = 1) -> Secret | None:
    """As ``check_secret``, and refuse one that is too short or known to everybody."""
    if check_secret(secret) is None:
        return None
    assert secret is not None
    text = secret.get_secret_value().strip()
    if len(text) < shortest:
        raise ValueError(f"must have {shortest} characters or more")
    if text.lower() in EXAMPLES:
        raise ValueError("is an example that everybody knows: choose another")
    return secret


class Part(BaseModel):
    """What every branch of the tree shares: frozen, strict, unknown keys refused, input never echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def check_headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    """Refuse headers that are ours to set, or that no header can be."""
    for name, secret in headers.items():
        if name.lower() in _OWN_HEADERS or not _TOKEN.fullmatch(name):
            raise ValueError(f"must not set {name!r}")
        check_secret(secret)
    return headers
