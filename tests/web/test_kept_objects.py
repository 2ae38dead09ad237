"""What is kept in the database steers traffic: providers, routes, prices, from the next call on, on every replica."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from dragoman.app import Works
from dragoman.keeping import Kept, keep
from dragoman.settings import Settings
from dragoman.store.database import open_database
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.schema import leases
from tests.patience import SOON
from tests.relay.rig import CALM, Asked, FakeProvider, Wire, served

ADMIN = "admin-key-0123456789abcdef"
SECRET = "7f8e9d0c1b2a394857660f1e2d3c4b5a"
KEY = "sk-upstream-canary-1"


async def answering(asked: Asked, wire: Wire) -> None:
    """A Chat completion of ten and five tokens."""
    said = json.loads(asked.body) if asked.body else {}
    message = {"role": "assistant", "content": "hello"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 7, "model": said.get("model"), "choices": [choice]}
    await wire.json({**body, "usage": usage})


class Replica:
    """One gateway with a store, in this process."""

    def __init__(self, url: str, client: aiohttp.ClientSession, kept: Kept) -> None:
        self.url = url
        self.client = client
        self.kept = kept

    async def admin(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {ADMIN}"}
        async with self.client.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as answer:
            data = await answer.read()
            return answer.status, json.loads(data) if data else None

    async def ask(self, model: str, key: str = "") -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def names(self, key: str = "", path: str = "/v1/models") -> list[str]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with self.client.get(f"{self.url}{path}", headers=headers) as answer:
            return [model["id"] for model in (await answer.json())["data"]]


@contextlib.asynccontextmanager
async def replica(database_url: str, **said: Any) -> AsyncIterator[Replica]:
    settings = Settings.model_validate(
        {
            "providers": {"sim": {"kind": "sim", "stand_in": True}},
            "admin": {"key": ADMIN},
            "database": database_url,
            "secrets": {"key": SECRET},
            **said,
        }
    )
    kept = await keep(settings)
    works = Works(kept.in_force.settings, sinks=[], patience=CALM, books=kept.books, admission=kept.admission)
    app = works.gateway(kept.gate, kept.mounts)
    kept.in_force.follow(works.adopt)
    try:
        async with served(app) as port, aiohttp.ClientSession() as client:
            yield Replica(f"http://127.0.0.1:{port}", client, kept)
    finally:
        await kept.close()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    one = FakeProvider()
    one.script = answering
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def at(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return database_url


def account(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{provider.port}/v1"
    return {"kind": "openai_compatible", "base_url": url, "allow_private": True, "api_key": KEY, "api": "chat", **more}


ROUTE = {"targets": [{"provider": "own", "model": "up-model"}], "aliases": ["fast"]}


async def test_K09_a_start_that_fails_in_the_middle_leaves_nothing_behind(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: PriceBook) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(PriceBook, "load", fails)
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError, match="in the middle"):
        async with replica(at):
            pass
    assert asyncio.all_tasks() == before
    database = open_database(at)
    until = await database.read(lambda connection: connection.execute(select(leases.c.until)).scalars().all())
    await database.close()
    assert until == [] or database.kind == "sqlite", "others need not wait for its lease to run out"


async def test_K03_a_provider_and_a_route_serve_from_the_next_call_on(at: str, provider: FakeProvider) -> None:
    async with replica(at) as one:
        status, answer = await one.ask("anything")
        assert status == 200
        assert provider.asked == []
        assert (await one.admin("PUT", "/providers/own", account(provider)))[0] == 200
        status, answer = await one.ask("some-model")
        assert (status, answer["model"]) == (200, "some-model")
        assert provider.asked[-1].headers["authorization"] == f"Bearer {KEY}"
        assert (await one.admin("PUT", "/routes/mine", ROUTE))[0] == 200
        assert (await one.ask("fast"))[0] == 200
        assert json.loads(provider.asked[-1].body)["model"] == "up-model"
        assert await one.names() == ["mine", "fast"]
        assert (await one.admin("DELETE", "/routes/mine"))[0] == 204
        await one.ask("fast")
        assert json.loads(provider.asked[-1].body)["model"] == "fast"


async def test_another_key_is_sent_from_the_next_call_on(at: str, provider: FakeProvider) -> None:
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.ask("x")
        await one.admin("PUT", "/providers/own", account(provider, api_key="sk-other"))
        await one.ask("x")
        assert [asked.headers["authorization"] for asked in provider.asked] == [f"Bearer {KEY}", "Bearer sk-other"]


async def test_it_is_still_there_after_a_restart_and_the_key_is_nowhere_in_clear(
    at: str, provider: FakeProvider, tmp_path: Path
) -> None:
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.admin("PUT", "/routes/mine", ROUTE)
    async with replica(at) as one:
        assert (await one.ask("mine"))[0] == 200
        assert provider.asked[-1].headers["authorization"] == f"Bearer {KEY}"
        _, shown = await one.admin("GET", "/providers/own")
    assert shown["secrets"] == ["api_key"]
    assert KEY not in json.dumps(shown)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


async def test_the_configuration_wins_over_an_object_of_the_same_name(at: str, provider: FakeProvider) -> None:
    other = FakeProvider()
    other.script = answering
    await other.start()
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(other))
        await one.admin("PUT", "/routes/mine", ROUTE)
    fixed = {"own": account(provider)}
    async with replica(at, providers=fixed) as one:
        assert (await one.ask("mine"))[0] == 200
        _, shown = await one.admin("GET", "/providers")
        status, _ = await one.admin("PUT", "/providers/own", account(other))
    await other.stop()
    assert len(provider.asked) == 1
    assert other.asked == []
    assert [(row["origin"] == "database", row["shadowed"]) for row in shown["items"]] == [(False, False), (True, True)]
    assert status == 409


async def test_U11_a_price_holds_from_the_next_call_on_and_what_was_booked_keeps_its_own(
    at: str, provider: FakeProvider
) -> None:
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.ask("up-model")
        await one.admin("PUT", "/prices/own%2Fup-model", {"rows": [{"in": 1, "out": 2}]})
        await one.ask("up-model")
        await one.admin("PUT", "/prices/own%2Fup-model", {"rows": [{"in": 10, "out": 20}]})
        await one.ask("up-model")
        _, page = await one.admin("GET", "/entries")
    costs = [row["cost"] for row in page["items"]]
    assert costs == [10 * 10_000 + 5 * 20_000, 10 * 1_000 + 5 * 2_000, None]


async def test_what_cannot_be_used_is_left_out_and_takes_nothing_with_it(at: str, provider: FakeProvider) -> None:
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.admin("PUT", "/providers/later", account(provider))
        lost = {"targets": [{"provider": "later", "model": "m"}]}
        await one.admin("PUT", "/routes/mine", ROUTE)
        assert (await one.admin("PUT", "/routes/lost", lost))[0] == 200
        status, said = await one.admin("DELETE", "/providers/later")
        assert (status, said["error"]["code"]) == (409, "in_use")
        assert "lost" in said["error"]["message"]
        assert (await one.admin("DELETE", "/routes/lost"))[0] == 204
        assert (await one.admin("DELETE", "/providers/later"))[0] == 204
        assert (await one.ask("mine"))[0] == 200
        assert (await one.ask("lost"))[0] == 200  # a name like any other again


async def test_a_call_under_way_ends_as_it_began(at: str, provider: FakeProvider) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(asked: Asked, wire: Wire) -> None:
        began.set()
        await go_on.wait()
        await answering(asked, wire)

    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        provider.script = slowly
        call = asyncio.create_task(one.ask("x"))
        await began.wait()
        assert (await one.admin("DELETE", "/providers/own"))[0] == 204
        go_on.set()
        status, answer = await call
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "hello")
        status, answer = await one.ask("x")
        assert status == 200
        assert len(provider.asked) == 1


async def test_a_key_is_shown_the_models_it_may_use(at: str, provider: FakeProvider) -> None:
    async with replica(at) as one:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.admin("PUT", "/routes/mine", ROUTE)
        await one.admin("PUT", "/routes/dear", {"targets": [{"provider": "own", "model": "dear-model"}]})
        _, user = await one.admin("POST", "/users", {"name": "ann"})
        body = {"user_id": user["id"], "name": "k", "rules": {"models": ["mine"]}}
        _, made = await one.admin("POST", "/keys", body)
        key = made["secret"]
        assert await one.names(key) == ["mine", "fast"]
        assert await one.names(key, "/cursor/v1/models") == ["mine"]
        assert (await one.ask("mine", key))[0] == 200
        assert (await one.ask("dear", key))[0] == 403


async def test_another_replica_follows_within_a_second(at: str, provider: FakeProvider) -> None:
    if not at.startswith("postgres"):
        pytest.skip("SQLite has one server")
    async with replica(at) as one, replica(at) as two:
        await one.admin("PUT", "/providers/own", account(provider))
        await one.admin("PUT", "/routes/mine", ROUTE)
        changed = time.monotonic()
        while "mine" not in await two.names():
            assert time.monotonic() - changed < SOON
            await asyncio.sleep(0.02)
        assert (await two.ask("mine"))[0] == 200
        assert provider.asked[-1].headers["authorization"] == f"Bearer {KEY}"
