"""Everything a run needs, started and ended: the provider, the stores, the replicas, people with keys.

``async with staged(options) as stage``; ``arguments`` and ``options_of`` read the same words on every command.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.fault.gateway import ADMIN_KEY, TEAM, Gateway
from tests.fault.truth import Truth
from tests.relay.admission_rig import RealRedis
from tests.store.engines import Postgres, run_apart, start_postgres

USERS, KEYS_EACH = 3, 2


@dataclass(frozen=True, slots=True)
class Options:
    """``postgres`` starts a PostgreSQL and a Redis of our own; ``database`` and ``redis`` are URLs of others'.

    ``cold``: do not wait until all replicas count in Redis, which takes seconds where it was empty.
    """

    replicas: int = 1
    postgres: bool = False
    database: str = ""
    redis: str = ""
    seed: int = 1
    rules: dict[str, Any] = field(default_factory=lambda: dict(TEAM))
    cold: bool = False


def arguments(what: str, **defaults: int) -> argparse.ArgumentParser:
    """The words that all commands know, and numbers of their own."""
    parser = argparse.ArgumentParser(description=what)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="start a PostgreSQL and a Redis for this run")
    parser.add_argument("--database", default="", help="the URL of an empty PostgreSQL database")
    parser.add_argument("--redis", default="", help="the URL of a Redis")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def options_of(given: argparse.Namespace) -> Options:
    """What was said."""
    return Options(given.replicas, given.postgres, given.database, given.redis, given.seed)


@dataclass
class Stage:
    """A run's. ``keys`` are those of the people; ``postgres`` and ``redis`` are None where they are not ours."""

    truth: Truth
    gateways: list[Gateway]
    postgres: Postgres | None = None
    redis: RealRedis | None = None
    keys: list[str] = field(default_factory=list)
    _turn: int = 0

    @property
    def store(self) -> str:
        return self.gateways[0].store

    @property
    def redis_url(self) -> str:
        return self.gateways[0].redis

    def one(self) -> Gateway:
        """The next replica that is up, in turn; whichever it is when none is."""
        for _ in self.gateways:
            self._turn += 1
            found = self.gateways[self._turn % len(self.gateways)]
            if found.up:
                break
        return found

    async def stop(self) -> list[int | None]:
        """Stop all replicas: their exit codes."""
        return list(await asyncio.gather(*(asyncio.to_thread(one.stop) for one in self.gateways)))


@contextlib.asynccontextmanager
async def staged(options: Options) -> AsyncIterator[Stage]:
    """The stage, with every replica up and every key known to all of them."""
    with contextlib.ExitStack() as cleanups:
        folder = Path(tempfile.mkdtemp(prefix="dragoman-fault-"))
        cleanups.callback(shutil.rmtree, folder, ignore_errors=True)
        stage = Stage(Truth(), [])
        database, redis = options.database, options.redis
        if options.postgres:
            database, redis = _stores(stage, cleanups)
        await stage.truth.start()
        for number in range(options.replicas):
            place = folder / f"replica-{number + 1}"
            place.mkdir()
            stage.gateways.append(Gateway(place, stage.truth.port, database, redis, options.rules))
            cleanups.callback(stage.gateways[-1].kill)
        try:
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in stage.gateways))
            await _furnish(stage)
            if not options.cold:
                await _warm(stage)
            yield stage
        finally:
            await stage.truth.stop()


def _stores(stage: Stage, cleanups: contextlib.ExitStack) -> tuple[str, str]:
    server = start_postgres(lambda work: _later(cleanups, work))
    if isinstance(server, str):
        raise RuntimeError(server)
    stage.postgres = server
    stage.redis = RealRedis()
    cleanups.callback(stage.redis.close)
    return run_apart(server.make(template="template0")), stage.redis.url


def _later(cleanups: contextlib.ExitStack, work: Any) -> None:
    cleanups.callback(work)


async def _furnish(stage: Stage) -> None:
    """A group, people in it, keys with limits of their own."""
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {ADMIN_KEY}"}) as admin:
        groups = await asked(admin, "GET", f"{stage.gateways[0].url}/api/v1/groups")
        group = next(one["id"] for one in groups["items"] if one["name"] == "team")
        for number in range(USERS):
            stage.keys += await _person(admin, stage.gateways[0].url, f"person-{number}", group)
        for gateway in stage.gateways:
            await until_known(admin, gateway, stage.keys[-1])


async def _person(admin: aiohttp.ClientSession, url: str, name: str, group: int) -> list[str]:
    rules = {"tpm": 1_000_000_000, "budgets": [{"window": "month", "nano_usd": 10**15}]}
    user = await asked(admin, "POST", f"{url}/api/v1/users", name=name, group_id=group, rules=rules)
    made = []
    for number in range(KEYS_EACH):
        own = {"parallel": 50_000, "budgets": [{"window": "day", "tokens": 10**12, "model": "up-*"}]}
        key = await asked(admin, "POST", f"{url}/api/v1/keys", name=f"key-{number}", user_id=user["id"], rules=own)
        made.append(key["secret"])
    return made


async def until_known(client: aiohttp.ClientSession, gateway: Gateway, key: str) -> None:
    """Wait until a replica lets the key in. Raises TimeoutError."""
    async with asyncio.timeout(10):
        while True:
            async with client.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {key}"}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def asked(admin: aiohttp.ClientSession, method: str, url: str, **body: Any) -> Any:
    """What the management API answers. Raises RuntimeError for anything that is not done."""
    async with admin.request(method, url, json=body if body else None) as answer:
        told = await answer.json()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {url}: {answer.status} {told}")
        return told


async def _warm(stage: Stage) -> None:
    async with asyncio.timeout(30):
        while stage.redis_url and not all([(await asyncio.to_thread(one.holds))["redis"] for one in stage.gateways]):
            await asyncio.sleep(0.2)


def dice_of(options: Options, salt: int = 0) -> random.Random:
    """Chance that comes out the same every time."""
    return random.Random(options.seed * 7919 + salt)
