"""What can go wrong with a call, in a dozen kinds, and what each means for whoever asked.

One table maps a kind to a status. Dialects translate kinds to and from their own words; this module
must not know those words. A ``Failure`` is a value that travels as an event or a whole answer;
``Refused`` is raised by readers and writers for a request that cannot be carried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dragoman.language.ir import Extras

FailureKind = Literal[
    "invalid_request",
    "context_length",
    "authentication",
    "permission",
    "not_found",
    "too_large",
    "rate_limit",
    "quota",
    "overloaded",
    "credential",
    "timeout",
    "server",
]

STATUS: dict[FailureKind, int] = {
    "invalid_request": 400,
    "context_length": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "too_large": 413,
    "rate_limit": 429,
    "quota": 429,
    "overloaded": 503,
    "credential": 502,
    "timeout": 504,
    "server": 502,
}
"""The status a client sees when no truer one is known."""

RETRYABLE: frozenset[FailureKind] = frozenset({"rate_limit", "overloaded", "timeout", "server"})
"""Kinds that may succeed when asked again."""


@dataclass(slots=True)
class Failure:
    """One failed call.

    ``status`` is the true HTTP status when one is known (else ``STATUS[kind]`` applies);
    ``retry_after`` is in seconds; ``code`` and ``type`` are the provider's own words;
    ``request_id`` is the provider's id of the call; ``should_retry`` its own word on retrying
    (``x-should-retry``), ``None`` when it said nothing.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    code: str = ""
    type: str = ""
    param: str = ""
    retry_after: float | None = None
    request_id: str = ""
    should_retry: bool | None = None
    extras: Extras = field(default_factory=dict)

    @property
    def http_status(self) -> int:
        """Status to answer with."""
        return self.status or STATUS[self.kind]

    @property
    def retryable(self) -> bool:
        """Whether asking again can help: the kind allows it and the provider did not forbid it."""
        return self.kind in RETRYABLE and self.should_retry is not False


def in_known_words(failure: Failure, head: str, known: tuple[str, ...]) -> str:
    """The message. About a conversation that is too long it begins with ``head``, unless it has known words (E05)."""
    words = failure.message
    if failure.kind != "context_length" or any(phrase in words.lower() for phrase in known):
        return words
    return f"{head}: {words}" if words else head


class Refused(Exception):
    """A request that cannot be read, or cannot be carried without changing its meaning.

    ``path`` is the JSON path in the client's body, for example ``messages[2].content[0]``.
    """

    def __init__(self, path: str, message: str, kind: FailureKind = "invalid_request") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.kind: FailureKind = kind

    def failure(self) -> Failure:
        """This refusal as a value."""
        return Failure(self.kind, str(self), param=self.path)
