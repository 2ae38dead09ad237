"""What the tests of the Anthropic dialect share: feeding streams, writing events, comparing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dragoman.language.dialects import anthropic
from dragoman.language.events import Event, Finished, PartDelta, PartEnded, PartStarted, Started, check
from dragoman.language.ir import Finish, Message, Part, ReasoningSetting, Request, Text
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.streams import Asked

NATIVE = Profile("anthropic")
BUDGET = Profile("anthropic", default_max=64000, reasoning="budget", budget_range=(1024, 32000))
ADAPTIVE = Profile("anthropic", default_max=64000, reasoning="adaptive", efforts=("low", "medium", "high"))

BODY: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def asked(model: str = "asked", *, thinking: bool = False, estimate: int = 0) -> Asked:
    """A call by an Anthropic client."""
    setting = ReasoningSetting("on", budget=2000) if thinking else None
    return Asked(Request("anthropic", model, [], reasoning=setting), model, "5eed", 0, estimate)


def roundtrip(body: dict[str, Any], receipt: Receipt | None = None) -> dict[str, Any]:
    """A body read and written for the same dialect."""
    return anthropic.write_request(anthropic.read_request(body), NATIVE, receipt or Receipt())


def foreign(*messages: Message, **fields: Any) -> Request:
    """A request of another dialect."""
    return Request("openai_chat", "m", list(messages), **fields)


def written(request: Request, profile: Profile = BUDGET, receipt: Receipt | None = None) -> dict[str, Any]:
    """The body for a provider that speaks Anthropic."""
    return anthropic.write_request(request, profile, receipt or Receipt())


def frames(*payloads: dict[str, Any]) -> bytes:
    """A stream of these payloads, each named by its type."""
    return b"".join(f"event: {p['type']}\ndata: {json.dumps(p)}\n\n".encode() for p in payloads)


def start(**message: Any) -> dict[str, Any]:
    """A message_start."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    return {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": usage} | message}


def opened(index: int, **block: Any) -> dict[str, Any]:
    """A content_block_start."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    """A content_block_delta."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def closed(index: int) -> dict[str, Any]:
    """A content_block_stop."""
    return {"type": "content_block_stop", "index": index}


def stopped(reason: str | None = "end_turn", **usage: int) -> dict[str, Any]:
    """A message_delta."""
    stop = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7, **usage}}


END: dict[str, Any] = {"type": "message_stop"}


def feed(raw: bytes, size: int = 1 << 20) -> list[Event]:
    """The events of a stream fed in chunks, checked against the grammar."""
    reader, events = anthropic.StreamReader(), []
    for at in range(0, len(raw), size):
        events += reader.feed(raw[at : at + size])
    return list(check([*events, *reader.close()]))


def read(*payloads: dict[str, Any]) -> list[Event]:
    """The events of these payloads."""
    return feed(frames(*payloads))


def write(events: Iterable[Event], call: Asked | None = None) -> bytes:
    """The bytes a client gets for events."""
    writer = anthropic.StreamWriter(call or asked())
    return b"".join(writer.write(event) for event in events)


def payloads(raw: bytes) -> list[dict[str, Any]]:
    """The payloads of a written stream; names and types must agree."""
    found = []
    for block in raw.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        payload = json.loads(data.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        found.append(payload)
    return found


def said(part: Part, *pieces: str, index: int = 0) -> list[Event]:
    """The events of one part."""
    return [PartStarted(index, part), *(PartDelta(index, piece) for piece in pieces), PartEnded(index)]


def answer(*parts: list[Event], finish: Finish | None = None, id_: str = "chatcmpl-1") -> list[Event]:
    """The events of another dialect's answer."""
    body = [event for part in parts for event in part]
    return [Started(id_, "gpt"), *body, Finished([finish or Finish("end")])]


def blocks(raw: bytes) -> list[dict[str, Any]]:
    """The blocks a strict client assembles: one at a time, indices from 0 without a gap."""
    done: list[dict[str, Any]] = []
    current: dict[str, Any] | None = None
    for payload in payloads(raw):
        if payload["type"] == "content_block_start":
            assert current is None
            assert payload["index"] == len(done)
            current = payload["content_block"] | {"_json": ""}
        elif payload["type"] == "content_block_delta":
            assert current is not None
            assert payload["index"] == len(done)
            grow(current, payload["delta"])
        elif payload["type"] == "content_block_stop":
            assert current is not None
            assert payload["index"] == len(done)
            if pieces := current.pop("_json"):
                current["input"] = json.loads(pieces)
            done.append(current)
            current = None
    assert current is None
    return done


def grow(block: dict[str, Any], change: dict[str, Any]) -> None:
    """Fold one delta into a block, refusing a delta of another kind."""
    kind = change["type"]
    if kind == "text_delta":
        assert block["type"] == "text"
        block["text"] += change["text"]
    elif kind == "thinking_delta":
        assert block["type"] == "thinking"
        block["thinking"] += change["thinking"]
    elif kind == "signature_delta":
        assert block["type"] == "thinking"
        block["signature"] = change["signature"]
    elif kind == "input_json_delta":
        block["_json"] += change["partial_json"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), change["citation"]]


def user(text: str) -> Message:
    """A user turn."""
    return Message("user", [Text(text)])
