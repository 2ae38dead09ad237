"""What the ledger has settled in budget windows, for those who decide whether more may be spent.

It must not know what is held for calls that still run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Connection, func, select

from dragoman.store.accounts.model import Window
from dragoman.store.database import Database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.ledger.recovery import database_now
from dragoman.store.schema import budget_windows, leases

_AGAIN = 0.25
"""Seconds between tries to read."""

_SNAPSHOT = r"(-\d{8}|-\d{4}-\d{2}-\d{2}|-latest)?"


@dataclass(frozen=True, slots=True)
class Span:
    """One window of one scope, begun at ``start``. ``model`` is a budget's word for it: empty for all models."""

    scope: str
    model: str
    window: Window
    start: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What calls that are over have come to."""

    nano_usd: int = 0
    tokens: int = 0


Reader = Callable[[Collection[Span]], Awaitable[Mapping[Span, Settled]]]
"""Reads the ledger's sums; a span that is not in the answer has none. Raises StoreUnavailable."""


@lru_cache(1024)
def _shape(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name.lower()).replace(r"\*", ".*") + _SNAPSHOT)


def covers(name: str, model: str) -> bool:
    """Whether a budget for ``name`` is one for this model: ``*`` stands for anything, dated snapshots count (K03)."""
    return not name or name == model or _shape(name).fullmatch(model.lower()) is not None


def read_settled(connection: Connection, spans: Collection[Span]) -> dict[Span, Settled]:
    """What is settled in each of the spans."""
    table = budget_windows
    scopes, starts = {span.scope for span in spans}, {span.start for span in spans}
    found = connection.execute(select(table).where(table.c.scope.in_(scopes), table.c.start.in_(starts))).all()
    sums: dict[Span, Settled] = {}
    for span in spans:
        rows = [
            row
            for row in found
            if (row.scope, row.window, row.start) == (span.scope, span.window, span.start)
            and _counts(span.model, row.model)
        ]
        sums[span] = Settled(sum(row.cost for row in rows), sum(row.tokens for row in rows))
    return sums


def _counts(name: str, model: str) -> bool:
    """Whether a row for the model is part of a budget's sum. The row for all models has their sum already."""
    return covers(name, model) if name and model else name == model


def persistent(read: Reader) -> Reader:
    """The same, asked again until the ledger can be read: whoever asks decides how long to wait."""

    async def ask(spans: Collection[Span]) -> Mapping[Span, Settled]:
        while True:
            try:
                return await read(spans)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN)

    return ask


def ledger_reader(database: Database) -> Reader:
    """Reads sums, each time in a transaction of its own."""

    async def read(spans: Collection[Span]) -> Mapping[Span, Settled]:
        return await database.read(lambda connection: read_settled(connection, spans))

    return read


def count_replicas(connection: Connection, clock: Callable[[], int]) -> int:
    """How many replicas live, by their leases and the database's clock; at least 1."""
    living = leases.c.until >= database_now(connection, clock)
    return max(1, connection.execute(select(func.count()).select_from(leases).where(living)).scalar_one())
