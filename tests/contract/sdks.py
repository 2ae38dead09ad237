"""The official SDKs' own parsers, fed with written streams and bodies."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.views import sse


def anthropic_stream(raw: bytes) -> None:
    """The accumulator behind ``client.messages.stream``."""
    from anthropic.lib.streaming._messages import accumulate_event
    from anthropic.types import RawMessageStreamEvent
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    snapshot, buffers = None, dict[int, bytes]()
    for name, data in sse(raw):
        if name in ("ping", "error"):
            continue
        event = json.loads(data)
        if _known_anthropic(event):
            adapter.validate_python(event)
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)


def _known_anthropic(event: dict[str, Any]) -> bool:
    block = event.get("content_block") or event.get("delta") or {}
    plain = {"text", "thinking", "tool_use", "text_delta", "thinking_delta", "signature_delta", "input_json_delta"}
    return block.get("type") is None or block["type"] in plain


def anthropic_body(body: dict[str, Any]) -> None:
    """The SDK's Message."""
    from anthropic.types import Message

    Message.model_validate(body) if all(
        b["type"] in ("text", "thinking", "tool_use") for b in body["content"]
    ) else None


def openai_chat_stream(raw: bytes) -> None:
    """The state behind ``client.chat.completions.stream``."""
    from openai.lib.streaming.chat._completions import ChatCompletionStreamState
    from openai.types.chat import ChatCompletionChunk

    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for _, data in sse(raw):
        if data != "[DONE]" and "error" not in (chunk := json.loads(data)):
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))


def openai_chat_body(body: dict[str, Any]) -> None:
    """The SDK's ChatCompletion."""
    from openai.types.chat import ChatCompletion

    ChatCompletion.model_validate(body)


def openai_responses_stream(raw: bytes) -> None:
    """The state behind ``client.responses.stream``."""
    from openai import omit
    from openai.lib.streaming.responses._responses import ResponseStreamState
    from openai.types.responses import ResponseStreamEvent
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for _, data in sse(raw):
        state.handle_event(adapter.validate_python(json.loads(data)))


def openai_responses_body(body: dict[str, Any]) -> None:
    """The SDK's Response."""
    from openai.types.responses import Response

    Response.model_validate(body)


def gemini_stream(raw: bytes) -> None:
    """The chunks of ``client.models.generate_content_stream``."""
    for _, data in sse(raw):
        if "error" not in (chunk := json.loads(data)):
            gemini_body(chunk)


def gemini_body(body: dict[str, Any]) -> None:
    """The SDK's GenerateContentResponse."""
    from google.genai.types import GenerateContentResponse

    GenerateContentResponse.model_validate(body)


STREAM_SDKS = {
    "anthropic": anthropic_stream,
    "openai_chat": openai_chat_stream,
    "openai_responses": openai_responses_stream,
    "gemini": gemini_stream,
}
BODY_SDKS = {
    "anthropic": anthropic_body,
    "openai_chat": openai_chat_body,
    "openai_responses": openai_responses_body,
    "gemini": gemini_body,
}
