"""Masks secrets in texts: those it was told of, and whatever looks like a credential. It must not know logs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from dragoman.language.wire import encode

MASK = "••••"
_SHORTEST_SECRET = 6
"""Shorter texts are words, and masking them everywhere would make lines unreadable."""

_CREDENTIALS = re.compile(
    r"""
      (?P<head>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}
    | (?P<query>[?&](?:key|api[-_]?key|access_token|token|sig)=)[^&\s"'<>\\]+
    | (?P<field>["']?\b(?:authorization|x-api-key|api-key|api_key|apikey|x-goog-api-key|cookie|set-cookie|password
        |client_secret|refresh_token|access_token|private_key)["']?\s*[:=]\s*["']?)(?!\s*(?:bearer|basic)\b)[^\s"',;&}\\]+
    | \b(?:sk|rk|pk|gsk|xai|r8|hf|nvapi|pplx|fw)[-_][A-Za-z0-9_*-]{8,}
    | \bAIza[A-Za-z0-9_-]{20,}
    | \bya29\.[A-Za-z0-9._-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.IGNORECASE | re.VERBOSE,
)


_HINTS = (
    *("bearer", "basic", "key", "token=", "_token", "sig=", "authorization", "cookie", "password", "_secret", "aiza"),
    *(prefix + mark for prefix in ("sk", "rk", "pk", "xai", "r8", "hf", "nvapi", "pplx", "fw") for mark in "-_"),
    *("ya29.", "eyj"),
)
"""Every match of _CREDENTIALS holds one of these; looking for them first is ten times cheaper ("sk" covers "gsk")."""


class Redactor:
    """Masks the secrets it was told and everything that looks like a credential."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def know(self, secrets: Iterable[str]) -> None:
        """Mask these texts from now on, wherever they stand."""
        texts = set(self._known)
        for secret in secrets:
            plain = secret.strip()
            if len(plain) >= _SHORTEST_SECRET:
                # As it stands, inside JSON, and inside a URL.
                texts |= {plain, encode(plain).decode()[1:-1], quote(plain, safe="")}
        self._known = tuple(sorted(texts, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, MASK)
        folded = text.lower()
        for hint in _HINTS:
            if hint in folded:
                return _CREDENTIALS.sub(_masked, text)
        return text

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"


def _masked(match: re.Match[str]) -> str:
    return (match["head"] or match["query"] or match["field"] or "") + MASK
