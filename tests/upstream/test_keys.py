"""Several keys of one account: in order, each once, and each call signed with the one that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.settings import ProviderSettings, Secret, Settings
from dragoman.upstream.credentials import FreshToken, Token
from dragoman.upstream.providers import PROVIDERS, Provider

HEADER = {
    "openai": "authorization",
    "openai_compatible": "authorization",
    "azure_openai": "api-key",
    "anthropic": "x-api-key",
    "gemini": "x-goog-api-key",
    "vertex": "x-goog-api-key",
}


def account(kind: str, **fields: Any) -> Provider:
    said = ProviderSettings(kind=kind, base_url="https://p.example/v1", **fields)  # type: ignore[arg-type]
    return PROVIDERS[kind]("p", said)


async def signature(made: Provider, key: int) -> str:
    profile = made.profile("m", "openai_chat", None)
    call = await made.call(profile, "m", b"{}", stream=False, client_headers={}, key=key)
    return next(value for name, value in call.headers.items() if name in HEADER.values()).removeprefix("Bearer ")


@pytest.mark.parametrize("kind", sorted(HEADER))
async def test_each_key_signs_its_own_calls(kind: str) -> None:
    made = account(kind, api_key=Secret("first-key"), api_keys=[Secret("Bearer second-key"), Secret("third-key")])
    assert made.keys == 3
    assert [await signature(made, key) for key in range(3)] == ["first-key", "second-key", "third-key"]


async def test_a_list_alone_is_enough_and_a_key_counts_once() -> None:
    made = account("openai", api_keys=[Secret("a-key"), Secret("b-key"), Secret("a-key")])
    assert made.keys == 2
    assert [await signature(made, key) for key in range(2)] == ["a-key", "b-key"]


def test_an_account_without_a_key_has_one_way_to_sign() -> None:
    assert account("openai_compatible").keys == 1
    assert account("vertex", project="acme").keys == 1


async def test_a_refused_key_is_not_worth_another_try() -> None:
    made = account("openai", api_key=Secret("a-key"))
    call = await made.call(made.profile("m", "openai_chat", None), "m", b"{}", stream=False, client_headers={})
    assert not made.credential_failed(0, call)


async def test_a_refused_token_is() -> None:
    made = account("vertex", project="acme")
    tokens = iter([Token("old", 4e9), Token("new", 4e9)])
    now = [0.0]
    made._credentials = (FreshToken(lambda: next(tokens), lambda: now[0]),)
    profile = made.profile("gemini-2.5-pro", "gemini", None)
    call = await made.call(profile, "gemini-2.5-pro", b"{}", stream=False, client_headers={})
    now[0] = 100.0
    assert made.credential_failed(0, call)
    again = await made.call(profile, "gemini-2.5-pro", b"{}", stream=False, client_headers={})
    assert again.headers["authorization"] == "Bearer new"
    assert not made.credential_failed(0, again), "it is as new as can be"


def test_X11_every_key_is_known_to_the_log() -> None:
    settings = Settings.model_validate(
        {
            "providers": {
                "a": {"kind": "openai", "api_key": "first-key", "api_keys": ["second-key"]},
                "b": {
                    "kind": "azure_openai", "endpoint": "https://r.example", "auth": "entra",
                    "tenant_id": "t", "client_id": "c", "client_secret": "third-key",
                },
            }
        }
    )  # fmt: skip
    assert {"first-key", "second-key", "third-key"} <= set(settings.all_secrets())
    assert "-key" not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "openai", "auth": "entra"}, "only for kind azure_openai"),
        ({"kind": "openai", "tenant_id": "t"}, "tenant_id means nothing"),
        ({"kind": "azure_openai", "endpoint": "https://r.example", "auth": "entra", "api_key": "k"}, "no api_key"),
        (
            {"kind": "azure_openai", "endpoint": "https://r.example", "auth": "entra", "client_secret": "s"},
            "needs tenant_id",
        ),
        (
            {"kind": "azure_openai", "endpoint": "https://r.example", "auth": "entra", "authority": "http://x"},
            "https://",
        ),
    ],
)
def test_sign_in_settings_that_contradict_each_other(fields: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ProviderSettings.model_validate(fields)
