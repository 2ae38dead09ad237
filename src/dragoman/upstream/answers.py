"""Which headers of an answer the house may see: a list of names, with values that hold no control character.

Nothing else of a provider's head reaches a client (cookies, CORS, HSTS, server names). Whether one of
these is passed on is the relay's choice.
"""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = frozenset(
    {
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"x-request-id",
        b"request-id",
        b"apim-request-id",
        b"x-ms-request-id",
        b"x-ms-region",
        b"x-ms-rai-invoked",
        b"openai-processing-ms",
        b"openai-version",
        b"openai-model",
        b"x-goog-request-id",
        b"x-groq-region",
        b"cf-ray",
        b"date",
    }
)
_PREFIXES = (b"x-ratelimit", b"anthropic-", b"x-codex-")
_BAD = frozenset(range(32)) - {9} | {127}


def read_safe_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Allowed headers with names in lower case; of repeated ones the last stands."""
    safe: dict[str, str] = {}
    for name, value in raw:
        name = name.lower()
        if (name in _NAMES or name.startswith(_PREFIXES)) and _BAD.isdisjoint(value):
            safe[name.decode("latin-1")] = value.decode("latin-1")
    return safe
