"""The promises about providers: Azure in all its forms, Gemini, Vertex and Anthropic, through the whole gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dragoman.settings import Settings
from dragoman.upstream.providers import make_providers
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, Rig, running, whole
from tests.upstream.azure_server import KEY, AzureServer, azure
from tests.upstream.token_server import entra, google

GEMINI_ANSWER = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 5},
}


def settings(server: AzureServer, path: str = "", **account: Any) -> Settings:
    account = {"kind": "azure_openai", "base_url": server.url + path, "allow_private": True, **account}
    if account.get("auth") != "entra":
        account.setdefault("api_key", KEY)
    return Settings.model_validate(
        {"providers": {"azure": account}, "models": {"unmapped": "passthrough", "preferred": "azure"}}
    )


async def ask(rig: Rig, path: str, body: Any, model: str = "prod-main") -> tuple[int, Any]:
    status, _, answer = await rig.post(path, {**body, "model": model})
    return status, answer


@pytest.mark.parametrize("path", ["", "/", "/openai/responses?api-version=2025-04-01-preview", "/openai/v1"])
async def test_C_34_every_surface_reaches_a_deployment(path: str) -> None:
    async with azure() as server, running(settings=settings(server, path)) as rig:
        status, answer = await ask(rig, "/v1/messages", ASK)
        assert (status, answer["content"][0]["text"]) == (200, "from chat")
        status, answer = await ask(rig, "/v1/chat/completions", CHAT_ASK)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "from chat")
        status, answer = await ask(rig, "/v1/responses", RESPONSES_ASK)
        assert (status, answer["output"][0]["content"][0]["text"]) == (200, "from responses")
    assert all(headers["api-key"] == KEY for _, headers, _ in server.asked)


async def test_C_34_azure_takes_entra_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with entra(tmp_path, monkeypatch) as authority:
        async with azure(bearer={"entra-token-1"}) as server:
            said = settings(
                server, auth="entra", tenant_id="t", client_id="c", client_secret="entra-secret",
                authority=authority.url,
            )  # fmt: skip
            async with running(settings=said) as rig:
                for _ in range(2):
                    status, answer = await ask(rig, "/v1/responses", RESPONSES_ASK)
                    assert (status, answer["status"]) == (200, "completed")
    assert len(authority.asked) == 1
    assert server.asked[0][1]["authorization"] == "Bearer entra-token-1"
    assert "api-key" not in server.asked[0][1]


async def test_C_34_without_a_token_the_answer_is_a_502_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async with azure() as server:
        authority = "https://127.0.0.1:1"
        said = settings(
            server, auth="entra", tenant_id="t", client_id="c", client_secret="entra-secret", authority=authority
        )
        async with running(settings=said) as rig:
            status, answer = await ask(rig, "/v1/messages", ASK)
    assert status == 502
    assert answer["type"] == "error"
    assert "no access token could be had" in answer["error"]["message"]
    assert "entra-secret" not in str(answer)
    assert "127.0.0.1" not in str(answer)
    assert server.asked == []


@pytest.mark.parametrize(("version", "used"), [("", "2024-12-01-preview"), ("2024-10-21", "2024-10-21")])
async def test_C_79_T_45_the_version_may_stand_in_the_endpoint_and_the_setting_wins(version: str, used: str) -> None:
    async with azure() as server:
        endpoint = "/openai/responses?api-version=2024-12-01-preview"
        async with running(settings=settings(server, endpoint, api_version=version)) as rig:
            status, _ = await ask(rig, "/v1/chat/completions", CHAT_ASK)
    assert status == 200
    [(target, headers, _)] = server.asked
    assert target == f"/openai/deployments/prod-main/chat/completions?api-version={used}"
    assert headers["host"].endswith(f":{server.server.port}"), "the endpoint's port is kept"


async def test_T_46_an_old_version_and_a_gpt_5_deployment() -> None:
    async with azure() as server:
        said = settings(server, api_version="2024-10-21", families={"prod-main": "gpt-5"})
        async with running(settings=said) as rig:
            with capture_logs() as lines:
                for _ in range(2):
                    status, answer = await ask(rig, "/v1/messages", ASK)
                    assert (status, answer["content"][0]["text"]) == (200, "from responses")
            assert (await ask(rig, "/v1/chat/completions", CHAT_ASK))[0] == 200
    targets = [target for target, _, _ in server.asked]
    assert targets[0] == targets[1] == "/openai/responses?api-version=2025-04-01-preview"
    assert targets[2].endswith("api-version=2024-10-21")
    assert len([line for line in lines if "has no Responses" in line["event"]]) == 1


async def test_T_47_a_family_that_is_set_and_one_that_is_guessed() -> None:
    asked = {**ASK, "max_tokens": 1, "temperature": 0.5}
    with capture_logs() as lines:
        async with azure(deployments=("prod-main", "other-main")) as server:
            said = settings(server, families={"prod-main": "gpt-5"})
            async with running(settings=said) as rig:
                assert (await ask(rig, "/v1/messages", asked, "prod-main"))[0] == 200
                assert (await ask(rig, "/v1/messages", asked, "other-main"))[0] == 200
    five, other = (fields for _, _, fields in server.asked)
    assert (five["max_output_tokens"], "temperature" in five) == (16, False)
    assert (other["max_tokens"], other["temperature"]) == (1, 0.5)
    guesses = [(line["deployment"], line["family"]) for line in lines if "family guessed" in line["event"]]
    assert guesses == [("other-main", "other")]


@pytest.mark.parametrize("deployment", ["foo3", "solo1", "gpt-4o"])
async def test_T_47_names_that_only_look_like_the_o_series(deployment: str) -> None:
    async with azure(deployments=(deployment,)) as server, running(settings=settings(server)) as rig:
        assert (await ask(rig, "/v1/messages", {**ASK, "temperature": 0.5}, deployment))[0] == 200
    [(target, _, fields)] = server.asked
    assert "/chat/completions" in target
    assert fields["temperature"] == 0.5


# ---------------------------------------------------------------- the others


async def test_C_35_gemini_with_an_ai_studio_key() -> None:
    async with running("gemini") as rig:
        rig.provider.script = whole(GEMINI_ANSWER)
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
        tool = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
        content = [{"type": "text", "text": "What is it?"}, picture]
        body = {**ASK, "messages": [{"role": "user", "content": content}], "tools": [tool]}
        status, _, answer = await rig.post("/v1/messages", {**body, "model": "gemini-2.5-pro"})
    assert (status, answer["content"][0]["text"]) == (200, "Hi")
    [asked] = rig.provider.asked
    assert asked.path == "/v1beta/models/gemini-2.5-pro:generateContent"
    assert asked.headers["x-goog-api-key"] == "upstream-secret-key"
    parts = asked.json["contents"][0]["parts"]
    assert [sorted(part) for part in parts] == [["text"], ["inlineData"]]
    assert asked.json["tools"][0]["functionDeclarations"][0]["name"] == "look"


async def test_C_36_gemini_through_vertex_with_default_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"api_key": None, "project": "acme", "location": "europe-west4"}
    path = "/v1beta/models/gemini-2.5-pro:generateContent"
    with google(tmp_path, monkeypatch) as tokens:
        async with running("vertex", account=account, models={"preferred": "google"}) as rig:
            rig.provider.script = whole(GEMINI_ANSWER)
            tokens.refusal = (401, {"error": "invalid_client"})
            status, _, answer = await rig.post(path, GEMINI_ASK)
            assert (status, rig.provider.asked) == (502, [])
            assert "RefreshError, invalid_client" in answer["error"]["message"]
            tokens.refusal = None
            status, _, answer = await rig.post(path, GEMINI_ASK)
    assert (status, answer["candidates"][0]["content"]["parts"][0]["text"]) == (200, "Hi")
    [asked] = rig.provider.asked
    root = "/v1/projects/acme/locations/europe-west4/publishers/google/models"
    assert asked.path == f"{root}/gemini-2.5-pro:generateContent"
    assert asked.headers["authorization"] == "Bearer ya29-canary-2"


async def test_C_37_anthropic_gets_the_body_as_it_came() -> None:
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 4, "output_tokens": 1},
    }  # fmt: skip
    async with running("anthropic") as rig:
        rig.provider.script = whole(answer)
        body = {**ASK, "a_field_of_tomorrow": {"x": [1, 2]}}
        headers = {"anthropic_beta": "b-2026,c-2026", "anthropic_version": "2023-06-01"}
        status, _, got = await rig.post("/v1/messages?beta=true", body, **headers)
    assert (status, got["content"]) == (200, answer["content"])
    [asked] = rig.provider.asked
    assert asked.path == "/v1/messages"
    assert asked.json == body
    assert asked.headers["x-api-key"] == "upstream-secret-key"
    assert (asked.headers["anthropic-beta"], asked.headers["anthropic-version"]) == ("b-2026,c-2026", "2023-06-01")


def test_C_34_every_kind_of_the_settings_can_be_made() -> None:
    kinds = ("openai", "azure_openai", "anthropic", "gemini", "vertex", "openai_compatible")
    providers = {kind: {"kind": kind, "base_url": "https://p.example", "api_key": "a-key-12"} for kind in kinds}
    made = make_providers(Settings.model_validate({"providers": providers}))
    assert {name: provider.keys for name, provider in made.items()} == dict.fromkeys(kinds, 1)
