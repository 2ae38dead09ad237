"""Four wires, spelt by hand: what clients send and await, and what a provider says.

Written apart from the gateway's own dialects, so that a mistake there is not repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MODEL = "up-model"
WORDS = "some words of an answer "


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call costs in tokens. ``input`` is without ``cached`` and ``written``, ``thought`` is in ``output``."""

    input: int
    cached: int
    written: int
    output: int
    thought: int

    @property
    def prompt(self) -> int:
        return self.input + self.cached + self.written


def cost_of(dialect: str, prompt: int, output: int) -> Cost:
    """The parts of a prompt and an answer, as far as the wire has words for them."""
    cached = prompt // 3
    written = prompt // 5 if dialect == "anthropic" else 0
    thought = 0 if dialect == "anthropic" else output // 4
    return Cost(prompt - cached - written, cached, written, output, thought)


@dataclass(frozen=True, slots=True)
class Provider:
    """How one dialect answers. ``frames`` are the texts of a stream, one for each piece, with usage or without.

    ``late_usage`` tells at which frame (from the end) the usage is complete.
    """

    dialect: str
    whole: Callable[[Cost], Json]
    frames: Callable[[Cost | None, int], Iterator[str]]


def _event(fields: Json, name: str = "") -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(fields)}\n\n"


# ---------------------------------------------------------------- chat


def _chat_usage(cost: Cost) -> Json:
    return {
        "prompt_tokens": cost.prompt,
        "completion_tokens": cost.output,
        "total_tokens": cost.prompt + cost.output,
        "prompt_tokens_details": {"cached_tokens": cost.cached},
        "completion_tokens_details": {"reasoning_tokens": cost.thought},
    }


def _chat_head(kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": 7, "model": MODEL}


def _chat_whole(cost: Cost) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": WORDS * 8}, "finish_reason": "stop"}
    return {**_chat_head("chat.completion"), "choices": [choice], "usage": _chat_usage(cost)}


def _chat_frames(cost: Cost | None, pieces: int) -> Iterator[str]:
    head = _chat_head("chat.completion.chunk")
    for _ in range(pieces):
        yield _event({**head, "choices": [{"index": 0, "delta": {"content": WORDS}, "finish_reason": None}]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if cost is not None:
        yield _event({**head, "choices": [], "usage": _chat_usage(cost)})
    yield "data: [DONE]\n\n"


# ---------------------------------------------------------------- responses


def _response(status: str, cost: Cost | None, text: str = "") -> Json:
    usage = None
    if cost is not None:
        usage = {
            "input_tokens": cost.prompt,
            "input_tokens_details": {"cached_tokens": cost.cached},
            "output_tokens": cost.output,
            "output_tokens_details": {"reasoning_tokens": cost.thought},
            "total_tokens": cost.prompt + cost.output,
        }
    output = [_message(text)] if text else []
    head = {"id": "resp_1", "object": "response", "created_at": 7, "model": MODEL}
    return {**head, "status": status, "output": output, "usage": usage}


def _message(text: str, status: str = "completed") -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}


def _responses_frames(cost: Cost | None, pieces: int) -> Iterator[str]:
    numbers = iter(range(1000))

    def event(kind: str, **fields: Any) -> str:
        return _event({"type": kind, "sequence_number": next(numbers), **fields}, kind)

    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    yield event("response.created", response=_response("in_progress", None))
    yield event("response.output_item.added", output_index=0, item=_message("", "in_progress"))
    yield event("response.content_part.added", **place, part=part)
    for _ in range(pieces):
        yield event("response.output_text.delta", **place, delta=WORDS)
    text = WORDS * pieces
    yield event("response.output_text.done", **place, text=text)
    yield event("response.content_part.done", **place, part={**part, "text": text})
    yield event("response.output_item.done", output_index=0, item=_message(text))
    yield event("response.completed", response=_response("completed", cost, text))


# ---------------------------------------------------------------- anthropic


def _messages_usage(cost: Cost, output: int) -> Json:
    return {
        "input_tokens": cost.input,
        "cache_read_input_tokens": cost.cached,
        "cache_creation_input_tokens": cost.written,
        "output_tokens": output,
    }


def _messages_head(**fields: Any) -> Json:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, **fields}


def _messages_whole(cost: Cost) -> Json:
    content = [{"type": "text", "text": WORDS * 8}]
    usage = _messages_usage(cost, cost.output)
    return _messages_head(content=content, stop_reason="end_turn", stop_sequence=None, usage=usage)


def _messages_frames(cost: Cost | None, pieces: int) -> Iterator[str]:
    message = _messages_head(content=[], stop_reason=None, stop_sequence=None)
    ended: Json = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    if cost is not None:
        message["usage"] = _messages_usage(cost, 1)
        ended["usage"] = {"output_tokens": cost.output}
    yield _event({"type": "message_start", "message": message}, "message_start")
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield _event(block, "content_block_start")
    for _ in range(pieces):
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}}
        yield _event(delta, "content_block_delta")
    yield _event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    yield _event(ended, "message_delta")
    yield _event({"type": "message_stop"}, "message_stop")


# ---------------------------------------------------------------- gemini


def _gemini(text: str, cost: Cost | None, finish: str = "", share: float = 1.0) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    body: Json = {"candidates": [candidate], "modelVersion": MODEL, "responseId": "r1"}
    if cost is not None:
        body["usageMetadata"] = {
            "promptTokenCount": cost.prompt,
            "cachedContentTokenCount": cost.cached,
            "candidatesTokenCount": int((cost.output - cost.thought) * share),
            "thoughtsTokenCount": cost.thought,
            "totalTokenCount": cost.prompt + int((cost.output - cost.thought) * share) + cost.thought,
        }
    return body


def _gemini_frames(cost: Cost | None, pieces: int) -> Iterator[str]:
    """Every piece has usage so far, which counts up."""
    for number in range(pieces):
        yield _event(_gemini(WORDS, cost, share=number / pieces))
    yield _event(_gemini("the end.", cost, finish="STOP"))


PROVIDERS = {
    one.dialect: one
    for one in (
        Provider("chat", _chat_whole, _chat_frames),
        Provider("responses", lambda cost: _response("completed", cost, WORDS * 8), _responses_frames),
        Provider("anthropic", _messages_whole, _messages_frames),
        Provider("gemini", lambda cost: _gemini(WORDS * 8, cost, finish="STOP"), _gemini_frames),
    )
}


# ---------------------------------------------------------------- clients


@dataclass(frozen=True, slots=True)
class Surface:
    """How a client asks, and how it knows that an answer is whole. ``key`` is the header for its credential."""

    name: str
    path: Callable[[str, bool], str]
    body: Callable[[str, str, bool], Json]
    key: str
    end: tuple[bytes, ...]
    error: tuple[bytes, ...]

    def headers(self, key: str) -> dict[str, str]:
        return {self.key: f"Bearer {key}" if self.key == "authorization" else key} if key else {}

    def is_whole(self, data: bytes) -> bool:
        """Whether a stream came to its proper end."""
        return any(word in data for word in self.end) and not self.failed(data)

    def failed(self, data: bytes) -> bool:
        """Whether a stream says that it failed."""
        return any(word in data for word in self.error)


def _messages_body(model: str, text: str, stream: bool) -> Json:
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], "stream": stream}


def _responses_body(model: str, text: str, stream: bool) -> Json:
    return {"model": model, "input": text, "max_output_tokens": 1000, "stream": stream}


def _gemini_body(model: str, text: str, stream: bool) -> Json:
    contents = [{"role": "user", "parts": [{"text": text}]}]
    return {"contents": contents, "generationConfig": {"maxOutputTokens": 1000}}


def _gemini_path(root: str, query: str) -> Callable[[str, bool], str]:
    def path(model: str, stream: bool) -> str:
        return f"{root}/{model}:streamGenerateContent{query}" if stream else f"{root}/{model}:generateContent"

    return path


_FINISH = (b'"finishReason":"STOP"', b'"finishReason": "STOP"')
_ERROR = (b'"error":', b'"error" :')

SURFACES = (
    Surface("messages", lambda model, stream: "/v1/messages", _messages_body, "x-api-key", (b"message_stop",), _ERROR),
    Surface(
        "chat", lambda model, stream: "/v1/chat/completions", _messages_body, "authorization", (b"[DONE]",), _ERROR
    ),
    Surface(
        "responses",
        lambda model, stream: "/v1/responses",
        _responses_body,
        "authorization",
        (b"response.completed",),
        (b"response.failed", b'"type":"error"'),
    ),
    Surface("gemini", _gemini_path("/v1beta/models", "?alt=sse"), _gemini_body, "x-goog-api-key", _FINISH, _ERROR),
    Surface("gemini array", _gemini_path("/v1/models", ""), _gemini_body, "x-goog-api-key", _FINISH, _ERROR),
    Surface(
        "azure",
        lambda model, stream: f"/openai/deployments/{model}/chat/completions",
        _messages_body,
        "authorization",
        (b"[DONE]",),
        _ERROR,
    ),
)
