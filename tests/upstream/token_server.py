"""Token servers on loopback: Google's over HTTP, Entra's over TLS, both answering what a test says."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.upstream.servers import self_signed


class TokenServer(ThreadingHTTPServer):
    """Issues ``{prefix}-1``, ``{prefix}-2`` and so on; ``asked`` holds the forms that were posted.

    ``life`` is the seconds a token lives, ``refusal`` an OAuth error to answer with instead.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.asked: list[dict[str, str]] = []
        self.life = 3600
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.scheme = "http"
        super().__init__(("127.0.0.1", 0), _Page)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"


class _Page(BaseHTTPRequestHandler):
    @property
    def _tokens(self) -> TokenServer:
        assert isinstance(self.server, TokenServer)
        return self.server

    def do_GET(self) -> None:
        """What an OpenID authority says about itself."""
        root = self._tokens.url + "/" + self.path.split("/")[1]
        self._answer(
            200,
            {
                "issuer": f"{root}/v2.0",
                "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
                "token_endpoint": f"{root}/oauth2/v2.0/token",
            },
        )

    def do_POST(self) -> None:
        """A grant."""
        server = self._tokens
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        server.asked.append({"path": self.path, **{name: values[0] for name, values in form.items()}})
        if server.refusal is not None:
            self._answer(*server.refusal)
            return
        token = f"{server.prefix}-{len(server.asked)}"
        self._answer(200, {"access_token": token, "expires_in": server.life, "token_type": "Bearer"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextlib.contextmanager
def tokens(prefix: str, tls: Path | None = None) -> Iterator[TokenServer]:
    """A running token server; with a folder for its certificate it speaks TLS."""
    server = TokenServer(prefix)
    if tls is not None:
        context: ssl.SSLContext = self_signed(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def entra(folder: Path, monkeypatch: pytest.MonkeyPatch, prefix: str = "entra-token") -> Iterator[TokenServer]:
    """An authority of Entra ID whose certificate this machine trusts meanwhile."""
    with tokens(prefix, tls=folder) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "server.pem"))
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield server


@functools.cache
def private_key() -> str:
    """The key of the service account that does not exist."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@contextlib.contextmanager
def google(folder: Path, monkeypatch: pytest.MonkeyPatch, prefix: str = "ya29-canary") -> Iterator[TokenServer]:
    """A token server that the machine's default credentials, a service account's file, point to meanwhile."""
    with tokens(prefix) as server:
        account = {
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "1",
            "private_key": private_key(),
            "client_email": "d@acme.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": f"{server.url}/token",
        }
        path = folder / "adc.json"
        path.write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        yield server
