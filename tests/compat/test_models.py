"""The list of models in every client's shape, routes and Claude Code's names included (C05, C-21), and C-68, C-69."""

from __future__ import annotations

import datetime as dt
from typing import Any

import anthropic
import openai
import pytest

from dragoman.web.credentials import Caller, Gate
from tests.relay.rig import ASK, CHAT_ASK, chat_body, running, whole

TARGET = [{"provider": "fake", "model": "up-model"}]
ROUTES: dict[str, Any] = {
    "house": {
        "targets": TARGET,
        "aliases": ["home", "claude-house-4*"],
        "display_name": "The House",
        "description": "Our own model",
    },
    "claude-best": {"targets": TARGET, "aliases": ["best"]},
    "plain": {"targets": TARGET},
    "quiet": {"targets": TARGET, "aliases": ["hush"], "listed": False},
}


async def test_C_21_the_openai_list_has_every_field_in_stable_order() -> None:
    models = {"big": "gpt-5.2", "small": "gpt-5-mini", "default": "glm-4.6"}
    async with running(models=models, account={"deployments": {"fast": "gpt-5-nano"}}) as rig:
        _, _, listed = await rig.get("/v1/models?limit=1000")
        names = [entry["id"] for entry in listed["data"]]
        assert names[0] == "fast"
        assert sorted(names.index(name) for name in ("gpt-5.2", "gpt-5-mini", "glm-4.6")) == [
            names.index(name) for name in ("gpt-5.2", "gpt-5-mini", "glm-4.6")
        ]
        for entry in listed["data"]:
            assert (entry["object"], entry["owned_by"], entry["parent"]) == ("model", "openai", None)
            assert entry["root"] == entry["id"]
            assert isinstance(entry["created"], int)
            [permission] = entry["permission"]
            assert permission["object"] == "model_permission"
        assert (await rig.get("/v1/models"))[2] == listed


async def test_C05_routes_with_their_words_in_all_three_shapes() -> None:
    async with running(routes=ROUTES) as rig:
        _, _, plain = await rig.get("/v1/models")
        names = [entry["id"] for entry in plain["data"]]
        assert names == ["house", "home", "claude-best", "best", "plain"]
        _, _, shaped = await rig.get("/v1/models?limit=1000", anthropic_version="2023-06-01")
        entries = {entry["id"]: entry for entry in shaped["data"]}
        house = entries["house"]
        assert (house["type"], house["display_name"], house["description"]) == ("model", "The House", "Our own model")
        assert dt.datetime.fromisoformat(house["created_at"]).tzinfo is not None
        assert shaped["has_more"] is False
        assert (shaped["first_id"], shaped["last_id"]) == ("house", shaped["data"][-1]["id"])
        _, _, gemini = await rig.get("/v1beta/models")
        first = gemini["models"][0]
        assert (first["name"], first["displayName"], first["description"]) == (
            "models/house",
            "The House",
            "Our own model",
        )
        assert rig.provider.asked == []


async def test_C05_every_route_has_a_name_that_claude_code_keeps_and_that_works() -> None:
    async with running(routes=ROUTES) as rig:
        _, _, shaped = await rig.get(
            "/v1/models?limit=1000", anthropic_version="2023-06-01", user_agent="claude-code/2"
        )
        kept = [entry for entry in shaped["data"] if entry["id"].startswith(("claude", "anthropic"))]
        assert [entry["id"] for entry in kept] == ["claude-house", "claude-best", "claude-plain"]
        assert [entry["display_name"] for entry in kept] == ["The House", "Claude Best", "Plain"]
        assert not [entry for entry in shaped["data"] if "[1m]" in entry["id"]]
        rig.provider.script = whole(chat_body("Hi"))
        for entry in kept:
            status, _, answer = await rig.post("/v1/messages", {**ASK, "model": entry["id"]})
            assert (status, answer["model"]) == (200, entry["id"])
            assert rig.provider.asked[-1].json["model"] == "up-model"
            assert (await rig.get(f"/v1/models/{entry['id']}"))[0] == 200


async def test_C05_a_route_that_is_not_listed_works_and_is_shown_to_nobody() -> None:
    async with running(routes=ROUTES) as rig:
        for headers in ({}, {"anthropic_version": "2023-06-01"}):
            _, _, listed = await rig.get("/v1/models", **headers)
            assert not [entry for entry in listed["data"] if "quiet" in entry["id"] or "hush" in entry["id"]]
        rig.provider.script = whole(chat_body("Hi"))
        assert (await rig.post("/v1/chat/completions", {**CHAT_ASK, "model": "hush"}))[0] == 200


async def test_C05_the_list_comes_at_once_although_the_provider_is_silent() -> None:
    async with running(routes=ROUTES) as rig:
        rig.provider.script = lambda asked, wire: wire.wait_gone(30)
        status, headers, _ = await rig.get("/v1/models?limit=1000", anthropic_version="2023-06-01")
        assert (status, rig.provider.asked) == (200, [])
        assert "location" not in headers


async def test_C_23_the_sdks_read_the_list() -> None:
    async with running(routes=ROUTES) as rig:
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="k", max_retries=0) as client:
            assert "house" in [model.id async for model in client.models.list()]
            assert (await client.models.retrieve("house")).id == "house"
        async with anthropic.AsyncAnthropic(base_url=rig.url, api_key="k", max_retries=0) as other:
            listed = {model.id: model async for model in other.models.list(limit=1000)}
            assert listed["claude-house"].display_name == "The House"
            assert (await other.models.retrieve("claude-house")).id == "claude-house"


@pytest.mark.parametrize("path", ["/v1/models/nobody", "/openai/v1/models/nobody", "/v1beta/models/nobody"])
async def test_C_21_an_unknown_model_is_a_404(path: str) -> None:
    async with running(routes=ROUTES) as rig:
        status, _, answer = await rig.get(path)
        assert status == 404
        assert "nobody" in answer["error"]["message"]


# ---------------------------------------------------------------- information


async def test_C_68_the_root_says_who_this_is() -> None:
    async with running() as rig:
        _, _, info = await rig.get("/")
        assert info["message"].startswith("Anthropic Proxy")
        assert (info["name"], info["status"]) == ("dragoman", "ok")
        assert info.keys() >= {"proxy_name", "version", "timestamp", "endpoints"}
        assert dt.datetime.fromisoformat(info["timestamp"]).tzinfo is not None
        for name in ("messages", "count_tokens", "chat_completions", "responses", "models", "cursor", "health"):
            assert info["endpoints"][name].startswith("/")
        assert rig.provider.asked == []


async def test_C_69_health_tells_a_word_and_no_address() -> None:
    async with running(models={"default": "glm-4.6"}) as rig:
        _, _, health = await rig.get("/health")
        assert isinstance(health.pop("pid"), int)
        assert health == {"status": "healthy", "openai_backend": "configured", "openai_model": "glm-4.6"}
        assert rig.provider.asked == []


# ---------------------------------------------------------------- credentials


CALLERS = {"ann-key": Caller("ann", "1"), "ann-other": Caller("ann", "1"), "bob-key": Caller("bob", "2")}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"authorization": "Bearer ann-key", "x-api-key": "ann-other"}, "ann"),
        ({"authorization": "Bearer ann-key", "x-api-key": "stale"}, "ann"),
        ({"authorization": "Bearer stale", "x-api-key": "bob-key"}, "bob"),
        ({"authorization": "Bearer ann-key", "x-api-key": "bob-key"}, None),
        ({"authorization": "Bearer stale", "x-api-key": "stale"}, None),
    ],
)
def test_C01_credentials_that_contradict_each_other_are_none(headers: dict[str, str], name: str | None) -> None:
    caller = Gate(CALLERS.get, required=True).caller(headers, b"")
    assert (caller.name if caller else None) == name
