"""Who is calling: the credentials a request shows, and whether one of them is valid.

A seam for accounts: ``Gate`` asks its ``check`` about each value; today that knows the shared token.
Client credentials end here and are never forwarded. It must not know surfaces or operations.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from dragoman.settings.model import AuthSettings

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` is who usage is booked on; ``owner`` keeps one caller's leavings from all others."""

    name: str
    owner: str


ANONYMOUS = Caller("anonymous", "anonymous")
Check = Callable[[str], Caller | None]


def shown_credentials(headers: Mapping[str, str], query: bytes) -> list[str]:
    """Every credential a request shows, in the order of preference."""
    shown = []
    authorization = headers.get("authorization", "").strip()
    if authorization:
        scheme, blank, rest = authorization.partition(" ")
        # A bare value without a scheme is what one of the earlier proxies told its users to send.
        shown.append(rest.strip() if blank and scheme.lower() == "bearer" else authorization)
    shown += [headers[name].strip() for name in _HEADERS if headers.get(name, "").strip()]
    if b"key=" in query:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=False)
        shown += [value for name, value in pairs if name == "key"]
    return shown


class Gate:
    """Lets a call in or not."""

    def __init__(self, check: Check, *, required: bool) -> None:
        self._check = check
        self._required = required

    def caller(self, headers: Mapping[str, str], query: bytes) -> Caller | None:
        """Who calls; None when a credential is required and no valid one is shown, or when two contradict (C01)."""
        callers = {caller for value in shown_credentials(headers, query) if (caller := self._check(value)) is not None}
        if not callers:
            return None if self._required else ANONYMOUS
        return callers.pop() if len(callers) == 1 else None


def shared_token_check(token: str | None) -> Check:
    """A check that knows one shared token, compared in constant time."""
    if token is None:
        return lambda value: None
    expected = hashlib.sha256(token.strip().encode()).digest()
    caller = Caller("shared", "shared")

    def check(value: str) -> Caller | None:
        given = hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
        return caller if hmac.compare_digest(given, expected) else None

    return check


def gate_of(settings: AuthSettings) -> Gate:
    """The gate that the settings describe."""
    token = settings.token.get_secret_value() if settings.token is not None else None
    return Gate(shared_token_check(token), required=settings.required)
