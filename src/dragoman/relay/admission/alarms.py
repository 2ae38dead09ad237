"""Telling when half, most and all of a budget is spent: each once in a window, by one replica.

What is told is a line of the log, ``budget_reached``, and of the audit log. Only what the ledger has settled
counts, not what running calls hold. It must not know how it is written down.
"""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.observe.logs import get_logger
from dragoman.relay.admission.rules import MONEY, Line
from dragoman.store.ledger.reached import Reached, Tell
from dragoman.store.ledger.settled import Settled

PARTS = (100, 80, 50)
"""Percent of a budget."""

_log = get_logger("admission")


class Alarms:
    """One for a replica. Without ``tell`` nothing is told."""

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self._told: dict[str, int] = {}

    async def look(self, sums: Iterable[tuple[Line, Settled]]) -> None:
        """See what budgets have come to. Of several parts passed at once the last is told. Raises StoreUnavailable."""
        if self._tell is None:
            return
        seen: dict[str, int] = {}
        for line, settled in sums:
            told = self._told.get(line.key, 0)
            reached = _reached(line, settled)
            if reached is not None and reached.percent > told:
                if await self._tell(reached):
                    _say(reached)
                told = reached.percent
            seen[line.key] = told
        self._told = seen


def _reached(line: Line, settled: Settled) -> Reached | None:
    spent = settled.nano_usd if line.kind == MONEY else settled.tokens
    # A budget of nothing says no; there is nothing to tell of it.
    percent = next((part for part in PARTS if spent * 100 >= part * line.limit), 0) if line.limit else 0
    if not percent:
        return None
    span, unit = line.span, "nano_usd" if line.kind == MONEY else "tokens"
    return Reached(span.scope, span.model, span.window, span.start, unit, percent, spent, line.limit)


def _say(reached: Reached) -> None:
    _log.warning(
        "budget_reached",
        scope=reached.scope,
        window=reached.window,
        model=reached.model,
        unit=reached.unit,
        percent=reached.percent,
        spent=reached.spent,
        limit=reached.limit,
    )
