"""Presets: which one a set of variables means, and what it makes the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.settings import ConfigError
from dragoman.upstream.resolution import Resolver
from tests.compat.setups import TOKEN, gateway, load
from tests.relay.rig import ASK

AZURE = {"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "AZURE_OPENAI_API_KEY": "k"}
MARKERS = [
    ("chat_azure", {"RESOURCENAME": "acme"}),
    ("chat_azure", {"MAPPER_GPT35TUBER": "d"}),
    ("infiniproxy", {"OPENAI_MODEL": "glm-4.6"}),
    ("infiniproxy", {"PROXY_HOST": "localhost"}),
    ("infiniproxy", {"PROXY_PORT": "8000"}),
    ("infiniproxy", {"OPENAI_BASE_URL": "https://x.example/v1/chat/completions", "OPENAI_API_KEY": "k"}),
    ("claude-code-provider-proxy", {"BIG_MODEL_NAME": "a/b"}),
    ("claude-code-provider-proxy", {"SMALL_MODEL_NAME": "a/b"}),
    ("claude-code-provider-proxy", {"BASE_URL": "https://x.example/v1"}),
    ("claude-code-gpt-proxy", {"PREFERRED_PROVIDER": "openai"}),
    ("claude-code-gpt-proxy", {"GEMINI_API_KEY": "k"}),
    ("claude-code-gpt-proxy", {"USE_VERTEX_AUTH": "true"}),
    ("azuregptproxy", {"CURSOR_AZURE_DEPLOYMENT": "d"}),
    ("azuregptproxy", {"BIG_EFFORT": "low"}),
    ("azuregptproxy", {"SMALL_EFFORT": "low", "OPENAI_API_KEY": "k"}),
    ("azuregptproxy", {"ASPNETCORE_URLS": "http://+:8080"}),
    ("azuregptproxy", AZURE),
    ("claude-code-gpt-proxy", {**AZURE, "OPENAI_API_KEY": "k"}),
    ("claude-code-gpt-proxy", {"OPENAI_API_KEY": "k"}),
    ("claude-code-gpt-proxy", {"ANTHROPIC_API_KEY": "k"}),
    ("dragoman", {}),
    ("dragoman", {"PORT": "1", "LOG_LEVEL": "INFO", "ANTHROPIC_AUTH_TOKEN": TOKEN}),
]


@pytest.mark.parametrize(("name", "environment"), MARKERS)
def test_C_70_a_marker_chooses_the_preset_and_is_told(name: str, environment: dict[str, str], tmp_path: Path) -> None:
    settings = load(tmp_path, **environment)
    assert settings.preset == name
    assert any(variable in settings.preset_reason for variable in environment) or name == "dragoman"


def test_the_order_of_the_markers(tmp_path: Path) -> None:
    said = {
        "OPENAI_API_KEY": "k", "BIG_EFFORT": "low", "PREFERRED_PROVIDER": "openai", "BASE_URL": "https://x.example/v1",
        "OPENAI_MODEL": "m", "RESOURCENAME": "acme",
    }  # fmt: skip
    order = []
    while said:
        order.append(load(tmp_path, **said).preset)
        said.popitem()
    assert order == [
        "chat_azure", "infiniproxy", "claude-code-provider-proxy", "claude-code-gpt-proxy", "azuregptproxy",
        "claude-code-gpt-proxy",
    ]  # fmt: skip


DEFAULTS = [
    ("chat_azure", 8080, True, "azure", "error", 600, ["*"]),
    ("infiniproxy", 8000, True, "openai", "default", 300, []),
    ("claude-code-provider-proxy", 8000, False, "openai", "small", 600, []),
    ("claude-code-gpt-proxy", 8082, False, "openai", "passthrough", 600, []),
    ("azuregptproxy", 8080, False, "azure", "passthrough", 600, []),
    ("dragoman", 8080, False, "", "error", 600, []),
]


@pytest.mark.parametrize(("name", "port", "required", "provider", "unmapped", "timeout", "cors"), DEFAULTS)
def test_C_70_a_preset_can_be_named_and_sets_defaults(
    name: str, port: int, required: bool, provider: str, unmapped: str, timeout: float, cors: list[str], tmp_path: Path
) -> None:
    settings = load(tmp_path, DRAGOMAN_PRESET=name)
    assert settings.preset == name
    assert settings.preset_reason == "DRAGOMAN_PRESET says so"
    assert settings.server.port == port
    assert settings.auth.required is required
    assert settings.models.preferred == provider
    assert settings.models.unmapped == unmapped
    assert settings.timeout == timeout
    assert settings.server.cors_origins == cors
    assert list(settings.providers) == [provider or "sim"]


@pytest.mark.parametrize("name", [row[0] for row in DEFAULTS])
def test_C_70_every_explicit_variable_wins_over_the_preset(name: str, tmp_path: Path) -> None:
    settings = load(
        tmp_path, DRAGOMAN_PRESET=name.upper(), PORT="9", DRAGOMAN_AUTH="open", DRAGOMAN_UNMAPPED_MODEL="small",
        TIMEOUT="7", DRAGOMAN_CORS_ORIGINS="https://a.example", PREFERRED_PROVIDER="google",
        BIG_MODEL="b", SMALL_MODEL="s", LOG_FILE_PATH="x.jsonl",
    )  # fmt: skip
    assert settings.server.port == 9
    assert not settings.auth.required
    assert (settings.models.unmapped, settings.models.preferred) == ("small", "google")
    assert (settings.models.big, settings.models.small) == ("b", "s")
    assert settings.timeout == 7
    assert settings.server.cors_origins == ["https://a.example"]
    assert settings.log.json_file == "x.jsonl"


def test_an_unknown_preset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^DRAGOMAN_PRESET: 'x' is not one of auto, chat_azure, infiniproxy"):
        load(tmp_path, DRAGOMAN_PRESET="x")
    assert load(tmp_path, DRAGOMAN_PRESET="auto", OPENAI_API_KEY="k").preset == "claude-code-gpt-proxy"


def test_our_own_file_that_names_providers_is_no_ones_preset(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("version: 1\nproviders: {a: {kind: openai, api_key: '${OPENAI_API_KEY}'}}\n")
    settings = load(tmp_path, OPENAI_API_KEY="k", PROXY_PORT="81")
    assert (settings.preset, settings.server.port) == ("dragoman", 81)
    (tmp_path / "config.yaml").write_text("version: 1\nmodels: {small: tiny}\n")
    settings = load(tmp_path, OPENAI_API_KEY="k")
    assert settings.preset == "claude-code-gpt-proxy"
    assert (settings.models.big, settings.models.small) == ("gpt-4.1", "tiny")


# ---------------------------------------------------------------- models


def test_C_43_big_and_small_defaults_belong_to_one_preset(tmp_path: Path) -> None:
    names = ("gpt-4.1", "gpt-4.1-mini")
    for more in ({"OPENAI_API_KEY": "k"}, {"OPENAI_API_KEY": "k", "PREFERRED_PROVIDER": "azure", **AZURE}):
        models = load(tmp_path, **more).models
        assert (models.big, models.small) == names
    for more in (AZURE, {"RESOURCENAME": "acme", "APIKEY": "k"}, {"BASE_URL": "https://x.example/v1"}):
        models = load(tmp_path, **more).models
        assert (models.big, models.small) == ("", "")


def test_C_45_the_backends_model_serves_both_sizes_and_has_a_default(tmp_path: Path) -> None:
    settings = load(tmp_path, PROXY_PORT="8000", OPENAI_API_KEY="k")
    assert {settings.models.big, settings.models.small, settings.models.default} == {"glm-4.6"}
    assert settings.providers["openai"].base_url == "https://cloud.infini-ai.com/maas/v1"
    resolver = Resolver(load(tmp_path, OPENAI_MODEL="anthropic/claude-x", OPENAI_API_KEY="k"))
    for name in ("claude-opus-4", "claude-haiku-4", "claude-instant"):
        assert resolver.resolve(name).upstream_model == "anthropic/claude-x"
    assert resolver.resolve("other").upstream_model == "other"


def test_T_53_one_long_name_serves_both_with_a_note(tmp_path: Path) -> None:
    for variable in ("BIG_MODEL_NAME", "SMALL_MODEL_NAME"):
        settings = load(tmp_path, OPENAI_API_KEY="k", **{variable: "anthropic/claude-x"})
        assert settings.providers["openai"].base_url == "https://router.shengsuanyun.com/api/v1"
        assert {settings.models.big, settings.models.small} == {"anthropic/claude-x"}
        assert settings.models.big_verbatim
        assert settings.models.small_verbatim
        assert [note for note in settings.notes if note.startswith(variable)]
    both = load(tmp_path, OPENAI_API_KEY="k", BIG_MODEL_NAME="a/b", SMALL_MODEL_NAME="c/d")
    assert (both.models.big, both.models.small, both.notes) == ("a/b", "c/d", ())


async def test_T_53_a_name_with_a_slash_reaches_the_router_verbatim(tmp_path: Path) -> None:
    settings = load(
        tmp_path, OPENAI_API_KEY="k", BIG_MODEL_NAME="anthropic/claude-x", SMALL_MODEL_NAME="anthropic/claude-y"
    )
    async with gateway(settings) as rig:
        for asked, sent in (("claude-sonnet-4", "claude-x"), ("claude-haiku-4", "claude-y"), ("z-ai/glm", "claude-y")):
            status, _, _ = await rig.post("/v1/messages", {**ASK, "model": asked})
            assert status == 200
            assert rig.provider.asked[-1].json["model"] == f"anthropic/{sent}"
        headers = rig.provider.asked[-1].headers
        assert headers["x-title"] == "AnthropicProxy"
        assert headers["http-referer"] == "http://localhost:8080/claude_proxy"


def test_names_are_sent_upstream_only_by_that_preset_or_when_set(tmp_path: Path) -> None:
    assert load(tmp_path, OPENAI_API_KEY="k").providers["openai"].headers == {}
    said = load(tmp_path, OPENAI_API_KEY="k", APP_NAME="Ours").providers["openai"].headers
    assert {name: secret.get_secret_value() for name, secret in said.items()} == {"X-Title": "Ours"}


# ---------------------------------------------------------------- providers (§5.1)


@pytest.mark.parametrize(
    ("environment", "preferred"),
    [
        ({"OPENAI_API_KEY": "k", **AZURE}, "openai"),
        ({"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "openai"),
        ({"GEMINI_API_KEY": "k"}, "gemini"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic"),
        ({"BIG_EFFORT": "low", "OPENAI_API_KEY": "k"}, "openai"),
        ({**AZURE, "ANTHROPIC_API_KEY": "k"}, "azure"),
        # A shell that knows Claude Code's key must not become a backend that nobody named.
        ({"PROXY_PORT": "8000", "ANTHROPIC_API_KEY": "k"}, "openai"),
        ({"AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com", "ANTHROPIC_API_KEY": "k"}, "azure"),
    ],
)
def test_C_39_the_provider_without_a_preference(environment: dict[str, str], preferred: str, tmp_path: Path) -> None:
    assert Resolver(load(tmp_path, **environment)).preferred == preferred


def test_C_39_openai_and_azure_together_mean_openai_and_it_is_told(tmp_path: Path) -> None:
    assert "openai is used" in load(tmp_path, OPENAI_API_KEY="k", **AZURE).notes[0]


@pytest.mark.parametrize("word", ["openai", "google", "azure", "anthropic", "OpenAI", "ANTHROPIC"])
def test_C_39_the_preference_decides_in_any_case(word: str, tmp_path: Path) -> None:
    keys = {"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", **AZURE}
    expected = {"google": "gemini"}.get(word.lower(), word.lower())
    assert Resolver(load(tmp_path, PREFERRED_PROVIDER=word, **keys)).preferred == expected


def test_C_87_C_88_the_port_is_the_presets(tmp_path: Path) -> None:
    assert load(tmp_path, **AZURE).server.port == 8080
    assert load(tmp_path, OPENAI_API_KEY="k").server.port == 8082


async def test_an_unset_token_where_one_is_required_refuses_and_open_lets_in(tmp_path: Path) -> None:
    environment = {"OPENAI_MODEL": "glm-4.6", "OPENAI_API_KEY": "k"}
    async with gateway(load(tmp_path, **environment)) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 401
        assert (await rig.get("/health"))[0] == 200
        assert (await rig.get("/"))[2]["status"] == "running"
    async with gateway(load(tmp_path, **environment, DRAGOMAN_AUTH="open")) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200


def test_auth_auto_of_our_own_preset_follows_the_address(tmp_path: Path) -> None:
    for host, required in (("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True)):
        assert load(tmp_path, HOST=host).auth.required is required
        assert not load(tmp_path, HOST=host, OPENAI_API_KEY="k").auth.required
        assert not load(tmp_path, HOST=host, DRAGOMAN_AUTH="open").auth.required
