"""Where each kind of provider sends a call, in which dialect, and with which headers."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from dragoman.language.failures import Refused
from dragoman.language.ir import Media, Message, ReasoningSetting, Request, Text, Tool
from dragoman.language.wire import decode
from dragoman.settings import ConfigError, ProviderSettings, Secret, Settings
from dragoman.settings.model import ProviderKind
from dragoman.upstream.calls import Operation, UpstreamCall, UpstreamTrouble
from dragoman.upstream.providers import PROVIDERS, Provider, SimProvider, make_providers

KEY = "sk-canary-0123456789"
CLIENT = {
    "authorization": "Bearer client-token",
    "x-api-key": "client-token",
    "cookie": "session=client-token",
    "x-forwarded-for": "10.0.0.1",
    "x-claude-code-session-id": "s-1",
    "x-stainless-lang": "js",
    "user-agent": "claude-cli/2",
    "host": "evil.example",
    "accept-encoding": "gzip, br",
    "anthropic-beta": "a-2025,b-2025",
    "anthropic-version": "2023-01-01",
    "anthropic-workspace-id": "w",
    "openai-beta": "responses=v1",
}


def provider(kind: str, name: str = "p", **fields: Any) -> Provider:
    fields.setdefault("api_key", Secret(KEY))
    settings = Settings(providers={name: ProviderSettings(kind=kind, **fields)})  # type: ignore[arg-type]
    return make_providers(settings)[name]


def request(dialect: str = "anthropic", **fields: Any) -> Request:
    return Request(dialect, "m", [Message("user", [Text("hi")])], **fields)


async def call(
    made: Provider,
    model: str,
    *,
    surface: str = "anthropic",
    asked: Request | None = None,
    stream: bool = False,
    operation: Operation = "generate",
    body: bytes = b"{}",
) -> UpstreamCall:
    profile = made.profile(model, surface, asked)
    return await made.call(
        profile, model, body, stream=stream, client_headers=CLIENT, operation=operation, surface=surface
    )


async def url(made: Provider, model: str, **how: Any) -> str:
    return (await call(made, model, **how)).url


def test_settings_accept_every_kind_and_no_other() -> None:
    assert set(get_args(ProviderKind)) == set(PROVIDERS)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", "https://api.openai.com/v1/chat/completions"),
        ("https://r.example", "https://r.example/v1/chat/completions"),
        ("https://r.example/", "https://r.example/v1/chat/completions"),
        ("https://r.example/v1/", "https://r.example/v1/chat/completions"),
        ("https://r.example:8443/api/v1/chat/completions", "https://r.example:8443/api/v1/chat/completions"),
        ("https://r.example/chat/completions", "https://r.example/chat/completions"),
    ],
)
async def test_openai_addresses(base: str, expected: str) -> None:
    assert await url(provider("openai", base_url=base), "gpt-4.1") == expected


@pytest.mark.parametrize("base", ["", "https://api.anthropic.com", "https://api.anthropic.com/v1/"])
async def test_anthropic_addresses(base: str) -> None:
    made = provider("anthropic", base_url=base)
    assert await url(made, "claude-x") == "https://api.anthropic.com/v1/messages"
    assert await url(made, "claude-x", operation="count_tokens") == "https://api.anthropic.com/v1/messages/count_tokens"
    assert (await call(made, "", operation="models")).method == "GET"
    assert await url(provider("anthropic", base_url="https://p.example/anthropic"), "c") == (
        "https://p.example/anthropic/v1/messages"
    )


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("", "https://generativelanguage.googleapis.com/v1beta"),
        ("https://g.example", "https://g.example/v1beta"),
        ("https://g.example/v1beta/", "https://g.example/v1beta"),
        ("https://g.example/v1", "https://g.example/v1"),
    ],
)
async def test_gemini_addresses(base: str, root: str) -> None:
    made = provider("gemini", base_url=base)
    assert await url(made, "gemini-2.5-pro") == f"{root}/models/gemini-2.5-pro:generateContent"
    assert await url(made, "gemini-2.5-pro", stream=True) == (
        f"{root}/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    )
    assert await url(made, "models/gemini-x", operation="count_tokens") == f"{root}/models/gemini-x:countTokens"
    assert await url(made, "tunedModels/mine") == f"{root}/tunedModels/mine:generateContent"
    signed = await call(made, "gemini-2.5-pro")
    assert signed.headers["x-goog-api-key"] == KEY
    assert "key=" not in signed.url


V = "publishers/google/models/g:generateContent"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, f"https://aiplatform.googleapis.com/v1/{V}"),
        (
            {"project": "acme", "location": "global"},
            f"https://aiplatform.googleapis.com/v1/projects/acme/locations/global/{V}",
        ),
        (
            {"project": "acme", "location": "europe-west4", "api_key": None},
            f"https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4/{V}",
        ),
        (
            {"project": "acme", "location": "eu", "api_key": None},
            f"https://aiplatform.eu.rep.googleapis.com/v1/projects/acme/locations/eu/{V}",
        ),
        (
            {"project": "acme", "location": "l", "base_url": "https://v.example/v1beta1/"},
            f"https://v.example/v1beta1/projects/acme/locations/l/{V}",
        ),
        ({"base_url": "https://v.example"}, f"https://v.example/v1/{V}"),
    ],
)
def test_vertex_addresses(fields: dict[str, Any], expected: str) -> None:
    made = provider("vertex", **fields)
    path = made._path(made.profile("g", "gemini", None), "g", False, "generate")
    assert made._origin + path == expected


async def test_V08_claude_on_vertex_has_its_model_in_the_path() -> None:
    made = provider("vertex", project="acme", location="us-east5", base_url="https://v.example/v1")
    body = b'{"model":"claude-x@2025","max_tokens":5,"messages":[]}'
    signed = await call(made, "claude-x@20250219", stream=True, body=body)
    assert signed.url.endswith("/publishers/anthropic/models/claude-x@20250219:streamRawPredict")
    assert decode(signed.body) == {"max_tokens": 5, "messages": [], "anthropic_version": "vertex-2023-10-16"}
    assert "anthropic-version" not in signed.headers
    counted = await call(made, "claude-x", operation="count_tokens", body=body)
    assert counted.url.endswith("/publishers/anthropic/models/count-tokens:rawPredict")
    assert decode(counted.body)["model"] == "claude-x@2025"


# ---------------------------------------------------------------- Azure


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://r.openai.azure.com:444",
        "https://r.openai.azure.com:444/",
        "https://r.openai.azure.com:444/openai/responses?api-version=2025-04-01-preview",
        "https://r.openai.azure.com:444/openai/v1",
    ],
)
@pytest.mark.parametrize("version", ["", "2025-05-01-preview"])
async def test_V02_T45_azure_endpoint_forms(endpoint: str, version: str) -> None:
    made = provider("azure_openai", base_url=endpoint, api_version=version)
    given = version or ("2025-04-01-preview" if "?" in endpoint else "")
    chat = await url(made, "d", surface="openai_chat")
    root = "https://r.openai.azure.com:444/openai"
    if endpoint.endswith("/v1") and not version:
        assert chat == f"{root}/v1/chat/completions"
    else:
        assert chat == f"{root}/deployments/d/chat/completions?api-version={given or '2024-10-21'}"
    responses = await url(made, "d", surface="openai_responses")
    if endpoint.endswith("/v1"):
        assert responses == f"{root}/v1/responses"
    else:
        assert responses == f"{root}/responses?api-version={given or '2025-04-01-preview'}"


async def test_V02_azure_model_inference_form() -> None:
    made = provider("azure_openai", base_url="https://r.services.ai.azure.com/models")
    assert await url(made, "Kimi-K2.5") == (
        "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
    )


async def test_T46_an_old_version_serves_chat_and_not_responses() -> None:
    made = provider("azure_openai", base_url="https://r.openai.azure.com", api_version="2024-10-21")
    assert (await url(made, "d", surface="openai_responses")).endswith("responses?api-version=2025-04-01-preview")
    assert (await url(made, "d", surface="openai_chat")).endswith("completions?api-version=2024-10-21")
    assert (await call(made, "d")).headers["api-key"] == KEY
    assert "authorization" not in (await call(made, "d")).headers


async def test_a_pasted_bearer_is_removed_from_a_key() -> None:
    made = provider("azure_openai", base_url="https://r.openai.azure.com", api_key=Secret(f"Bearer {KEY}"))
    assert (await call(made, "d")).headers["api-key"] == KEY


async def test_text_completions_pass_through() -> None:
    azure = provider("azure_openai", base_url="https://r.openai.azure.com")
    assert await url(azure, "d", operation="complete") == (
        "https://r.openai.azure.com/openai/deployments/d/completions?api-version=2024-10-21"
    )
    assert await url(provider("openai"), "gpt-3.5", operation="complete") == "https://api.openai.com/v1/completions"
    with pytest.raises(Refused):
        await url(provider("anthropic"), "c", operation="complete")


# ---------------------------------------------------------------- which dialect

FUNCTION = Tool("f", "", {})


def dialect(made: Provider, model: str, surface: str, asked: Request | None = None, family: str = "") -> str:
    return made.profile(model, surface, asked, family=family).dialect


def test_a_client_of_openai_keeps_its_own_surface() -> None:
    made = provider("openai")
    assert dialect(made, "gpt-4.1", "openai_chat") == "openai_chat"
    assert dialect(made, "gpt-4.1", "openai_responses") == "openai_responses"
    assert dialect(made, "gpt-5", "openai_chat", request("openai_chat")) == "openai_chat"


def test_R14_tools_with_reasoning_go_to_responses() -> None:
    made = provider("openai")
    tools = request("openai_chat", tools=[FUNCTION])
    assert dialect(made, "gpt-5.4", "openai_chat", tools) == "openai_responses"
    off = request("openai_chat", tools=[FUNCTION], reasoning=ReasoningSetting(effort="none"))
    assert dialect(made, "gpt-5.4", "openai_chat", off) == "openai_chat"
    assert dialect(made, "gpt-5.4", "openai_chat", request("openai_chat")) == "openai_chat"
    assert dialect(made, "gpt-4.1", "openai_chat", tools) == "openai_chat"


def test_the_setting_decides_and_compatible_services_speak_chat() -> None:
    assert dialect(provider("openai", api="chat"), "gpt-5.4", "openai_responses") == "openai_chat"
    assert dialect(provider("openai", api="responses"), "gpt-4.1", "anthropic") == "openai_responses"
    compatible = provider("openai_compatible", base_url="https://c.example/v1")
    assert dialect(compatible, "gpt-5.4", "openai_responses", request(tools=[FUNCTION])) == "openai_chat"
    assert dialect(provider("openai_compatible", base_url="https://c.example", api="responses"), "m", "anthropic") == (
        "openai_responses"
    )


def test_T47_families_of_deployments() -> None:
    made = provider(
        "azure_openai", base_url="https://r.example", families={"prod-main": "gpt-5", "x": "other:responses"}
    )
    assert made.profile("prod-main", "anthropic", None).family == "gpt-5"
    assert dialect(made, "prod-main", "anthropic") == "openai_responses"
    assert dialect(made, "x", "anthropic") == "openai_responses"
    assert dialect(made, "unknown", "anthropic") == "openai_chat"
    assert dialect(made, "unknown", "anthropic", family="gpt-5") == "openai_responses"


def test_families_of_the_environment_hold_for_every_provider() -> None:
    settings = Settings.model_validate(
        {"providers": {"p": {"kind": "openai"}}, "models": {"families": {"mine": "gpt-5"}}}
    )
    assert make_providers(settings)["p"].profile("mine", "anthropic", None).family == "gpt-5"


def test_documents_on_azure_go_to_responses_when_the_family_takes_them() -> None:
    made = provider("azure_openai", base_url="https://r.example")
    asked = Request("anthropic", "m", [Message("user", [Media("document", "base64", "aGk=", "application/pdf")])])
    taken = bool(made.profile("gpt-4.1", "openai_responses", None).media.get("document"))
    assert dialect(made, "gpt-4.1", "anthropic", asked) == ("openai_responses" if taken else "openai_chat")
    assert dialect(made, "gpt-4.1", "openai_chat", asked) == "openai_chat"


def test_an_anthropic_body_with_responses_fields_goes_to_responses() -> None:
    asked = request(extras={"anthropic": {"previous_response_id": "r"}})
    assert dialect(provider("openai"), "gpt-4.1", "anthropic", asked) == "openai_responses"


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("anthropic", {}, "anthropic"),
        ("gemini", {}, "gemini"),
        ("vertex", {}, "gemini"),
        ("sim", {}, "openai_chat"),
        ("sim", {"api": "gemini"}, "gemini"),
        ("sim", {"api": "anthropic"}, "anthropic"),
        ("sim", {"api": "responses"}, "openai_responses"),
    ],
)
def test_other_kinds_have_one_dialect(kind: str, fields: dict[str, Any], expected: str) -> None:
    assert dialect(provider(kind, **fields), "m", "openai_chat") == expected


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
@pytest.mark.parametrize("surface", ["anthropic", "openai_chat", "openai_responses", "gemini"])
async def test_X13_nothing_of_the_client_leaks(kind: str, surface: str) -> None:
    fields = {"base_url": "https://p.example/v1"} if kind != "sim" else {"base_url": "http://127.0.0.1:1"}
    signed = await call(provider(kind, **fields), "m", surface=surface, stream=True)
    own = {"content-type", "accept", "user-agent", "authorization", "x-api-key", "api-key", "x-goog-api-key"}
    let_through = set(signed.headers) - own
    if kind == "anthropic" and surface == "anthropic":
        assert let_through == {"anthropic-beta", "anthropic-version", "anthropic-workspace-id"}
        assert signed.headers["anthropic-version"] == "2023-01-01"
    elif kind == "anthropic":
        assert let_through == {"anthropic-version"}
        assert signed.headers["anthropic-version"] == "2023-06-01"
    else:
        assert let_through <= {"openai-beta"}
    assert "client-token" not in str(dict(signed.headers))
    assert signed.headers["user-agent"].startswith("dragoman/")
    assert signed.headers["accept"] == "text/event-stream"


async def test_X13_control_characters_are_refused() -> None:
    made = provider("anthropic")
    profile = made.profile("c", "anthropic", None)
    for bad in ("a\r\nx: y", "a\x00", "é"):
        with pytest.raises(Refused, match="anthropic-beta"):
            await made.call(profile, "c", b"{}", stream=False, client_headers={"anthropic-beta": bad})


async def test_headers_of_the_settings_are_added() -> None:
    made = provider("openai", headers={"X-Title": Secret("mine"), "OpenAI-Organization": Secret("org")})
    headers = (await call(made, "m")).headers
    assert (headers["x-title"], headers["openai-organization"]) == ("mine", "org")


@pytest.mark.parametrize(
    "model", ["../../x", "a/b", "x?key=1", "a#b", "x%2e%2e", "m:generateContent/../../y", "a b\r\nc"]
)
@pytest.mark.parametrize("kind", ["gemini", "azure_openai", "vertex"])
async def test_X07_a_models_name_never_leaves_its_segment(kind: str, model: str) -> None:
    made = provider(kind, base_url="https://p.example/v1")
    path = (await url(made, model, surface="openai_chat")).removeprefix("https://p.example/")
    plain = (await url(made, "m", surface="openai_chat")).removeprefix("https://p.example/")
    assert path.count("/") == plain.count("/")
    assert path.count("?") == plain.count("?")
    assert not set(path) & set(" #\r\n")


@pytest.mark.parametrize("model", ["", ".", "..", "x" * 600])
async def test_names_that_are_no_names_are_refused(model: str) -> None:
    with pytest.raises(Refused):
        await url(provider("gemini"), model)


def test_X11_keys_never_print() -> None:
    made = provider("openai", headers={"x-org": Secret(KEY)})
    assert KEY not in repr(made)
    assert KEY not in repr(made._credentials)
    assert KEY not in repr(made.settings)


async def test_X11_calls_never_print_their_headers() -> None:
    assert KEY not in repr(await call(provider("openai"), "m"))


# ---------------------------------------------------------------- not ready


async def test_an_unconfigured_provider_names_what_is_missing() -> None:
    made = provider("openai", api_key=None, missing="OPENAI_API_KEY")
    with pytest.raises(UpstreamTrouble, match="set OPENAI_API_KEY") as caught:
        await call(made, "m")
    assert caught.value.failure.http_status == 500


async def test_the_simulated_provider_may_get_its_address_late() -> None:
    made = provider("sim")
    assert isinstance(made, SimProvider)
    assert made.base_url == ""
    with pytest.raises(UpstreamTrouble):
        await call(made, "m")
    made.base_url = "http://127.0.0.1:40123"
    signed = await call(made, "m")
    assert signed.url == "http://127.0.0.1:40123/v1/chat/completions"
    assert signed.allow_private
    gemini = provider("sim", api="gemini", base_url="http://127.0.0.1:1")
    assert await url(gemini, "m", stream=True) == ("http://127.0.0.1:1/v1beta/models/m:streamGenerateContent?alt=sse")


async def test_a_service_without_key_is_called_unsigned() -> None:
    signed = await call(provider("openai_compatible", base_url="https://c.example/v1", api_key=None), "m")
    assert "authorization" not in signed.headers


def test_a_private_address_is_a_configuration_error() -> None:
    with pytest.raises(ValueError, match="allow_private"):
        provider("openai", base_url="http://127.0.0.1:1/v1")
    loose = ProviderSettings.model_construct(kind="openai", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match=r"providers\.p\.base_url points to a private address"):
        PROVIDERS["openai"]("p", loose)
