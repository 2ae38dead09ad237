"""A running gateway in a process of its own, a provider that keeps a book, and keys with rules of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import Connection, func, select

from dragoman.store.database import open_database
from dragoman.store.ledger.check import violations
from dragoman.store.moments import wall_clock
from dragoman.store.schema import budget_windows, entries, intents
from tests.clients.conftest import serve
from tests.ports import free_port

ADMIN = "an-admin-key-for-tests-0001"
SHARED = "a-shared-token-for-tests"
PRICE_IN, PRICE_OUT = 3_000, 15_000
"""Nano-USD per token of ``up-model``."""

_CONFIG = """
version: 1
admin: {{key: {admin}}}
auth: {{mode: required, token: {shared}}}
providers:
  up: {{kind: openai_compatible, api: chat, base_url: "http://127.0.0.1:{port}/v1", api_key: k, allow_private: true}}
timeout: 2
routes:
  main: {{targets: [{{provider: up, model: up-model}}], aliases: ["claude-big*"]}}
prices:
  up-model: {{in: 3, out: 15}}
{more}
"""


@dataclass
class Upstream:
    """Answers as the last message orders, in JSON: ``in`` and ``out`` tokens, ``pace`` seconds between pieces,
    ``silent``: no usage, ``hang``: no answer. ``seen`` counts requests by model, ``costs`` what each reported."""

    port: int = field(default_factory=free_port)
    seen: Counter[str] = field(default_factory=Counter)
    costs: list[int] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        order = json.loads(_words(body["messages"][-1]["content"]))
        self.seen[body["model"]] += 1
        if order.get("hang"):
            await asyncio.sleep(4)
        tokens = {"prompt_tokens": order.get("in", 5), "completion_tokens": order.get("out", 10)}
        usage = tokens | {"total_tokens": sum(tokens.values())}
        self.costs.append(tokens["prompt_tokens"] * PRICE_IN + tokens["completion_tokens"] * PRICE_OUT)
        if not body.get("stream"):
            await asyncio.sleep(order.get("pace", 0))
            message = {"role": "assistant", "content": "four" * min(order.get("out", 10), 1_000)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
            return web.json_response(answer if order.get("silent") else answer | {"usage": usage})
        return await self._streamed(request, order, usage)

    async def _streamed(self, request: web.Request, order: dict[str, Any], usage: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        left = order.get("out", 10)
        with contextlib.suppress(ConnectionError):
            while left > 0:
                await response.write(_chunk([_choice({"content": "four" * min(left, 100)})]))
                left -= 100
                await asyncio.sleep(order.get("pace", 0))
            await response.write(_chunk([_choice({}, "stop")]))
            if not order.get("silent"):
                await response.write(_chunk([], usage=usage))
            await response.write(b"data: [DONE]\n\n")
        return response


def _words(content: Any) -> str:
    return content if isinstance(content, str) else str(content[-1]["text"])


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _chunk(choices: list[Any], **more: Any) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@dataclass
class House:
    """The gateway, its provider and its file."""

    url: str
    upstream: Upstream
    folder: Path
    client: aiohttp.ClientSession

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the management API."""
        headers = {"authorization": f"Bearer {ADMIN}"}
        async with self.client.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as answer:
            told = await answer.read()
            assert answer.status < 300, told
            return json.loads(told) if told else None

    async def key(self, name: str, role: str = "user", **rules: Any) -> tuple[int, str]:
        """A new user's key with rules: its id and itself."""
        user = await self.api("POST", "/users", {"name": name, "role": role})
        made = await self.api("POST", "/keys", {"name": name, "user_id": user["id"], "rules": rules})
        return int(made["id"]), str(made["secret"])

    async def chat(self, key: str, model: str = "main", *, most: int = 100, **order: Any) -> tuple[int, Any, Any]:
        """A whole answer of Chat: status, headers and body."""
        return await self.post("/v1/chat/completions", key, _chat(model, most, order))

    async def post(self, path: str, key: str, body: Any) -> tuple[int, Any, Any]:
        """Status, headers and JSON of one call."""
        headers = {"authorization": f"Bearer {key}"}
        async with self.client.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, answer.headers, json.loads(await answer.read())

    async def streamed(
        self, key: str, model: str = "main", *, most: int = 100, leave: bool = False, **order: Any
    ) -> tuple[int, bytes]:
        """A stream of Chat: status and all of it. ``leave``: hang up after the first piece."""
        body = _chat(model, most, order) | {"stream": True}
        headers = {"authorization": f"Bearer {key}"}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as answer:
            if leave and answer.status == 200:
                first = await answer.content.readany()
                answer.close()
                return answer.status, first
            return answer.status, await answer.read()

    async def quiet(self) -> None:
        """Wait until no call is open in the ledger."""
        for _ in range(200):
            if not await self.ask(lambda c: c.execute(select(func.count()).select_from(intents)).scalar_one()):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("calls stay open")

    async def ask(self, work: Any) -> Any:
        """Read its database."""
        database = open_database(str(self.folder / "dragoman.db"), beside=True)
        try:
            return await database.read(work)
        finally:
            await database.close()

    async def rows(self, key_id: int | None = None) -> list[dict[str, Any]]:
        """Entries of a key, oldest first, or all."""

        def read(connection: Connection) -> list[dict[str, Any]]:
            wanted = select(entries).order_by(entries.c.id)
            wanted = wanted if key_id is None else wanted.where(entries.c.key_id == key_id)
            return [dict(row) for row in connection.execute(wanted).mappings()]

        found: list[dict[str, Any]] = await self.ask(read)
        return found

    async def spent(self, scope: str) -> int:
        """What the ledger has settled on a scope, ever."""
        table = budget_windows.c
        query = select(func.coalesce(func.sum(table.cost), 0)).where(
            table.scope == scope, table.window == "total", table.model == ""
        )
        return int(await self.ask(lambda connection: connection.execute(query).scalar_one()))

    async def sound(self) -> None:
        """The ledger is what it promises to be."""
        assert await self.ask(lambda c: violations(c, now=wall_clock(), lease=10_000_000)) == []


def _chat(model: str, most: int, order: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(order)
    return {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": content}]}


@contextlib.asynccontextmanager
async def house(folder: Path, more: str = "") -> AsyncIterator[House]:
    """Run all of it."""
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", upstream.port).start()
    config = _CONFIG.format(admin=ADMIN, shared=SHARED, port=upstream.port, more=more)
    (folder / "config.yaml").write_text(config)
    serving: Iterator[str] = serve(folder, "--config", "config.yaml", DRAGOMAN_DB=str(folder / "dragoman.db"))
    try:
        url = await asyncio.to_thread(next, serving)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as client:
            yield House(url, upstream, folder, client)
    finally:
        await asyncio.to_thread(lambda: list(serving))
        await runner.cleanup()
