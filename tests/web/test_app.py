"""The composition root: everything configured by settings alone, the simulated provider included."""

from __future__ import annotations

import aiohttp

from dragoman.app import build
from dragoman.settings import Settings
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, events_of, served


async def test_with_nothing_but_the_simulated_provider_every_client_is_answered() -> None:
    app = build(Settings.model_validate({"providers": {"sim": {"kind": "sim"}}}))
    async with served(app) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        paths = {
            "/v1/messages": ASK,
            "/v1/chat/completions": CHAT_ASK,
            "/v1/responses": RESPONSES_ASK,
            "/v1beta/models/any:generateContent": GEMINI_ASK,
        }
        for path, body in paths.items():
            async with client.post(path, json=body) as answer:
                assert answer.status == 200, (path, await answer.text())
                assert "Hello" in await answer.text()
        async with client.post("/v1/messages", json={**ASK, "stream": True}) as answer:
            assert events_of(await answer.read())[-1]["type"] == "message_stop"
        async with client.get("/v1/models", headers={"anthropic-version": "2023-06-01"}) as answer:
            listed = await answer.json()
            assert any("claude" in entry["id"] for entry in listed["data"])


async def test_without_a_provider_the_gateway_lives_and_says_what_is_missing() -> None:
    settings = Settings.model_validate(
        {
            "providers": {"openai": {"kind": "openai", "missing": "OPENAI_API_KEY"}},
            "models": {"unmapped": "passthrough", "preferred": "openai"},
        }
    )
    async with served(build(settings)) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        async with client.get("/health") as answer:
            assert answer.status == 200
        async with client.post("/v1/messages", json={**ASK, "model": "gpt-x"}) as answer:
            assert answer.status == 500
            assert "OPENAI_API_KEY" in (await answer.json())["error"]["message"]
