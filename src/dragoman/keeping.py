"""What lasts, opened before the gateway serves and closed after it: the store, the keys, the books, admission.

A second composition root beside ``app``: it wires rooms together, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.in_force import InForce
from dragoman.observe.logs import get_logger
from dragoman.relay.admission.memory import MemoryAdmission
from dragoman.relay.admission.model import Admission
from dragoman.relay.answering import Memory
from dragoman.relay.booking import Books
from dragoman.relay.detours import Detours
from dragoman.relay.keepsakes import Keepsakes
from dragoman.relay.stored_responses import StoredResponses
from dragoman.settings import Settings
from dragoman.settings.errors import extra
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.accounts.opening import Opened, open_accounts
from dragoman.store.importers import lying_about
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.ledger.reached import teller
from dragoman.store.ledger.settled import count_replicas, ledger_reader
from dragoman.store.ledger.windows import read_zone
from dragoman.store.moments import wall_clock
from dragoman.store.opening import Store, open_store_of
from dragoman.web.asgi import Mount
from dragoman.web.credentials import Gate, gate_of
from dragoman.web.management import management
from dragoman.web.readiness import Readiness

if TYPE_CHECKING:
    from dragoman.relay.admission.shared import RedisAdmission
    from dragoman.store.deposit_redis import RedisDeposit
    from dragoman.store.news_redis import RedisNews

_log = get_logger("store")


@dataclass(slots=True)
class Fabric:
    """What replicas share through Redis and may lose. ``key`` hides names there."""

    news: RedisNews
    deposit: RedisDeposit
    key: bytes

    async def start(self) -> None:
        """Begin to hear and to tell. Works without Redis."""
        await self.news.start()
        await self.deposit.start()

    async def close(self) -> None:
        """Write what others need to go on, and stop."""
        await self.deposit.close()
        await self.news.close()


@dataclass(slots=True)
class Kept:
    """What ``app.Works`` stands on. ``shown_once`` are lines for standard output and nothing else."""

    store: Store
    in_force: InForce
    ring: KeyRing
    ledger: Ledger
    books: Books
    admission: MemoryAdmission | RedisAdmission
    memory: Memory
    fabric: Fabric | None
    gate: Gate
    mounts: Sequence[Mount]
    shown_once: Sequence[str]
    ending: AsyncExitStack

    def readiness(self) -> Readiness:
        """Whether what lasts is there for new calls."""
        return Readiness({"keys": lambda: self.ring.ready, "database": lambda: self.ledger.takes_calls})

    async def close(self) -> None:
        """Finish what was begun, in reverse."""
        await self.ending.aclose()


async def keep(settings: Settings) -> Kept:
    """Open everything, or nothing. Raises ConfigError, StoreUnavailable, SchemaTooNew or SecretUnusable."""
    prices = PriceBook(settings.prices, settings.limits.fallback_price)
    rules = house_rules(settings)
    async with AsyncExitStack() as ending:
        store = await open_store_of(settings)
        ending.push_async_callback(store.database.close)
        if store.place.warning:
            _log.warning(store.place.warning)
        hasher = Hasher(store.secrets.hash_token)
        ring = KeyRing(store.database, hasher, rules)
        ledger = _ledger(settings, store)
        admission, fabric = _admission(settings, store, ledger), _fabric(settings, store)
        in_force = InForce(settings, store.database, store.secrets)
        # Only now: what makes an administrator shows a token once, so little may fail after it.
        opened = await _accounts(settings, store, hasher)
        await in_force.renew()
        prices.adopt(in_force.settings.prices)
        ring.follow(in_force.renew)
        if fabric is not None:
            ring.spread(fabric.news)
        ending.push_async_callback(ring.stop)
        await ring.start()
        ending.push_async_callback(ledger.close)
        await ledger.start()
        if fabric is not None:
            ending.push_async_callback(fabric.close)
            await fabric.start()
        ending.push_async_callback(admission.close)
        await admission.start()
        await asyncio.to_thread(prices.load)
        return Kept(
            store=store,
            in_force=in_force,
            ring=ring,
            ledger=ledger,
            books=Books(ledger, prices, ledger.now),
            admission=admission,
            memory=_memory(fabric),
            fabric=fabric,
            gate=gate_of(settings.auth, ring),
            mounts=management(settings, store.database, ring, cipher=store.secrets, clock=wall_clock),
            shown_once=list(opened.shown_once()),
            ending=ending.pop_all(),
        )


async def _accounts(settings: Settings, store: Store, hasher: Hasher) -> Opened:
    lying = list(lying_about(Path.cwd(), settings.database_folder))
    opened = await open_accounts(store.database, hasher, settings, now=wall_clock(), lying=lying)
    for line in opened.lines():
        _log.info(line)
    return opened


def _ledger(settings: Settings, store: Store) -> Ledger:
    replica, zone = f"{platform.node()}-{os.getpid()}", read_zone(settings.limits.zone)
    return Ledger(store.database, replica=replica, folder=store.place.folder, zone=zone)


def _fabric(settings: Settings, store: Store) -> Fabric | None:
    if settings.redis is None:
        return None
    with extra("redis", "Redis"):  # few have one, and its driver takes long to load
        from dragoman.store.deposit_redis import RedisDeposit
        from dragoman.store.news_redis import RedisNews
    url, prefix = settings.redis.url.get_secret_value(), settings.redis.prefix
    key = bytes.fromhex(store.secrets.hash_token("names in Redis"))
    return Fabric(RedisNews(url, prefix), RedisDeposit(url, prefix, store.secrets, key), key)


def _memory(fabric: Fabric | None) -> Memory:
    if fabric is None:
        return Memory()
    news, deposit = fabric.news, fabric.deposit
    stored = StoredResponses(deposit=deposit, news=news)
    return Memory(Keepsakes(deposit=deposit), stored, Detours(news, fabric.key))


def _admission(settings: Settings, store: Store, ledger: Ledger) -> MemoryAdmission | RedisAdmission:
    settled = ledger_reader(store.database)

    def complete() -> bool:
        return ledger.put_aside == 0

    tell = teller(store.database, ledger.now)

    def zone() -> tzinfo:
        return ledger.zone

    count = partial(store.database.read, partial(count_replicas, clock=wall_clock))
    if settings.redis is None:
        replicas = None if store.database.kind == "sqlite" else count
        return MemoryAdmission(ledger.now, settled=settled, complete=complete, zone=zone, tell=tell, replicas=replicas)
    with extra("redis", "Redis"):
        from dragoman.relay.admission.shared import RedisAdmission
    url, prefix = settings.redis.url.get_secret_value(), settings.redis.prefix
    return RedisAdmission(
        url, ledger.now, settled=settled, complete=complete, replicas=count, zone=zone, tell=tell, prefix=prefix
    )


__all__ = ["Admission", "Kept", "keep"]
