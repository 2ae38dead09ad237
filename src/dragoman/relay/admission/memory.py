"""Admission by one replica alone: all counts in memory, the settled sums from the ledger.

It must not know other replicas, apart from a number to share limits among.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from weakref import WeakSet

from dragoman.observe.logs import get_logger
from dragoman.relay.admission.alarms import Alarms
from dragoman.relay.admission.demands import Demands
from dragoman.relay.admission.model import Denied, Hold, Wish
from dragoman.relay.admission.refusals import refusal, unread
from dragoman.relay.admission.reservation import UNLIMITED, Charge, Reservation
from dragoman.relay.admission.rules import Line, Verdict
from dragoman.relay.admission.tables import Tables
from dragoman.store.database import StoreUnavailable
from dragoman.store.ledger.reached import Tell
from dragoman.store.ledger.settled import Reader, Settled, Span, persistent

LEASE = 10_000
"""Ticks after which what a dead call held is free."""

RECONCILE = 5.0
"""Seconds between looks at the ledger."""

ALONE = 1.0
"""The same while it is all that replicas have in common."""

PATIENCE = 5.0
"""Seconds for which a call waits for a budget that cannot be read: as long as for its intent."""

_NOTHING = Settled()
_log = get_logger("admission")


def utc() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


def ticks() -> int:
    """Milliseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


async def _nothing(spans: Collection[Span]) -> Mapping[Span, Settled]:
    return {}


class MemoryAdmission:
    """Lets calls in. ``clock`` decides windows; ``pace`` tells ticks for limits and leases.

    ``settled`` reads the ledger; while ``complete`` is false it does not hold all that was settled (a spool
    waits to be replayed) and corrects nothing. ``zone`` is where windows begin; ``tell`` hears when budgets are half
    and wholly spent. ``share``: among how many replicas limits are divided; by default so many as ``replicas`` says
    live. ``alive`` are the reservations not settled: what nobody refers to any more is not renewed.
    """

    def __init__(
        self,
        clock: Callable[[], int] = utc,
        *,
        settled: Reader = _nothing,
        complete: Callable[[], bool] = lambda: True,
        zone: Callable[[], tzinfo] = lambda: UTC,
        tell: Tell | None = None,
        pace: Callable[[], int] = ticks,
        lease: int = LEASE,
        share: Callable[[], int] | None = None,
        replicas: Callable[[], Awaitable[int]] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.tables = Tables(lease)
        self.pace = pace
        self._clock = clock
        self._settled = settled
        self._settled_at_last = persistent(settled)
        self._patience = patience
        self._complete = complete
        self._demands = Demands(clock, zone)
        self.alarms = Alarms(tell)
        self._living = 1
        self._replicas = replicas
        self._share = share or (lambda: self._living)
        self.alive: WeakSet[Reservation] = WeakSet()
        self._renew_at = pace() + lease // 3
        self._opening = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ calls

    async def admit(self, wish: Wish) -> Hold:
        """See ``Admission``."""
        demand = self._demands.of(wish)
        if demand is None:
            return UNLIMITED
        verdict = await self.decide(wish.call_id, demand.lines)
        if verdict.refused >= 0:
            raise refusal(demand.lines, verdict)
        reservation = Reservation(self, demand, verdict)
        self.alive.add(reservation)
        return reservation

    async def decide(self, call: str, lines: Sequence[Line]) -> Verdict:
        """Take all lines or none. Waits only for a budget nobody has used yet."""
        while missing := self.tables.missing(lines):
            await self._open(missing)
        now = self.pace()
        if now >= self._renew_at:
            self.renew(now)
        return self.tables.decide(call, lines, now, self._share())

    async def top_up(self, reservation: Reservation, lines: Sequence[Line]) -> Verdict:
        """See ``Desk``."""
        return await self.decide(reservation.call, lines)

    async def give_back(self, reservation: Reservation, charges: Sequence[Charge]) -> None:
        """See ``Desk``."""
        self.alive.discard(reservation)
        self.tables.settle(reservation.call, charges, self.pace(), self._share())

    def renew(self, now: int) -> None:
        """Hold what living calls hold for another lease."""
        self._renew_at = now + self.tables.lease // 3
        for reservation in self.alive:
            self.tables.renew(reservation.call, reservation.lines, now)

    async def _open(self, missing: Iterable[Line]) -> None:
        """Ask the ledger for sums. Raises Denied: what cannot be read is not taken for unspent."""
        try:
            async with asyncio.timeout(self._patience), self._opening:
                lines = {line.span: line for line in self.tables.missing(missing)}
                if not lines:
                    return
                sums = await self._settled_at_last(lines)
        except TimeoutError as error:
            raise Denied(unread()) from error
        for line in self.tables.missing(missing):
            self.tables.open(line, sums.get(line.span, _NOTHING))
        self.renew(self.pace())

    # ------------------------------------------------------------ upkeep

    async def start(self) -> None:
        """Begin to look at the ledger now and then."""
        with contextlib.suppress(StoreUnavailable):
            await self._count()
        self._keeper = asyncio.create_task(self._keep(), name="admission")

    async def close(self) -> None:
        """Stop that."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE if self._living == 1 else ALONE)
            try:
                await self._count()
                await self.reconcile()
            except StoreUnavailable:
                _log.warning("budgets_not_reconciled", why="the database is away")

    async def _count(self) -> None:
        if self._replicas is not None:
            self._living = max(1, await self._replicas())

    async def reconcile(self) -> None:
        """Let the ledger's sums take the place of ours, and drop what is over. Raises StoreUnavailable.

        A charge is in the ledger before it is ours. So what was charged since just before we asked is added to
        the ledger's sum, and may for a moment count twice, but never not at all; the next time sets it right.
        """
        tables = self.tables
        before = tables.budgets()
        told: list[tuple[Line, Settled]] = []
        if before and self._complete():
            sums = await self._settled({line.span for line, _ in before.values()})
            for line, mark in before.values():
                told.append((line, sums.get(line.span, _NOTHING)))
                tables.correct(line, mark, told[-1][1])
        now = self.pace()
        self.renew(now)
        tables.forget(now, self._clock())
        await self.alarms.look(told)
