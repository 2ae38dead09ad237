"""What is asked and what is answered: requests in both dialects, canned chat answers, what must arrive.

Everything is built once and is the same in every run. This module must not open a socket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

PROVIDER = "bench"
CHUNKS = 200
WORD = "lorem ipsum "
ARGUMENTS = json.dumps({"path": "src/main.py", "content": "print('hello')\n" * 40})


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that is measured. ``pace`` is the pause between writes in seconds, ``burst`` the chunks per write."""

    name: str
    title: str
    unit: str
    stream: bool
    per: int = 1
    burst: int = 1
    pace: float = 0.0
    parallel: int = 16


SCENES = (
    Scene("small", "small call, whole answer", "call", stream=False),
    Scene("paced", f"{CHUNKS}-chunk stream, one by one", "chunk", stream=True, per=CHUNKS, pace=0.004, parallel=24),
    Scene("burst", f"{CHUNKS}-chunk stream, in bursts", "chunk", stream=True, per=CHUNKS, burst=20, pace=0.001),
    Scene("agent", "60 KB agent request, tool-call stream", "call", stream=True, per=1, burst=20, parallel=8),
)
BY_NAME = {scene.name: scene for scene in SCENES}


def model_of(scene: Scene) -> str:
    """Return the upstream's model name, which also tells the upstream what to answer."""
    return f"bench-model-{scene.name}"


def expected(scene: Scene) -> str:
    """Return the text or the tool arguments that must reach the client."""
    return ARGUMENTS if scene.name == "agent" else WORD * (CHUNKS if scene.stream else 20)


# ---------------------------------------------------------------- requests


def _tool_schema(number: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": f"Absolute path of the file that tool {number} works on"},
            "content": {"type": "string", "description": "What to write; the whole text, never a part of it"},
            "limit": {"type": "integer", "description": "How many lines at most, counted from the offset"},
            "mode": {"type": "string", "enum": ["read", "write", "append"], "description": "What to do with it"},
        },
        "required": ["path"],
    }


def _turns() -> list[tuple[str, str]]:
    return [(f"call_{turn}", f"Result {turn}: " + "some lines of a file, as they are. " * 60) for turn in range(15)]


def anthropic_request(scene: Scene) -> dict[str, Any]:
    """Return what an Anthropic client sends to the gateway."""
    body: dict[str, Any] = {
        "model": f"{PROVIDER}/{model_of(scene)}",
        "max_tokens": 4096,
        "stream": scene.stream,
        "system": "You are a careful assistant.",
        "messages": [{"role": "user", "content": "Please answer with the usual words."}],
    }
    if scene.name == "agent":
        for call, result in _turns():
            use = {"type": "tool_use", "id": call, "name": "tool_3", "input": {"path": f"/src/{call}.py", "limit": 100}}
            answer = {"type": "tool_result", "tool_use_id": call, "content": result}
            body["messages"].append({"role": "assistant", "content": [{"type": "text", "text": "Looking."}, use]})
            body["messages"].append({"role": "user", "content": [answer]})
        body["tools"] = [
            {"name": f"tool_{n}", "description": "It does one thing. " * 20, "input_schema": _tool_schema(n)}
            for n in range(24)
        ]
    return body


def chat_request(scene: Scene) -> dict[str, Any]:
    """Return the same request as a Chat client sends it, for what passes bytes through."""
    body: dict[str, Any] = {
        "model": model_of(scene),
        "max_tokens": 4096,
        "stream": scene.stream,
        "messages": [
            {"role": "system", "content": "You are a careful assistant."},
            {"role": "user", "content": "Please answer with the usual words."},
        ],
    }
    if scene.stream:
        body["stream_options"] = {"include_usage": True}
    if scene.name == "agent":
        for call, result in _turns():
            function = {"name": "tool_3", "arguments": json.dumps({"path": f"/src/{call}.py", "limit": 100})}
            use = {"id": call, "type": "function", "function": function}
            body["messages"].append({"role": "assistant", "content": "Looking.", "tool_calls": [use]})
            body["messages"].append({"role": "tool", "tool_call_id": call, "content": result})
        tools = anthropic_request(scene)["tools"]
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": t["name"], "description": t["description"], "parameters": t["input_schema"]},
            }
            for t in tools
        ]
    return body


# ---------------------------------------------------------------- answers


USAGE = {"prompt_tokens": 1000, "completion_tokens": 400, "total_tokens": 1400}


def _chunk(scene: Scene, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": model_of(scene),
        "system_fingerprint": "fp_bench",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _call(index_of: int) -> list[dict[str, Any]]:
    return [{"index": 0, "function": {"arguments": ARGUMENTS[index_of : index_of + 12]}}]


def stream_events(scene: Scene) -> list[bytes]:
    """Return the events of a streamed chat answer, one element per event."""
    opening: dict[str, Any] = {"role": "assistant", "content": "" if scene.name != "agent" else None}
    events = [_chunk(scene, opening)]
    if scene.name == "agent":
        first = {"index": 0, "id": "call_bench", "type": "function", "function": {"name": "tool_3", "arguments": ""}}
        events.append(_chunk(scene, {"tool_calls": [first]}))
        events += [_chunk(scene, {"tool_calls": _call(at)}) for at in range(0, len(ARGUMENTS), 12)]
        events.append(_chunk(scene, {}, "tool_calls"))
    else:
        events += [_chunk(scene, {"content": WORD}) for _ in range(CHUNKS)]
        events.append(_chunk(scene, {}, "stop"))
    return [*events, _chunk(scene, {}, choices=[], usage=USAGE), b"data: [DONE]\n\n"]


def whole_answer(scene: Scene) -> bytes:
    """Return a chat answer that is not streamed."""
    message = {"role": "assistant", "content": expected(scene), "refusal": None}
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1760000000,
        "model": model_of(scene),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    return json.dumps(body).encode()
