"""Azure as it stands: every form of URL, key or token, both surfaces, against a server that takes nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from dragoman.settings import ProviderSettings, Secret
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.credentials import EntraToken
from dragoman.upstream.providers.azure import AzureOpenAI
from tests.upstream.azure_server import KEY, AzureServer, azure

CHAT = {"model": "prod-main", "messages": [{"role": "user", "content": "hi"}]}
RESPONSES = {"model": "prod-main", "input": "hi"}


def account(base: str, **fields: Any) -> AzureOpenAI:
    fields.setdefault("api_key", Secret(KEY))
    said = ProviderSettings(kind="azure_openai", base_url=base, allow_private=True, **fields)
    return AzureOpenAI("azure", said)


async def ask(made: AzureOpenAI, surface: str, model: str = "prod-main") -> tuple[int, Any]:
    profile = made.profile(model, surface, None)
    body = json.dumps(RESPONSES if profile.dialect == "openai_responses" else CHAT).encode()
    call = await made.call(profile, model, body, stream=False, client_headers={}, surface=surface)
    client = UpstreamClient()
    try:
        async with await client.open(call) as answer:
            return answer.status, json.loads(await answer.read())
    finally:
        await client.close()


@pytest.mark.parametrize("path", ["", "/", "/openai/responses?api-version=2025-04-01-preview", "/api/projects/p"])
async def test_V02_the_dated_form_serves_both_surfaces(path: str) -> None:
    async with azure() as server:
        made = account(server.url + path)
        assert (await ask(made, "openai_chat"))[0] == 200
        status, answer = await ask(made, "openai_responses")
        assert (status, answer["object"]) == (200, "response")
    version = "2025-04-01-preview" if "?" in path else "2024-10-21"
    assert server.asked[0][0] == f"/openai/deployments/prod-main/chat/completions?api-version={version}"
    assert server.asked[1][0] == "/openai/responses?api-version=2025-04-01-preview"
    assert [headers["api-key"] for _, headers, _ in server.asked] == [KEY, KEY]
    assert all("authorization" not in headers for _, headers, _ in server.asked)


@pytest.mark.parametrize(
    ("path", "version", "query"),
    [
        ("/openai/v1", "", ""),
        ("/openai/v1/", "", ""),
        ("/openai/v1/chat/completions", "", ""),
        ("/openai/v1?api-version=preview", "", "?api-version=preview"),
        ("", "preview", "?api-version=preview"),
        ("", "latest", "?api-version=latest"),
        ("", "v1", ""),
    ],
)
async def test_V02_the_undated_form_serves_both_surfaces(path: str, version: str, query: str) -> None:
    async with azure() as server:
        made = account(server.url + path, api_version=version)
        assert (await ask(made, "openai_chat"))[0] == 200
        assert (await ask(made, "openai_responses"))[0] == 200
    assert [target for target, _, _ in server.asked] == [
        f"/openai/v1/chat/completions{query}",
        f"/openai/v1/responses{query}",
    ]


async def test_V02_the_inference_form_has_its_model_in_the_body() -> None:
    async with azure() as server:
        made = account(f"{server.url}/models")
        assert (await ask(made, "openai_chat"))[0] == 200
        assert (await ask(made, "openai_responses"))[0] == 200
    assert [target for target, _, _ in server.asked] == [
        "/models/chat/completions?api-version=2024-05-01-preview",
        "/openai/v1/responses",
    ]


async def test_T_46_the_older_version_is_said_once() -> None:
    async with azure() as server:
        made = account(server.url, api_version="2024-10-21")
        with capture_logs() as lines:
            for _ in range(3):
                assert (await ask(made, "openai_responses"))[0] == 200
        assert (await ask(made, "openai_chat"))[0] == 200
    targets = [target for target, _, _ in server.asked]
    assert targets[:3] == ["/openai/responses?api-version=2025-04-01-preview"] * 3
    assert targets[3].endswith("api-version=2024-10-21")
    [line] = [line for line in lines if "has no Responses" in line["event"]]
    assert (line["configured"], line["used"]) == ("2024-10-21", "2025-04-01-preview")


@pytest.mark.parametrize(("version", "asks"), [("2023-05-15", False), ("2024-10-21", True), ("", True)])
def test_U06_versions_that_know_no_stream_options_are_not_sent_any(version: str, asks: bool) -> None:
    made = account("http://127.0.0.1:1", api_version=version)
    assert made.profile("prod-main", "openai_chat", None).stream_usage is asks


async def test_a_wrong_key_and_an_unknown_deployment_are_told_apart() -> None:
    async with azure() as server:
        assert (await ask(account(server.url, api_key=Secret("wrong-key-9")), "openai_chat"))[0] == 401
        assert (await ask(account(server.url), "openai_chat", "nowhere"))[0] == 404


async def test_a_bearer_token_takes_the_place_of_the_key() -> None:
    async with azure(bearer={"entra-token"}) as server:
        made = account(server.url, api_key=None, auth="entra")
        credential = made._credentials[0]
        assert isinstance(credential, EntraToken)
        credential._fetch = _token_of(server)
        assert (await ask(made, "openai_responses"))[0] == 200
    assert "api-key" not in server.asked[0][1]


def _token_of(server: AzureServer) -> Any:
    from dragoman.upstream.credentials import Token

    return lambda: Token(next(iter(server.bearer)), 4e9)


@pytest.mark.parametrize(
    ("family", "surface", "dialect"),
    [
        ("gpt-5", "anthropic", "openai_responses"),
        ("gpt-5:chat", "anthropic", "openai_chat"),
        ("classic", "anthropic", "openai_chat"),
        ("classic:responses", "anthropic", "openai_responses"),
        ("", "anthropic", "openai_chat"),
    ],
)
def test_T_47_the_family_of_a_deployment_chooses_the_surface(family: str, surface: str, dialect: str) -> None:
    made = account("http://127.0.0.1:1", families={"prod-main": family} if family else {})
    assert made.profile("prod-main", surface, None).dialect == dialect


def test_T_47_a_guessed_family_is_said_once_per_deployment() -> None:
    made = account("http://127.0.0.1:1", families={"known": "gpt-5"})
    with capture_logs() as lines:
        for model in ("prod-main", "prod-main", "gpt-5-eu", "known"):
            made.profile(model, "anthropic", None)
    assert [(line["deployment"], line["family"]) for line in lines] == [("prod-main", "other"), ("gpt-5-eu", "gpt-5")]
