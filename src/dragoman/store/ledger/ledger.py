"""The ledger: what is to happen is durable before it happens, and what happened before the client hears of it.

::

    intend(attempt 1) ─ send ─ noted… ─ settle(final 1)                 one provider answered
    intend(attempt 1) ─ send ─ advance(final 1, attempt 2) ─ … settle   the next one had to

Steps of many calls share a commit (``batches``). When the database cannot take them they go into files
(``spool``) and are replayed in order. Repeating any step changes nothing. It must not know HTTP, prices
or how a call travels.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from sqlalchemy import Connection, select

from dragoman.observe.logs import get_logger
from dragoman.store.database import Database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.ledger import recovery
from dragoman.store.ledger.batches import Batches, Waiting
from dragoman.store.ledger.model import Attempted, Final, Step
from dragoman.store.ledger.rows import Unbookable, read_step, step_data
from dragoman.store.ledger.spool import Spool, SpoolFull
from dragoman.store.ledger.writing import set_aside, write_notes, write_steps, written_out
from dragoman.store.ledger.zones import adopt_zone
from dragoman.store.moments import wall_clock

SPOOL = "spool"
"""The folder of what is put aside."""

_BEFORE_US = "before"
"""Whose intents those are that a dead process put aside: nobody's, so they are recovered."""

Policy = Literal["spool", "queue", "refuse"]
"""Without the database: go on and put everything aside; let new calls wait a little; refuse them at once."""

_log = get_logger("ledger")


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds: a lease, how often it is renewed and output is noted, how long a commit may take
    before its steps are put aside, how long a new call waits for the database, how often it is tried,
    how often it is looked for intents that nobody knows of.
    """

    lease: float = 10.0
    renew: float = 3.0
    note: float = 5.0
    commit: float = 3.0
    patience: float = 5.0
    retry: float = 0.5
    sweep: float = 30.0


class Ledger:
    """One for a process. ``replica`` names it among its equals; the spool is a folder in ``folder``.

    ``policy`` defaults to what suits the engine: SQLite has one process, which knows all that is spent,
    so calls go on; on PostgreSQL others spend too, so new calls wait and then are refused.
    """

    def __init__(
        self,
        database: Database,
        *,
        replica: str,
        clock: Callable[[], int] = wall_clock,
        folder: Path | None = None,
        policy: Policy | None = None,
        timing: Timing | None = None,
        spool: Spool | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        # A process that starts again under its old name must not keep the dead one's lease alive.
        self.replica = f"{replica[:50]}.{token_hex(6)}"
        self._database = database
        self._clock = clock
        self._alone = database.kind == "sqlite"
        self._policy: Policy = policy or ("spool" if self._alone else "queue")
        self._timing = timing or Timing()
        self._spool = spool or Spool(None if folder is None else folder / SPOOL)
        self._spool_lock = asyncio.Lock()
        self._batches: Batches[Step] = Batches(self._commit, pause=min(0.25, self._timing.retry))
        self._notes: dict[tuple[str, int], int] = {}
        self._open: set[tuple[str, int]] = set()
        self._listeners: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._drain: asyncio.Task[None] | None = None
        self._down = False
        self._steady_since: float | None = None
        self._last_beat = 0.0
        self._strays: set[tuple[str, int]] = set()
        self._ahead = 0
        self.quarantined = 0
        self.zone = zone

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Take a lease, replay what an earlier process put aside, and (SQLite) book what it left open.

        Raises StoreUnavailable.
        """
        try:
            await asyncio.to_thread(self._spool.open)
        except OSError as error:
            _log.warning("nothing can be put aside when the database is away", why=str(error))
            self._spool = Spool(None)
        if self._alone:
            await self._database.write(lambda connection: recovery.renew_alone(connection, self.replica))
        else:
            await self._beat()
        asked = self.zone
        self.zone = await self._database.alter(partial(adopt_zone, asked=asked, replica=self.replica, now=self.now()))
        if self.zone is not asked:
            _log.warning("budget windows keep their zone until no other replica runs", zone=str(self.zone))
        if not self._spool.empty:
            await self._replay(_BEFORE_US)
        if self._alone:
            await self.recover()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._repeat(self._timing.note, self._write_notes))]
        self._tasks.append(loop.create_task(self._repeat(self._timing.sweep, self._sweep)))
        if not self._alone:
            self._tasks.append(loop.create_task(self._repeat(self._timing.renew, self._beat_and_reap)))

    async def close(self) -> None:
        """Finish what was begun, and let others know that we are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._batches.quiet()
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        if not self._alone:
            with contextlib.suppress(StoreUnavailable):
                await self._database.write(self._give_up)
        await asyncio.to_thread(self._spool.close)

    def _give_up(self, connection: Connection) -> None:
        recovery.give_up(connection, self.replica, recovery.database_now(connection, self._clock))

    def now(self) -> int:
        """Microseconds since 1970 by the database's clock, as far as we last heard: the same for all replicas."""
        return self._clock() + self._ahead

    @property
    def put_aside(self) -> int:
        """Bytes that wait for the database; 0 when all is well."""
        return self._spool.size

    @property
    def is_down(self) -> bool:
        """Whether the database takes nothing at the moment."""
        return self._down

    @property
    def takes_calls(self) -> bool:
        """Whether a call that began now would be let in: a database that is away a moment only makes it wait."""
        if self._policy == "spool":
            return True
        if self._alone:
            return not self._down
        return time.monotonic() - self._last_beat < self._timing.renew + self._timing.patience

    def listen(self, listener: Callable[[], None]) -> None:
        """Call it before counts of output are written, so that it may tell them by ``noted``."""
        self._listeners.append(listener)

    # ------------------------------------------------------------ steps

    async def intend(self, attempted: Attempted) -> None:
        """It is about to be sent; durable when this returns.

        Raises StoreUnavailable, after which nothing may be sent, and Unbookable for what no database takes.
        """
        await self._begin(Step(attempted=attempted))

    async def advance(self, final: Final, attempted: Attempted) -> None:
        """One attempt ended and the next is about to be sent: one transaction. Raises as ``intend``.

        After an error both may still be there: settle ``final``, and an end of ``attempted``.
        """
        await self._begin(Step(final, attempted))
        self._open.discard(final.key)
        self._notes.pop(final.key, None)

    def noted(self, call_id: str, attempt: int, output_tokens: int) -> None:
        """So much output has come so far. Written every few seconds."""
        if (call_id, attempt) in self._open:
            self._notes[call_id, attempt] = output_tokens

    async def settle(self, final: Final) -> None:
        """The attempt ended like this; durable when this returns. Settling again changes nothing.

        Raises StoreUnavailable when there is neither a database nor room to put it aside.
        """
        self._notes.pop(final.key, None)
        try:
            await self._batches.add(Step(final))
        finally:
            # Not before: until now its intent is no stray.
            self._open.discard(final.key)

    async def recover(self) -> int:
        """Book what processes that are gone left open; returns how many intents. Raises StoreUnavailable."""
        total = 0
        while found := await self._database.write(self._recover_some):
            total += found
        if total:
            _log.warning("calls of a process that is gone were booked by estimate", calls=total)
        return total

    async def quiet(self) -> None:
        """Return when nothing waits to be written; what was put aside may still be."""
        await self._batches.quiet()

    async def _begin(self, step: Step) -> None:
        assert step.attempted is not None
        self._open.add(step.attempted.key)
        try:
            async with asyncio.timeout(self._timing.patience):
                await self._batches.add(step)
        except TimeoutError as error:
            raise StoreUnavailable("the ledger cannot be written", reason="slow", uncertain=True) from error

    # ------------------------------------------------------------ committing

    async def _commit(self, batch: list[Waiting[Step]]) -> list[Waiting[Step]]:
        """Make a batch durable, here or aside. Returns what must wait for the database."""
        if self._down:
            batch = await self._put_aside(batch)
            if not batch or self._policy == "spool":
                return batch
        try:
            aside = await self._write([waiting.item for waiting in batch])
        except StoreUnavailable as error:
            self._went_down(error)
            return await self._put_aside(batch)
        if self._down and self._spool.empty:
            self._came_up()
        for waiting in batch:
            if waiting.item.attempted is not None and waiting.item in aside:
                waiting.refused(Unbookable("no database takes it"))
            else:
                waiting.done()
        return []

    async def _put_aside(self, batch: list[Waiting[Step]]) -> list[Waiting[Step]]:
        """Into the spool with what may go there; returns what has to wait for the database."""
        if self._policy == "spool":
            await self._spooled([one for one in batch if one.item.attempted is None], urgent=True)
            await self._spooled([one for one in batch if one.item.attempted is not None])
            return []
        await self._spooled([one for one in batch if one.item.attempted is None], urgent=True)
        left = [one for one in batch if one.item.attempted is not None and not one.forsaken]
        if self._policy == "refuse":
            for waiting in left:
                waiting.refused(StoreUnavailable("the ledger cannot be written"))
            return []
        return left

    async def _spooled(self, batch: Sequence[Waiting[Step]], *, urgent: bool = False) -> None:
        if not batch:
            return
        values = [step_data(waiting.item) for waiting in batch]
        try:
            async with self._spool_lock:
                await asyncio.to_thread(partial(self._spool.append, values, urgent=urgent))
                self._watch()  # it may have come up just before
        except SpoolFull:
            if urgent:
                _log.error("the ends of calls could not be written anywhere", calls=len(batch))
            for waiting in batch:
                waiting.refused(StoreUnavailable("the ledger cannot be written, nor put aside", reason="full"))
            return
        for waiting in batch:
            waiting.done()

    async def _write(self, steps: Sequence[Step], *, late_for: str = "") -> list[Step]:
        """Commit them; returns those that no database takes, which are in quarantine. Raises StoreUnavailable.

        ``late_for``: they come out of the spool, and are this replica's.
        """
        work = partial(write_steps, steps=steps, replica=late_for or self.replica, late=bool(late_for), zone=self.zone)
        for another in range(3):
            try:
                await self._in_time(work)
                return []
            except StoreUnavailable as error:
                if error.reason != "contended" or another == 2:
                    raise
            except Exception as error:
                return await self._without_poison(steps, error, late_for)
        return []

    async def _in_time(self, work: Callable[[Connection], None]) -> None:
        """In one transaction, or its outcome is unknown: then the same has to be asked again."""
        try:
            async with asyncio.timeout(self._timing.commit):
                await self._database.write(work)
        except TimeoutError as error:
            raise StoreUnavailable("the database does not answer", reason="slow", uncertain=True) from error

    async def _without_poison(self, steps: Sequence[Step], error: Exception, late_for: str) -> list[Step]:
        """A row among them is none: halve until it stands alone."""
        if len(steps) > 1:
            middle = len(steps) // 2
            first = await self._write(steps[:middle], late_for=late_for)
            return first + await self._write(steps[middle:], late_for=late_for)
        (step,) = steps
        if step.final is not None and step.attempted is not None:
            ends = await self._write([Step(step.final)], late_for=late_for)
            begins = await self._write([Step(attempted=step.attempted)], late_for=late_for)
            return [step] if ends or begins else []
        why = f"{type(error).__name__}: {error}"
        _log.error("a row of the ledger is in quarantine", why=why[:500])
        self.quarantined += 1
        await self._in_time(partial(set_aside, row=written_out(step), why=why, at=self._clock()))
        return [step]

    # ------------------------------------------------------------ without the database

    def _went_down(self, error: StoreUnavailable) -> None:
        if not self._down:
            _log.error("the ledger cannot be written: it is put aside", why=str(error), reason=error.reason)
        self._watch()

    def _watch(self) -> None:
        self._down = True
        if self._drain is None or self._drain.done():
            self._drain = asyncio.get_running_loop().create_task(self._come_back())

    def _came_up(self) -> None:
        self._down = False
        _log.info("the ledger is written again")

    async def _come_back(self) -> None:
        """Try until the database takes everything that was put aside."""
        while self._down:
            await asyncio.sleep(self._timing.retry)
            try:
                await self._replay()
                await self._in_time(_ask)
            except StoreUnavailable:
                continue
            async with self._spool_lock:
                if self._spool.empty and self._down:
                    self._came_up()

    async def _replay(self, replica: str = "") -> None:
        """Write what was put aside, oldest first, also what is put aside meanwhile. Raises StoreUnavailable.

        Intents among it are the ``replica``'s, ours when it is not named.
        """
        while True:
            async with self._spool_lock:
                path = await asyncio.to_thread(self._spool.take)
            if path is None:
                return
            await self._replay_file(path, replica or self.replica)
            async with self._spool_lock:
                await asyncio.to_thread(self._spool.done, path)

    async def _replay_file(self, path: Path, replica: str) -> None:
        steps: list[Step] = []
        for value in await asyncio.to_thread(lambda: list(self._spool.read(path))):
            try:
                steps.append(read_step(value if isinstance(value, dict) else {"final": {}}))
            except Unbookable as error:
                self.quarantined += 1
                await self._in_time(partial(set_aside, row=repr(value), why=str(error), at=self._clock()))
            if len(steps) == 500:
                await self._write(steps, late_for=replica)
                steps = []
        if steps:
            await self._write(steps, late_for=replica)

    # ------------------------------------------------------------ from time to time

    async def _repeat(self, seconds: float, work: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except StoreUnavailable:
                continue
            except Exception as error:
                _log.error("defect", exc_info=error)

    async def _write_notes(self) -> None:
        for listener in self._listeners:
            listener()
        if not self._notes or self._down:
            return
        notes, self._notes = self._notes, {}
        try:
            await self._database.write(partial(write_notes, notes=notes))
        except StoreUnavailable:
            self._notes = {key: count for key, count in notes.items() if key in self._open} | self._notes

    async def _sweep(self) -> None:
        """Book intents of ours that no call knows of: of a commit that came about after it was given up for lost."""
        if self._down:
            return
        await asyncio.to_thread(self._spool.load_ballast)
        found = await self._database.read(lambda connection: recovery.left_behind(connection, self.replica))
        strays = (found - self._open) & self._strays
        self._strays = found - self._open
        if strays:
            await self._database.write(partial(self._recover_these, strays))
            _log.warning("intents without a call were booked by estimate", intents=len(strays))

    def _recover_these(self, keys: set[tuple[str, int]], connection: Connection) -> int:
        now = recovery.database_now(connection, self._clock)
        return recovery.recover_these(connection, self.replica, keys, now, self.zone)

    async def _beat(self) -> None:
        """Renew the lease. After a pause we are as new: what looks dead may only not have been heard."""
        began = time.monotonic()
        try:
            self._ahead = await self._database.write(self._renew)
        except StoreUnavailable:
            self._steady_since = None
            raise
        if self._steady_since is None or began - self._last_beat > self._timing.lease:
            self._steady_since = began
        self._last_beat = began

    def _renew(self, connection: Connection) -> int:
        """Returns by how much the database's clock is ahead of ours."""
        now = recovery.database_now(connection, self._clock)
        ahead = now - self._clock()
        recovery.renew(connection, self.replica, now + int(self._timing.lease * 1_000_000))
        return ahead

    async def _beat_and_reap(self) -> None:
        await self._beat()
        if self._steady_since is not None and time.monotonic() - self._steady_since >= self._timing.lease:
            await self.recover()
            await self._database.write(self._forget_leases)

    def _forget_leases(self, connection: Connection) -> None:
        recovery.forget_leases(connection, recovery.database_now(connection, self._clock))

    def _recover_some(self, connection: Connection) -> int:
        now = recovery.database_now(connection, self._clock)
        return recovery.recover_some(connection, self.replica, now, self.zone)


def _ask(connection: Connection) -> None:
    connection.execute(select(1))
