"""What is measured: nginx passing bytes through, and the gateway translating with everything switched on.

Each knows how it is started, how it is asked, and how to tell a right answer. Answers are checked
before anything is timed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.scenes import PROVIDER, Scene, anthropic_request, chat_request, expected

TOKEN = "bench-token-of-the-shared-kind"

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log {folder}/nginx-access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 32m; client_body_buffer_size 1m;
  keepalive_requests 100000000; tcp_nodelay on;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

_CONFIG = """
version: 1
providers:
  {provider}: {{kind: openai_compatible, api: chat, base_url: "http://127.0.0.1:{upstream}/v1", allow_private: true}}
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that is measured, and the dialect it is asked in."""

    name: str
    dialect: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, scene: Scene, port: int) -> bytes:
        """Return the whole HTTP request for a scene."""
        body = json.dumps(anthropic_request(scene) if self.dialect == "anthropic" else chat_request(scene)).encode()
        head = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def check(self, scene: Scene, answer: str) -> None:
        """Raise when the answer is not the one the upstream gave."""
        head, _, body = answer.partition("\r\n\r\n")
        if not head.startswith("HTTP/1.1 200"):
            raise AssertionError(f"{self.name}, {scene.name}: {answer[:600]}")
        read = _anthropic_text if self.dialect == "anthropic" else _chat_text
        text = read(_dechunked(head, body), scene.stream)
        if text != expected(scene):
            raise AssertionError(f"{self.name}, {scene.name}: wrong answer {text[:300]!r}")


NGINX = Candidate("nginx", "chat", "/v1/chat/completions")
DIRECT = Candidate("upstream", "chat", "/v1/chat/completions")
DRAGOMAN = Candidate("dragoman", "anthropic", "/v1/messages", {"x-api-key": TOKEN, "anthropic-version": "2023-06-01"})


def nginx_command(folder: Path, port: int, upstream: int) -> list[str] | None:
    """Write nginx's configuration and return its command, or nothing when it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    path = folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream))
    return [program, "-p", str(folder), "-c", str(path)]


def dragoman_command(folder: Path, port: int, upstream: int) -> list[str]:
    """Write the gateway's configuration and return its command."""
    path = folder / "bench.yaml"
    path.write_text(_CONFIG.format(provider=PROVIDER, upstream=upstream))
    program = str(Path(sys.executable).parent / "dragoman")
    return [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--config", str(path)]


def dragoman_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of the caller's configures the gateway; credentials are required."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "DRAGOMAN_AUTH": "required",
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "DRAGOMAN_DB": str(folder / "bench.db"),
    }


# ---------------------------------------------------------------- reading answers


def _dechunked(head: str, body: str) -> str:
    if "transfer-encoding: chunked" not in head.lower():
        return body
    data, at = body.encode(), 0
    parts: list[bytes] = []
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts).decode()
        parts.append(data[line + 2 : line + 2 + size])
        at = line + 4 + size


def _events(body: str) -> list[dict[str, Any]]:
    lines = (line for line in body.splitlines() if line.startswith("data: {"))
    return [json.loads(line[6:]) for line in lines]


def _anthropic_text(body: str, stream: bool) -> str:
    if not stream:
        answer = json.loads(body)
        if answer["usage"]["output_tokens"] != 400 or answer["stop_reason"] != "end_turn":
            raise AssertionError(f"wrong usage or stop reason: {body[-300:]}")
        return str(answer["content"][0]["text"])
    events = _events(body)
    if events[0]["type"] != "message_start" or events[-1]["type"] != "message_stop":
        raise AssertionError(f"wrong order of events: {[event['type'] for event in events][-5:]}")
    final = next(event for event in reversed(events) if event["type"] == "message_delta")
    if final["usage"]["output_tokens"] != 400:
        raise AssertionError(f"wrong usage: {final}")
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") + delta.get("partial_json", "") for delta in deltas)


def _chat_text(body: str, stream: bool) -> str:
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    if not body.endswith("data: [DONE]\n\n"):
        raise AssertionError("the stream has no end")
    text = ""
    for event in _events(body):
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            text += "".join(call["function"]["arguments"] for call in choice["delta"].get("tool_calls", ()))
    return text
