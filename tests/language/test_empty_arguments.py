"""A call without arguments is one JSON object for every client, however its provider spelt it (S09)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.events import Event, Folder, unfold
from dragoman.language.ir import ToolCall
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked

ABSENT = object()
SPELLINGS: list[Any] = [None, "", ABSENT, {}, "{}"]
ASK: dict[str, dict[str, Any]] = {
    "anthropic": {"messages": [{"role": "user", "content": "a"}]},
    "openai_chat": {"messages": [{"role": "user", "content": "a"}]},
    "openai_responses": {"input": "a"},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
}


def with_arguments(fields: dict[str, Any], name: str, said: Any) -> dict[str, Any]:
    """The fields, and the arguments unless they are absent."""
    return fields if said is ABSENT else {**fields, name: said}


def chat_call(said: Any) -> dict[str, Any]:
    return {"index": 0, "id": "c1", "type": "function", "function": with_arguments({"name": "now"}, "arguments", said)}


def chat_body(message: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "tool_calls"}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}


def chat_chunks(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    return [{"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]} for choice in chunks]


def responses_item(said: Any) -> dict[str, Any]:
    item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "now", "status": "completed"}
    return with_arguments(item, "arguments", said)


def responses_body(said: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [responses_item(said)]}


def responses_stream(said: Any) -> list[dict[str, Any]]:
    done = with_arguments({"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0},
                          "arguments", said)  # fmt: skip
    return [
        {"type": "response.created", "response": {**responses_body(said), "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": responses_item(said)},
        done,
        {"type": "response.output_item.done", "output_index": 0, "item": responses_item(said)},
        {"type": "response.completed", "response": responses_body(said)},
    ]


def anthropic_body(said: Any) -> dict[str, Any]:
    block = with_arguments({"type": "tool_use", "id": "c1", "name": "now"}, "input", said)
    return {"type": "message", "id": "m", "role": "assistant", "model": "m", "content": [block],
            "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip


def anthropic_stream(said: Any, *pieces: str) -> list[dict[str, Any]]:
    whole = anthropic_body(said)
    return [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": whole["content"][0]},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
          for piece in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]  # fmt: skip


def gemini_body(said: Any) -> dict[str, Any]:
    call = {"functionCall": with_arguments({"name": "now"}, "args", said)}
    return {"candidates": [{"content": {"role": "model", "parts": [call]}, "finishReason": "STOP", "index": 0}],
            "responseId": "r", "modelVersion": "m"}  # fmt: skip


def frames(payloads: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)


BODIES: dict[str, tuple[str, dict[str, Any]]] = {}
STREAMS: dict[str, tuple[str, bytes]] = {}
for at, one in enumerate(SPELLINGS):
    legacy = {"function_call": with_arguments({"name": "now"}, "arguments", one)}
    BODIES[f"chat-{at}"] = "openai_chat", chat_body({"tool_calls": [chat_call(one)]})
    BODIES[f"legacy-{at}"] = "openai_chat", chat_body(legacy)
    STREAMS[f"chat-{at}"] = "openai_chat", frames(chat_chunks({"tool_calls": [chat_call(one)]}))
    STREAMS[f"chat-twice-{at}"] = (
        "openai_chat",
        frames(
            chat_chunks(
                {"tool_calls": [chat_call(one)]}, {"tool_calls": [{"index": 0, "function": {"arguments": one}}]}
            )
            if one in (None, "")
            else chat_chunks({"tool_calls": [chat_call("")]}, {"tool_calls": [chat_call(one)]})
        ),
    )
    STREAMS[f"legacy-{at}"] = "openai_chat", frames(chat_chunks(legacy))
    BODIES[f"responses-{at}"] = "openai_responses", responses_body(one)
    STREAMS[f"responses-{at}"] = "openai_responses", frames(responses_stream(one))
    STREAMS[f"gemini-{at}"] = "gemini", frames([gemini_body(one if one not in ("", "{}") else None)])
    BODIES[f"gemini-{at}"] = "gemini", gemini_body(one if one not in ("", "{}") else None)
    BODIES[f"anthropic-{at}"] = "anthropic", anthropic_body(one if one not in ("", "{}") else None)
    STREAMS[f"anthropic-{at}"] = "anthropic", frames(anthropic_stream(one if one not in ("", "{}") else {}))
STREAMS["anthropic-empty-piece"] = "anthropic", frames(anthropic_stream({}, "", ""))
STREAMS["anthropic-spelt"] = "anthropic", frames(anthropic_stream({}, "{", "}"))


def calls_of(client: str, body: Any) -> list[Any]:
    """The arguments in a whole answer for the client, undecoded."""
    if client == "anthropic":
        return [block["input"] for block in body["content"]]
    if client == "gemini":
        # Gemini's own wire may leave the field out.
        return [part["functionCall"].get("args", {}) for part in body["candidates"][0]["content"]["parts"]]
    if client == "openai_chat":
        return [call["function"]["arguments"] for call in body["choices"][0]["message"]["tool_calls"]]
    return [item["arguments"] for item in body["output"]]


def expected(client: str) -> list[Any]:
    """What stands for no arguments."""
    return [{}] if client in ("anthropic", "gemini") else ["{}"]


def asked(client: str) -> Asked:
    return Asked(DIALECTS[client].read_request(ASK[client], model="m", stream=False), "m", "ab" * 12, 1700000000)


@pytest.mark.parametrize("client", ASK)
@pytest.mark.parametrize("case", BODIES)
def test_S09_in_a_whole_answer(case: str, client: str) -> None:
    provider, body = BODIES[case]
    response = DIALECTS[provider].read_response(json.loads(json.dumps(body)))
    written = DIALECTS[client].write_response(response, asked(client))
    assert calls_of(client, json.loads(json.dumps(written))) == expected(client)
    folder = Folder()
    for event in unfold(response):
        folder.add(event)
    again = DIALECTS[client].write_response(folder.response(), asked(client))
    assert calls_of(client, json.loads(json.dumps(again))) == expected(client)


@pytest.mark.parametrize("client", ASK)
@pytest.mark.parametrize("case", STREAMS)
def test_S09_in_a_stream(case: str, client: str) -> None:
    provider, raw = STREAMS[case]
    reader = DIALECTS[provider].StreamReader()
    events: list[Event] = [*reader.feed(raw), *reader.close()]
    writer = DIALECTS[client].StreamWriter(asked(client))
    data = b"".join(writer.write(event) for event in events)
    assert streamed_calls(client, data) == ["{}"]
    folder = Folder()
    for event in events:
        folder.add(event)
    [call] = [part for part in folder.response().parts if isinstance(part, ToolCall)]
    assert call.name == "now"
    assert json.loads(call.arguments or "{}") == {}


def streamed_calls(client: str, data: bytes) -> list[str]:
    """The arguments a client puts together from a stream."""
    payloads = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    found: dict[int, str] = {}
    for payload in payloads:
        if client == "anthropic" and payload["type"] == "content_block_start":
            assert payload["content_block"]["input"] == {}
            found[payload["index"]] = ""
        elif client == "anthropic" and payload["type"] == "content_block_delta":
            found[payload["index"]] += payload["delta"]["partial_json"]
        elif client == "openai_chat":
            for choice in payload["choices"]:
                for call in choice["delta"].get("tool_calls", ()):
                    found[call["index"]] = found.get(call["index"], "") + call["function"]["arguments"]
        elif client == "openai_responses" and payload["type"] == "response.function_call_arguments.delta":
            found[payload["output_index"]] = found.get(payload["output_index"], "") + payload["delta"]
        elif client == "openai_responses" and payload["type"] == "response.function_call_arguments.done":
            assert payload["arguments"] == "{}"
            assert found.setdefault(payload["output_index"], "{}") == "{}"
        elif client == "openai_responses" and payload["type"] == "response.completed":
            assert [item["arguments"] for item in payload["response"]["output"]] == ["{}"]
        elif client == "gemini":
            for part in payload["candidates"][0]["content"].get("parts", ()):
                if "functionCall" in part:
                    found[len(found)] = json.dumps(part["functionCall"].get("args", {}))
    return [arguments or "{}" if client == "anthropic" else arguments for arguments in found.values()]
