"""A strict Azure on loopback: only the URL, version, credential and body that the real one takes are answered."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.upstream.servers import Line, Server, playing

KEY = "azure-canary-key-1"
_DEPLOYMENT = re.compile(r"/openai/deployments/([\w.-]+)/(chat/completions|completions)")
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_FIRST_WITH_RESPONSES = "2025-03-01-preview"

Refusal = tuple[int, str]


@dataclass
class AzureServer:
    """Deployments by name; ``bearer`` are tokens it takes beside the key; ``asked`` what it was asked."""

    deployments: tuple[str, ...] = ("prod-main",)
    bearer: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    server: Server = field(default_factory=Server)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.port}"

    async def play(self, line: Line) -> None:
        """Answer calls until the other side leaves."""
        while True:
            first, headers, body = await line.request()
            path = first.split(" ")[1]
            fields = json.loads(body) if body else {}
            self.asked.append((path, headers, fields))
            status, answer = self._answer(path, headers, fields)
            await line.answer(json.dumps(answer).encode(), f"{status} X", "content-type: application/json\r\n")

    def _answer(self, target: str, headers: dict[str, str], fields: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        version = parse_qs(parts.query).get("api-version", [""])[0]
        refused = self._refused_key(headers) or self._refused_place(parts.path, version, fields)
        if refused is not None:
            status, message = refused
            return status, {"error": {"code": str(status), "message": message}}
        return 200, _responses(fields) if parts.path.endswith("/responses") else _chat(fields)

    def _refused_key(self, headers: dict[str, str]) -> Refusal | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if headers.get("api-key") == KEY or (scheme == "Bearer" and token in self.bearer):
            return None
        return 401, "Access denied due to invalid subscription key or wrong API endpoint."

    def _refused_place(self, path: str, version: str, fields: Any) -> Refusal | None:
        if path.startswith("/openai/v1/"):
            if version not in ("", "preview", "latest", "v1"):
                return 400, "API version not supported"
            return self._refused_model(fields)
        if not _DATED.fullmatch(version):
            return 404, "Resource not found"
        if path == "/openai/responses":
            old = version < _FIRST_WITH_RESPONSES
            return (
                (400, "Azure OpenAI Responses API is enabled only for later api-versions")
                if old
                else (self._refused_model(fields))
            )
        if path == "/models/chat/completions":
            return self._refused_model(fields)
        found = _DEPLOYMENT.fullmatch(path)
        if found is None or found[1] not in self.deployments:
            return 404, "The API deployment for this resource does not exist."
        if "stream_options" in fields and version < "2024-08-01":
            return 400, "Unrecognized request argument supplied: stream_options"
        return None if fields.get("messages") else (400, "messages is required")

    def _refused_model(self, fields: Any) -> Refusal | None:
        known = fields.get("model") in self.deployments
        return None if known else (404, "The API deployment for this resource does not exist.")


def _chat(fields: Any) -> Any:
    message = {"role": "assistant", "content": "from chat"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }


def _responses(fields: Any) -> Any:
    content = [{"type": "output_text", "text": "from responses", "annotations": []}]
    item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "status": "completed",
        "model": "gpt-5",
        "output": [item],
        "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
    }


@contextlib.asynccontextmanager
async def azure(**fields: Any) -> AsyncIterator[AzureServer]:
    """A running Azure."""
    made = AzureServer(**fields)
    async with playing(made.play) as server:
        made.server = server
        yield made
