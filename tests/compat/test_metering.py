"""What calls cost is booked on who made them, by the provider's own numbers: C-55, C-56, T-64, K03, K08.

Every call goes through the running gateway to a provider that says in its answer what it was told to cost.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import aiohttp
import pytest

from dragoman.store.database import Database
from tests.relay.rig import DONE, Asked, Wire, chat_body, chat_chunk, chat_usage
from tests.web.api.rig import House, living

PATHS = {
    "/v1/messages": "/v1/messages",
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/responses": "/v1/responses",
    "/v1beta/models/{model}:generateContent": "/v1beta/models/up-model:{verb}",
}
"""The endpoint that usage is told under, and where it is asked for."""


async def provider(asked: Asked, wire: Wire) -> None:
    """Cost what the prompt says: ``in=N out=M``. ``hang`` stops in the middle, ``fail`` answers 500."""
    order = re.search(r"in=(\d+) out=(\d+)( hang)?( fail)?(?: cost=([\d.]+))?", asked.body.decode())
    assert order is not None
    prompt, output = int(order[1]), int(order[2])
    if order[4] and "/b/" not in asked.path:
        await wire.json({"error": {"message": "broken", "type": "server_error"}}, 500)
    elif not asked.json.get("stream"):
        usage: dict[str, float] = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
        }
        usage |= {"cost": float(order[5])} if order[5] else {}
        await wire.json(chat_body("Hi", usage=usage))
    elif order[3]:
        await wire.stream(chat_chunk("", role="assistant"), chat_chunk("some words of it"), end=False)
        await wire.gone.wait()
    else:
        pieces = (chat_chunk("", role="assistant"), chat_chunk("Hi"), chat_chunk(finish="stop"))
        await wire.stream(*pieces, chat_usage(prompt, output), DONE)


def call_of(endpoint: str, text: str, *, stream: bool, model: str = "up-model") -> tuple[str, dict[str, Any]]:
    """Path and body of a call on the surface of the endpoint."""
    if endpoint.startswith("/v1beta"):
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return PATHS[endpoint].format(verb=verb), {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    said: dict[str, Any] = {"model": model, "stream": stream}
    if endpoint == "/v1/responses":
        return endpoint, {**said, "input": text}
    return endpoint, {**said, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}


async def spend(
    house: House, who: str, endpoint: str, text: str, *, stream: bool = False, said: dict[str, str] | None = None
) -> int:
    """Make a call; its status. ``said`` are headers."""
    path, body = call_of(endpoint, text, stream=stream)
    return (await house.ask("POST", path, body, who=who, **(said or {}))).status


async def counted(house: House, who: str) -> int:
    return int((await house.ask("POST", "/v1/queryuser", {"token": house.keys[who]}, who=None)).json["count"])


async def entries(house: House, query: str = "", *, least: int = 1) -> list[dict[str, Any]]:
    """Entries in the order of time, once there are at least so many."""
    async with asyncio.timeout(5):
        while len(found := (await house.get(f"/entries?limit=500&{query}")).json["items"]) < least:
            await asyncio.sleep(0.02)
    return sorted(found, key=lambda one: int(one["id"]))


# ---------------------------------------------------------------- booked


async def test_C_55_C_56_T_64_each_surface_streamed_or_not_is_booked(database: Database) -> None:
    async with living(database, booked=True) as house:
        house.provider.script = provider
        for number, endpoint in enumerate(PATHS):
            for stream in (False, True):
                text = f"in={1000 + 10 * number + stream} out={7 + number}"
                assert await spend(house, "ann", endpoint, text, stream=stream) == 200, endpoint
        told = (await house.ask("GET", "/usage/me", who="ann")).json
        by_endpoint = {
            one["endpoint"]: (one["total_requests"], one["total_input_tokens"], one["total_output_tokens"])
            for one in told["usage_by_endpoint"]
        }
        assert by_endpoint == {
            endpoint: (2, 2001 + 20 * number, 2 * (7 + number)) for number, endpoint in enumerate(PATHS)
        }
        assert told["total_tokens"] == await counted(house, "ann") == 8124 + 68
        key = (await house.ask("GET", f"/usage/api-key/{house.key_ids['ann']}")).json
        assert (key["total_requests"], key["total_tokens"]) == (8, 8192)
        assert await counted(house, "ben") == 0
        assert {one["usage_source"] for one in await entries(house)} == {"provider"}


async def test_C_56_keys_of_one_user_are_told_apart(database: Database) -> None:
    async with living(database, booked=True) as house:
        house.provider.script = provider
        made = (await house.ask("POST", f"/admin/api-keys?user_id={house.ids['ann']}&name=laptop")).json
        house.keys["laptop"] = made["api_key"]
        for who, text in (("ann", "in=5 out=1"), ("laptop", "in=70 out=20"), ("laptop", "in=700 out=200")):
            assert await spend(house, who, "/v1/messages", text, stream=True) == 200
        listed = (await house.ask("GET", f"/admin/api-keys?user_id={house.ids['ann']}")).json["api_keys"]
        told = {one["name"]: (await house.ask("GET", f"/usage/api-key/{one['id']}")).json for one in listed}
        assert [told[name]["total_tokens"] for name in ("ann's", "laptop")] == [6, 990]
        assert await counted(house, "ann") == await counted(house, "laptop") == 996


@pytest.mark.parametrize("endpoint", ["/v1/messages", "/v1/chat/completions"])
async def test_T_64_K04_an_aborted_stream_is_booked(endpoint: str, database: Database) -> None:
    async with living(database, booked=True) as house:
        house.provider.script = provider
        path, body = call_of(endpoint, "in=5 out=1 hang", stream=True)
        url = f"http://127.0.0.1:{house.port}{path}"
        headers = {"authorization": f"Bearer {house.keys['ann']}"}
        async with aiohttp.ClientSession() as client, client.post(url, json=body, headers=headers) as answer:
            assert b"some words of it" in await until(answer, b"some words of it")
        (row,) = await entries(house)
        assert (row["outcome"], row["status"], row["usage_source"], row["partial"]) == ("left", 499, "estimated", True)
        assert row["input"] > 0
        assert 0 < row["output"] < 20
        told = (await house.ask("GET", "/usage/me", who="ann")).json
        assert (told["total_requests"], told["total_tokens"]) == (1, row["input"] + row["output"])


async def until(answer: aiohttp.ClientResponse, words: bytes) -> bytes:
    """What came until the words did."""
    data = b""
    async with asyncio.timeout(5):
        while words not in data:
            data += await answer.content.readany()
    return data


async def test_T_64_two_hundred_at_once_come_to_the_exact_sum(database: Database) -> None:
    dice = random.Random(64)
    calls = [(dice.randrange(1, 9000), dice.randrange(1, 900), dice.random() < 0.5) for _ in range(200)]
    async with living(database, booked=True) as house:
        house.provider.script = provider
        asked = [
            spend(house, ("ann", "ben")[number % 2], list(PATHS)[number % 4], f"in={i} out={o}", stream=stream)
            for number, (i, o, stream) in enumerate(calls)
        ]
        assert set(await asyncio.gather(*asked)) == {200}
        for index, who in enumerate(("ann", "ben")):
            mine = calls[index::2]
            told = (await house.ask("GET", "/usage/me", who=who)).json
            assert (told["total_requests"], told["total_input_tokens"], told["total_output_tokens"]) == (
                100, sum(one[0] for one in mine), sum(one[1] for one in mine),
            )  # fmt: skip
            assert await counted(house, who) == told["total_tokens"]


async def test_C_55_what_is_nobodys_is_booked_on_shared_and_anonymous(database: Database) -> None:
    async with living(database, booked=True, auth={"token": "shared-token-of-all-1", "mode": "open"}) as house:
        house.provider.script = provider
        assert await spend(house, "shared", "/v1/messages", "in=5 out=1") == 200
        path, body = call_of("/v1/messages", "in=7 out=2", stream=False)
        assert (await house.ask("POST", path, body, who=None)).status == 200
        found = await entries(house, "user=0", least=2)
        whole = [(await house.get(f"/entries/{one['id']}")).json for one in found]
        assert [(one["details"]["caller"], one["input"]) for one in whole] == [("shared", 5), ("anonymous", 7)]
        assert await spend(house, "ann", "/v1/messages", "in=5 out=1") == 200
        (mine,) = await entries(house, f"user={house.ids['ann']}")
        assert "caller" not in (await house.get(f"/entries/{mine['id']}")).json["details"]


async def test_U09_the_providers_own_cost_stands_beside_ours_with_the_gap(database: Database) -> None:
    prices = {"up-model": {"in": 2, "out": 10, "unit": "usd_per_million"}}
    async with living(database, booked=True, prices=prices) as house:
        house.provider.script = provider
        for text in ("in=1000 out=100 cost=0.0042", "in=1000 out=100"):
            assert await spend(house, "ann", "/v1/messages", text) == 200
        stated, silent = await entries(house, least=2)
        assert (stated["cost"], stated["stated_cost"], stated["gap"]) == (3_000_000, 4_200_000, 1_200_000)
        assert (silent["cost"], silent["stated_cost"], silent["gap"]) == (3_000_000, None, None)
        whole = (await house.get(f"/entries/{stated['id']}")).json
        assert whole["gap"] == 1_200_000
        assert (await house.get("/sums")).json["total"]["cost"] == 6_000_000, "what is charged is our own price"


# ---------------------------------------------------------------- limits


ROUTES = {"big": {"aliases": ["claude-big", "house-*"], "targets": [{"provider": "fake", "model": "gpt-big"}]}}
NAMES = ("big", "BIG", "claude-big", "claude-big-20250929", "house-7", "gpt-big", "fake/gpt-big", "gpt-big-2026-01-01")
"""Ways to ask for one model."""


@pytest.mark.parametrize("who", ["ann", "root"])
async def test_K03_no_name_of_a_model_dodges_its_budget(who: str, database: Database) -> None:
    """An admin's own key is a key like any."""
    async with living(database, booked=True, routes=ROUTES) as house:
        house.provider.script = provider
        budget = {"window": "day", "tokens": 2_000, "model": "gpt-big"}
        changed = await house.patch(f"/users/{house.ids[who]}", {"rules": {"budgets": [budget]}})
        assert changed.status == 200, changed.text
        path, body = call_of("/v1/chat/completions", "in=1990 out=5", stream=False, model="house-1")
        assert (await house.ask("POST", path, {**body, "max_tokens": 9}, who=who)).status == 200
        for name in NAMES:
            for endpoint in ("/v1/messages", "/v1/chat/completions"):
                path, body = call_of(endpoint, "in=1 out=1", stream=False, model=name)
                refused = await house.ask("POST", path, body, who=who)
                assert refused.status == 429, (name, refused.text)
        path, body = call_of("/v1/messages", "in=1 out=1", stream=False, model="gpt-small")
        assert (await house.ask("POST", path, body, who=who)).status == 200
        assert len(house.provider.asked) == 2


async def test_K03_the_admin_key_opens_no_model(database: Database) -> None:
    async with living(database, booked=True) as house:
        for endpoint in PATHS:
            assert await spend(house, "admin", endpoint, "in=1 out=1") == 401
        assert house.provider.asked == []


# ---------------------------------------------------------------- agents


CALLS = (("", "", "p1"), ("worker", "", "p1"), ("helper", "worker", "p1"), ("", "", "p2"))
"""Agent, its parent and prompt of the calls of one session."""


def hints(session: str, agent: str, parent: str, prompt: str) -> dict[str, str]:
    said = {"session_id": session, "agent_id": agent, "parent_agent_id": parent, "prompt_id": prompt}
    return {f"x_claude_code_{name}": value for name, value in said.items() if value}


async def test_K08_an_agents_work_is_followed_by_conversation_tree_and_prompt(database: Database) -> None:
    async with living(database, booked=True) as house:
        house.provider.script = provider
        for number, (agent, parent, prompt) in enumerate(CALLS):
            more = hints("s1", agent, parent, prompt)
            assert await spend(house, "ann", "/v1/messages", f"in={10**number} out=1", stream=True, said=more) == 200
        more = hints("s2", "worker", "", "p9")
        assert await spend(house, "ann", "/v1/messages", "in=9 out=1", said=more) == 200
        for query, inputs in {
            "session=s1": [1, 10, 100, 1000], "session=s1&agent=worker": [10], "session=s1&prompt=p1": [1, 10, 100],
            "agent=worker": [10, 9], "session=s2": [9], "session=s1&agent=worker&agent=helper": [10, 100],
        }.items():  # fmt: skip
            assert [one["input"] for one in await entries(house, query)] == inputs, query
        sums = (await house.get("/sums?by=session&by=agent")).json["items"]
        told = {(one["session"], one["agent"]): one["input"] for one in sums}
        assert told == {("s1", ""): 1001, ("s1", "worker"): 10, ("s1", "helper"): 100, ("s2", "worker"): 9}
        (leaf,) = await entries(house, "parent_agent=worker")
        tree = (await house.get("/sums?by=parent_agent&by=agent&session=s1")).json["items"]
        told = {(one["parent_agent"], one["agent"]): one["input"] for one in tree}
        assert told == {("", ""): 1001, ("", "worker"): 10, ("worker", "helper"): 100}
        whole = (await house.get(f"/entries/{leaf['id']}")).json
        assert (whole["agent"], whole["parent_agent"], whole["prompt"]) == ("helper", "worker", "p1")


async def test_K08_every_attempt_shows_its_target_and_why_the_next_was_asked(database: Database) -> None:
    targets = [{"provider": name, "model": f"model-{name}"} for name in ("a", "b")]
    async with living(database, booked=True, accounts=("a", "b"), routes={"main": {"targets": targets}}) as house:
        house.provider.script = provider
        path, body = call_of("/v1/messages", "in=50 out=4 fail", stream=True, model="main")
        answer = await house.ask("POST", path, body, who="ann", **hints("s1", "worker", "", "p1"))
        assert answer.status == 200
        rows = await entries(house, "session=s1&agent=worker&prompt=p1", least=2)
        shown = ("attempt", "route", "provider", "model", "outcome", "failure", "status", "closes", "input", "output")
        assert [tuple(row[name] for name in shown) for row in rows] == [
            (1, "main", "a", "model-a", "failed", "server", 500, False, None, None),
            (2, "main", "b", "model-b", "answered", "", 200, True, 50, 4),
        ]
        assert len({row["call_id"] for row in rows}) == len({row["request_id"] for row in rows}) == 1
        assert rows[0]["request_id"] == answer.headers["x-request-id"]
