"""Entra ID through Microsoft's own library, against an authority on loopback: sign-in, renewal, refusal, silence."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.credentials import EntraToken
from dragoman.upstream.credentials.entra import scope_of
from tests.upstream.token_server import TokenServer, entra

SECRET = "entra-canary-secret"
TENANT = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """An authority whose certificate this test trusts."""
    with entra(tmp_path, monkeypatch) as server:
        yield server


class Clock:
    """The real time, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def credential(server: TokenServer, clock: Clock | None = None) -> EntraToken:
    return EntraToken(TENANT, "app-id", SECRET, server.url, clock or Clock())


async def test_C_34_an_application_signs_in_with_its_secret(authority: TokenServer) -> None:
    token = credential(authority)
    headers = await asyncio.gather(*(token.headers("azure") for _ in range(5)))
    assert headers == [{"authorization": "Bearer entra-token-1"}] * 5
    [form] = authority.asked
    assert form["path"] == f"/{TENANT}/oauth2/v2.0/token"
    assert form["grant_type"] == "client_credentials"
    assert form["client_id"] == "app-id"
    assert form["client_secret"] == SECRET
    assert form["scope"].split()[0] == "https://cognitiveservices.azure.com/.default"


async def test_a_token_is_renewed_before_its_end_while_it_still_serves(authority: TokenServer) -> None:
    authority.life = 200  # within azure-identity's own five minutes, so that it asks again
    clock = Clock()
    token = credential(authority, clock)
    assert await token.headers("azure") == {"authorization": "Bearer entra-token-1"}
    clock.ahead = 120
    assert await token.headers("azure") == {"authorization": "Bearer entra-token-1"}
    assert token._running is not None
    await token._running
    assert await token.headers("azure") == {"authorization": "Bearer entra-token-2"}
    assert len(authority.asked) == 2


async def test_a_refused_token_is_not_taken_from_the_librarys_cache_again(authority: TokenServer) -> None:
    clock = Clock()
    token = credential(authority, clock)
    sent = await token.headers("azure")
    clock.ahead = 60
    assert token.refused(sent)
    assert await token.headers("azure") == {"authorization": "Bearer entra-token-2"}


async def test_E06_X11_a_wrong_secret_is_our_own_502_and_nobody_reads_it(
    authority: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    words = f"AADSTS7000215: Invalid client secret provided ({SECRET}). Trace ID: 0-0"
    authority.refusal = (401, {"error": "invalid_client", "error_description": words})
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UpstreamTrouble) as caught:
        await credential(authority).headers("azure")
    failure = caught.value.failure
    assert (failure.kind, failure.http_status, failure.code) == ("credential", 502, "upstream_credential")
    assert "AADSTS7000215" in failure.message
    assert SECRET not in failure.message
    assert "127.0.0.1" not in failure.message


async def test_X11_no_secret_and_no_token_in_any_log(authority: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = credential(authority)
    await token.headers("azure")
    assert authority.asked
    assert SECRET not in caplog.text
    assert "entra-token-1" not in caplog.text
    assert SECRET not in repr(token)


async def test_an_authority_that_is_gone_fails_the_call(authority: TokenServer) -> None:
    token = credential(authority)
    authority.shutdown()
    authority.server_close()
    with pytest.raises(UpstreamTrouble, match="no access token could be had"):
        await token.headers("azure")


async def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(UpstreamTrouble, match="install dragoman with its extra 'azure'") as caught:
        await EntraToken().headers("azure")
    assert caught.value.failure.http_status == 502


async def test_without_a_secret_the_machines_own_identity_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import azure.identity

    asked: list[dict[str, str]] = []

    class Nobody:
        def __init__(self, **options: str) -> None:
            asked.append(options)

        def get_token(self, scope: str) -> None:
            raise azure.identity.CredentialUnavailableError(f"nothing for {scope}")

    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Nobody)
    with pytest.raises(UpstreamTrouble, match="CredentialUnavailableError"):
        await EntraToken(client_id="managed-id").headers("azure")
    assert asked == [{"managed_identity_client_id": "managed-id", "workload_identity_client_id": "managed-id"}]


@pytest.mark.parametrize(
    ("authority", "scope"),
    [
        ("", "https://cognitiveservices.azure.com/.default"),
        ("https://login.microsoftonline.com", "https://cognitiveservices.azure.com/.default"),
        ("https://login.microsoftonline.us/", "https://cognitiveservices.azure.us/.default"),
        ("https://login.chinacloudapi.cn", "https://cognitiveservices.azure.cn/.default"),
    ],
)
def test_what_a_token_is_for_depends_on_the_cloud(authority: str, scope: str) -> None:
    assert scope_of(authority) == scope
