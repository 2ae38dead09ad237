"""Two whole gateways over one PostgreSQL and one Redis, which may vanish: what one does, the other knows (S5, K06)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from dragoman.app import Works
from dragoman.keeping import Kept, keep
from dragoman.settings import Settings
from tests.patience import SOON, until
from tests.relay.admission_rig import RealRedis
from tests.relay.rig import CALM, FakeProvider, Rig, chat_body, served, whole

pytest.importorskip("redis", reason="no client for Redis is installed")

ADMIN = {"authorization": "Bearer admin-key-0123456789abcdef"}


@pytest.fixture
def redis() -> Iterator[RealRedis]:
    running = RealRedis()
    yield running
    running.close()


@pytest.fixture
def shared(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that two can share."""
    if not database_url.startswith("postgres"):
        pytest.skip("SQLite has one server")
    monkeypatch.chdir(tmp_path)
    return database_url


@contextlib.asynccontextmanager
async def gateway(settings: Settings, provider: FakeProvider) -> AsyncIterator[tuple[Rig, Kept]]:
    kept = await keep(settings)
    works = Works(
        kept.in_force.settings, sinks=[], patience=CALM,
        books=kept.books, admission=kept.admission, memory=kept.memory,
    )  # fmt: skip
    try:
        async with served(works.gateway(kept.gate, kept.mounts)) as port, aiohttp.ClientSession() as client:
            yield Rig(provider, port, client, [], lambda: None), kept
    finally:
        await kept.close()


@contextlib.asynccontextmanager
async def pair(database_url: str, redis: RealRedis) -> AsyncIterator[list[tuple[Rig, Kept]]]:
    provider = FakeProvider()
    await provider.start()
    base = {"kind": "openai_compatible", "base_url": f"http://127.0.0.1:{provider.port}/v1", "allow_private": True}
    settings = Settings.model_validate(
        {
            "providers": {"fake": {**base, "api_key": "upstream", "api": "chat"}},
            "models": {"unmapped": "passthrough", "preferred": "openai"},
            "admin": {"key": "admin-key-0123456789abcdef"},
            "database": database_url,
            "secrets": {"key": "7f8e9d0c1b2a394857660f1e2d3c4b5a"},
            "redis": {"url": redis.url, "prefix": "pair"},
        }
    )
    async with gateway(settings, provider) as one, gateway(settings, provider) as two:
        await until(lambda: all(kept.fabric is not None and kept.fabric.news.up for _, kept in (one, two)))
        yield [one, two]
    await provider.stop()


async def make_key(rig: Rig, name: str) -> tuple[int, str]:
    _, _, user = await rig.post("/api/v1/users", {"name": name}, **ADMIN)
    _, _, made = await rig.post("/api/v1/keys", {"user_id": user["id"], "name": "k"}, **ADMIN)
    return made["id"], made["secret"]


@pytest.mark.parametrize("trouble", ["", "killed", "stalled"])
async def test_S5_a_key_revoked_at_one_gateway_is_refused_by_the_other_within_a_second(
    shared: str, redis: RealRedis, trouble: str
) -> None:
    async with pair(shared, redis) as ((here, _), (there, kept)):
        here.provider.script = whole(chat_body())
        identity, secret = await make_key(here, "ann")
        bearer = {"authorization": f"Bearer {secret}"}
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        await until(lambda: kept.ring.caller(secret) is not None)
        assert (await there.post("/v1/chat/completions", body, **bearer))[0] == 200
        if trouble:
            redis.stop() if trouble == "killed" else redis.stall()
        assert (await here.get(f"/api/v1/keys/{identity}/deactivate", "POST", **ADMIN))[0] == 200
        revoked = time.monotonic()
        while (await there.post("/v1/chat/completions", body, **bearer))[0] != 401:
            assert time.monotonic() - revoked < SOON
            await asyncio.sleep(0.01)


async def test_R24_a_conversation_of_a_user_goes_on_at_the_other_gateway(shared: str, redis: RealRedis) -> None:
    async with pair(shared, redis) as ((here, _), (there, kept)):
        here.provider.script = there.provider.script = whole(chat_body("Hello Ada."))
        (_, ann), (_, bob) = await make_key(here, "ann"), await make_key(here, "bob")
        await until(lambda: kept.ring.caller(ann) is not None and kept.ring.caller(bob) is not None)
        first = {"model": "m", "input": "I am Ada."}
        _, _, answer = await here.post("/v1/responses", first, authorization=f"Bearer {ann}")
        body = {"model": "m", "input": "Who am I?", "previous_response_id": answer["id"]}
        assert (await there.post("/v1/responses", body, authorization=f"Bearer {ann}"))[0] == 200
        assert (await there.post("/v1/responses", body, authorization=f"Bearer {bob}"))[0] == 400
        names = [name.decode() for name in redis.client.keys("*")]
        assert names
        assert all(name.startswith("pair:") for name in names), "installations can share one Redis"
