"""Which provider and model a name reaches under each set-up, and what is sent there (compat §5; T-53 to T-57)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.settings import Settings
from tests.compat.azure import answering, message
from tests.compat.setups import gateway, load
from tests.compat.upstreams import PNG
from tests.relay.rig import ASK, CHAT_ASK, RESPONSES_ASK, Rig, anthropic_events, replay, running, whole

OPENAI = {"OPENAI_API_KEY": "openai-key-1"}
GEMINI = {"GEMINI_API_KEY": "gemini-key-1"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "anthropic-key-1"}
AZURE = {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "AZURE_OPENAI_API_KEY": "azure-key-1"}
ALL = {**OPENAI, **GEMINI, **ANTHROPIC, **AZURE}
GEMINI_PATH = "/v1beta/models/{}:generateContent"
AZURE_PATH = "/openai/deployments/{}/chat/completions?api-version=2024-10-21"


async def asked(rig: Rig, model: str, **more: Any) -> tuple[str, Any]:
    """Path and model of the one call that a name leads to."""
    before = len(rig.provider.asked)
    status, _, answer = await rig.post("/v1/messages", {**ASK, "model": model, **more})
    assert status == 200, answer
    assert answer["model"] == model
    [call] = rig.provider.asked[before:]
    return call.path, call.json.get("model")


# ---------------------------------------------------------------- providers


async def test_C_32_openai_itself(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, **OPENAI)) as rig:
        assert await asked(rig, "claude-sonnet-4-5") == ("/v1/chat/completions", "gpt-4.1")
        assert await asked(rig, "gpt-4o") == ("/v1/chat/completions", "gpt-4o")
        for path, body, upstream in (
            ("/v1/chat/completions", CHAT_ASK, "/v1/chat/completions"),
            ("/v1/responses", RESPONSES_ASK, "/v1/responses"),
        ):
            assert (await rig.post(path, {**body, "model": "gpt-4o"}))[0] == 200
            assert rig.provider.asked[-1].path == upstream
        for call in rig.provider.asked:
            assert call.headers["authorization"] == "Bearer openai-key-1"


@pytest.mark.parametrize(
    "environment",
    [
        {**OPENAI, "BIG_MODEL": "up-big", "SMALL_MODEL": "up-small"},
        {**OPENAI, "BIG_MODEL_NAME": "up-big", "SMALL_MODEL_NAME": "up-small"},
        {**AZURE, "BIG_MODEL": "up-big", "SMALL_MODEL": "up-small"},
    ],
)
async def test_C_38_haiku_is_small_sonnet_and_opus_are_big(environment: dict[str, str], tmp_path: Path) -> None:
    names = {
        "claude-3-5-haiku-20241022": "up-small", "claude-haiku-4-5": "up-small", "HAIKU": "up-small",
        "claude-sonnet-4-5": "up-big", "claude-3-7-Sonnet-latest": "up-big", "claude-opus-4-1": "up-big",
        "anthropic/claude-opus-4": "up-big",
    }  # fmt: skip
    async with gateway(load(tmp_path, **environment)) as rig:
        for name, target in names.items():
            path, model = await asked(rig, name)
            if "AZURE_OPENAI_ENDPOINT" in environment:
                assert path == AZURE_PATH.format(target)
            else:
                assert model == target


PREFIXED = {
    "azure/prod-x": (AZURE_PATH.format("prod-x"), None),
    "AZURE/claude-haiku": (AZURE_PATH.format("claude-haiku"), None),
    "openai/gpt-4o": ("/v1/chat/completions", "gpt-4o"),
    "OpenAI/a/b": ("/v1/chat/completions", "a/b"),
    "openai/claude-3-haiku": ("/v1/chat/completions", "gpt-4.1-mini"),
    "gemini/gemini-2.5-flash": (GEMINI_PATH.format("gemini-2.5-flash"), None),
    "anthropic/claude-sonnet-4-5": ("/v1/messages", "claude-sonnet-4-5"),
    "a/b": ("/v1/chat/completions", "a/b"),
}


@pytest.mark.parametrize("name", PREFIXED)
async def test_C_40_a_prefix_chooses_the_provider_and_stays_here(name: str, tmp_path: Path) -> None:
    path, model = PREFIXED[name]
    async with gateway(load(tmp_path, PREFERRED_PROVIDER="openai", **ALL)) as rig:
        got = await asked(rig, name)
        assert got[0] == path
        if model is not None:
            assert got[1] == model


async def test_C_40_prefixes_of_the_models_in_the_settings(tmp_path: Path) -> None:
    said = load(tmp_path, PREFERRED_PROVIDER="openai", BIG_MODEL="azure/prod-x", SMALL_MODEL="gemini/gemini-x", **ALL)
    async with gateway(said) as rig:
        assert (await asked(rig, "claude-sonnet-4"))[0] == AZURE_PATH.format("prod-x")
        assert (await asked(rig, "claude-haiku-4"))[0] == GEMINI_PATH.format("gemini-x")


async def test_C_40_a_prefix_of_a_provider_that_is_not_there_is_a_400_that_names_it(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, **OPENAI)) as rig:
        for name, variable in (("azure/x", "AZURE_OPENAI_ENDPOINT"), ("gemini/gemini-x", "GEMINI_API_KEY")):
            status, _, answer = await rig.post("/v1/messages", {**ASK, "model": name})
            assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
            assert name.partition("/")[0] in answer["error"]["message"]
            assert variable in answer["error"]["message"]
        assert rig.provider.asked == []
        assert await asked(rig, "anthropic/claude-opus-4") == ("/v1/chat/completions", "gpt-4.1")


async def test_C_41_gemini_names_go_to_gemini_all_others_to_openai(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, PREFERRED_PROVIDER="google", **GEMINI, **OPENAI)) as rig:
        assert (await asked(rig, "gemini-of-tomorrow"))[0] == GEMINI_PATH.format("gemini-of-tomorrow")
        assert await asked(rig, "gpt-4o") == ("/v1/chat/completions", "gpt-4o")
        assert (await asked(rig, "claude-haiku-4"))[0] == GEMINI_PATH.format("gemini-2.5-flash")
    async with gateway(load(tmp_path, PREFERRED_PROVIDER="google", **GEMINI)) as rig:
        status, _, answer = await rig.post("/v1/messages", {**ASK, "model": "gpt-4o"})
        assert status == 404
        assert "OPENAI_API_KEY" in answer["error"]["message"]
        assert rig.provider.asked == []


async def test_C_42_before_anthropic_names_stay_as_they_are(tmp_path: Path) -> None:
    said = load(tmp_path, PREFERRED_PROVIDER="anthropic", BIG_MODEL="up-big", SMALL_MODEL="up-small", **ANTHROPIC)
    async with gateway(said) as rig:
        for name in ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-1-20250805", "something-else"):
            assert await asked(rig, name) == ("/v1/messages", name)
        assert await asked(rig, "anthropic/claude-haiku-4-5") == ("/v1/messages", "claude-haiku-4-5")
        assert rig.provider.asked[0].headers["x-api-key"] == "anthropic-key-1"


async def test_C_45_a_request_without_a_model_means_the_backends(tmp_path: Path) -> None:
    nameless = {name: value for name, value in ASK.items() if name != "model"}
    async with gateway(load(tmp_path, OPENAI_MODEL="glm-4.6", DRAGOMAN_AUTH="open", **OPENAI)) as rig:
        assert (await rig.post("/v1/messages", nameless))[0] == 200
        assert rig.provider.asked[0].json["model"] == "glm-4.6"
    async with gateway(load(tmp_path, **OPENAI)) as rig:
        status, _, answer = await rig.post("/v1/messages", nameless)
        assert status == 400
        assert "model" in answer["error"]["message"]
        assert rig.provider.asked == []


@pytest.mark.parametrize(("keeps", "model"), [("true", "z/claude-x"), ("true", "z/glm"), ("false", "z/claude-x")])
async def test_C_33_cache_hints_go_to_a_routers_claude_when_told(keeps: str, model: str, tmp_path: Path) -> None:
    said = {"BASE_URL": "https://router.example/api/v1", "BIG_MODEL_NAME": model, "OPEN_CLAUDE_CACHE": keeps, **OPENAI}
    text = {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}
    async with gateway(load(tmp_path, **said)) as rig:
        body = {"system": [text], "messages": [{"role": "user", "content": [text]}]}
        await asked(rig, "claude-sonnet-4", **body)
        hints = rig.provider.asked[0].body.count(b"cache_control")
        assert hints == (2 if keeps == "true" and "claude" in model else 0)


# ---------------------------------------------------------------- T-53


POLICIES: list[tuple[dict[str, str], int, str]] = [
    (OPENAI, 200, "a/b"),
    ({"OPENAI_MODEL": "glm-4.6", **OPENAI}, 200, "a/b"),
    ({"BIG_MODEL_NAME": "v/big", "SMALL_MODEL_NAME": "v/small", **OPENAI}, 200, "v/small"),
    ({"PREFERRED_PROVIDER": "google", **GEMINI, **OPENAI}, 200, "a/b"),
    ({"PREFERRED_PROVIDER": "google", **GEMINI}, 404, ""),
    ({"PREFERRED_PROVIDER": "anthropic", **ANTHROPIC}, 200, "a/b"),
    (AZURE, 200, ""),
    ({"RESOURCENAME": "acme", "APIKEY": "k", "MAPPER_GPT35TUBER": "d"}, 404, ""),
    ({**OPENAI, "DRAGOMAN_UNMAPPED_MODEL": "error"}, 404, ""),
]


@pytest.mark.parametrize(("environment", "expected", "sent"), POLICIES)
async def test_T_53_a_name_with_a_slash_is_never_a_500(
    environment: dict[str, str], expected: int, sent: str, tmp_path: Path
) -> None:
    async with gateway(load(tmp_path, DRAGOMAN_AUTH="open", **environment)) as rig:
        status, _, answer = await rig.post("/v1/messages", {**ASK, "model": "a/b"})
        assert status == expected, answer
        if expected == 404:
            assert answer["error"]["type"] == "not_found_error"
            assert "a/b" in answer["error"]["message"]
            assert rig.provider.asked == []
        elif sent:
            assert rig.provider.asked[0].json["model"] == sent
        else:
            assert rig.provider.asked[0].path == AZURE_PATH.format("a%2Fb")


async def test_T_53_a_long_name_of_a_router_goes_out_verbatim(tmp_path: Path) -> None:
    said = {"BASE_URL": "https://router.example/api/v1", "BIG_MODEL_NAME": "anthropic/claude-x", **OPENAI}
    async with gateway(load(tmp_path, **said)) as rig:
        assert await asked(rig, "claude-sonnet-4") == ("/api/v1/chat/completions", "anthropic/claude-x")
    async with gateway(load(tmp_path, OPENAI_MODEL="anthropic/claude-x", DRAGOMAN_AUTH="open", **OPENAI)) as rig:
        assert (await asked(rig, "claude-sonnet-4"))[1] == "anthropic/claude-x"


# ---------------------------------------------------------------- T-54

NATIVE: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 4000,
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "system": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}, "cache_control": None},
              {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "See", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Let me look", "signature": "c2lnbmVkIGJ5IENsYXVkZQ=="},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"n": 12345678901234567890, "f": 1.50}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [
                {"type": "text", "text": "no"},
                {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}]}]},
    ],
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u" * 100},
    "field_of_tomorrow": {"a": [None]},
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_T_54_before_anthropic_everything_is_forwarded_natively(stream: bool, tmp_path: Path) -> None:
    body = json.dumps({**NATIVE, "stream": stream}, indent=1).encode()
    answer = {
        "id": "msg_up", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, {"type": "text", "text": "Hi"},
                    {"type": "block_of_tomorrow", "x": 1}],
        "stop_reason": "end_turn", "stop_sequence": None, "container": None,
        "usage": {"input_tokens": 4, "output_tokens": 1, "service_tier": "standard"},
    }  # fmt: skip
    frames = anthropic_events("He", "llo", model="claude-sonnet-4-5")
    async with gateway(load(tmp_path, PREFERRED_PROVIDER="anthropic", **ANTHROPIC)) as rig:
        rig.provider.script = replay(*frames) if stream else whole(answer)
        status, _, got = await rig.post("/v1/messages", body, anthropic_beta="context-1m-2025-08-07")
        assert status == 200
        [call] = rig.provider.asked
        assert call.body == body
        assert call.headers["anthropic-beta"] == "context-1m-2025-08-07"
        if stream:
            assert got == b"".join(frames)
        else:
            assert got == {**answer, "model": "claude-sonnet-4-5"}


async def test_T_54_only_the_model_is_replaced(tmp_path: Path) -> None:
    body = json.dumps({**NATIVE, "model": "anthropic/claude-opus-4"}).encode()
    async with gateway(load(tmp_path, PREFERRED_PROVIDER="anthropic", **ANTHROPIC)) as rig:
        status, _, got = await rig.post("/v1/messages", body)
        assert (status, got["model"]) == (200, "anthropic/claude-opus-4")
        assert rig.provider.asked[0].body == body.replace(b"anthropic/claude-opus-4", b"claude-opus-4")


# ---------------------------------------------------------------- T-55, T-56


async def test_T_55_google_with_only_a_gemini_key_asks_gemini(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, **GEMINI)) as rig:
        for name, target in (("claude-opus-4", "gemini-2.5-pro"), ("claude-haiku-4", "gemini-2.5-flash")):
            assert (await asked(rig, name))[0] == GEMINI_PATH.format(target)
    both = {**GEMINI, **OPENAI, "PREFERRED_PROVIDER": "google", "BIG_MODEL": "gpt-4.1"}
    async with gateway(load(tmp_path, **both)) as rig:
        assert await asked(rig, "claude-opus-4") == ("/v1/chat/completions", "gpt-4.1")
        assert (await asked(rig, "claude-haiku-4"))[0] == GEMINI_PATH.format("gemini-2.5-flash")


@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "claude-3-haiku", "claude-instant-1", "CLAUDE-9"])
async def test_T_56_one_call_with_the_backends_model(name: str, tmp_path: Path) -> None:
    async with gateway(load(tmp_path, OPENAI_MODEL="glm-4.6", DRAGOMAN_AUTH="open", **OPENAI)) as rig:
        assert await asked(rig, name) == ("/maas/v1/chat/completions", "glm-4.6")
        assert len(rig.provider.asked) == 1


# ---------------------------------------------------------------- T-57, C-19


async def effort(rig: Rig, model: str, **fields: Any) -> Any:
    """What the one call upstream says about effort."""
    rig.provider.script = answering(message("Hi"))
    status, _, answer = await rig.post("/v1/messages", {**ASK, "model": model, "max_tokens": 4000, **fields})
    assert status == 200, answer
    return rig.provider.asked[-1].json.get("reasoning", {}).get("effort")


ON = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


async def test_T_57_C_19_the_effort_follows_the_name_not_the_deployment(tmp_path: Path) -> None:
    said = {**AZURE, "BIG_MODEL": "one", "SMALL_MODEL": "one", "BIG_EFFORT": "high", "SMALL_EFFORT": "low"}
    async with gateway(load(tmp_path, DRAGOMAN_FAMILIES="one=gpt-5", **said)) as rig:
        assert await effort(rig, "claude-opus-4", **ON) == "high"
        assert await effort(rig, "claude-sonnet-4", thinking={"type": "adaptive"}) == "high"
        assert await effort(rig, "claude-haiku-4", **ON) == "low"
        assert await effort(rig, "azure/one", **ON) == "medium"
        assert await effort(rig, "one", thinking={"type": "enabled", "budget_tokens": 3000}) == "medium"
        for off in ({}, {"thinking": {"type": "disabled"}}, {"thinking": {"enabled": False}}):
            assert await effort(rig, "claude-opus-4", **off) is None


async def test_T_57_an_effort_the_family_does_not_know_becomes_the_next_higher(tmp_path: Path) -> None:
    said = {**AZURE, "BIG_MODEL": "one", "BIG_EFFORT": "minimal", "CURSOR_AZURE_DEPLOYMENT": "one"}
    async with gateway(load(tmp_path, DRAGOMAN_FAMILIES="one=gpt-5.1", **said)) as rig:
        assert await effort(rig, "claude-opus-4", **ON) == "low"
        rig.provider.script = answering(message("Hi"))
        status, _, _ = await rig.post("/cursor/chat/completions", {**CHAT_ASK, "model": "gpt-minimal"})
        assert status == 200
        assert rig.provider.asked[-1].json["reasoning"]["effort"] == "low"


async def test_C_44_names_with_a_date_find_their_map_entry() -> None:
    mapped = {"gpt-4o": "prod-4o", "gpt-3.5-turbo": "my-35"}
    azure: dict[str, Any] = {"kind": "azure_openai", "allow_private": True, "api_key": "k", "deployments": mapped}
    async with running() as probe:
        azure["base_url"] = f"http://127.0.0.1:{probe.provider.port}"
        said = {"providers": {"azure": azure}, "models": {"preferred": "azure", "unmapped": "error"}}
        async with running(settings=Settings.model_validate(said)) as rig:
            probe.provider.script = whole({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"},
                                                        "finish_reason": "stop"}]})  # fmt: skip
            names = {"gpt-4o": "prod-4o", "GPT-4o-2024-08-06": "prod-4o", "gpt-3.5-turbo-0613": "my-35"}
            for name, deployment in names.items():
                for path, body in (("/v1/messages", ASK), ("/v1/chat/completions", CHAT_ASK)):
                    assert (await rig.post(path, {**body, "model": name}))[0] == 200
                    assert probe.provider.asked[-1].path == AZURE_PATH.format(deployment)
            for path, body in (("/v1/messages", ASK), ("/v1/chat/completions", CHAT_ASK)):
                status, _, answer = await rig.post(path, {**body, "model": "gpt-4o-mini"})
                assert status == 404
                assert "Missing model mapper" in answer["error"]["message"]
                assert "gpt-3.5-turbo" in answer["error"]["message"]
