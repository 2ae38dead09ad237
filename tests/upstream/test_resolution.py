"""Which provider serves a name: the rules, in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.language.failures import Refused
from dragoman.settings import load_settings
from dragoman.upstream.resolution import Resolver

FILE = """
version: 1
providers:
  local: {kind: openai_compatible, base_url: 'https://local.example/v1'}
  azure-prod: {kind: azure_openai, endpoint: 'https://r.openai.azure.com', deployments: {gpt-4o: prod-4o}}
routes:
  fast:
    aliases: [claude-haiku-9]
    targets: [{provider: local, model: qwen, profile: gpt-5}, {provider: azure-prod, model: x}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def resolver(folder: Path, file: str = "", **environment: str) -> Resolver:
    if file:
        (folder / "config.yaml").write_text(file)
    return Resolver(load_settings(environment=environment, folder=folder))


def target(found: Resolver, model: str, surface: str = "anthropic") -> tuple[str, str, str]:
    resolved = found.resolve(model, surface=surface)
    return resolved.provider_name, resolved.upstream_model, resolved.rule


def refusal(found: Resolver, model: str) -> Refused:
    with pytest.raises(Refused) as caught:
        found.resolve(model)
    return caught.value


def test_with_nothing_configured_every_name_is_simulated(folder: Path) -> None:
    found = resolver(folder)
    for model in ("claude-sonnet-4-5", "gpt-9", "a/b", "openai/x"):
        assert target(found, model) == ("sim", model, "sim")


def test_C38_haiku_is_small_sonnet_and_opus_are_big(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k")
    assert target(found, "claude-3-5-HAIKU-20241022") == ("openai", "gpt-4.1-mini", "small")
    assert target(found, "claude-sonnet-4-5") == ("openai", "gpt-4.1", "big")
    assert target(found, "claude-opus-4-1") == ("openai", "gpt-4.1", "big")
    assert target(found, "gpt-5.2") == ("openai", "gpt-5.2", "passthrough")
    assert target(found, "claude-instant") == ("openai", "claude-instant", "passthrough")


def test_a_chat_clients_name_is_taken_at_its_word(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k")
    assert target(found, "claude-sonnet-4-5", "openai_chat") == ("openai", "claude-sonnet-4-5", "passthrough")
    assert target(found, "openai/gpt-5-opus", "openai_chat") == ("openai", "gpt-5-opus", "prefix")


def test_T57_efforts_follow_the_rule_and_not_the_target(folder: Path) -> None:
    found = resolver(
        folder, OPENAI_API_KEY="k", BIG_MODEL="m", SMALL_MODEL="m", BIG_EFFORT="high", SMALL_EFFORT="minimal"
    )
    assert found.resolve("claude-opus-4").effort == "high"
    assert found.resolve("claude-haiku-4").effort == "minimal"
    assert found.resolve("gpt-5").effort is None
    assert resolver(folder, OPENAI_API_KEY="k").resolve("claude-opus-4").effort is None


def test_prefixes(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k", AZURE_OPENAI_ENDPOINT="https://r.example", AZURE_OPENAI_API_KEY="k")
    assert found.preferred == "openai"
    assert target(found, "azure/My-Deployment") == ("azure", "My-Deployment", "prefix")
    assert target(found, "OpenAI/gpt-5") == ("openai", "gpt-5", "prefix")
    assert target(found, "openai/claude-3-haiku") == ("openai", "gpt-4.1-mini", "small")
    assert target(found, "anthropic/claude-opus-4") == ("openai", "gpt-4.1", "big")
    assert target(found, "openai/meta/llama") == ("openai", "meta/llama", "prefix")
    refused = refusal(found, "gemini/gemini-2.5-pro")
    assert refused.kind == "invalid_request"
    assert "gemini is not configured: set GEMINI_API_KEY" in refused.message


def test_T53_other_slashes_belong_to_the_name(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k", OPENAI_BASE_URL="https://router.example/api/v1")
    assert target(found, "z-ai/glm-4.6") == ("openai", "z-ai/glm-4.6", "passthrough")
    assert target(found, "/x") == ("openai", "/x", "passthrough")


def test_T53_long_names_are_verbatim_and_one_serves_for_both(folder: Path) -> None:
    found = resolver(
        folder, OPENAI_API_KEY="k", BASE_URL="https://router.example/api/v1", BIG_MODEL_NAME="anthropic/claude-x"
    )
    assert target(found, "claude-opus-4") == ("openai", "anthropic/claude-x", "big")
    assert target(found, "claude-haiku-4") == ("openai", "anthropic/claude-x", "small")
    assert target(found, "some-other") == ("openai", "anthropic/claude-x", "fallback_small")


def test_short_names_may_carry_a_prefix(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k", GEMINI_API_KEY="k", BIG_MODEL="gemini/gemini-2.5-pro")
    assert target(found, "claude-opus-4") == ("gemini", "gemini-2.5-pro", "big")


def test_T55_google_takes_gemini_names_and_openai_the_others(folder: Path) -> None:
    only = resolver(folder, GEMINI_API_KEY="k", PREFERRED_PROVIDER="google")
    assert target(only, "claude-opus-4") == ("gemini", "gemini-2.5-pro", "big")
    assert target(only, "claude-haiku-4") == ("gemini", "gemini-2.5-flash", "small")
    assert target(only, "gemini-9-new") == ("gemini", "gemini-9-new", "passthrough")
    assert "OPENAI_API_KEY" in refusal(only, "gpt-4.1").message
    both = resolver(folder, GEMINI_API_KEY="k", PREFERRED_PROVIDER="google", OPENAI_API_KEY="k", BIG_MODEL="gpt-4.1")
    assert target(both, "claude-opus-4") == ("openai", "gpt-4.1", "big")
    assert target(both, "claude-haiku-4") == ("gemini", "gemini-2.5-flash", "small")


def test_C36_vertex_serves_googles_names(folder: Path) -> None:
    found = resolver(
        folder,
        USE_VERTEX_AUTH="true",
        VERTEX_PROJECT="p",
        VERTEX_LOCATION="l",
        GEMINI_API_KEY="k",
        PREFERRED_PROVIDER="google",
    )
    assert target(found, "claude-sonnet-4") == ("vertex", "gemini-2.5-pro", "big")
    assert target(found, "gemini/gemini-3") == ("vertex", "gemini-3", "prefix")


def test_C42_anthropic_keeps_every_name(folder: Path) -> None:
    found = resolver(folder, ANTHROPIC_API_KEY="k")
    assert target(found, "claude-sonnet-4-5") == ("anthropic", "claude-sonnet-4-5", "anthropic")
    assert target(found, "anthropic/claude-3-haiku") == ("anthropic", "claude-3-haiku", "prefix")


def test_azure_without_models_uses_the_name_as_deployment(folder: Path) -> None:
    found = resolver(folder, AZURE_OPENAI_ENDPOINT="https://r.example", AZURE_OPENAI_API_KEY="k")
    assert target(found, "claude-opus-4") == ("azure", "claude-opus-4", "passthrough")


def test_T56_the_default_serves_claude_names(folder: Path) -> None:
    found = resolver(folder, OPENAI_API_KEY="k", OPENAI_MODEL="glm-4.6")
    assert target(found, "claude-sonnet-4-5") == ("openai", "glm-4.6", "big")
    assert target(found, "claude-instant") == ("openai", "glm-4.6", "default")
    assert target(found, "other") == ("openai", "other", "passthrough")


def test_routes_and_deployments_come_first(folder: Path) -> None:
    found = resolver(folder, FILE)
    assert target(found, "FAST") == ("local", "qwen", "route")
    assert found.resolve("fast").family == "gpt-5"
    assert target(found, "claude-haiku-9") == ("local", "qwen", "route")
    assert target(found, "gpt-4o") == ("azure-prod", "prod-4o", "deployment")
    assert target(found, "gpt-4o-2024-08-06") == ("azure-prod", "prod-4o", "deployment")
    assert target(found, "gpt-4o-0613") == ("azure-prod", "prod-4o", "deployment")
    assert target(found, "local/openai/claude-haiku") == ("local", "openai/claude-haiku", "prefix")
    assert target(found, "azure/d") == ("azure-prod", "d", "prefix")


def test_an_unmapped_name_is_not_found_and_the_known_ones_are_told(folder: Path) -> None:
    refused = refusal(resolver(folder, FILE), "claude-sonnet-4-5")
    assert refused.kind == "not_found"
    assert "Missing model mapper" in refused.message
    for name in ("fast", "claude-haiku-9", "gpt-4o", "local/<model>"):
        assert name in refused.message
    assert len(refusal(resolver(folder, FILE), "x" * 5000).message) < 400


def test_policies_can_be_chosen(folder: Path) -> None:
    assert refusal(resolver(folder, OPENAI_API_KEY="k", DRAGOMAN_UNMAPPED_MODEL="error"), "gpt-9").kind == "not_found"
    small = resolver(folder, OPENAI_API_KEY="k", DRAGOMAN_UNMAPPED_MODEL="small")
    assert target(small, "gpt-9") == ("openai", "gpt-4.1-mini", "fallback_small")
    one = "version: 1\nproviders: {only: {kind: openai}}\nmodels: {unmapped: passthrough, big: gpt-5}\n"
    assert target(resolver(folder, one), "gpt-9") == ("only", "gpt-9", "passthrough")
    assert target(resolver(folder, one), "claude-opus") == ("only", "gpt-5", "big")


def test_a_call_without_a_name_needs_a_default(folder: Path) -> None:
    assert target(resolver(folder, OPENAI_API_KEY="k", DRAGOMAN_DEFAULT_MODEL="gpt-5"), "")[1] == "gpt-5"
    assert refusal(resolver(folder, OPENAI_API_KEY="k"), "").path == "model"
