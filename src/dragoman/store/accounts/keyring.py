"""All keys in memory, by hash: who a credential belongs to, without a query.

Every change of accounts counts a version up in its own transaction. A ring that hears of a newer version,
by asking twice a second or because somebody told it, reads everything anew, page by page, and takes it up
in one step. What rows mean is only worked out when their key is used, and again when one of them changed.
An unknown value costs two hashes. While the database is away, what was known last holds.

It must not know HTTP, nor what rules mean.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Text, cast, select

from dragoman.observe.logs import get_logger
from dragoman.store import schema
from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import HouseRules
from dragoman.store.accounts.keys import note_uses
from dragoman.store.accounts.model import ANONYMOUS, SHARED, Caller, Role, Rules, Scope
from dragoman.store.accounts.rules import NOTHING, read_rules
from dragoman.store.accounts.words import version
from dragoman.store.database import Database, StoreUnavailable
from dragoman.store.moments import wall_clock
from dragoman.store.news import News
from dragoman.store.values import read_json

POLL = 0.4
"""Seconds between two looks at the version: what is revoked elsewhere ends here within one second."""

USE_NOTED = 60 * 1_000_000
"""Microseconds for which one note of a key's last use is new enough."""

PAGE = 1000
"""Rows read at a time: on PostgreSQL they are taken in on the event loop, which must not stand still for long."""

LIMITS = "global"
"""The object of kind ``limits`` that holds for everybody where the configuration file says nothing."""

_TOPIC = "accounts"
Result = TypeVar("Result")
Clock = Callable[[], int]
Follow = Callable[[], Awaitable[None]]
_log = get_logger("accounts")


class Standing(Enum):
    """What a value is worth that opens nothing: nobody's, or one that was good once (revoked, expired, disabled)."""

    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


class _Row(NamedTuple):
    """One key and its user, as they stand in the database; rules as they are spelt there."""

    id: int
    hash: str
    user_id: int
    active: bool
    rules: str
    default_model: str | None
    expires_at: int | None
    name: str
    role: Role
    user_active: bool
    group_id: int | None
    user_rules: str
    deleted_at: int | None


_Raw = tuple[Any, ...]
"""A ``_Row`` that is a mere tuple, which costs the collector of garbage nothing."""

_HASH = _Row._fields.index("hash")


@dataclass(slots=True)
class _Entry:
    """A key in use, and what it was worked out from. ``noted`` is the last use that was noted."""

    raw: _Raw
    everybody: Scope
    group: Scope | None
    row: _Row
    caller: Caller | None
    noted: int


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything, as it was at one version. ``guarded``: somebody other than an admin has a key."""

    version: int = -1
    rows: dict[str, _Raw] = field(default_factory=dict)
    everybody: Scope = Scope("global", Rules())  # noqa: RUF009 - a frozen value
    groups: dict[int | None, Scope] = field(default_factory=dict)
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What one reading found. Rows that are as they were are the very same objects."""

    version: int
    rows: dict[str, _Raw]
    groups: list[tuple[int, str, str]]
    limits: str | None


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
        clock: Clock = wall_clock,
        poll: float = POLL,
    ) -> None:
        self.hasher = hasher
        self.announce: Callable[[int], None] | None = None
        self._database = database
        self._house = house or HouseRules()
        self._clock = clock
        self._poll = poll
        self._known = _Known(everybody=Scope("global", self._house.everybody or Rules()))
        self._entries: dict[str, _Entry] = {}
        self._uses: dict[int, int] = {}
        self._followers: list[Follow] = []
        self._behind: set[Follow] = set()
        self._one = asyncio.Lock()
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._flushed = 0
        self._announced = -1
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
        known = self._known
        raw = known.rows.get(generated) or known.rows.get(chosen)
        if raw is None:
            return Standing.UNKNOWN
        entry = self._entry(known, raw)
        row, moment = entry.row, self._clock()
        if entry.caller is None or (row.expires_at is not None and row.expires_at <= moment):
            return Standing.WITHDRAWN
        if moment - entry.noted > USE_NOTED:
            entry.noted = moment
            self._uses[row.id] = moment
        return entry.caller

    def _entry(self, known: _Known, raw: _Raw) -> _Entry:
        """What the row means beside the rules of its group and of everybody, worked out once for each of them."""
        entry, row = self._entries.get(raw[_HASH]), _Row._make(raw)
        group = known.groups.get(row.group_id)
        if entry is not None and entry.raw is raw and entry.everybody is known.everybody and entry.group is group:
            return entry
        caller = _caller(row, known.everybody, group)
        entry = _Entry(raw, known.everybody, group, row, caller, 0 if entry is None else entry.noted)
        self._entries[row.hash] = entry
        return entry

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
        await self._take_up()
        # The watch may have been first to take it up, and others still have to hear of it.
        if self.announce is not None and self.version != self._announced:
            self._announced = self.version
            self.announce(self.version)

    async def _take_up(self) -> None:
        async with self._one:
            known = self._known
            found = await self._database.read(lambda connection: _read(connection, known))
            if found is not None:
                self._known = _made(found, self._house, known)
                self._entries = {name: entry for name, entry in self._entries.items() if name in found.rows}
                self._behind = set(self._followers)
            for follow in tuple(self._behind):
                await follow()
                self._behind.discard(follow)

    def follow(self, follow: Follow) -> None:
        """Call this whenever something newer was taken up, before whoever wrote it hears that it holds.

        One that raises StoreUnavailable is called again at the next look.
        """
        self._followers.append(follow)

    def spread(self, news: News) -> None:
        """Tell other replicas what is changed here, and look as soon as one of them tells. Before ``start``."""

        def heard(text: bytes) -> None:
            if text != b"%d" % self.version:
                self.notify()

        async def joined() -> None:
            self.notify()

        news.follow(_TOPIC, heard, joined)
        self.announce = lambda number: news.tell(_TOPIC, b"%d" % number)

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


def _read(connection: Connection, known: _Known) -> _Found | None:
    """Everything, unless nothing has changed. The version comes first: what follows is at least as new."""
    found = version(connection)
    if found == known.version:
        return None
    groups, objects = schema.groups, schema.objects
    limits = select(cast(objects.c.data, Text)).where(objects.c.kind == "limits", objects.c.name == LIMITS)
    listed = connection.execute(select(groups.c.id, groups.c.name, cast(groups.c.rules, Text)))
    return _Found(
        found,
        _read_rows(connection, known.rows),
        [(identity, name, rules) for identity, name, rules in listed],
        connection.execute(limits).scalar_one_or_none(),
    )


def _read_rows(connection: Connection, before: dict[str, _Raw]) -> dict[str, _Raw]:
    """All keys with their users, by hash. One statement finds both, so that neither is older than the other."""
    keys, users = schema.keys, schema.users
    # In the order of _Row.
    query = select(
        keys.c.id, keys.c.hash, keys.c.user_id, keys.c.active, cast(keys.c.rules, Text), keys.c.default_model,
        keys.c.expires_at, users.c.name, users.c.role, users.c.active, users.c.group_id, cast(users.c.rules, Text),
        users.c.deleted_at,
    ).join(users, users.c.id == keys.c.user_id).order_by(keys.c.id).limit(PAGE)  # fmt: skip
    rows: dict[str, _Raw] = {}
    last = 0
    while True:
        page = connection.execute(query.where(keys.c.id > last)).all()
        for read in page:
            raw = tuple(read)
            kept = before.get(raw[_HASH])
            if kept != raw:
                kept = raw
            rows[raw[_HASH]] = kept
        if len(page) < PAGE:
            return rows
        last = page[-1][0]


def _made(found: _Found, house: HouseRules, before: _Known) -> _Known:
    """What is as it was stays the same object: by that a key in use sees that nothing of it has changed."""
    everybody = Scope("global", _everybody(found.limits, house))
    groups: dict[int | None, Scope] = {}
    for identity, name, rules in found.groups:
        scope, kept = _group_scope(identity, name, rules, house), before.groups.get(identity)
        groups[identity] = kept if kept is not None and kept == scope else scope
    return _Known(
        found.version,
        found.rows,
        before.everybody if before.everybody == everybody else everybody,
        groups,
        any(
            row.active and row.role != "admin" and row.deleted_at is None
            for row in map(_Row._make, found.rows.values())
        ),
    )


def _everybody(limits: str | None, house: HouseRules) -> Rules:
    if house.everybody is not None:
        return house.everybody
    return Rules() if limits is None else _rules(limits, "limits", LIMITS)


def _group_scope(identity: int, name: str, rules: str, house: HouseRules) -> Scope:
    """The file's word beats the database's, group by group."""
    said = house.groups.get(name)
    return Scope(f"group:{identity}", _rules(rules, "group", identity) if said is None else said)


def _caller(row: _Row, everybody: Scope, group: Scope | None) -> Caller | None:
    """Whom the key stands for; None if for nobody any more."""
    if not (row.active and row.user_active and row.deleted_at is None):
        return None
    ladder = [everybody] if group is None else [everybody, group]
    ladder.append(Scope(f"user:{row.user_id}", _rules(row.user_rules, "user", row.user_id)))
    ladder.append(Scope(f"key:{row.id}", _rules(row.rules, "key", row.id)))
    return Caller(
        row.name, f"user:{row.user_id}", row.user_id, row.id, row.group_id, row.role, row.default_model or "",
        tuple(ladder),
    )  # fmt: skip


def _rules(spelt: str, kind: str, identity: object) -> Rules:
    """Rules that a later release wrote may be unreadable: then nothing is allowed, and the log says of whom."""
    try:
        return read_rules(read_json(spelt))
    except Invalid as error:
        _log.error("rules cannot be read: nothing is allowed", of=f"{kind}:{identity}", field=error.field)
    except ValueError:
        _log.error("rules cannot be read: nothing is allowed", of=f"{kind}:{identity}", field="rules")
    return NOTHING
