"""Admission by many replicas: counts in Redis, which may vanish at any moment.

While Redis is gone each replica decides by itself: with its part of every limit, and with what the ledger says is
spent of a budget. A call never fails because Redis does. Before Redis is used again what it lost is put
back: what living calls hold, what was let through meanwhile, what the ledger has settled; and a Redis that
was emptied is given the time that all replicas need to do so. It must not know Redis' commands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, tzinfo

from redis.asyncio import Redis

from dragoman.observe.logs import get_logger
from dragoman.relay.admission import gcra
from dragoman.relay.admission.demands import Demands
from dragoman.relay.admission.gcra import Bucket
from dragoman.relay.admission.memory import ALONE, LEASE, PATIENCE, RECONCILE, MemoryAdmission, ticks, utc
from dragoman.relay.admission.model import Denied, Hold, Wish
from dragoman.relay.admission.refusals import refusal, unread
from dragoman.relay.admission.remote import Gone, Lost, Missing, RemoteTables
from dragoman.relay.admission.reservation import UNLIMITED, Charge, Reservation
from dragoman.relay.admission.rules import MONEY, TOKENS, Line, Verdict, shared
from dragoman.relay.admission.tables import settled_of
from dragoman.store.database import StoreUnavailable
from dragoman.store.ledger.reached import Tell
from dragoman.store.ledger.settled import Reader, Settled, persistent
from dragoman.store.news_redis import connect

PROBE = 2.0
"""Seconds between looks whether Redis is back."""

_STEP = 0.25
_TRIES = 3
_NOTHING = Settled()
_log = get_logger("admission")


async def _one() -> int:
    return 1


class RedisAdmission:
    """Lets calls in. ``redis`` is a URL or a client; ``replicas`` counts those that live.

    The rest is as for ``MemoryAdmission``. ``start`` and ``close`` must be called.
    """

    def __init__(
        self,
        redis: str | Redis,
        clock: Callable[[], int] = utc,
        *,
        settled: Reader,
        complete: Callable[[], bool] = lambda: True,
        replicas: Callable[[], Awaitable[int]] = _one,
        zone: Callable[[], tzinfo] = lambda: UTC,
        tell: Tell | None = None,
        prefix: str = "dragoman",
        lease: int = LEASE,
        probe: float = PROBE,
        patience: float = PATIENCE,
    ) -> None:
        client = connect(redis) if isinstance(redis, str) else redis
        self._remote = RemoteTables(client, prefix, lease)
        self._share = 1
        self._local = MemoryAdmission(
            clock,
            settled=settled,
            complete=complete,
            tell=tell,
            pace=ticks,
            lease=lease,
            share=lambda: self._share,
            patience=patience,
        )
        self._demands = Demands(clock, zone)
        self._clock, self._settled, self._complete, self._replicas = clock, settled, complete, replicas
        self._settled_at_last = persistent(settled)
        self._lease, self._probe, self._patience = lease, probe, patience
        self._budgets: dict[str, Line] = {}
        self._at_loss: dict[str, Bucket] = {}
        self._emptied = True
        self._up = False
        self._joined = False
        self._due = dict.fromkeys(("look", "renew", "reconcile", "count"), 0.0)
        self._keeper: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether Redis counts, or this replica alone."""
        return self._up

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
        self._local.alive.add(reservation)
        return reservation

    async def decide(self, call: str, lines: Sequence[Line]) -> Verdict:
        """Take all lines or none: in Redis, or here while it is gone. Raises Denied for an unread budget."""
        if self._up:
            try:
                return await self._decide_there(call, lines)
            except (Gone, Lost) as error:
                self._lose(error)
        if self._joined:
            return await self._decide_in_both(call, lines)
        return await self._local.decide(call, lines)

    async def _decide_in_both(self, call: str, lines: Sequence[Line]) -> Verdict:
        """Within this replica's part, and where the others look who trust Redis by now."""
        held = [line for line in lines if line.kind > TOKENS]
        if not held:
            return await self._local.decide(call, lines)
        try:
            there = await self._decide_there(call, held)
        except (Gone, Lost):
            self._joined = False
            return await self._local.decide(call, lines)
        if there.refused >= 0:
            levels = self._local.tables.levels(lines, self._local.pace(), self._share)
            return there._replace(refused=lines.index(held[there.refused]), levels=levels, share=self._share)
        verdict = await self._local.decide(call, lines)
        if verdict.refused >= 0:
            await self._release(call, held)
        return verdict

    async def _release(self, call: str, lines: Iterable[Line]) -> None:
        """The call holds nothing there, and came to nothing."""
        try:
            await self._remote.settle(call, [(line, 0) for line in lines if line.kind > TOKENS])
        except (Gone, Lost):
            self._joined = False

    async def _decide_there(self, call: str, lines: Sequence[Line]) -> Verdict:
        for _ in range(_TRIES):
            try:
                verdict = await self._remote.decide(call, lines)
            except Missing as missing:
                await self._open([lines[number] for number in missing.numbers])
                continue
            self._mirror(lines, verdict)
            return verdict
        raise Gone("it keeps no sums")

    def _mirror(self, lines: Iterable[Line], verdict: Verdict) -> None:
        """Remember what only Redis knows: where limits stand, and which budgets are in use."""
        now, share = self._local.pace(), self._share
        levels = iter(verdict.levels)
        for line in lines:
            if line.kind <= TOKENS:
                self._local.tables.mirror(line, Bucket(now, next(levels) // share))
            elif line.kind >= MONEY:
                self._budgets[line.key] = line

    async def top_up(self, reservation: Reservation, lines: Sequence[Line]) -> Verdict:
        """See ``Desk``."""
        return await self.decide(reservation.call, lines)

    async def give_back(self, reservation: Reservation, charges: Sequence[Charge]) -> None:
        """See ``Desk``. What Redis does not hear of lapses there, and the ledger knows it."""
        self._local.alive.discard(reservation)
        if self._up:
            try:
                await self._remote.settle(reservation.call, charges)
                return
            except (Gone, Lost) as error:
                self._lose(error)
        elif self._joined:
            try:
                await self._remote.settle(reservation.call, [one for one in charges if one[0].kind > TOKENS])
            except (Gone, Lost):
                self._joined = False
        await self._local.give_back(reservation, charges)

    # ------------------------------------------------------------ losing and finding Redis

    def _lose(self, error: Exception) -> None:
        self._joined = False
        if not self._up:
            return
        self._up = False
        self._emptied = isinstance(error, Lost)
        tables, now = self._local.tables, self._local.pace()
        tables.restart()
        self._local.renew(now)
        self._at_loss = {line.key: Bucket(bucket.at, bucket.level) for line, bucket in tables.rates()}
        # One that was emptied can be asked at once; one that is silent only later.
        self._due["look"] = 0.0 if self._emptied else time.monotonic() + self._probe
        _log.warning("redis_gone", why="emptied" if self._emptied else str(error), share=self._share)

    async def _find(self) -> None:
        """Use Redis again, if it can be. Raises Gone, Lost and StoreUnavailable."""
        age, known = await self._remote.join()
        self._emptied = self._emptied or not known
        self._joined = True  # from here on nothing is held that the others could not see
        await self._renew()
        if self._share > 1 and age < self._lease // 3 + int((self._probe + _STEP) * 1_000):
            # The others have not all put back yet what their calls hold.
            return
        await self._remote.pour(self._let_through())
        for line, _ in self._local.tables.budgets().values():
            self._budgets[line.key] = line
        await self._reconcile()
        self._up = True
        # Calls may have been let in between.
        await self._renew()
        _log.info("redis_found", emptied=self._emptied)

    def _let_through(self) -> list[tuple[Line, int]]:
        """What went through each limit here. A Redis that kept its counts knows what was before."""
        now = self._local.pace()
        poured = []
        for line, bucket in self._local.tables.rates():
            limit = shared(line.limit, self._share)
            level = bucket.level_at(now, limit)
            before = self._at_loss.get(line.key)
            if before is not None and not self._emptied:
                level -= gcra.drained(before.level, now - before.at, limit)
            if level > 0:
                poured.append((line, level))
        return poured

    # ------------------------------------------------------------ from the ledger

    async def _open(self, lines: Sequence[Line]) -> None:
        """Ask the ledger for sums. Raises Denied: what cannot be read is not taken for unspent."""
        try:
            async with asyncio.timeout(self._patience):
                sums = await self._settled_at_last({line.span for line in lines})
        except TimeoutError as error:
            raise Denied(unread()) from error
        await self._remote.correct([(line, 0, settled_of(line, sums.get(line.span, _NOTHING))) for line in lines])

    async def _reconcile(self) -> None:
        """As ``MemoryAdmission.reconcile``, in Redis."""
        moment = self._clock()
        for key in [key for key, line in self._budgets.items() if line.end is not None and line.end < moment]:
            del self._budgets[key]
        lines = list(self._budgets.values())
        if not lines or not self._complete():
            return
        marks = await self._remote.marks(lines)
        sums = await self._settled({line.span for line in lines})
        told = [(line, sums.get(line.span, _NOTHING)) for line in lines]
        await self._remote.correct(
            [(line, mark, settled_of(line, sum_)) for (line, sum_), mark in zip(told, marks, strict=True)]
        )
        await self._local.alarms.look(told)

    async def _renew(self) -> None:
        alive = [one for one in self._local.alive if not one.ended]
        await self._remote.renew([(one.call, one.lines) for one in alive])
        for one in alive:
            if one.ended:  # it was settled meanwhile, and may have been renewed after that
                await self._release(one.call, one.lines)

    # ------------------------------------------------------------ upkeep

    async def start(self) -> None:
        """Find Redis, and begin to keep it right. Works without it."""
        await self._keep_once()
        self._keeper = asyncio.create_task(self._keep(), name="admission")

    async def close(self) -> None:
        """Stop, and give back the connections."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._remote.close()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_STEP)
            await self._keep_once()

    async def _keep_once(self) -> None:
        """Whatever is due, each for itself: one that fails does not stop the others."""
        await self._try("count", RECONCILE, self._count)
        if not self._up:
            await self._try("look", self._probe, self._find)
        if self._up:
            await self._try("renew", self._lease / 3_000, self._renew)
            await self._try("reconcile", RECONCILE, self._reconcile)
        else:
            await self._try("reconcile", ALONE, self._local.reconcile)

    async def _try(self, name: str, every: float, work: Callable[[], Awaitable[None]]) -> None:
        now = time.monotonic()
        if now < self._due[name]:
            return
        self._due[name] = now + every
        try:
            await work()
        except (Gone, Lost) as error:
            self._lose(error)
        except StoreUnavailable:
            _log.warning("admission_upkeep", work=name, why="the database is away")
        except Exception as error:
            _log.error("defect", work=name, exc_info=error)

    async def _count(self) -> None:
        self._share = max(1, await self._replicas())
        if self._up:
            self._local.tables.forget(self._local.pace(), self._clock())
