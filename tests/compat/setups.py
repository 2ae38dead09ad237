"""Set-ups of the earlier proxies, each started for real with its accounts moved to a loopback provider."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dragoman.app import build
from dragoman.settings import Settings, load_settings
from tests.relay.rig import CALM, Asked, FakeProvider, Rig, Wire, chat_body, served

TOKEN = "inbound-token-1"
_PATHS = {"openai": "/v1", "openai_compatible": "/v1"}


def load(folder: Path, **environment: str) -> Settings:
    """The settings of a folder and an environment that holds nothing else."""
    return load_settings(environment=environment, folder=folder)


def moved(settings: Settings, port: int) -> Settings:
    """The same settings with every account's address on loopback; path and query stay."""
    providers = {}
    for name, said in settings.providers.items():
        parts = urlsplit(said.base_url)
        path = parts.path or ("" if said.base_url else _PATHS.get(said.kind, ""))
        url = f"http://127.0.0.1:{port}{path}" + (f"?{parts.query}" if parts.query else "")
        providers[name] = said if said.kind == "sim" else said.model_copy(update={"base_url": url})
    return settings.model_copy(update={"providers": providers})


async def every_dialect(asked: Asked, wire: Wire) -> None:
    """Answer a call in the dialect of its path."""
    path = asked.path.partition("?")[0]
    if path == "/token":
        await wire.json({"access_token": "adc-token", "expires_in": 3600, "token_type": "Bearer"})
    elif path.endswith("/responses"):
        content = [{"type": "output_text", "text": "Hi", "annotations": []}]
        item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}
        body = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [item]}
        await wire.json(body | {"usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}})
    elif path.endswith("/messages"):
        body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        content = [{"type": "text", "text": "Hi"}]
        await wire.json(body | {"content": content, "usage": {"input_tokens": 1, "output_tokens": 1}})
    elif path.endswith(":generateContent"):
        said = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}
        await wire.json({"candidates": [said], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}})
    else:
        await wire.json(chat_body())


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Rig]:
    """The real gateway for the settings, in front of a loopback provider that answers in every dialect."""
    provider = FakeProvider()
    provider.script = every_dialect
    await provider.start()
    records: list[Any] = []
    app = build(moved(settings, provider.port), sinks=[records.append], patience=CALM)
    async with served(app) as port, aiohttp.ClientSession() as client:
        yield Rig(provider, port, client, records, lambda: None)
    await provider.stop()


def service_account(folder: Path, port: int) -> Path:
    """A key file of Google's form whose token server is on loopback."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "account.json"
    said = {"type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": pem.decode()}
    said |= {"client_email": "a@p.iam.gserviceaccount.com", "token_uri": f"http://127.0.0.1:{port}/token"}
    path.write_text(json.dumps(said))
    return path
