"""What a call demands of each limit and budget above it.

Rules are read once and kept as long as they stay the same. It must not know how a demand is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, tzinfo

from dragoman.relay.admission.budgets import SLICE, first_grant
from dragoman.relay.admission.model import Denied, Wish
from dragoman.relay.admission.refusals import unpriced
from dragoman.relay.admission.rules import MONEY, TOKENS, Line, Price, Rule, read_rules
from dragoman.store.accounts.model import Rules, Scope
from dragoman.store.ledger.settled import covers

_MOST_SCOPES = 50_000


@dataclass(slots=True)
class Demand:
    """All lines of one call. ``granted`` tokens of output are in them."""

    wish: Wish
    lines: list[Line]
    price: Price | None
    granted: int

    def budgets(self, granted: int) -> list[Line]:
        """The budgets' lines with so many tokens of output."""
        tokens = self.wish.input_estimate + granted
        money = _money(self.wish, granted, self.price)
        return [
            line._replace(amount=money if line.kind == MONEY else tokens) for line in self.lines if line.kind >= MONEY
        ]


class Demands:
    """Makes demands of wishes. ``clock`` tells microseconds UTC, by which windows change in the ``zone``.

    Models without a price are refused where money counts (K02).
    """

    def __init__(self, clock: Callable[[], int], zone: Callable[[], tzinfo] = lambda: UTC) -> None:
        self._clock = clock
        self._zone = zone
        self._known: dict[str, tuple[Rules, tuple[Rule, ...]]] = {}

    def of(self, wish: Wish) -> Demand | None:
        """What the call demands; None: nothing limits it. Raises Denied."""
        rules: list[Rule] = []
        for scope in wish.scopes:
            rules += self._rules(scope)
        if not rules:
            return None
        price = _price(wish)
        granted = first_grant(wish)
        tokens = wish.input_estimate + granted
        # A minute's limit is an estimate that is put right, and no promise: one call need not take it all.
        quickly = wish.input_estimate + (min(granted, SLICE) if wish.stream else granted)
        money = _money(wish, granted, price)
        now = self._clock()
        lines: list[Line] = []
        for rule in rules:
            kind, budget = rule.kind, rule.budget
            if rule.model and not covers(rule.model, wish.model):
                continue
            amount = 0 if rule.key in wish.counted else 1
            if budget is not None:
                if kind == MONEY and price is None:
                    raise Denied(unpriced(wish.model))
                rule.turn(budget, now, self._zone())
                amount = money if kind == MONEY else tokens
            elif kind == TOKENS:
                amount = quickly
            lines.append(Line(kind, rule.key, rule.limit, amount, rule, rule.span, rule.end))
        return Demand(wish, lines, price, granted) if lines else None

    def _rules(self, scope: Scope) -> tuple[Rule, ...]:
        known = self._known.get(scope.name)
        if known is not None and (known[0] is scope.rules or known[0] == scope.rules):
            return known[1]
        if len(self._known) >= _MOST_SCOPES:
            self._known.clear()
        rules = tuple(read_rules(scope))
        self._known[scope.name] = scope.rules, rules
        return rules


def _price(wish: Wish) -> Price | None:
    return None if wish.unit_in is None or wish.unit_out is None else Price(wish.unit_in, wish.unit_out)


def _money(wish: Wish, granted: int, price: Price | None) -> int:
    return 0 if price is None else wish.input_estimate * price.unit_in + granted * price.unit_out
