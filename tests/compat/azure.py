"""What Azure's Responses API says, and a gateway before it with Cursor's deployment set."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.relay.rig import Asked, Rig, Script, Wire, running

DEPLOYMENT = "prod-main"


@contextlib.asynccontextmanager
async def cursor_rig(family: str = "gpt-5", **more: Any) -> AsyncIterator[Rig]:
    """A gateway with one Azure account whose deployment serves Cursor."""
    account = {"families": {DEPLOYMENT: family}, **more.pop("account", {})}
    models = {"cursor_deployment": DEPLOYMENT, **more.pop("models", {})}
    async with running("azure_openai", account=account, models=models, **more) as rig:
        yield rig


Item = dict[str, Any]


def thought(text: str) -> Item:
    """A reasoning item with a summary."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "opaque"}


def message(text: str) -> Item:
    """A message item."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def call(name: str, arguments: str, call_id: str = "call_1") -> Item:
    """A function call item."""
    return {
        "id": f"fc_{call_id}", "type": "function_call", "status": "completed",
        "call_id": call_id, "name": name, "arguments": arguments,
    }  # fmt: skip


def custom_call(name: str, text: str, call_id: str = "call_1") -> Item:
    """A free-form tool's call."""
    return {
        "id": f"ctc_{call_id}", "type": "custom_tool_call", "status": "completed",
        "call_id": call_id, "name": name, "input": text,
    }  # fmt: skip


USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 100},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 150,
}


def body(*items: Item, status: str = "completed") -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "resp_1", "object": "response", "created_at": 7, "status": status, "model": "gpt-5-2025-08-07",
        "output": list(items), "usage": USAGE, "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
    }  # fmt: skip


def stream(*items: Item, status: str = "completed") -> list[bytes]:
    """The same as a stream, texts and arguments in two pieces."""
    whole = body(*items, status=status)
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}
    ]
    for index, item in enumerate(items):
        events += _item_events(index, item)
    events.append({"type": f"response.{status}", "response": whole})
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]


def _item_events(index: int, item: Item) -> list[dict[str, Any]]:
    at = {"output_index": index, "item_id": item["id"]}
    opened = {**item, "status": "in_progress"}
    pieces: list[dict[str, Any]] = []
    kind = item["type"]
    if kind == "reasoning":
        opened["summary"] = []
        for number, part in enumerate(item["summary"]):
            pieces += _halves("response.reasoning_summary_text.delta", part["text"], summary_index=number, **at)
    elif kind == "message":
        opened["content"] = []
        pieces += _halves("response.output_text.delta", item["content"][0]["text"], content_index=0, **at)
    elif kind == "function_call":
        opened["arguments"] = ""
        pieces += _halves("response.function_call_arguments.delta", item["arguments"], **at)
    else:
        opened["input"] = ""
        pieces += _halves("response.custom_tool_call_input.delta", item["input"], **at)
    added = {"type": "response.output_item.added", "output_index": index, "item": opened}
    return [added, *pieces, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _halves(event: str, text: str, **more: Any) -> list[dict[str, Any]]:
    middle = len(text) // 2
    return [{"type": event, "delta": half, **more} for half in (text[:middle], text[middle:]) if half]


def answering(*items: Item, status: str = "completed") -> Script:
    """A script that gives the answer whole or streamed, as it is asked."""

    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json.get("stream"):
            await wire.stream(*stream(*items, status=status))
        else:
            await wire.json(body(*items, status=status))

    return script
