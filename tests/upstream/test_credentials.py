"""Tokens: when they are fetched, by whom, and what happens when they cannot be."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.credentials import FreshToken, GoogleToken, HeaderKey, Step, Token, TokenFlow


def test_when_a_token_is_fetched() -> None:
    flow = TokenFlow()
    assert flow.step(0) is Step.FETCH
    flow.fetched(Token("t", 3600))
    assert flow.step(0) is Step.USE
    assert flow.step(3299) is Step.USE
    assert flow.step(3300) is Step.USE_AND_RENEW
    assert flow.step(3589) is Step.USE_AND_RENEW
    assert flow.step(3590) is Step.FETCH
    flow.fetched(Token("u", 7200))
    assert flow.step(3590) is Step.USE


def test_a_failed_renewal_waits_a_little_while_the_old_token_serves() -> None:
    flow = TokenFlow()
    flow.fetched(Token("t", 3600))
    flow.failed(3400)
    assert flow.step(3401) is Step.USE
    assert flow.step(3405) is Step.USE_AND_RENEW
    flow.failed(3595)
    assert flow.step(3596) is Step.FETCH


class Source:
    """A token server in this process: counts fetches, may be slow or fail."""

    def __init__(self) -> None:
        self.fetches = 0
        self.now = 0.0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> Token:
        self.fetches += 1
        self.gate.wait(5)
        if self.fails:
            raise OSError("https://token.example/secret refused")
        return Token(f"t{self.fetches}", self.now + 3600)

    def fresh(self) -> FreshToken:
        return FreshToken(self.fetch, lambda: self.now)


async def test_one_fetch_serves_all_who_wait() -> None:
    source = Source()
    source.gate.clear()
    token = source.fresh()
    waiting = [asyncio.create_task(token.headers("p")) for _ in range(50)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    source.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [{"authorization": "Bearer t1"}] * 49
    assert source.fetches == 1


async def test_renewal_five_minutes_early_keeps_nobody_waiting() -> None:
    source = Source()
    token = source.fresh()
    await token.headers("p")
    source.now = 3310
    source.gate.clear()
    assert await token.headers("p") == {"authorization": "Bearer t1"}
    source.gate.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if await token.headers("p") == {"authorization": "Bearer t2"}:
            break
    assert source.fetches == 2


async def test_without_a_token_the_failure_is_ours_and_says_no_secret() -> None:
    source = Source()
    source.fails = True
    token = source.fresh()
    with pytest.raises(UpstreamTrouble) as caught:
        await token.headers("google")
    failure = caught.value.failure
    assert (failure.kind, failure.http_status, failure.code) == ("credential", 502, "upstream_credential")
    assert "secret" not in failure.message
    source.fails = False
    assert await token.headers("google") == {"authorization": "Bearer t2"}


async def test_a_failed_renewal_leaves_the_old_token() -> None:
    source = Source()
    token = source.fresh()
    await token.headers("p")
    source.now, source.fails = 3310, True
    for _ in range(3):
        assert await token.headers("p") == {"authorization": "Bearer t1"}
        await asyncio.sleep(0.02)
    assert source.fetches == 2


def test_X11_nothing_prints_a_secret() -> None:
    assert "secret-value" not in repr(HeaderKey("x-api-key", "secret-value"))
    assert "secret-value" not in repr(Token("secret-value", 1))


# ---------------------------------------------------------------- Google's own library against a loopback token server


class TokenServer(ThreadingHTTPServer):
    """Answers OAuth token requests; ``asked`` holds what was posted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _TokenPage)


class _TokenPage(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, TokenServer)
        self.server.asked.append(self.rfile.read(int(self.headers["content-length"])).decode())
        body = json.dumps({"access_token": "ya29.loopback", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


async def test_C36_application_default_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = TokenServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    account = {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        "client_email": "d@acme.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{server.server_port}/token",
    }
    path = tmp_path / "adc.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    try:
        token = GoogleToken()
        headers = await asyncio.gather(*(token.headers("google") for _ in range(5)))
    finally:
        server.shutdown()
        server.server_close()
    assert headers == [{"authorization": "Bearer ya29.loopback"}] * 5
    assert len(server.asked) == 1
    assert "grant_type=urn" in server.asked[0]
    assert token._flow.token is not None
    assert 3500 < token._flow.token.expires - time.time() <= 3600


async def test_C36_without_credentials_the_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(UpstreamTrouble, match="no access token could be had"):
        await GoogleToken().headers("google")
