"""Who is calling: the credentials a request shows, and whether one of them is valid.

Valid are the shared token and the active keys of active users. The admin key is none of them: it opens
administration (``web.signin``) and no model, so that nobody's budget is dodged with it (K03). Client
credentials end here and are never forwarded. It must not know surfaces or operations.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from dragoman.settings.model import AuthSettings
from dragoman.settings.parts import revealed
from dragoman.store.accounts.keyring import KeyRing, Standing
from dragoman.store.accounts.model import ANONYMOUS, SHARED, Caller

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")

Check = Callable[[str], Caller | Standing | None]
"""Whose value this is; None or a ``Standing`` for one that opens nothing."""


def shown_credentials(headers: Mapping[str, str], query: bytes) -> list[str]:
    """Every credential a request shows, in the order of preference."""
    shown = []
    authorization = _meant(headers.get("authorization", ""))
    if authorization:
        scheme, blank, rest = authorization.partition(" ")
        # A bare value without a scheme is what one of the earlier proxies told its users to send.
        shown.append(rest.strip() if blank and scheme.lower() == "bearer" else authorization)
    shown += [value for name in _HEADERS if (value := _meant(headers.get(name, "")))]
    if b"key=" in query:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=False)
        shown += [value for name, value in pairs if name == "key"]
    return shown


def _meant(value: str) -> str:
    """A header's value without blanks around it. It is bytes, read as Latin-1; UTF-8 is what most mean by them."""
    if not value.isascii():
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode("utf-8")
    return value.strip()


class Gate:
    """Lets a call in or not. ``required`` and ``anonymous`` are asked for every call: keys come and go."""

    def __init__(
        self,
        check: Check,
        *,
        required: bool | Callable[[], bool],
        anonymous: Callable[[], Caller] = lambda: ANONYMOUS,
    ) -> None:
        self._check = check
        self._required = required
        self._anonymous = anonymous

    def caller(self, headers: Mapping[str, str], query: bytes) -> Caller | None:
        """Who calls; None when a credential is required and no valid one is shown, or when two contradict (C01).

        A credential that was withdrawn is refused even where none is required.
        """
        callers: dict[str, Caller] = {}
        withdrawn = False
        for value in shown_credentials(headers, query):
            found = self._check(value)
            if isinstance(found, Caller):
                callers.setdefault(found.owner, found)
            elif found is Standing.WITHDRAWN:
                withdrawn = True
        if callers:
            return callers.popitem()[1] if len(callers) == 1 else None
        return None if withdrawn or self._is_required() else self._anonymous()

    def _is_required(self) -> bool:
        return self._required if isinstance(self._required, bool) else self._required()


def shared_token_check(token: str | None, shared: Callable[[], Caller] = lambda: SHARED) -> Check:
    """A check that knows one shared token, compared in constant time."""
    if token is None:
        return lambda value: None
    expected = hashlib.sha256(token.strip().encode()).digest()

    def check(value: str) -> Caller | None:
        given = hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
        return shared() if hmac.compare_digest(given, expected) else None

    return check


def gate_of(settings: AuthSettings, ring: KeyRing | None = None) -> Gate:
    """The gate that the settings describe, which knows the ring's keys. Until they are read it stays shut."""
    token = revealed(settings.token)
    if ring is None:
        return Gate(shared_token_check(token), required=settings.required)
    shared = shared_token_check(token, lambda: ring.shared)

    def check(value: str) -> Caller | Standing | None:
        of_all = shared(value)
        found = ring.look(value)
        return found if isinstance(found, Caller) or of_all is None else of_all

    def required() -> bool:
        return settings.required or (settings.mode == "auto" and (ring.guarded or not ring.ready))

    return Gate(check, required=required, anonymous=lambda: ring.anonymous)


__all__ = ["ANONYMOUS", "Caller", "Check", "Gate", "gate_of", "shared_token_check", "shown_credentials"]
