"""The Chat and the Responses upstream of the compat tests: what each was told, and what each says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.compat.azure import Item, message
from tests.compat.azure import answering as responses_answering
from tests.relay.rig import ASK, CALM, DONE, Asked, Rig, Script, Wire, events_of, running

APIS = ("chat", "responses")
MODELS = {"chat": "gpt-4.1", "responses": "gpt-5"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
LOOK = {"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {}}}
CHAT_USAGE = {
    "prompt_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 100},
    "completion_tokens": 30,
    "completion_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 150,
}
"""The same numbers as those of ``tests.compat.azure``."""


@dataclass
class Place:
    """A gateway before an upstream of one API, asked as Claude Code asks."""

    rig: Rig
    api: str

    @property
    def sent(self) -> Any:
        """The body of the last call upstream."""
        return self.rig.provider.asked[-1].json

    @property
    def raw(self) -> bytes:
        """The same in its bytes."""
        return self.rig.provider.asked[-1].body

    @property
    def turns(self) -> list[Any]:
        """Messages or items upstream."""
        turns: list[Any] = self.sent["messages" if self.api == "chat" else "input"]
        return turns

    def says(self, *items: Item, **more: Any) -> None:
        """What the upstream says from now on, whole or streamed as it is asked."""
        script = chat_answering if self.api == "chat" else responses_answering
        self.rig.provider.script = script(*items, **more)

    async def post(self, **fields: Any) -> tuple[int, Any]:
        """Status and answer; fields that are None are left out of the request."""
        asked = {**ASK, "model": MODELS[self.api], **fields}
        body = {name: value for name, value in asked.items() if value is not None}
        status, _, answer = await self.rig.post("/v1/messages", body)
        return status, answer

    async def ask(self, **fields: Any) -> Any:
        """The message, whether it came in one piece or as a stream."""
        status, answer = await self.post(**fields)
        assert status == 200, answer
        return folded(answer) if fields.get("stream") else answer


@contextlib.asynccontextmanager
async def upstream(api: str, **more: Any) -> AsyncIterator[Place]:
    """A gateway before OpenAI with one of its two APIs."""
    account = {"api": api, **more.pop("account", {})}
    # No ping before the first event while a slow machine is still at work.
    more.setdefault("patience", CALM)
    async with running("openai", account=account, **more) as rig:
        place = Place(rig, api)
        place.says(message("Hi"))
        yield place


# ---------------------------------------------------------------- Chat


def chat_message(*items: Item) -> dict[str, Any]:
    """Items of a Responses answer as the one message of a Chat answer."""
    made: dict[str, Any] = {"role": "assistant", "content": None}
    for item in items:
        if item["type"] == "message":
            made["content"] = (made["content"] or "") + item["content"][0]["text"]
        elif item["type"] == "reasoning":
            made["reasoning_content"] = item["summary"][0]["text"]
        else:
            made.setdefault("tool_calls", []).append(chat_call(item["call_id"], item["name"], item["arguments"]))
    return made


def chat_call(identifier: str, name: str, arguments: str) -> dict[str, Any]:
    """A function call as Chat writes it."""
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_answering(*items: Item, finish: str | None = "stop", usage: Any = CHAT_USAGE) -> Script:
    """A script that gives the answer whole or streamed, as it is asked."""
    said = chat_message(*items)

    async def script(asked: Asked, wire: Wire) -> None:
        head = {"id": "chatcmpl-1", "created": 7, "model": "gpt-4.1-2025-04-14"}
        if not asked.json.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": finish}
            await wire.json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        chunks = [delta(**fields) for fields in _deltas(said)]
        await wire.stream(*stream_of(*chunks, delta(finish), usage=usage))

    return script


def _deltas(said: dict[str, Any]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    deltas += [{name: half} for name in ("reasoning_content", "content") for half in _halves(said.get(name) or "")]
    for index, call in enumerate(said.get("tool_calls", [])):
        function = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, **call, "function": function}]})
        pieces = _halves(call["function"]["arguments"])
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    return deltas


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def stream_of(*choices: list[dict[str, Any]], usage: Any = CHAT_USAGE, done: bool = True) -> list[bytes]:
    """A Chat stream, one chunk for each list of choices, then the usage."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4.1-2025-04-14"}
    chunks = [{**head, "choices": listed} for listed in choices]
    chunks += [{**head, "choices": [], "usage": usage}] if usage else []
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + ([DONE] if done else [])


def delta(finish: str | None = None, **fields: Any) -> list[dict[str, Any]]:
    """The choices of one chunk."""
    return [{"index": 0, "delta": fields, "finish_reason": finish}]


def call_delta(index: int | None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    """One entry of ``delta.tool_calls``; ``name`` goes into its function."""
    function = {name: fields.pop(name) for name in ("name",) if name in fields}
    function |= {} if arguments is None else {"arguments": arguments}
    return ({} if index is None else {"index": index}) | fields | ({"function": function} if function else {})


# ---------------------------------------------------------------- Anthropic's stream


def folded(data: bytes) -> dict[str, Any]:
    """The message of a stream whose grammar is checked on the way (compat §3.7)."""
    events = events_of(data)
    names = [line[7:].decode() for line in data.split(b"\n") if line.startswith(b"event: ")]
    assert names == [event["type"] for event in events], "each event has its line"
    assert b"[DONE]" not in data
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"], names
    made = dict(events[0]["message"])
    assert made["content"] == []
    assert made["usage"]["input_tokens"] > 0
    made["content"] = _blocks([event for event in events[1:-2] if event["type"] != "ping"])
    made |= events[-2]["delta"]
    made["usage"] = {**made["usage"], **events[-2]["usage"]}
    return made


def _blocks(events: list[Any]) -> list[dict[str, Any]]:
    """Blocks strictly one after another, numbered from 0."""
    blocks: list[dict[str, Any]] = []
    arguments: list[str] | None = None
    opened = False
    for event in events:
        kind = event["type"]
        if kind == "content_block_start":
            assert not opened, "a block was open"
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
            opened, arguments = True, []
        elif kind == "content_block_delta":
            assert opened, "no block is open"
            assert event["index"] == len(blocks) - 1
            _grow(blocks[-1], event["delta"], arguments)
        else:
            assert (kind, event["index"], opened) == ("content_block_stop", len(blocks) - 1, True)
            if blocks[-1]["type"] == "tool_use":
                assert blocks[-1]["input"] == {}
                blocks[-1]["input"] = json.loads("".join(arguments or []) or "{}")
            opened = False
    assert not opened, "a block stayed open"
    return blocks


def _grow(block: dict[str, Any], grown: dict[str, Any], arguments: list[str] | None) -> None:
    kinds = {"text_delta": "text", "input_json_delta": "tool_use", "thinking_delta": "thinking"}
    kind = grown["type"]
    assert block["type"] == kinds.get(kind, "thinking")
    if kind == "input_json_delta":
        assert arguments is not None
        arguments.append(grown["partial_json"])
    elif kind == "signature_delta":
        block["signature"] = block.get("signature", "") + grown["signature"]
    else:
        block[block["type"]] += grown[block["type"]]
