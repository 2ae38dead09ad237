"""The simulated provider: deterministic, useful to an agent, and able to fail on request."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.ir import Message, OutputFormat, Reasoning, Request, Text, Tool, ToolCall, ToolChoice, ToolResult
from dragoman.upstream.sim.mind import answer, example
from dragoman.upstream.sim.script import Script, read_script

SHELL = Tool("Bash", "Run", {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]})


def request(text: str, **fields: Any) -> Request:
    return Request("openai_chat", "m", [Message("user", [Text(text)])], **fields)


def test_the_same_conversation_gets_the_same_answer() -> None:
    assert answer(request("hello"), "s") == answer(request("hello"), "s")
    assert "hello" in answer(request("hello"), "s").parts[0].text  # type: ignore[union-attr]


def test_work_is_done_with_a_tool_the_client_offered_and_ends_after_its_result() -> None:
    asked = request("please run it", tools=[Tool("Read", "", {}), SHELL])
    first = answer(asked, "s")
    assert first.finish.reason == "tool_calls"
    call = first.parts[-1]
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("Bash", '{"command":"echo \'hello from the simulated model\'"}')
    asked.messages += [Message("assistant", first.parts), Message("tool", [ToolResult(call.id, [Text("hi there")])])]
    second = answer(asked, "s")
    assert second.finish.reason == "end"
    assert "hi there" in second.parts[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({"tools": [SHELL], "tool_choice": ToolChoice("none")}, ""),
        ({"tools": [Tool("x", "", {})], "tool_choice": ToolChoice("any")}, "x"),
        ({"tools": [SHELL, Tool("x", "", {})], "tool_choice": ToolChoice("named", ["x"])}, "x"),
        ({"tools": [Tool("x", "", {})]}, ""),
    ],
)
def test_tool_choice_is_obeyed(fields: dict[str, Any], called: str) -> None:
    calls = [part.name for part in answer(request("run it", **fields), "s").parts if isinstance(part, ToolCall)]
    assert calls == ([called] if called else [])


def test_thoughts_come_when_asked_for_and_usage_counts_them() -> None:
    thinking = answer(request("[[sim think=1]]"), "s")
    assert isinstance(thinking.parts[0], Reasoning)
    assert 0 < (thinking.usage.reasoning or 0) < (thinking.usage.output or 0)
    assert not isinstance(answer(request("x"), "s").parts[0], Reasoning)


def test_structured_output_satisfies_its_schema() -> None:
    schema = {
        "$defs": {"c": {"enum": ["red", "blue"]}},
        "type": "object",
        "properties": {"c": {"$ref": "#/$defs/c"}, "n": {"type": ["integer", "null"]}, "l": {"type": "array"}},
        "required": ["c", "n"],
    }
    assert example(schema) == {"c": "red", "n": 1}
    said = answer(request("x", output=OutputFormat(schema)), "s").parts[0]
    assert said == Text('{"c":"red","n":1}')


def test_the_output_limit_is_kept() -> None:
    asked = request("[[sim words=100]]")
    asked.sampling.max_tokens = 5
    cut = answer(asked, "s")
    assert cut.finish.reason == "length"
    assert len(cut.parts[0].text) == 20  # type: ignore[union-attr]


def test_a_script_is_read_from_the_last_user_message_that_has_one() -> None:
    asked = request("a [[sim status=429 retry_after=7 pace=0.5 cut=3]] b")
    asked.messages.append(Message("assistant", [Text("[[sim words=9]]")]))
    assert read_script(asked) == Script(status=429, retry_after=7, pace=0.5, cut=3)
    assert read_script(request("[[sim status=x delay=nan2 what]]")) == Script()
