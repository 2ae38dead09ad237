"""Answers of the earlier proxies: JSON, ``{"detail"}`` errors, one line of plain text for two of the calls.

It must not know calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.language.wire import encode
from dragoman.relay.calls import Headers


class Refused(Exception):
    """The answer is an error."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {**({"www-authenticate": "Bearer"} if status == 401 else {}), **(headers or {})}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent. ``body`` is bytes, or anything that can be JSON."""

    body: Any
    status: int = 200
    headers: Sequence[tuple[str, str]] = field(default=())

    def data(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else encode(self.body)

    def lines(self) -> Headers:
        """The headers; none of these answers may be kept by anybody."""
        return [*self.headers, ("cache-control", "no-store"), ("x-content-type-options", "nosniff")]


def refusal(error: Refused, *, plain: bool) -> Answer:
    """The error as an answer; ``plain`` ones are one line of text."""
    headers = list(error.headers.items())
    if plain:
        return Answer(error.detail.encode(), error.status, [("content-type", "text/plain; charset=utf-8"), *headers])
    return Answer({"detail": error.detail}, error.status, headers)


def signed_out(*, shown: bool) -> Refused:
    """Nobody we know asks."""
    detail = "invalid credential" if shown else "a credential is needed"
    return Refused(401, detail)
