"""A gateway before strict upstreams of every dialect, and clients that keep their own history as real ones do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from dragoman.app import build
from dragoman.relay.metering import Record
from dragoman.settings import Settings
from tests.relay.rig import CALM, Asked, FakeProvider, Wire, served
from tests.relay.strict import (
    History,
    Say,
    Strict,
    StrictAnthropic,
    StrictChat,
    StrictGemini,
    StrictlyRefused,
    StrictResponses,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
TOOLS = {
    "read_file": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "mcp__browser__look": {"type": "object", "properties": {"page": {"type": "integer"}, "deep": {"type": "boolean"}}},
}
SYSTEM = "You are a careful assistant."

TARGETS = (
    "ant/claude-haiku-4-5", "ant2/claude-opus-4-8", "ant2/claude-haiku-4-5", "ant/claude-sonnet-4-6",
    "kimi/kimi-k2.5", "mistral/mistral-large-latest", "router/anthropic/claude-sonnet-4.5", "deep/deepseek-chat",
    "plain/gpt-4.1", "resp/gpt-5", "resp2/gpt-5", "resp/o3", "gem/gemini-2.5-flash", "gem/gemini-3-pro-preview",
    "gem2/gemini-3-pro-preview",
)  # fmt: skip
"""``account/model``; between any two of them a conversation must be able to switch."""


def accounts() -> dict[str, Strict]:
    """The upstreams by account."""
    return {
        "ant": StrictAnthropic("ant", "claude"), "ant2": StrictAnthropic("ant2", "claude"),
        "kimi": StrictChat("kimi"), "mistral": StrictChat("mistral"), "router": StrictChat("router"),
        "deep": StrictChat("deep"), "plain": StrictChat("plain"),
        "resp": StrictResponses("resp"), "resp2": StrictResponses("resp2"),
        "gem": StrictGemini("gem"), "gem2": StrictGemini("gem2"),
    }  # fmt: skip


_MORE: dict[str, dict[str, Any]] = {
    "mistral": {"vendor": "mistral"},
    "router": {"vendor": "openrouter"},
    "plain": {"kind": "openai", "api": "chat"},
    "resp": {"kind": "openai", "api": "responses"},
    "resp2": {"kind": "openai", "api": "responses"},
}


def settings_of(port: int, upstreams: dict[str, Strict]) -> Settings:
    """Settings with every account at the port, below a path of its own."""
    kinds = {StrictAnthropic: "anthropic", StrictGemini: "gemini"}
    providers = {
        name: {
            "kind": kinds.get(type(upstream), "openai_compatible"),
            "base_url": f"http://127.0.0.1:{port}/{name}" + ("" if type(upstream) in kinds else "/v1"),
            "allow_private": True,
            "api_key": "k",
            **_MORE.get(name, {}),
        }
        for name, upstream in upstreams.items()
    }
    return Settings.model_validate({"providers": providers, "models": {"unmapped": "passthrough"}})


@dataclass
class Seen:
    """One request as an upstream took it."""

    account: str
    model: str
    body: dict[str, Any]
    raw: bytes
    history: History


class Yard:
    """The running whole. ``next_say`` is what whoever is asked next will say."""

    def __init__(self, upstreams: dict[str, Strict]) -> None:
        self.upstreams = upstreams
        self.seen: list[Seen] = []
        self.refused: list[str] = []
        self.records: list[Record] = []
        self.next_say = Say(text="Yes.")
        self.url = ""
        self.session: aiohttp.ClientSession

    async def script(self, asked: Asked, wire: Wire) -> None:
        """Check and answer as the account would."""
        account, _, rest = asked.path.lstrip("/").partition("/")
        upstream, body = self.upstreams[account], asked.json
        model = body.get("model") or rest.partition("models/")[2].partition(":")[0]
        try:
            history = upstream.check(model, body)
        except StrictlyRefused as refused:
            self.refused.append(f"{account}/{model}: {refused}")
            await wire.json(upstream.refusal(str(refused)), 400)
            return
        self.seen.append(Seen(account, model, body, asked.body, history))
        answer = upstream.answer(model, body, self.next_say)
        if body.get("stream") or "streamGenerate" in asked.path:
            await wire.stream(b"".join(upstream.stream(answer)))
        else:
            await wire.json(answer)

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Ask the gateway."""
        headers = {"content-type": "application/json"}
        async with self.session.post(self.url + path, data=json.dumps(body).encode(), headers=headers) as answer:
            return answer.status, await answer.read()

    async def record(self, number: int) -> Record:
        """The record of the call with that number, counted from 1."""
        async with asyncio.timeout(5):
            while len(self.records) < number:
                await asyncio.sleep(0.001)
        return self.records[number - 1]


@contextlib.asynccontextmanager
async def yard() -> AsyncIterator[Yard]:
    """A running yard."""
    one = Yard(accounts())
    provider = FakeProvider()
    provider.script = one.script
    await provider.start()
    app = build(settings_of(provider.port, one.upstreams), sinks=[one.records.append], patience=CALM)
    async with served(app) as port, aiohttp.ClientSession() as session:
        one.url, one.session = f"http://127.0.0.1:{port}", session
        yield one
    await provider.stop()


# ---------------------------------------------------------------- clients


@dataclass
class Asking:
    """What a user says, or what the client's tools answered: ``results`` as (id, name, text, failed, image)."""

    words: str = ""
    image: bool = False
    results: list[tuple[str, str, str, bool, bool]] = field(default_factory=list)


@dataclass
class Answered:
    """What the client understood: words and calls as (id, name, arguments)."""

    text: str
    calls: list[tuple[str, str, Any]]


class Client(ABC):
    """A client with a history of its own."""

    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.history: list[Any] = []

    @abstractmethod
    def body(self, model: str, asking: Asking) -> tuple[str, dict[str, Any]]:
        """Path and body of the next call."""

    @abstractmethod
    def take(self, data: bytes) -> Answered:
        """Read the answer and put it into the history."""


def payloads(data: bytes) -> list[Any]:
    """The payloads of an event stream."""
    lines = [line[5:].strip() for line in data.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line and line != b"[DONE]"]


class AnthropicClient(Client):
    """Echoes content blocks as they came."""

    def body(self, model: str, asking: Asking) -> tuple[str, dict[str, Any]]:
        blocks: list[Any] = []
        for identifier, _, text, failed, image in asking.results:
            content: list[Any] = [{"type": "text", "text": text}]
            if image:
                content.append(_anthropic_image())
            block = {"type": "tool_result", "tool_use_id": identifier, "content": content}
            blocks.append({**block, "is_error": True} if failed else block)
        if asking.words:
            blocks.append({"type": "text", "text": asking.words})
        if asking.image:
            blocks.append(_anthropic_image())
        self.history.append({"role": "user", "content": blocks})
        adaptive = "opus-4-8" in model
        thinking = {"type": "adaptive"} if adaptive else {"type": "enabled", "budget_tokens": 2000}
        tools = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
        body = {"model": model, "max_tokens": 8000, "system": SYSTEM, "tools": tools, "thinking": thinking}
        return "/v1/messages", {**body, "messages": self.history, "stream": self.stream}

    def take(self, data: bytes) -> Answered:
        content = self._folded(data) if self.stream else json.loads(data)["content"]
        self.history.append({"role": "assistant", "content": content})
        calls = [(one["id"], one["name"], one["input"]) for one in content if one["type"] == "tool_use"]
        return Answered("".join(one["text"] for one in content if one["type"] == "text"), calls)

    @staticmethod
    def _folded(data: bytes) -> list[Any]:
        blocks: list[Any] = []
        pieces: list[str] = []
        for event in payloads(data):
            if event["type"] == "content_block_start":
                blocks.append(event["content_block"])
                pieces = []
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                kind = delta["type"]
                if kind == "input_json_delta":
                    pieces.append(delta["partial_json"])
                    blocks[-1]["input"] = {}
                else:
                    name = kind.removesuffix("_delta")
                    blocks[-1][name] = blocks[-1].get(name, "") + delta[name]
            elif event["type"] == "content_block_stop" and blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads("".join(pieces) or "{}")
        return blocks


def _anthropic_image() -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


class ChatClient(Client):
    """Echoes the message; a ``plain`` one only what OpenAI's own SDK knows."""

    def __init__(self, stream: bool, plain: bool = False) -> None:
        super().__init__(stream)
        self._plain = plain
        self.history.append({"role": "system", "content": SYSTEM})

    def body(self, model: str, asking: Asking) -> tuple[str, dict[str, Any]]:
        images = 0
        for identifier, _, text, failed, image in asking.results:
            words = f"[ERROR] {text}" if failed else text
            self.history.append({"role": "tool", "tool_call_id": identifier, "content": words})
            images += image
        blocks: list[Any] = [{"type": "text", "text": asking.words}] if asking.words else []
        url = {"url": f"data:image/png;base64,{PNG}"}
        blocks += [{"type": "image_url", "image_url": url}] * (images + asking.image)
        if blocks:
            self.history.append({"role": "user", "content": blocks if len(blocks) > 1 or images else asking.words})
        tools = [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()
        ]
        body = {"model": model, "messages": self.history, "tools": tools, "stream": self.stream}
        return "/v1/chat/completions", body

    def take(self, data: bytes) -> Answered:
        message = self._folded(data) if self.stream else json.loads(data)["choices"][0]["message"]
        if self._plain:
            message = {name: message[name] for name in ("role", "content", "tool_calls") if message.get(name)}
            message.setdefault("content", None)
        self.history.append({name: value for name, value in message.items() if value is not None or name == "content"})
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ]
        return Answered(message.get("content") or "", calls)

    @staticmethod
    def _folded(data: bytes) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for chunk in payloads(data):
            for choice in chunk["choices"]:
                for name, value in choice["delta"].items():
                    if name == "tool_calls":
                        _grow_calls(message.setdefault("tool_calls", []), value)
                    elif name == "reasoning_details":
                        _grow_details(message.setdefault("reasoning_details", []), value)
                    elif name != "role" and value:
                        message[name] = (message.get(name) or "") + value
        return message


def _grow_calls(calls: list[Any], deltas: list[Any]) -> None:
    for delta in deltas:
        while len(calls) <= delta["index"]:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[delta["index"]]
        call["id"] = delta.get("id") or call["id"]
        function = delta.get("function", {})
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""


def _grow_details(details: list[Any], deltas: list[Any]) -> None:
    for delta in deltas:
        known = next((one for one in details if one.get("index") == delta.get("index")), None)
        if known is None or "data" in delta:
            details.append(dict(delta))
            continue
        known.update({name: value for name, value in delta.items() if name != "text" and value})
        known["text"] = known.get("text", "") + delta.get("text", "")


class ResponsesClient(Client):
    """Keeps nothing with the provider and echoes the items, as Codex does."""

    def body(self, model: str, asking: Asking) -> tuple[str, dict[str, Any]]:
        for identifier, _, text, failed, image in asking.results:
            output: Any = f"[ERROR] {text}" if failed else text
            if image:
                output = [{"type": "input_text", "text": output}, _responses_image()]
            self.history.append({"type": "function_call_output", "call_id": identifier, "output": output})
        content: list[Any] = [{"type": "input_text", "text": asking.words}] if asking.words else []
        content += [_responses_image()] * asking.image
        if content:
            self.history.append({"type": "message", "role": "user", "content": content})
        tools = [
            {"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in TOOLS.items()
        ]
        body = {"model": model, "instructions": SYSTEM, "input": self.history, "tools": tools, "store": False}
        body["reasoning"] = {"effort": "medium", "summary": "auto"}
        return "/v1/responses", {**body, "include": ["reasoning.encrypted_content"], "stream": self.stream}

    def take(self, data: bytes) -> Answered:
        if self.stream:
            done = [event["item"] for event in payloads(data) if event["type"] == "response.output_item.done"]
        else:
            done = json.loads(data)["output"]
        self.history += done
        calls = [
            (item["call_id"], item["name"], json.loads(item["arguments"]))
            for item in done
            if item["type"] == "function_call"
        ]
        parts = [part for item in done if item["type"] == "message" for part in item["content"]]
        return Answered("".join(part["text"] for part in parts), calls)


def _responses_image() -> dict[str, Any]:
    return {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}


class GeminiClient(Client):
    """Echoes the parts of a content, those of a stream one after another."""

    def body(self, model: str, asking: Asking) -> tuple[str, dict[str, Any]]:
        parts: list[Any] = []
        for identifier, name, text, failed, _ in asking.results:
            response = {"name": name, "response": {"error": text} if failed else {"output": text}}
            if not identifier.startswith("call-without-id"):
                response["id"] = identifier
            parts.append({"functionResponse": response})
        if asking.words:
            parts.append({"text": asking.words})
        images = asking.image + sum(image for *_, image in asking.results)
        parts += [{"inlineData": {"mimeType": "image/png", "data": PNG}}] * images
        self.history.append({"role": "user", "parts": parts})
        functions = [{"name": name, "parameters": schema} for name, schema in TOOLS.items()]
        verb = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", {
            "contents": self.history,
            "systemInstruction": {"parts": [{"text": SYSTEM}]},
            "tools": [{"functionDeclarations": functions}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
        }

    def take(self, data: bytes) -> Answered:
        chunks = payloads(data) if self.stream else [json.loads(data)]
        parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"].get("parts", [])]
        parts = [part for part in parts if part != {"text": ""}]
        self.history.append({"role": "model", "parts": parts})
        calls = [
            (call.get("id", f"call-without-id-{at}"), call["name"], call.get("args", {}))
            for at, call in enumerate(part["functionCall"] for part in parts if "functionCall" in part)
        ]
        words = [part["text"] for part in parts if "text" in part and not part.get("thought")]
        return Answered("".join(words), calls)


CLIENTS = {
    "anthropic": AnthropicClient,
    "openai_chat": ChatClient,
    "openai_responses": ResponsesClient,
    "gemini": GeminiClient,
}
