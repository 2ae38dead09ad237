"""The running gateway with a database: some people, their keys, and a client that asks as each of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import Connection

from dragoman.app import build
from dragoman.relay.admission.memory import MemoryAdmission
from dragoman.relay.booking import Books
from dragoman.relay.metering import log_record
from dragoman.settings import Settings
from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.accounts.model import Person, Rules
from dragoman.store.database import Database
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.model import Attempted, Final, Step, Tokens, Who
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.ledger.settled import ledger_reader
from dragoman.store.ledger.writing import write_steps
from dragoman.store.secrets import Secrets
from dragoman.web.asgi import Mount
from dragoman.web.credentials import gate_of
from dragoman.web.management import management
from tests.relay.rig import CALM, FakeProvider, served
from tests.store.bookings import QUICK

ADMIN_KEY = "house-keeper-0123456789"
SHARED = "shared-token-of-all-1"
UPSTREAM = "upstream-secret-key"
CIPHER_TEXT = "q8Zr2Lk5Tn9Wb4Xc7Vy1Hj6Gf3Ds0Ap8Mu"
SECOND = 1_000_000
_CALLS = itertools.count(1)


@dataclass
class Clock:
    """Microseconds; stands still unless moved."""

    at: int = field(default_factory=lambda: time.time_ns() // 1000)

    def __call__(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += int(seconds * SECOND)


@dataclass
class Answer:
    """What came back. ``json`` is None for anything else."""

    status: int
    headers: dict[str, str]
    text: str
    json: Any

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])


@dataclass
class House:
    """A gateway at a port, its database, and the credentials of whoever lives there, by name."""

    client: aiohttp.ClientSession
    port: int
    database: Database
    ring: KeyRing
    clock: Clock
    provider: FakeProvider
    mounts: Sequence[Mount]
    keys: dict[str, str] = field(default_factory=dict)
    key_ids: dict[str, int] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, body: Any = None, *, who: str | None = "admin", **headers: str
    ) -> Answer:
        """Ask as somebody of ``keys`` (None: nobody). Bytes go as they are, all else as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent.setdefault("authorization", f"Bearer {self.keys.get(who, who)}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.request(method, url, data=data, headers=sent, allow_redirects=False) as got:
            text = (await got.read()).decode("utf-8", "replace")
            kind = got.headers.get("content-type", "")
            parsed = json.loads(text) if kind.startswith("application/json") and text else None
            return Answer(got.status, {name.lower(): value for name, value in got.headers.items()}, text, parsed)

    async def get(self, path: str, who: str | None = "admin", **headers: str) -> Answer:
        """Ask below ``/api/v1``."""
        return await self.ask("GET", f"/api/v1{path}", who=who, **headers)

    async def post(self, path: str, body: Any, who: str | None = "admin", **headers: str) -> Answer:
        """Post below ``/api/v1``."""
        return await self.ask("POST", f"/api/v1{path}", body, who=who, **headers)

    async def patch(self, path: str, body: Any, who: str | None = "admin") -> Answer:
        """Change below ``/api/v1``."""
        return await self.ask("PATCH", f"/api/v1{path}", body, who=who)

    async def put(self, path: str, body: Any, who: str | None = "admin") -> Answer:
        """Put below ``/api/v1``."""
        return await self.ask("PUT", f"/api/v1{path}", body, who=who)

    async def delete(self, path: str, who: str | None = "admin") -> Answer:
        """Delete below ``/api/v1``."""
        return await self.ask("DELETE", f"/api/v1{path}", who=who)

    async def audit(self) -> list[dict[str, Any]]:
        """The lines of the audit log, newest first."""
        return list((await self.get("/audit?limit=500")).json["items"])

    def settle_in(self, connection: Connection, name: str, **more: Any) -> Person:
        """A user with a key of the same name; ``key`` are more words for the key."""
        key = more.pop("key", {})
        person = people.create(connection, name, now=self.clock(), **more)
        made = keys.create(connection, self.ring.hasher, person.id, f"{name}'s", now=self.clock(), **key)
        self.ids[name], self.keys[name], self.key_ids[name] = person.id, made.credential, made.key.id
        return person


def furnish(house: House, connection: Connection) -> None:
    """An admin; a manager and two users of a group; a user of another group; a disabled and an expired key."""
    core = groups.create(connection, "core", now=house.clock()).id
    lab = groups.create(connection, "lab", now=house.clock()).id
    house.groups |= {"core": core, "lab": lab}
    house.settle_in(connection, "root", role="admin")
    house.settle_in(connection, "mia", role="manager", group_id=core, email="mia@example.org")
    house.settle_in(connection, "ann", group_id=core)
    house.settle_in(connection, "ben", group_id=core)
    house.settle_in(connection, "zoe", group_id=lab)
    house.settle_in(connection, "old", key={"expires_at": house.clock() - SECOND})
    house.settle_in(connection, "off")
    house.settle_in(connection, "rex", group_id=core, key={"rules": Rules(models=("haiku",), rpm=5)})
    keys.deactivate(connection, house.key_ids["off"])


def settings_of(port: int, accounts: Sequence[str] = ("fake",), **more: Any) -> Settings:
    """Settings with accounts at the port (each below a path of its name), an admin key and a shared token."""
    account = {"kind": "openai_compatible", "allow_private": True, "api_key": UPSTREAM}
    roots = {name: f"http://127.0.0.1:{port}{'' if name == 'fake' else f'/{name}'}/v1" for name in accounts}
    said: dict[str, Any] = {
        "providers": {name: {**account, "base_url": root} for name, root in roots.items()},
        "models": {"unmapped": "passthrough", "preferred": "openai"},
        "admin": {"key": ADMIN_KEY},
        "auth": {"token": SHARED},
        **more,
    }
    return Settings.model_validate(said)


@contextlib.asynccontextmanager
async def booking(database: Database, settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """Log, books and admission as ``keeping`` has them: words for ``build``."""
    ledger = Ledger(database, replica="test", timing=QUICK)
    admission = MemoryAdmission(settled=ledger_reader(database))
    await ledger.start()
    await admission.start()
    yield {"sinks": [log_record], "books": Books(ledger, PriceBook(settings.prices)), "admission": admission}
    await admission.close()
    await ledger.close()


@contextlib.asynccontextmanager
async def living(
    database: Database, *, attempts: int = 1_000_000, booked: bool = False, furnished: bool = True, **more: Any
) -> AsyncIterator[House]:
    """A furnished house; ``booked`` ones book every call and hold to limits. ``more`` are settings."""
    provider = FakeProvider()
    await provider.start()
    settings, clock = settings_of(provider.port, **more), Clock()
    secrets = Secrets([CIPHER_TEXT], b"hashing")
    ring = KeyRing(database, Hasher(secrets.hash_token), house_rules(settings), clock=clock)
    mounts = management(settings, database, ring, cipher=secrets, clock=clock, attempts=attempts)
    lasting: contextlib.AbstractAsyncContextManager[dict[str, Any]] = contextlib.nullcontext({"sinks": []})
    if booked:
        lasting = booking(database, settings)
    async with lasting as kept:
        app = build(settings, patience=CALM, gate=gate_of(settings.auth, ring), mounts=mounts, **kept)
        async with served(app) as port, aiohttp.ClientSession() as client:
            house = House(client, port, database, ring, clock, provider, mounts, {"admin": ADMIN_KEY, "shared": SHARED})
            if furnished:
                await database.write(lambda connection: furnish(house, connection))
            await ring.refresh()
            yield house
    await provider.stop()


@dataclass
class Spent:
    """One call that was booked."""

    who: str
    at: int
    surface: str = "messages"
    model: str = "glm-4.6"
    provider: str = "fake"
    input: int = 10
    output: int = 5
    cached: int = 0
    outcome: str = "answered"
    cost: int | None = 7_000
    more: dict[str, Any] = field(default_factory=dict)


async def book(house: House, *spent: Spent) -> None:
    """Book calls, whole, as the ledger does."""
    groups_of = {"mia": "core", "ann": "core", "ben": "core", "zoe": "lab"}
    steps = []
    for number, one in enumerate(spent):
        group = house.groups.get(groups_of.get(one.who, ""))
        who = Who(house.ids.get(one.who), house.key_ids.get(one.who), group, **one.more)
        attempted = Attempted(
            f"{next(_CALLS):032x}", 1, one.at, who, f"req-{number}", one.surface, "sonnet", one.provider, "claude-x",
            one.model, False, 0, 0,
        )  # fmt: skip
        tokens = Tokens(one.input, one.cached, None, one.output)
        answered = one.outcome == "answered"
        steps.append(
            Step(Final(attempted, tokens, "provider", one.outcome, 200 if answered else 500, cost=one.cost, attempts=1))
        )
    await house.database.write(lambda connection: write_steps(connection, steps, "test"))
