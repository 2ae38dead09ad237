"""What lasts, opened before the gateway serves and closed after it: the store, the keys, the books, admission.

A second composition root beside ``app``: it wires rooms together, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Sequence
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
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.accounts.opening import open_accounts
from dragoman.store.importers import lying_about
from dragoman.store.ledger.ledger import Ledger, wall_clock
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.ledger.reached import teller
from dragoman.store.ledger.settled import count_replicas, ledger_reader
from dragoman.store.ledger.windows import read_zone
from dragoman.store.opening import Store, open_store
from dragoman.web.asgi import Mount
from dragoman.web.credentials import Gate, gate_of
from dragoman.web.management import management

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

    async def close(self) -> None:
        """Finish what was begun."""
        await self.admission.close()
        if self.fabric is not None:
            await self.fabric.close()
        await self.ledger.close()
        await self.ring.stop()
        await self.store.database.close()


async def keep(settings: Settings) -> Kept:
    """Open everything. Raises ConfigError, StoreUnavailable, SchemaTooNew or SecretUnusable, for whoever starts it."""
    prices = PriceBook(settings.prices, settings.limits.fallback_price)
    rules = house_rules(settings)
    store = await _opened(settings)
    try:
        hasher = Hasher(store.secrets.hash_token)
        lying = list(lying_about(Path.cwd(), settings.database_folder))
        opened = await open_accounts(store.database, hasher, settings, now=wall_clock(), lying=lying)
        for line in opened.lines():
            _log.info(line)
        ring = KeyRing(store.database, hasher, rules)
        ledger = Ledger(
            store.database,
            replica=f"{platform.node()}-{os.getpid()}",
            folder=store.place.folder,
            zone=read_zone(settings.limits.zone),
        )
        admission = _admission(settings, store, ledger)
        in_force = InForce(settings, store.database, store.secrets)
        await in_force.renew()
        prices.adopt(in_force.settings.prices)
        ring.follow(in_force.renew)
        fabric = _fabric(settings, store)
        memory = _memory(fabric)
        if fabric is not None:
            ring.spread(fabric.news)
        await ring.start()
        await ledger.start()
        await admission.start()
        await asyncio.to_thread(prices.load)
        if fabric is not None:
            await fabric.start()
    except BaseException:
        await store.database.close()
        raise
    mounts = management(settings, store.database, ring, cipher=store.secrets, clock=wall_clock)
    gate = gate_of(settings.auth, ring)
    books = Books(ledger, prices, ledger.now)
    return Kept(
        store, in_force, ring, ledger, books, admission, memory, fabric, gate, mounts, list(opened.shown_once())
    )


async def _opened(settings: Settings) -> Store:
    database = settings.database.get_secret_value() if settings.database is not None else ""
    words = {name: secret.get_secret_value() for name, secret in settings.secrets.items()}
    store = await open_store(
        database, settings.database_folder, secret=words.get("key"), previous=words.get("previous", "")
    )
    if store.place.warning:
        _log.warning(store.place.warning)
    return store


def _fabric(settings: Settings, store: Store) -> Fabric | None:
    if settings.redis is None:
        return None
    from dragoman.store.deposit_redis import RedisDeposit  # few have one, and its driver takes long to load
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
    from dragoman.relay.admission.shared import RedisAdmission  # few have one, and its driver takes long to load

    url, prefix = settings.redis.url.get_secret_value(), settings.redis.prefix
    return RedisAdmission(
        url, ledger.now, settled=settled, complete=complete, replicas=count, zone=zone, tell=tell, prefix=prefix
    )


__all__ = ["Admission", "Kept", "keep"]
