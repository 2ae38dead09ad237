"""A rig for whole journeys: a scripted provider on a loopback socket, and the gateway behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from dragoman.app import build
from dragoman.relay.metering import Record
from dragoman.relay.streaming import Patience
from dragoman.settings import Settings


@dataclass
class Asked:
    """One request as the provider saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Wire:
    """The provider's end of one connection. ``gone`` is set when the gateway hangs up."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def head(self, status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X"] + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.writer.drain()

    async def stream(self, *pieces: bytes, end: bool = True) -> None:
        """Open an event stream and send the pieces, each as one chunk."""
        await self.head(200, content_type="text/event-stream", transfer_encoding="chunked")
        for piece in pieces:
            await self.chunk(piece)
        if end:
            await self.end()

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def json(self, body: Any, status: int = 200, **headers: str) -> None:
        await self.raw(json.dumps(body).encode(), status, content_type="application/json", **headers)

    async def raw(self, data: bytes, status: int = 200, **headers: str) -> None:
        await self.head(status, content_length=str(len(data)), **headers)
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()

    async def wait_gone(self, seconds: float = 5.0) -> None:
        """Wait until the gateway has hung up."""
        async with asyncio.timeout(seconds):
            await self.gone.wait()


Script = Callable[[Asked, Wire], Awaitable[None]]


class FakeProvider:
    """Serves one script on a loopback port; keeps every request and wire."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.wires: list[Wire] = []
        self.connections = 0
        self.script: Script = _unscripted
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.arrived = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except ConnectionError:
            for wire in self.wires:
                if wire.writer is writer:
                    wire.gone.set()
        except (asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked, wire = Asked(method, path, headers, body), Wire(reader, writer)
            self.asked.append(asked)
            self.wires.append(wire)
            self.arrived.set()
            script = asyncio.ensure_future(self.script(asked, wire))
            watch = asyncio.ensure_future(_watch(reader, wire))
            try:
                await script
            finally:
                watch.cancel()
                script.cancel()


async def _watch(reader: asyncio.StreamReader, wire: Wire) -> None:
    """Notice the end of the connection without eating bytes of a next request."""
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.01)
    wire.gone.set()


async def _unscripted(asked: Asked, wire: Wire) -> None:
    await wire.json({"error": {"message": "no script", "type": "test"}}, 500)


@dataclass
class Rig:
    """The gateway, its provider, and a client."""

    provider: FakeProvider
    port: int
    client: aiohttp.ClientSession
    records: list[Record]
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Post JSON (or raw bytes) and read the whole answer: status, headers, JSON or bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}}
        async with self.client.post(self.url + path, data=data, headers=sent) as answer:
            got = await answer.read()
            kind = answer.headers.get("content-type", "")
            return answer.status, _lower(answer), json.loads(got) if kind.startswith("application/json") else got

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, self.url + path, headers=sent) as answer:
            got = await answer.read()
            return answer.status, _lower(answer), json.loads(got) if got[:1] in (b"{", b"[") else got

    async def raw(self, path: str, body: Any, headers: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A socket on which one POST was sent."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}"
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        return reader, writer

    async def record(self) -> Record:
        """The record of the only call, once it is over."""
        async with asyncio.timeout(5):
            while not self.records:
                await asyncio.sleep(0.01)
        return self.records[-1]


def _lower(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


CALM = Patience(ping=10.0, idle=20.0, slow_client=20.0, connect=10.0)
"""Deadlines that no machine misses, however busy: for whatever is not about them."""

PINGING = Patience(ping=0.2, idle=20.0, slow_client=20.0, connect=10.0)


def settings_for(port: int, *, kind: str = "openai_compatible", **more: Any) -> Settings:
    """Settings with one provider at the port that takes every name."""
    names = {"openai": "openai", "openai_compatible": "openai", "anthropic": "anthropic", "gemini": "google"}
    account = {
        "kind": kind,
        "base_url": f"http://127.0.0.1:{port}" + ("/v1" if kind.startswith("openai") else ""),
        "allow_private": True,
        "api_key": "upstream-secret-key",
        **more.pop("account", {}),
    }
    models = {"unmapped": "passthrough", "preferred": names.get(kind, ""), **more.pop("models", {})}
    return Settings.model_validate({"providers": {"fake": account}, "models": models, **more})


@contextlib.asynccontextmanager
async def running(
    kind: str = "openai_compatible", *, patience: Patience = CALM, settings: Settings | None = None, **more: Any
) -> AsyncIterator[Rig]:
    """A running gateway before a fake provider of the kind."""
    provider = FakeProvider()
    await provider.start()
    records: list[Record] = []
    chosen = settings or settings_for(provider.port, kind=kind, **more)
    app = build(chosen, sinks=[records.append], patience=patience)
    async with served(app) as port:
        async with aiohttp.ClientSession() as client:
            yield Rig(provider, port, client, records, lambda: _stop(app))
        await provider.stop()


class QuickServer(uvicorn.Server):
    """As uvicorn's, without the tenths of a second it takes for its ticks and at its end, in every test."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.002)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            await asyncio.wait_for(self._wait_tasks_to_complete(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


_SERVERS: dict[int, uvicorn.Server] = {}


def _stop(app: Any) -> None:
    """Ask the application's server to stop, as a signal would."""
    _SERVERS[id(app)].should_exit = True


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """An ASGI application behind a real server, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", http="httptools", timeout_graceful_shutdown=1
    )
    server = QuickServer(config)
    _SERVERS[id(app)] = server
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                raise RuntimeError("the gateway did not start")
            await asyncio.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=5)


# ---------------------------------------------------------------- what providers say


def chat_chunk(content: str | None = None, *, finish: str | None = None, model: str = "up-model", **more: Any) -> bytes:
    """One chunk of a Chat stream."""
    delta: dict[str, Any] = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": {**delta, **more}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": model, "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def chat_usage(prompt: int = 11, output: int = 3, model: str = "up-model") -> bytes:
    """The extra chunk with the usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    body = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": model,
        "choices": [], "usage": usage,
    }  # fmt: skip
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def chat_stream(*words: str) -> list[bytes]:
    """A whole Chat stream."""
    pieces = [chat_chunk("", role="assistant"), *map(chat_chunk, words)]
    return [*pieces, chat_chunk(finish="stop"), chat_usage(), DONE]


def chat_body(content: str = "Hi", **more: Any) -> dict[str, Any]:
    """A whole Chat answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "up-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        **more,
    }


def anthropic_events(*words: str, model: str = "claude-up") -> list[bytes]:
    """A whole Messages stream, one frame each."""
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
    }  # fmt: skip
    frames: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}} for w in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]  # fmt: skip
    return [f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n".encode() for frame in frames]


def replay(*pieces: bytes) -> Script:
    """A script that answers every call with the same stream."""

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*pieces)

    return script


def whole(body: Any, status: int = 200, **headers: str) -> Script:
    """A script that answers every call with the same body."""

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.json(body, status, **headers)

    return script


def events_of(data: bytes) -> list[Any]:
    """The JSON payloads of an event stream."""
    return [
        json.loads(line[6:])
        for line in data.split(b"\n")
        if line.startswith(b"data: ") and line[6:].strip() != b"[DONE]"
    ]


ASK = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
CHAT_ASK = {"model": "gpt-x", "messages": [{"role": "user", "content": "Hello"}]}
RESPONSES_ASK = {"model": "gpt-x", "input": "Hello"}
GEMINI_ASK = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
