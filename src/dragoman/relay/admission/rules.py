"""Limits and budgets as rules, and what one call puts to them as lines.

It must not know how a line is decided, nor where its count is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, NamedTuple

from dragoman.store.accounts.model import Budget, ModelLimit, Rules, Scope
from dragoman.store.ledger.settled import Span
from dragoman.store.ledger.windows import end_of, start_of

CALLS: Final = 0
TOKENS: Final = 1
PLACES: Final = 2
MONEY: Final = 3
VOLUME: Final = 4
"""Kinds of rules: calls and tokens a minute, calls at once, money and tokens of a window. Budgets come last."""

_NAMES = ("calls", "tokens", "places", "money", "volume")
_NEVER = 1 << 62


class Rule:
    """One limit of one scope, of the models that ``model`` names (empty: all). ``key`` names its count.

    A budget's key changes with its window: ``span`` is that, ``end`` the first microsecond after it (None: it
    has no end). Its limit changes when what it was raised by once is over.
    """

    __slots__ = ("_from", "budget", "end", "key", "kind", "limit", "model", "scope", "span")

    def __init__(self, kind: int, scope: str, limit: int, budget: Budget | None = None, model: str = "") -> None:
        self.kind = kind
        self.scope = scope
        self.limit = limit
        self.budget = budget
        self.model = model
        self.key = f"{_NAMES[kind]}:{scope}" + (f":{model.lower()}" if model else "")
        self.span = Span(scope, "", "total", 0)
        self.end: int | None = None
        self._from = _NEVER

    def turn(self, budget: Budget, now: int, zone: tzinfo) -> None:
        """See that window and limit are the budget's of this moment, in microseconds."""
        self.limit = budget.limit(now)
        if self._from <= now and (self.end is None or now < self.end):
            return
        self._from, self.end = start_of(budget.window, now, zone), end_of(budget.window, now, zone)
        self.span = Span(self.scope, budget.model, budget.window, self._from)
        self.key = f"{_NAMES[self.kind]}:{self.scope}:{budget.window}:{self._from}:{budget.model}"


def read_rules(scope: Scope) -> Iterator[Rule]:
    """The rules that a scope adds."""
    rules = scope.rules
    all_limits: list[Rules | ModelLimit] = [rules, *rules.per_model]
    for said in all_limits:
        model = said.model if isinstance(said, ModelLimit) else ""
        for kind, limit in ((CALLS, said.rpm), (TOKENS, said.tpm), (PLACES, said.parallel)):
            if limit is not None:
                yield Rule(kind, scope.name, limit, model=model)
    for budget in rules.budgets:
        if budget.nano_usd is not None:
            yield Rule(MONEY, scope.name, budget.nano_usd, budget, budget.model)
        if budget.tokens is not None:
            yield Rule(VOLUME, scope.name, budget.tokens, budget, budget.model)


class Line(NamedTuple):
    """What one call puts to one rule. ``key``, ``span`` and ``end`` are those of the window in which it began."""

    kind: int
    key: str
    limit: int
    amount: int
    rule: Rule
    span: Span
    end: int | None


class Verdict(NamedTuple):
    """What became of the lines of a call: all were taken, or none.

    ``refused`` is the number of the line that says no for longest, -1 for none; ``wait`` in ticks. For a
    budget ``spent`` and ``held`` are what stood against it, for places ``held`` is how many are taken.
    ``levels`` are those of the calls' and tokens' lines, in order; ``share`` says among how many
    replicas limits were divided.
    """

    refused: int
    wait: int
    spent: int
    held: int
    levels: tuple[int, ...]
    share: int = 1


PLACE_WAIT = 5_000
"""Ticks told to a call that found no place. Nobody knows when one is free; some clients ask only five times more."""

BUDGET_WAIT = 1 << 40
"""Longer than any other wait: a budget is no matter of waiting."""


def shared(limit: int, share: int) -> int:
    """One replica's part of a limit: at least one, so that none is shut out."""
    return limit if share <= 1 or limit <= 0 else max(1, limit // share)


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD per token of the prompt and of the answer."""

    unit_in: int
    unit_out: int
