"""What a credential is, and the two that need nothing but themselves: no key, and a fixed one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Credential(Protocol):
    """Signs calls.

    ``headers`` may fetch a token and raises UpstreamTrouble when it cannot. ``refused`` is told that
    the provider did not accept what it was ``sent`` (names in lower case), and answers whether asking
    again may help because something else will be sent.
    """

    async def headers(self, provider: str) -> Mapping[str, str]: ...

    def refused(self, sent: Mapping[str, str]) -> bool: ...


class NoKey:
    """For services that take calls unsigned."""

    async def headers(self, provider: str) -> Mapping[str, str]:
        """No header."""
        return {}

    def refused(self, sent: Mapping[str, str]) -> bool:
        """There is nothing else to send."""
        return False


class HeaderKey:
    """A fixed key in one header."""

    def __init__(self, name: str, value: str) -> None:
        self._headers = {name: value}

    async def headers(self, provider: str) -> Mapping[str, str]:
        """The one header."""
        return self._headers

    def refused(self, sent: Mapping[str, str]) -> bool:
        """A refused key stays refused."""
        return False

    def __repr__(self) -> str:
        return f"HeaderKey({next(iter(self._headers))!r})"
