"""What is booked, as values. Money is nano-USD, times are microseconds since 1970. It must not know SQL.

An attempt is one request to a provider. Its intent is durable before the request is sent; its final
entry takes the intent's place before the client is told that its answer is complete.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["provider", "estimated", "recovered"]


@dataclass(frozen=True, slots=True)
class Who:
    """On whom a call is booked, and what it belongs to. Ids are None for nobody in the store."""

    user_id: int | None = None
    key_id: int | None = None
    group_id: int | None = None
    session: str = ""
    agent: str = ""
    parent_agent: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt: enough to book it if nothing more is ever heard of it.

    ``at`` decides hour, day and budget window. ``attempt`` counts from 1; 0 is a call that reached no
    provider. ``price`` is the version of the price that was known, ``rate_in`` and ``rate_out`` what it
    asks for a million tokens, None where no price is known.
    """

    call_id: str
    attempt: int
    at: int
    who: Who
    request_id: str
    surface: str
    route: str
    provider: str
    asked_model: str
    model: str
    stream: bool
    input_estimate: int
    output_estimate: int
    price: str = ""
    rate_in: int | None = None
    rate_out: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all other attempts."""
        return self.call_id, self.attempt


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by kind; inputs are disjoint, output includes reasoning. None: unreported."""

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int:
        """All of them, unreported ones as nothing."""
        return sum(one or 0 for one in (self.input, self.cache_read, self.cache_write, self.output))


@dataclass(frozen=True, slots=True)
class Final:
    """How an attempt ended. ``cost`` is None where no price is known; ``stated_cost`` is the provider's own word.

    ``outcome`` is answered, failed, refused or left; ``price`` is the version it was charged at, which may
    be known only now. ``milliseconds`` are the attempt's, ``first_byte_milliseconds`` count from the call's
    beginning: what its client waited. ``attempts`` is how many the call took so far. ``details`` hold the ``bill`` (see
    ``bills``), what the provider ``reported`` where some of the tokens are estimated, and its raw usage.
    """

    attempted: Attempted
    tokens: Tokens
    source: Source
    outcome: str
    status: int
    closes: bool = True
    partial: bool = False
    failure: str = ""
    cost: int | None = None
    stated_cost: int | None = None
    price: str = ""
    milliseconds: int | None = None
    first_byte_milliseconds: int | None = None
    attempts: int = 1
    receipt: list[dict[str, str]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """What tells its attempt from all others."""
        return self.attempted.key


@dataclass(frozen=True, slots=True)
class Step:
    """What is made durable at once: ``final`` ends an attempt, ``attempted`` begins one, both go on to the next."""

    final: Final | None = None
    attempted: Attempted | None = None
