"""Bodies brought to one spelling before they are compared: spelling is free, meaning is not."""

from __future__ import annotations

import re
from typing import Any

_GEMINI_FREE = {
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
    "labels",
}


def canonical(dialect: str, body: Any) -> Any:
    """The body with what the dialect leaves free brought to one form."""
    if dialect == "gemini":
        return _gemini(body)
    if dialect == "openai_chat" and "choices" in body:
        return _chat_answer(body)
    return body


def _chat_answer(body: dict[str, Any]) -> dict[str, Any]:
    """What compatible servers leave out is written for clients that cannot do without it (U05)."""
    answer: dict[str, Any] = {"object": "chat.completion", "created": 0} | body
    if isinstance(answer.get("usage"), dict):
        usage = dict(answer["usage"])
        for name, count in (
            ("prompt_tokens_details", "cached_tokens"),
            ("completion_tokens_details", "reasoning_tokens"),
        ):
            usage[name] = {count: 0} | (usage.get(name) or {})
        answer["usage"] = usage
    answer["choices"] = [_chat_choice(choice) for choice in answer["choices"]]
    return answer


def _chat_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """Thoughts have several names among compatible servers; the one most clients know is written too."""
    message = {"content": None} | choice.get("message", {})
    thought = message.get("reasoning_content") or message.get("reasoning")
    if thought:
        message["reasoning_content"] = thought
    return choice | {"message": message}


def _gemini(value: Any) -> Any:
    if isinstance(value, list):
        return [_gemini(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: item if name in _GEMINI_FREE else _gemini(item) for name, item in _camel(value)}


def _camel(value: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(re.sub(r"_([a-z])", lambda match: match[1].upper(), name), item) for name, item in value.items()]


def url_facts(sent: dict[str, Any]) -> tuple[str | None, bool | None]:
    """Model and stream where the wire keeps them in the URL."""
    path = sent.get("path_with_query") or ""
    match = re.search(r"models/([^:?]+):(stream)?", path, re.IGNORECASE)
    if not match:
        return None, None
    return match[1], match[2] is not None
