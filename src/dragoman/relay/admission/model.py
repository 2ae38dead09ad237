"""What admission is asked and what it answers. It must not know stores or wires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.language.failures import Failure
from dragoman.relay.calls import Headers
from dragoman.store.accounts.model import Scope


class Denied(Exception):
    """The call may not be made, or may not go on. ``headers`` tell the limits, as far as the client may know them."""

    def __init__(self, failure: Failure, headers: Headers | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.headers = headers or []


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call may come to. ``unit_in`` and ``unit_out`` are nano-USD per token; None: no price is known.

    ``model`` is the resolved one, as the ledger books it, so that no alias slips past a budget (K03).
    ``output_limit`` is the client's own limit on the answer, None when it gave none; ``output_ceiling`` is
    the most the model can say. ``hidden_reasoning``: it thinks at length without a word on the way. ``counted`` are
    names of limits that count calls and have counted this one, for a target that failed.
    """

    call_id: str
    scopes: Sequence[Scope]
    model: str
    input_estimate: int
    output_limit: int | None
    stream: bool
    unit_in: int | None = None
    unit_out: int | None = None
    output_ceiling: int | None = None
    hidden_reasoning: bool = False
    counted: frozenset[str] = frozenset()


class Hold(Protocol):
    """What is reserved for one call. Given back once, by ``settle``; a lost one expires."""

    @property
    def headers(self) -> Headers:
        """Limits of ours in the neutral names ``x-ratelimit-*``: see ``relay.limits`` for each dialect's words."""

    @property
    def counted(self) -> frozenset[str]:
        """Names of the limits that have counted the call: see ``Wish``."""

    async def grow(self, output_tokens: int) -> None:
        """So many tokens of output have come so far. Raises Denied when the budget holds no more."""

    async def resend(self) -> None:
        """The prompt goes out once more, with the answer so far behind it. Raises Denied when no budget holds that."""

    async def settle(self, tokens: int, cost: int | None) -> None:
        """The call came to this; what was reserved beyond it is free again. 0 and 0 for a call that was not made."""


class Admission(Protocol):
    """Lets calls in."""

    async def admit(self, wish: Wish) -> Hold:
        """Reserve, in one step, in every scope. Raises Denied."""

    async def close(self) -> None: ...
