"""Counts a whole request: words, frames around turns, tools, calls and their results, media.

The frames were fitted to what OpenAI reports for recorded requests. This module must not know any
wire: what only an owner understands is measured, not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dragoman.language.ir import (
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from dragoman.language.tokens.correction import family
from dragoman.language.tokens.media import media_tokens
from dragoman.language.tokens.rendering import render_output_schema, render_tools, written
from dragoman.language.tokens.vocabulary import count_rendered, count_text, remembered


@dataclass(frozen=True, slots=True)
class _Frame:
    """Tokens around the words, per model family.

    ``said`` is for what the assistant said. With ``channels`` a call stands apart from the words before
    it, and its result names it again. With ``schemas`` tools are shown as JSON, each ``schemas`` tokens
    larger than its values.
    """

    message: int = 4
    said: int = 4
    answer: int = 3
    tools: int = -1
    strict: int = -1
    call: int = 7
    result: int = 7
    channels: bool = False
    schemas: int = 0


def _reasoning(tools: int, call: int, result: int) -> _Frame:
    return _Frame(said=6, answer=2, tools=tools, call=call, result=result, channels=True)


def _schemas(tools: int) -> _Frame:
    """Any tool brings instructions of several hundred tokens with it."""
    return _Frame(tools=tools, strict=0, schemas=8)


_FRAMES: tuple[tuple[re.Pattern[str], _Frame], ...] = (
    (re.compile(r"-search-"), _Frame(message=0, said=0, answer=0)),
    (re.compile(r"(?:^|[/.:])gpt-5\.[5-9]"), _reasoning(tools=3, call=10, result=10)),
    (re.compile(r"(?:^|[/.:])gpt-5"), _reasoning(tools=3, call=9, result=8)),
    (re.compile(r"(?:^|[/.:])o\d"), _reasoning(tools=0, call=9, result=8)),
    (re.compile(r"(?:^|[/.:])gpt-4\.1"), _Frame(call=9, result=9)),
    (re.compile(r"claude-(?:[1-3]\b|(?:opus|sonnet|haiku)-4(?:-[01]\b|-\d{8}|$))"), _schemas(tools=290)),
    (re.compile(r"claude"), _schemas(tools=450)),
)
_FRAME = _Frame()

_SHORTER, _SHORTER_TOOLS = "openai_responses", -2
"""Without channels, tools cost two tokens less when they come by this dialect, and a schema one (fitted)."""
_CHOSEN_TOOL = 4
_FORBIDDEN_TOOLS = 1
_OUTPUT_SCHEMA = 2
_SEALED_LEAST = 855
_SEALED_PER_TOKEN = 6.8
"""A sealed thought of n characters holds about (n - 855) / 6.8 tokens (fitted)."""
_BLOB = 512
_DEEPEST = 24


@lru_cache(maxsize=1_024)
def frame_of(model: str) -> _Frame:
    """Return the frame of a model's family."""
    name = model.lower()
    return next((frame for pattern, frame in _FRAMES if pattern.search(name)), _FRAME)


def count_request(request: Request, model: str = "") -> int:
    """Count the prompt a request makes, before any correction. ``model`` is the upstream's name for it."""
    model = model or request.model
    frame = frame_of(model)
    total = frame.answer + _tools_tokens(request, model, frame) + _output_tokens(request, model)
    thinking_from = _last_question(request.messages)
    names: dict[str, str] = {}
    for at, message in enumerate(request.messages):
        total += _message_tokens(message, model, frame, names, at > thinking_from)
    return max(0, total)


def _last_question(messages: list[Message]) -> int:
    """Return where the current turn begins: thoughts before it are not shown to the model again."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.role == "user" and any(not isinstance(part, ToolResult) for part in message.parts):
            return at
    return -1


def _message_tokens(message: Message, model: str, frame: _Frame, names: dict[str, str], thoughts: bool) -> int:
    total = 0
    if _is_framed(message, frame):
        total = frame.said if message.role == "assistant" else frame.message
    for part in message.parts:
        if isinstance(part, ToolCall):
            names[part.id] = part.name
            total += frame.call + count_text(f".{part.name}", model) + count_text(part.arguments, model)
        elif isinstance(part, ToolResult):
            name = names.get(part.call_id, part.name) if frame.channels else ""
            total += frame.result + (count_text(f".{name}", model) if name else 0)
            total += sum(_part_tokens(piece, model) for piece in part.content)
        elif not isinstance(part, Reasoning) or thoughts:
            total += _part_tokens(part, model)
    return total


def _is_framed(message: Message, frame: _Frame) -> bool:
    """Say whether a message has a frame of its own beside those of its calls and results."""
    kinds = {type(part) for part in message.parts}
    if ToolCall in kinds and not frame.channels:
        return False
    return not kinds or bool(kinds - {ToolCall, ToolResult, Reasoning})


def _part_tokens(part: Part, model: str) -> int:
    match part:
        case Text() | Refusal():
            return count_text(part.text, model)
        case Reasoning():
            return count_text(part.text, model) or _sealed_tokens(part)
        case Media():
            return count_text(part.value, model) if part.source == "text" else media_tokens(part, family(model))
        case Opaque():
            return sum(_blob_tokens(text, model) for text in _strings(part.data, 0))
        case _:
            return 0


def _sealed_tokens(part: Reasoning) -> int:
    """Estimate a thought of which only an encrypted form is known."""
    sealed = (value for fields in part.extras.values() for value in fields.values() if isinstance(value, str))
    longest = max((len(value) for value in sealed), default=0)
    return max(0, round((longest - _SEALED_LEAST) / _SEALED_PER_TOKEN))


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < _DEEPEST and isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from _strings(one, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list):
        for one in value:
            yield from _strings(one, depth + 1)


def _blob_tokens(text: str, model: str) -> int:
    """Count words; a long run without a space is a sealed or binary value and is measured."""
    if len(text) > _BLOB and " " not in text[:_BLOB]:
        return max(0, round((len(text) - _SEALED_LEAST) / _SEALED_PER_TOKEN))
    return count_text(text, model)


def _tools_tokens(request: Request, model: str, frame: _Frame) -> int:
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    total = sum(_part_tokens(tool, model) for tool in request.tools if isinstance(tool, Opaque))
    if functions:
        source = _tools_source(functions)
        if frame.schemas:
            return total + frame.tools + frame.schemas * len(functions) + count_text(source, model)
        total += frame.tools + count_rendered(source, lambda: render_tools(functions), model)
        total += frame.strict * sum(1 for tool in functions if tool.strict)
        if request.dialect == _SHORTER and not frame.channels:
            total += _SHORTER_TOOLS
    choice = request.tool_choice
    if choice is not None and choice.mode == "named" and choice.names:
        total += _CHOSEN_TOOL + count_text(choice.names[0], model)
    elif choice is not None and choice.mode == "none":
        total += _FORBIDDEN_TOOLS
    return total


def _tools_source(tools: list[Tool]) -> str:
    """Return what the rendering of tools depends on, written faster than rendering them."""
    return written([[tool.name, tool.description, tool.parameters, tool.grammar] for tool in tools])


def _output_tokens(request: Request, model: str) -> int:
    output = request.output
    if output is None or output.schema is None:
        return 0
    described = count_text(output.description, model) + 2 * count_text(output.name, model)
    if request.dialect == _SHORTER:
        described -= 1
    return _OUTPUT_SCHEMA + described + count_text(render_output_schema(output.schema), model)


def fresh_characters(request: Request, model: str = "") -> int:
    """Return how many characters of the request were not counted before: what counting it will cost."""
    model = model or request.model
    return sum(len(text) for text in _texts(request) if not remembered(text, model))


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            for piece in part.content if isinstance(part, ToolResult) else (part,):
                if isinstance(piece, Text | Refusal | Reasoning):
                    yield piece.text
                elif isinstance(piece, ToolCall):
                    yield piece.arguments
                elif isinstance(piece, Media) and piece.source == "text":
                    yield piece.value
    if functions := [tool for tool in request.tools if isinstance(tool, Tool)]:
        yield _tools_source(functions)
