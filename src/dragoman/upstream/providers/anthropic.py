"""Anthropic itself, or whoever speaks its wire at another address.

Its clients' ``anthropic-*`` headers belong to the conversation and go through as an open list (C02).
Others who speak the wire (DeepSeek, Kimi, GLM, Bedrock) are reached by their ``base_url``.

https://docs.anthropic.com/en/api/overview
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.language.betas import withhold
from dragoman.language.failures import Refused
from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.language.wire import decode_exactly, encode
from dragoman.settings.addresses import Base
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential
from dragoman.upstream.providers.base import Provider, key_in
from dragoman.upstream.providers.vendors import vendor_of

DIALECT = "anthropic"
VERSION = "2023-06-01"


class Anthropic(Provider):
    """The Messages API."""

    counts_tokens = True

    def _home(self) -> str:
        return "https://api.anthropic.com"

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        self._root = base.path.removesuffix("/messages").rstrip("/").removesuffix("/v1") + "/v1"

    def _vendor(self) -> str:
        return vendor_of(self._origin)

    def _make_credential(self, key: str) -> Credential:
        return key_in("x-api-key", key)

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        return DIALECT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "complete":
            raise self._unsupported(operation)
        if operation == "models":
            return f"{self._root}/models?limit=1000"
        return f"{self._root}/messages" + ("/count_tokens" if operation == "count_tokens" else "")

    def _add_client_headers(
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        add_anthropic_headers(headers, client if surface == DIALECT else {})

    def _fit(
        self, body: bytes, headers: dict[str, str], profile: Profile, operation: Operation
    ) -> tuple[bytes, tuple[str, ...]]:
        return (body, ()) if profile.betas is None else fit_betas(decode_exactly(body), headers, profile.betas)


def add_anthropic_headers(headers: dict[str, str], client: Mapping[str, str]) -> None:
    """Add the client's ``anthropic-*`` headers, and the version when it named none. Raises Refused (X13)."""
    headers["anthropic-version"] = VERSION
    for name, value in client.items():
        if name.startswith("anthropic-") and value:
            if not value.isascii() or not value.isprintable():
                raise Refused("", f"header {name} holds a character that no header may hold")
            headers[name] = value


def fit_betas(fields: dict[str, Any], headers: dict[str, str], taken: frozenset[str]) -> tuple[bytes, tuple[str, ...]]:
    """The body and ``headers`` (changed in place) without the features the target does not take; their names (C02)."""
    fields, words, dropped = withhold(fields, headers.pop("anthropic-beta", ""), taken)
    if words:
        headers["anthropic-beta"] = words
    return encode(fields), dropped
