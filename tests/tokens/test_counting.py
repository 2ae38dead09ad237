"""Whole requests: every part of them counts, and the frames are those OpenAI charges."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dragoman.language.ir import (
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.tokens import count_request, count_text, fresh_characters
from dragoman.language.tokens.rendering import render_tools

WEATHER = Tool(
    "weather",
    "Gets current weather for a location",
    {
        "type": "object",
        "properties": {
            "latitude": {"type": "string", "description": "Latitude (e.g., 52.5200)"},
            "longitude": {"type": "string", "description": "Longitude (e.g., 13.4050)"},
        },
        "required": ["latitude", "longitude"],
        "additionalProperties": False,
    },
)
BERLIN = "What's the weather in Berlin? (52.5200, 13.4050)"


def asked(model: str, *messages: Message, **fields: Any) -> Request:
    return Request("openai_chat", model, list(messages), **fields)


def said(role: Any, *parts: Part | str) -> Message:
    return Message(role, [Text(part) if isinstance(part, str) else part for part in parts])


def test_frames_of_messages() -> None:
    """As reported: 7 around one message for gpt-4o, 6 for gpt-5; 4 for every further one."""
    words = count_text("Say this is a test")
    one = asked("gpt-4o", said("user", "Say this is a test"))
    two = asked("gpt-4o", said("system", "Say this is a test"), said("user", "Say this is a test"))
    assert count_request(one) == words + 7
    assert count_request(two) == 2 * words + 11
    assert count_request(one, "gpt-5") == words + 6
    assert count_request(one, "gpt-4o-search-preview") == words


def test_a_tool_conversation_costs_what_was_reported() -> None:
    """188 tokens: reported for this conversation by gpt-4.1-nano."""
    request = asked(
        "gpt-4.1-nano",
        said("user", BERLIN),
        said("assistant", ToolCall("call_1", "weather", '{"latitude":"52.5200","longitude":"13.4050"}')),
        said("tool", ToolResult("call_1", [Text("Current weather at 52.5200, 13.4050: 15°C, Wind: 10 km/h")])),
        said("assistant", "The current weather in Berlin is 15°C with a wind speed of 10 km/h."),
        said("user", "What's the weather in Paris? (48.8575, 2.3514)"),
        tools=[WEATHER],
    )
    assert count_request(request) == 188


def test_tools_are_counted_as_rendered() -> None:
    """85 tokens: reported for this request by gpt-5-nano."""
    request = asked("gpt-5-nano", said("user", "What's the weather at 52.5200, 13.4050?"), tools=[WEATHER])
    assert count_request(request) == 85


@pytest.mark.parametrize(
    ("model", "reported"), [("claude-sonnet-4-20250514", 394), ("claude-sonnet-4-5", 612), ("claude-haiku-4-5", 578)]
)
def test_tools_of_claude_bring_instructions(model: str, reported: int) -> None:
    """Reported for requests with one or two small tools; before the correction of 1.15."""
    request = asked(model, said("user", "What is the weather there?"), tools=[Tool("weather", "Gets the weather.")])
    assert count_request(request) * 1.15 == pytest.approx(reported, rel=0.15)


def test_rendering() -> None:
    tool = Tool(
        "book",
        "Books a room.",
        {
            "type": "object",
            "properties": {
                "kind": {"enum": ["single", "double"], "description": "Which room", "default": "single"},
                "nights": {"type": ["integer", "null"]},
                "guest": {"$ref": "#/$defs/Guest"},
                "extras": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["guest"],
            "$defs": {"Guest": {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}}},
        },
    )
    assert render_tools([tool, Tool("now")]) == "\n".join(
        [
            "# Tools",
            "",
            "## functions",
            "",
            "namespace functions {",
            "",
            "// Books a room.",
            "type book = (_: {",
            "// Which room",
            'kind?: "single" | "double", // default: "single"',
            "nights?: number | null,",
            "guest: {",
            "// Name",
            "//",
            "name?: string,",
            "},",
            "extras?: string[],",
            "}) => any;",
            "",
            "type now = () => any;",
            "",
            "} // namespace functions",
        ]
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": []},
        {"properties": {"a": None, "b": True, "c": {"type": 5}, "d": {"enum": None}, "e": {"anyOf": {}}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"properties": {"a": {"$ref": 1, "type": "array", "items": []}}, "required": "a", "$defs": []},
        {"properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}},
    ],
)
def test_strange_schemas_are_counted(schema: dict[str, Any]) -> None:
    request = asked("gpt-5", said("user", "Hi"), tools=[Tool("odd", parameters=schema)])
    assert count_request(request) > count_request(asked("gpt-5", said("user", "Hi")))


def test_everything_counts() -> None:
    plain = asked("gpt-5", said("user", "Hi"))
    more: list[Request] = [
        asked("gpt-5", said("user", "Hi"), output=OutputFormat({"type": "object"}, "answer")),
        asked("gpt-5", said("user", "Hi"), tool_choice=ToolChoice("named", ["weather"])),
        asked("gpt-5", said("user", "Hi"), tools=[Opaque("anthropic", {"type": "web_search_20250305"})]),
        asked("gpt-5", said("user", "Hi", Opaque("anthropic", {"type": "search_result", "text": "found"}))),
        asked("gpt-5", said("user", "Hi"), said("assistant", ToolCall("a", "f", "{}"))),
        asked("gpt-5", said("user", "Hi"), said("assistant", Reasoning("Let me think about this."))),
        asked(
            "gpt-5",
            said("user", "Hi"),
            said("assistant", Reasoning("", extras={"openai_responses": {"encrypted_content": "g" * 2000}})),
        ),
    ]
    assert all(count_request(request) > count_request(plain) for request in more)


def test_thoughts_of_earlier_turns_are_not_charged() -> None:
    thought = Reasoning("A long thought about the question that was asked. " * 20)
    before = asked("gpt-5", said("user", "Hi"), said("assistant", thought, "Hello"), said("user", "And now?"))
    never = asked("gpt-5", said("user", "Hi"), said("assistant", "Hello"), said("user", "And now?"))
    assert count_request(before) == count_request(never)


def test_fresh_characters_are_those_not_counted_before() -> None:
    text = "A question nobody has asked before, with enough words to remember it by."
    tool = Tool("rarely_used_tool", "A tool that only this test knows of.")
    request = asked("gpt-5", said("user", text), tools=[tool])
    assert fresh_characters(request) > len(text)
    count_request(request)
    assert fresh_characters(request) == 0


def test_a_repeated_agent_turn_is_cheap() -> None:
    tools = [Tool(f"tool_{n}", "Does something useful. " * 10, WEATHER.parameters) for n in range(24)]
    messages = [said("user", f"Turn {number}: " + "words and more words. " * 90) for number in range(30)]
    request = asked("gpt-5", *messages, tools=tools)
    count_request(request)
    started = time.perf_counter()
    for _ in range(10):
        count_request(request)
    assert (time.perf_counter() - started) / 10 < 0.01
