"""Anthropic itself, or whoever speaks its wire at another address.

Its clients' ``anthropic-*`` headers belong to the conversation and go through as an open list (C02).

https://docs.anthropic.com/en/api/overview
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.language.failures import Refused
from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.settings.addresses import Base
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential
from dragoman.upstream.providers.base import Provider

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

    def _make_credential(self) -> Credential:
        return self._key_in("x-api-key")

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


def add_anthropic_headers(headers: dict[str, str], client: Mapping[str, str]) -> None:
    """Add the client's ``anthropic-*`` headers, and the version when it named none. Raises Refused (X13)."""
    headers["anthropic-version"] = VERSION
    for name, value in client.items():
        if name.startswith("anthropic-") and value:
            if not value.isascii() or not value.isprintable():
                raise Refused("", f"header {name} holds a character that no header may hold")
            headers[name] = value
