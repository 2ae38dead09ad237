"""What one call holds, from its admission to its settlement.

A reservation that nobody settles is lost with its call; its lease then lapses. It must not know where counts are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dragoman.relay.admission.budgets import next_grant
from dragoman.relay.admission.demands import Demand
from dragoman.relay.admission.model import Denied
from dragoman.relay.admission.refusals import limits_told, refusal
from dragoman.relay.admission.rules import CALLS, MONEY, PLACES, TOKENS, Line, Verdict
from dragoman.relay.calls import Headers


class Desk(Protocol):
    """Where a reservation was made."""

    async def top_up(self, reservation: Reservation, lines: Sequence[Line]) -> Verdict:
        """Let these budget lines replace those that are held, or none of them."""

    async def give_back(self, reservation: Reservation, charges: Sequence[Charge]) -> None:
        """The call is over and came to this. Raises nothing: what is lost here the ledger knows."""


Charge = tuple[Line, int]
"""A line, and what the call came to: units of a budget, a correction of tokens, nothing for places."""


class Reservation:
    """A ``Hold`` in one of the tables. ``lines`` are those that stand."""

    __slots__ = (
        "__weakref__", "_demand", "_desk", "_ended", "_granted", "_has_budget", "_prompt", "_verdict", "call", "lines"
    )  # fmt: skip

    def __init__(self, desk: Desk, demand: Demand, verdict: Verdict) -> None:
        self.call = demand.wish.call_id
        self.lines = demand.lines
        self._desk = desk
        self._demand = demand
        self._verdict = verdict
        self._granted = demand.granted
        self._prompt = demand.wish.input_estimate
        self._has_budget = any(line.kind >= MONEY for line in demand.lines)
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it was settled."""
        return self._ended

    @property
    def headers(self) -> Headers:
        """Limits of ours, as ``x-ratelimit-*``."""
        return limits_told(self._demand.lines, self._verdict)

    @property
    def counted(self) -> frozenset[str]:
        """See ``Hold``."""
        return self._demand.wish.counted.union(line.key for line in self.lines if line.kind == CALLS)

    async def grow(self, output_tokens: int) -> None:
        """See ``Hold``. Asks nobody while the slice lasts."""
        if not self._has_budget or self._ended:
            return
        granted = next_grant(self._granted, output_tokens, self._demand.wish.output_limit)
        if granted == self._granted:
            return
        lines = self._demand.budgets(granted)
        await self._top_up(lines)
        self._granted = granted

    async def resend(self) -> None:
        """See ``Hold``."""
        if not self._has_budget or self._ended:
            return
        before = self._demand.wish
        self._demand.wish = replace(before, input_estimate=before.input_estimate + self._prompt + self._granted)
        try:
            await self._top_up(self._demand.budgets(self._granted))
        except Denied:
            self._demand.wish = before
            raise

    async def _top_up(self, lines: Sequence[Line]) -> None:
        verdict = await self._desk.top_up(self, lines)
        if verdict.refused >= 0:
            raise refusal(lines, verdict)
        self.lines = [*(line for line in self.lines if line.kind < MONEY), *lines]

    async def settle(self, tokens: int, cost: int | None) -> None:
        """See ``Hold``. A cost nobody knows is what was held for it: never nothing (K02)."""
        if self._ended:
            return
        self._ended = True
        charges: list[Charge] = []
        for line in self.lines:
            if line.kind == TOKENS:
                charges.append((line, tokens - line.amount))
            elif line.kind == PLACES:
                charges.append((line, 0))
            elif line.kind >= MONEY:
                known = cost if line.kind == MONEY else tokens
                charges.append((line, line.amount if known is None else known))
        await self._desk.give_back(self, charges)


class Unlimited:
    """The hold of calls that nothing limits: one for all."""

    headers: Headers = []  # noqa: RUF012
    counted: frozenset[str] = frozenset()

    async def grow(self, output_tokens: int) -> None:
        """Nothing is held, nothing is refused."""

    async def resend(self) -> None:
        """Nothing is held, nothing is refused."""

    async def settle(self, tokens: int, cost: int | None) -> None:
        """Nothing is given back."""


UNLIMITED = Unlimited()
