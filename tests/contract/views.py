"""What a strict client of each dialect sees of a stream or a whole answer.

Written from the wire documentation and independent of the dialect modules: a small parser per
dialect that raises BadWire at anything a strict client could not read, and reduces an answer to the
things that must survive translation. The official SDKs' own parsers run over the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


class BadWire(AssertionError):
    """Bytes a strict client could not read."""


def need(condition: object, message: str) -> None:
    """Raise BadWire unless the condition holds."""
    if not condition:
        raise BadWire(message)


@dataclass
class View:
    """The substance of an answer. Calls are (name, arguments); a custom tool's arguments are raw text."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = ""
    prompt: int | None = None
    cached: int | None = None
    output: int | None = None
    failed: bool = False
    model: str = ""


def sse(raw: bytes) -> list[tuple[str, str]]:
    """(event name, data) pairs; every event must end in a blank line."""
    if not raw:
        return []
    text = raw.decode("utf-8").replace("\r\n", "\n")
    need(text.endswith("\n\n"), "the stream does not end in a blank line")
    pairs = []
    for block in text[:-2].split("\n\n"):
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith(":"):
                continue
            key, _, value = line.partition(": ")
            need(key in ("event", "data"), f"unexpected line {line[:80]!r}")
            if key == "event":
                name = value
            else:
                data.append(value)
        if data:
            pairs.append((name, "\n".join(data)))
    return pairs


def arguments(text: str) -> Any:
    """Parsed arguments, or the raw text of a custom tool."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---------------------------------------------------------------- Anthropic

ANTHROPIC_STOPS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
ANTHROPIC_STOPS |= {"model_context_window_exceeded", "compaction"}
_ANTHROPIC_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
}


def anthropic_stream(raw: bytes) -> View:
    """Strict reading of an Anthropic Messages stream."""
    view, state = View(), "new"
    blocks: list[dict[str, Any]] = []
    current: dict[str, Any] | None = None
    for name, data in sse(raw):
        event = json.loads(data)
        kind = event["type"]
        need(name == kind, f"event name {name!r} is not {kind!r}")
        need(state != "over", f"{kind} after the end")
        if kind == "ping":
            continue
        if kind == "error":
            need(isinstance(event["error"]["message"], str) and event["error"]["type"], "malformed error")
            view.failed, state = True, "over"
        elif kind == "message_start":
            need(state == "new", "message_start twice")
            state, message = "open", event["message"]
            need(message["role"] == "assistant" and message["type"] == "message", "malformed message_start")
            need(message["id"].startswith("msg_"), f"id {message['id']!r}")
            need(message["content"] == [] and message["stop_reason"] is None, "message_start is not empty")
            _anthropic_usage(view, message["usage"], whole=True)
            view.model = message["model"]
        elif kind == "content_block_start":
            need(state == "open" and current is None, "block opened inside a block")
            need(event["index"] == len(blocks), f"index {event['index']} is not {len(blocks)}")
            current = dict(event["content_block"], _json="")
            if current["type"] == "thinking":
                need("signature" in current, "a thinking block needs a signature key")
            if current["type"] == "tool_use":
                need(current["id"] and current["name"] and current["input"] == {}, "malformed tool_use")
            blocks.append(current)
        elif kind == "content_block_delta":
            need(current is not None and event["index"] == len(blocks) - 1, "delta outside its block")
            _anthropic_delta(blocks[-1], event["delta"])
        elif kind == "content_block_stop":
            need(current is not None and event["index"] == len(blocks) - 1, "stop outside its block")
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = arguments(blocks[-1]["_json"] or "{}")
            current = None
        elif kind == "message_delta":
            need(state == "open" and current is None, "message_delta inside a block")
            state, view.finish = "closing", event["delta"]["stop_reason"]
            need(view.finish in ANTHROPIC_STOPS, f"stop_reason {view.finish!r}")
            _anthropic_usage(view, event["usage"], whole=False)
        elif kind == "message_stop":
            need(state == "closing", "message_stop before message_delta")
            state = "over"
        else:
            raise BadWire(f"unknown event {kind}")
    need(state == "over", "the stream has no end")
    _anthropic_blocks(view, blocks, cut=view.failed or view.finish == "max_tokens")
    return view


def _anthropic_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    allowed = _ANTHROPIC_DELTAS.get(block["type"])
    need(allowed is None or delta["type"] in allowed, f"{delta['type']} in a {block['type']} block")
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif delta["type"] == "signature_delta":
        block["signature"] += delta["signature"]
    elif delta["type"] == "input_json_delta":
        block["_json"] += delta["partial_json"]


def _anthropic_usage(view: View, usage: dict[str, Any], *, whole: bool) -> None:
    if whole or "input_tokens" in usage:
        for key in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
            need(isinstance(usage.get(key), int), f"usage.{key} is {usage.get(key)!r}")
        view.cached = usage["cache_read_input_tokens"]
        view.prompt = usage["input_tokens"] + usage["cache_creation_input_tokens"] + view.cached
    view.output = usage["output_tokens"]


def _anthropic_blocks(view: View, blocks: list[dict[str, Any]], *, cut: bool = False) -> None:
    for block in blocks:
        if block["type"] == "text":
            view.text += block["text"]
        elif block["type"] == "thinking":
            view.reasoning += block["thinking"]
            need(isinstance(block["signature"], str), "signature is not a string")
        elif block["type"] == "tool_use":
            need(cut or isinstance(block["input"], dict), "tool input is not an object")
            view.calls.append((block["name"], block["input"]))


def anthropic_body(body: dict[str, Any]) -> View:
    """Strict reading of a whole Anthropic message."""
    need(body["type"] == "message" and body["role"] == "assistant", "malformed message")
    need(body["id"].startswith("msg_"), f"id {body['id']!r}")
    need(body["stop_reason"] in ANTHROPIC_STOPS and "stop_sequence" in body, f"stop_reason {body['stop_reason']!r}")
    view = View(finish=body["stop_reason"], model=body["model"])
    _anthropic_usage(view, body["usage"], whole=True)
    _anthropic_blocks(view, body["content"])
    return view


# ---------------------------------------------------------------- OpenAI Chat

CHAT_FINISHES = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def openai_chat_stream(raw: bytes) -> View:
    """Strict reading of a Chat Completions stream; choice 0 is what the view shows."""
    view, done = View(), False
    calls: dict[int, dict[str, Any]] = {}
    finishes: dict[int, str] = {}
    role: set[int] = set()
    identity: set[str] = set()
    for name, data in sse(raw):
        need(name == "", f"chat events have no name, got {name!r}")
        need(not done and not view.failed, "data after the end")
        if data == "[DONE]":
            done = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            need(isinstance(chunk["error"]["message"], str), "malformed error")
            view.failed = True
            continue
        need(chunk["object"] == "chat.completion.chunk" and chunk["id"], "malformed chunk")
        identity.add(chunk["id"])
        view.model = chunk["model"]
        for choice in chunk["choices"]:
            number, delta = choice["index"], choice["delta"]
            if "role" in delta:
                need(number not in role, "role twice")
                role.add(number)
            need(number in role, "first delta without a role")
            if delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"):
                need(number not in finishes, "content after the finish reason")
            if number == 0:
                view.text += delta.get("content") or delta.get("refusal") or ""
                view.reasoning += delta.get("reasoning_content") or ""
                _chat_calls(calls, delta.get("tool_calls") or [])
            if choice.get("finish_reason"):
                need(number not in finishes, "finish_reason twice")
                finishes[number] = choice["finish_reason"]
        if chunk.get("usage"):
            _chat_usage(view, chunk["usage"])
    need(done or view.failed, "no [DONE] and no error")
    need(view.failed or finishes, "no finish_reason: an agent would loop for ever")
    need(len(identity) <= 1, "the id changes")
    need(sorted(calls) == list(range(len(calls))), "call indices have gaps")
    view.finish = finishes.get(0, "")
    need(view.failed or view.finish in CHAT_FINISHES, f"finish_reason {view.finish!r}")
    view.calls = [(call["name"], arguments(call["arguments"])) for _, call in sorted(calls.items())]
    return view


def _chat_calls(calls: dict[int, dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        index = delta["index"]
        payload = delta.get("function") or delta.get("custom") or {}
        if index not in calls:
            need(delta.get("id") and payload.get("name"), "a call opens without id or name")
            calls[index] = {"name": payload["name"], "arguments": ""}
        else:
            need(not payload.get("name"), "the name comes twice")
        calls[index]["arguments"] += payload.get("arguments") or payload.get("input") or ""


def _chat_usage(view: View, usage: dict[str, Any]) -> None:
    view.prompt, view.output = usage["prompt_tokens"], usage["completion_tokens"]
    need(usage["total_tokens"] == view.prompt + view.output, "total is not the sum")
    view.cached = usage["prompt_tokens_details"]["cached_tokens"]
    need(isinstance(view.cached, int), "cached_tokens is not a number")
    need(isinstance(usage["completion_tokens_details"]["reasoning_tokens"], int), "reasoning_tokens is not a number")


def openai_chat_body(body: dict[str, Any]) -> View:
    """Strict reading of a whole chat completion."""
    need(body["object"] == "chat.completion" and body["id"], "malformed completion")
    choice = body["choices"][0]
    message = choice["message"]
    view = View(finish=choice["finish_reason"], model=body["model"])
    need(message["role"] == "assistant" and "content" in message, "malformed message")
    need(view.finish in CHAT_FINISHES, f"finish_reason {view.finish!r}")
    view.text = message["content"] or message.get("refusal") or ""
    view.reasoning = message.get("reasoning_content") or ""
    for call in message.get("tool_calls") or []:
        payload = call.get("function") or call["custom"]
        need(call["id"], "a call without id")
        view.calls.append((payload["name"], arguments(payload.get("arguments", payload.get("input")))))
    _chat_usage(view, body["usage"])
    return view


# ---------------------------------------------------------------- OpenAI Responses


def openai_responses_stream(raw: bytes) -> View:
    """Strict reading of a Responses stream: order, numbering, and items complete twice."""
    view = View()
    open_items: dict[int, dict[str, Any]] = {}
    done_items: dict[int, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for expected, (name, data) in enumerate(sse(raw)):
        event = json.loads(data)
        kind = event["type"]
        need(name == kind, f"event name {name!r} is not {kind!r}")
        need(not last, f"{kind} after the end")
        need(event["sequence_number"] == expected, f"sequence_number {event['sequence_number']}, not {expected}")
        need(expected != 0 or kind in ("response.created", "response.failed", "error"), f"first event is {kind}")
        if kind == "response.output_item.added":
            need(event["output_index"] not in open_items, "item added twice")
            open_items[event["output_index"]] = {"item": event["item"], "text": "", "arguments": ""}
        elif kind == "response.output_item.done":
            need(event["output_index"] in open_items, "item done but never added")
            _item_matches(open_items[event["output_index"]], event["item"])
            done_items[event["output_index"]] = event["item"]
        elif kind.endswith(".delta"):
            need(event["output_index"] in open_items, "delta for an item never added")
            need(event["output_index"] not in done_items, "delta for an item that is done")
            grown = open_items[event["output_index"]]
            need(event["item_id"] == grown["item"]["id"], "item_id differs")
            if kind in ("response.output_text.delta", "response.refusal.delta"):
                grown["text"] += event["delta"]
            elif kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
                grown["arguments"] += event["delta"]
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            last = event["response"]
    need(last, "no terminal event")
    view.failed = last["status"] == "failed"
    if not view.failed:
        output = [item for _, item in sorted(done_items.items())]
        need(last["output"] == output, "the terminal output is not the items")
        need(set(open_items) == set(done_items), "an item never ended")
        _responses_view(view, last)
    else:
        need(last["error"]["code"] and last["error"]["message"], "malformed error")
    return view


def _item_matches(grown: dict[str, Any], item: dict[str, Any]) -> None:
    need(grown["item"]["type"] == item["type"], "the type changes")
    if item["type"] == "function_call":
        need(grown["arguments"] == item["arguments"], "arguments differ from their deltas")
    elif item["type"] == "custom_tool_call":
        need(grown["arguments"] == item["input"], "input differs from its deltas")
    elif item["type"] == "message":
        text = "".join(part.get("text", part.get("refusal", "")) for part in item["content"])
        need(grown["text"] == text, "text differs from its deltas")


def _responses_view(view: View, body: dict[str, Any]) -> None:
    view.model = body["model"]
    for item in body["output"]:
        if item["type"] == "message":
            need(item["role"] == "assistant" and item["id"], "malformed message item")
            view.text += "".join(part.get("text", part.get("refusal", "")) for part in item["content"])
        elif item["type"] == "reasoning":
            texts = item.get("summary") or item.get("content") or []
            view.reasoning += "\n\n".join(part["text"] for part in texts)
        elif item["type"] == "function_call":
            need(item["call_id"] and item["name"], "malformed call")
            view.calls.append((item["name"], arguments(item["arguments"])))
        elif item["type"] == "custom_tool_call":
            need(item["call_id"] and item["name"], "malformed call")
            view.calls.append((item["name"], arguments(item["input"])))
    view.finish = body["status"]
    if body["status"] == "incomplete":
        view.finish = body["incomplete_details"]["reason"]
    usage = body["usage"]
    if usage is None and body["status"] == "queued":
        return
    view.prompt, view.output = usage["input_tokens"], usage["output_tokens"]
    view.cached = usage["input_tokens_details"]["cached_tokens"]
    need(usage["total_tokens"] == view.prompt + view.output, "total is not the sum")
    need(isinstance(usage["output_tokens_details"]["reasoning_tokens"], int), "reasoning_tokens is not a number")


def openai_responses_body(body: dict[str, Any]) -> View:
    """Strict reading of a whole response."""
    need(body["object"] == "response" and body["id"], "malformed response")
    need(body["status"] in ("completed", "incomplete", "queued"), f"status {body['status']!r}")
    view = View()
    _responses_view(view, body)
    return view


# ---------------------------------------------------------------- Gemini

GEMINI_FINISHES = {"STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT"}


def gemini_stream(raw: bytes) -> View:
    """Strict reading of a Gemini stream."""
    view = View()
    for name, data in sse(raw):
        need(name == "", f"Gemini events have no name, got {name!r}")
        need(not view.failed, "data after an error")
        chunk = json.loads(data)
        if "error" in chunk:
            need(isinstance(chunk["error"]["code"], int) and chunk["error"]["status"], "malformed error")
            view.failed = True
            continue
        _gemini_chunk(view, chunk)
    need(view.failed or view.finish, "no finishReason")
    return view


def _gemini_chunk(view: View, chunk: dict[str, Any]) -> None:
    view.model = chunk.get("modelVersion", view.model)
    if chunk.get("promptFeedback", {}).get("blockReason"):
        view.finish = "SAFETY"
    for candidate in chunk.get("candidates", []):
        if candidate.get("index", 0) != 0:
            continue
        for part in candidate.get("content", {}).get("parts", []):
            _gemini_part(view, part)
        if candidate.get("finishReason"):
            view.finish = candidate["finishReason"]
    if usage := chunk.get("usageMetadata"):
        view.prompt = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
        view.output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        view.cached = usage.get("cachedContentTokenCount", 0)
        need(
            usage.get("totalTokenCount", view.prompt + view.output) == view.prompt + view.output, "total is not the sum"
        )


def _gemini_part(view: View, part: dict[str, Any]) -> None:
    if "thoughtSignature" in part:
        need(isinstance(part["thoughtSignature"], str), "malformed thoughtSignature")
    if "functionCall" in part:
        call = part["functionCall"]
        need(call["name"] and isinstance(call.get("args", {}), dict), "malformed functionCall")
        view.calls.append((call["name"], call.get("args", {})))
    elif part.get("thought"):
        view.reasoning += part.get("text", "")
    elif "text" in part:
        view.text += part["text"]


def gemini_body(body: dict[str, Any]) -> View:
    """Strict reading of a whole Gemini answer."""
    view = View()
    _gemini_chunk(view, body)
    need(view.finish, "no finishReason")
    return view


STREAM_VIEWS = {
    "anthropic": anthropic_stream,
    "openai_chat": openai_chat_stream,
    "openai_responses": openai_responses_stream,
    "gemini": gemini_stream,
}
BODY_VIEWS = {
    "anthropic": anthropic_body,
    "openai_chat": openai_chat_body,
    "openai_responses": openai_responses_body,
    "gemini": gemini_body,
}
