"""All keys in memory, by hash: who a credential belongs to, without a query.

Every change of accounts counts a version up in its own transaction. A ring that hears of a newer version,
by asking twice a second or because somebody told it, reads everything anew and takes it up in one step.
An unknown value costs two hashes. While the database is away, what was known last holds.

It must not know HTTP, nor what rules mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

from sqlalchemy import Connection, Row, select

from dragoman.observe.logs import get_logger
from dragoman.store import schema
from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import HouseRules
from dragoman.store.accounts.keys import note_uses
from dragoman.store.accounts.model import ANONYMOUS, SHARED, Caller, Rules, Scope
from dragoman.store.accounts.rules import read_rules
from dragoman.store.accounts.words import version
from dragoman.store.database import Database, StoreUnavailable

POLL = 0.4
"""Seconds between two looks at the version: what is revoked elsewhere ends here within one second."""

USE_NOTED = 60 * 1_000_000
"""Microseconds for which one note of a key's last use is new enough."""

LIMITS = "global"
"""The object of kind ``limits`` that holds for everybody where the configuration file says nothing."""

Result = TypeVar("Result")
Clock = Callable[[], int]
_log = get_logger("accounts")


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Standing(Enum):
    """What a value is worth that opens nothing: nobody's, or one that was good once (revoked, expired, disabled)."""

    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


@dataclass(slots=True)
class _Entry:
    """One key. ``caller`` is None for one that opens nothing; ``noted`` is the last use that was noted."""

    key_id: int
    caller: Caller | None
    expires_at: int | None
    noted: int


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything, as it was at one version. ``guarded``: somebody other than an admin has a key."""

    version: int = -1
    entries: dict[str, _Entry] = field(default_factory=dict)
    everybody: Scope = Scope("global", Rules())  # noqa: RUF009 - a frozen value
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one reading found."""

    version: int
    groups: list[Row[tuple[int, str, object]]]
    keys: list[Row[tuple[object, ...]]]
    limits: object


class KeyRing:
    """Knows the keys of all users. ``refresh`` or ``start`` comes before the first ``caller``.

    Whoever changes accounts does so by ``write``, or calls ``refresh`` afterwards. Then ``announce`` is
    called with the new version: set it to tell other replicas, whose ``notify`` is what they call when told.
    """

    def __init__(
        self,
        database: Database,
        hasher: Hasher,
        house: HouseRules | None = None,
        *,
        clock: Clock = now,
        poll: float = POLL,
    ) -> None:
        self.hasher = hasher
        self.announce: Callable[[int], None] | None = None
        self._database = database
        self._house = house or HouseRules()
        self._clock = clock
        self._poll = poll
        self._known = _Known(everybody=Scope("global", self._house.everybody or Rules()))
        self._uses: dict[int, int] = {}
        self._followers: list[Callable[[], Awaitable[None]]] = []
        self._one = asyncio.Lock()
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._flushed = 0
        self._stale = False

    # ------------------------------------------------------------ asking

    def caller(self, credential: str) -> Caller | None:
        """Whose credential this is, if it opens anything now. Asks nobody and never waits."""
        found = self.look(credential)
        return found if isinstance(found, Caller) else None

    def look(self, credential: str) -> Caller | Standing:
        """As ``caller``, and what a value is worth that opens nothing."""
        # Both hashes, always: time does not tell which kind of credential was nearly right.
        generated, chosen = self.hasher.both(credential)
        entries = self._known.entries
        entry = entries.get(generated) or entries.get(chosen)
        if entry is None:
            return Standing.UNKNOWN
        moment = self._clock()
        if entry.caller is None or (entry.expires_at is not None and entry.expires_at <= moment):
            return Standing.WITHDRAWN
        if moment - entry.noted > USE_NOTED:
            entry.noted = moment
            self._uses[entry.key_id] = moment
        return entry.caller

    @property
    def ready(self) -> bool:
        """Whether the keys were ever read. Until then nobody may be let in for want of a key."""
        return self._known.version >= 0

    @property
    def guarded(self) -> bool:
        """Whether a user who is no admin has an active key, so that a credential is required."""
        return self._known.guarded

    @property
    def version(self) -> int:
        """The version of accounts that holds here; -1 before the first."""
        return self._known.version

    @property
    def anonymous(self) -> Caller:
        """Whoever shows no credential where none is required; bound by what binds everybody."""
        return replace(ANONYMOUS, scopes=(self._known.everybody,))

    @property
    def shared(self) -> Caller:
        """Whoever shows the shared token."""
        return replace(SHARED, scopes=(self._known.everybody,))

    # ------------------------------------------------------------ changing

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Change accounts in one transaction; it holds here when this returns. Raises what ``Database.write`` does."""
        result = await self._database.write(work)
        with contextlib.suppress(StoreUnavailable):
            await self.refresh()
        return result

    async def refresh(self) -> None:
        """Take up what was changed, and announce it. Raises StoreUnavailable, and keeps what was known."""
        before = self.version
        await self._take_up()
        if self.announce is not None and self.version != before:
            self.announce(self.version)

    async def _take_up(self) -> None:
        async with self._one:
            before = self._known.version
            rows = await self._database.read(lambda connection: _read(connection, before))
            if rows is not None:
                # Off the event loop: thousands of keys take a while.
                self._known = await asyncio.to_thread(_made, rows, self._house, self._known.entries)
                for follow in self._followers:
                    await follow()

    def follow(self, follow: Callable[[], Awaitable[None]]) -> None:
        """Call this whenever something newer was taken up, before whoever wrote it hears that it holds."""
        self._followers.append(follow)

    def notify(self) -> None:
        """Somebody says that accounts were changed: look now. Must be called in the event loop."""
        self._told.set()

    # ------------------------------------------------------------ living

    async def start(self) -> None:
        """Read everything, then keep it fresh until ``stop``. Raises StoreUnavailable."""
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more, and put down when keys were used last."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(StoreUnavailable):
            await self.flush()

    async def flush(self) -> None:
        """Put down when keys were used last. Raises StoreUnavailable."""
        self._flushed = self._clock()
        uses, self._uses = self._uses, {}
        if uses:
            await self._database.write(lambda connection: note_uses(connection, uses))

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._told.wait()
            self._told.clear()
            await self._look_after()

    async def _look_after(self) -> None:
        """One look. Nothing that goes wrong may end the watch."""
        try:
            await self._take_up()
            if self._uses and self._clock() - self._flushed > USE_NOTED:
                await self.flush()
        except Exception as error:
            if not self._stale:
                _log.error("keys cannot be read: what was known last holds", why=type(error).__name__)
            self._stale = True
        else:
            if self._stale:
                _log.info("keys are read again", version=self.version)
            self._stale = False


# ---------------------------------------------------------------- reading


def _read(connection: Connection, known: int) -> _Rows | None:
    """Everything, unless nothing has changed. The version comes first: what follows is at least as new."""
    found = version(connection)
    if found == known:
        return None
    groups, users, keys, objects = schema.groups, schema.users, schema.keys, schema.objects
    joined = select(
        keys.c.id, keys.c.hash, keys.c.user_id, keys.c.active, keys.c.rules, keys.c.default_model, keys.c.expires_at,
        keys.c.last_used_at, users.c.name, users.c.role, users.c.active.label("user_active"), users.c.group_id,
        users.c.rules.label("user_rules"), users.c.deleted_at,
    ).join(users, users.c.id == keys.c.user_id)  # fmt: skip
    limits = select(objects.c.data).where(objects.c.kind == "limits", objects.c.name == LIMITS)
    return _Rows(
        found,
        list(connection.execute(select(groups.c.id, groups.c.name, groups.c.rules))),
        list(connection.execute(joined)),
        connection.execute(limits).scalar_one_or_none(),
    )


def _made(rows: _Rows, house: HouseRules, before: dict[str, _Entry]) -> _Known:
    everybody = Scope("global", _everybody(rows.limits, house))
    groups = {row.id: _group_scope(row, house) for row in rows.groups}
    noted = {entry.key_id: entry.noted for entry in before.values()}
    return _Known(
        rows.version,
        {row.hash: _entry(row, everybody, groups, noted.get(row.id, 0)) for row in rows.keys},
        everybody,
        any(row.active and row.role != "admin" and row.deleted_at is None for row in rows.keys),
    )


def _everybody(limits: object, house: HouseRules) -> Rules:
    if house.everybody is not None:
        return house.everybody
    return Rules() if limits is None else _rules(limits, "limits", LIMITS)


def _group_scope(row: Row[tuple[int, str, object]], house: HouseRules) -> Scope:
    """The file's word beats the database's, group by group."""
    rules = house.groups.get(row.name)
    return Scope(f"group:{row.id}", _rules(row.rules, "group", row.id) if rules is None else rules)


def _entry(row: Row[tuple[object, ...]], everybody: Scope, groups: dict[int, Scope], noted: int) -> _Entry:
    caller = None
    if row.active and row.user_active and row.deleted_at is None:
        ladder = [everybody]
        if row.group_id in groups:
            ladder.append(groups[row.group_id])
        ladder.append(Scope(f"user:{row.user_id}", _rules(row.user_rules, "user", row.user_id)))
        ladder.append(Scope(f"key:{row.id}", _rules(row.rules, "key", row.id)))
        caller = Caller(
            row.name, f"user:{row.user_id}", row.user_id, row.id, row.group_id, row.role, row.default_model or "",
            tuple(ladder),
        )  # fmt: skip
    return _Entry(row.id, caller, row.expires_at, max(noted, row.last_used_at or 0))


_NOTHING = Rules(models=("",), surfaces=("",))
"""Fits no name: what cannot be read lets nobody through."""


def _rules(data: object, kind: str, identity: object) -> Rules:
    """Rules that a later release wrote may be unreadable: then nothing is allowed, and the log says of whom."""
    try:
        return read_rules(data)
    except Invalid as error:
        _log.error("rules cannot be read: nothing is allowed", of=f"{kind}:{identity}", field=error.field)
        return _NOTHING
