"""Tools, names and choices in a target's terms (R10 to R12, R19, C08, C09, C14 to C16)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dragoman.language.failures import Refused
from dragoman.language.fitting import Fitted, Original, fit
from dragoman.language.ir import (
    Message,
    Opaque,
    ReasoningSetting,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile

CHAT = find_profile("openai_chat", "prod-main")
RESPONSES = find_profile("openai_responses", "gpt-5")
CLAUDE = find_profile("anthropic", "claude-haiku-4-5")
GEMINI = find_profile("gemini", "gemini-2.5-flash")
SEARCH = Opaque("anthropic", {"type": "web_search_20250305", "name": "web_search", "max_uses": 8})
PATCH = Tool(
    "apply_patch",
    "Edits files.",
    kind="custom",
    grammar={"type": "grammar", "syntax": "lark", "definition": "start: line+"},
)


def run(profile: Profile, dialect: str = "openai_responses", **fields: Any) -> tuple[Fitted, Receipt]:
    receipt = Receipt()
    messages = fields.pop("messages", [Message("user", [Text("go")])])
    return fit(Request(dialect, "m", messages, **fields), profile, receipt), receipt


def lines(receipt: Receipt) -> list[tuple[str, str]]:
    return [(loss.path, loss.what) for loss in receipt.losses]


def test_R19_plain_tools_are_shared_and_need_no_way_back() -> None:
    tools: list[Tool | Opaque] = [Tool("read", parameters={"type": "object"}), Tool("write")]
    result, receipt = run(CHAT, "anthropic", tools=tools)
    assert result.request.tools is tools
    assert result.names.empty
    assert receipt.losses == []


def test_C09_C16_a_hosted_tool_is_never_offered_as_a_function() -> None:
    result, receipt = run(CHAT, "anthropic", tools=[SEARCH, Tool("read")])
    assert result.request.tools == [Tool("read")]
    assert lines(receipt) == [("tools[0]", "dropped")]
    assert "web_search_20250305" in receipt.losses[0].why


def test_C09_a_choice_of_a_hosted_tool_goes_with_it() -> None:
    chosen = ToolChoice("named", ["web_search"])
    result, receipt = run(CHAT, "anthropic", tools=[SEARCH, Tool("read")], tool_choice=chosen)
    assert result.request.tool_choice is None
    assert ("tool_choice", "dropped") in lines(receipt)


def test_R12_without_tools_neither_choice_nor_parallel_switch_goes_out() -> None:
    # Codex compacts with an empty list of tools and tool_choice auto.
    result, receipt = run(CHAT, tools=[], tool_choice=ToolChoice("auto"), parallel_tools=True)
    assert result.request.tool_choice is None
    assert result.request.parallel_tools is None
    assert lines(receipt) == [("tool_choice", "dropped"), ("parallel_tools", "dropped")]


def test_R12_claude_gets_the_tools_its_history_calls_but_may_call_none() -> None:
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", "read", "{}"), ToolCall("b", "spawn", "{}", namespace="jobs")]),
        Message("tool", [ToolResult("a", [Text("r")]), ToolResult("b", [Text("r")])]),
        Message("user", [Text("Summarise.")]),
    ]
    result, receipt = run(CLAUDE, tools=[], messages=history, tool_choice=ToolChoice("auto"))
    assert result.request.tools == [Tool("read"), Tool("jobs__spawn")]
    assert result.request.tool_choice == ToolChoice("none")
    assert lines(receipt) == [("tool_choice", "dropped"), ("tools", "repaired")]
    assert run(GEMINI, tools=[], messages=history)[0].request.tools == []


def test_R19_duplicate_definitions_are_merged() -> None:
    result, receipt = run(CHAT, "anthropic", tools=[Tool("read", "one"), Tool("read", "two"), Tool("write")])
    assert result.request.tools == [Tool("read", "one"), Tool("write")]
    assert lines(receipt) == [("tools[1]", "repaired")]


def test_R19_long_and_foreign_names_are_shortened_the_same_way_everywhere() -> None:
    long, foreign = "mcp__" + "very_long_" * 12 + "read", "日历.查询"
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", long, "{}"), ToolCall("b", foreign, "{}")]),
        Message("tool", [ToolResult("a", [Text("r")], name=long), ToolResult("b", [Text("r")], name=foreign)]),
    ]
    choice = ToolChoice("named", [foreign])
    result, _ = run(CHAT, "gemini", tools=[Tool(long), Tool(foreign)], messages=history, tool_choice=choice)
    wires = [tool.name for tool in result.request.tools if isinstance(tool, Tool)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", wire) for wire in wires)
    assert wires[0].startswith("mcp__very_long_")
    assert [part.name for part in result.request.messages[1].parts if isinstance(part, ToolCall)] == wires
    assert [part.name for part in result.request.messages[2].parts if isinstance(part, ToolResult)] == wires
    assert result.request.tool_choice == ToolChoice("named", [wires[1]])
    assert result.names.back == {wires[0]: Original(long, "", "function"), wires[1]: Original(foreign, "", "function")}


def test_R19_names_that_begin_alike_do_not_meet() -> None:
    names = [f"{'x' * 70}{number}" for number in range(50)]
    result, _ = run(CHAT, "anthropic", tools=[Tool(name) for name in names])
    wires = [tool.name for tool in result.request.tools if isinstance(tool, Tool)]
    assert len(set(wires)) == 50
    assert [result.names.back[wire].name for wire in wires] == names


def test_R19_a_shortened_name_never_takes_the_name_of_another_tool() -> None:
    first, _ = run(CHAT, "anthropic", tools=[Tool("a.b")])
    taken = next(iter(first.names.back))
    result, _ = run(CHAT, "anthropic", tools=[Tool("a.b"), Tool(taken)])
    wires = [tool.name for tool in result.request.tools if isinstance(tool, Tool)]
    assert len(set(wires)) == 2
    assert wires[1] == taken


def test_R19_gemini_names_begin_with_a_letter() -> None:
    result, _ = run(GEMINI, "anthropic", tools=[Tool("7zip")])
    tool = result.request.tools[0]
    assert isinstance(tool, Tool)
    assert tool.name[0] in "_z"
    assert result.names.back[tool.name].name == "7zip"


def test_C15_namespaces_are_flattened_in_definitions_history_and_choice() -> None:
    tools: list[Tool | Opaque] = [Tool("spawn", namespace="agents"), Tool("spawn", namespace="jobs"), Tool("read")]
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", "spawn", "{}", namespace="jobs")]),
        Message("tool", [ToolResult("a", [Text("r")], name="spawn")]),
    ]
    result, receipt = run(CHAT, tools=tools, messages=history)
    assert [tool.name for tool in result.request.tools if isinstance(tool, Tool)] == [
        "agents__spawn",
        "jobs__spawn",
        "read",
    ]
    assert result.request.messages[1].parts == [ToolCall("a", "jobs__spawn", "{}")]
    assert result.request.messages[2].parts == [ToolResult("a", [Text("r")], name="jobs__spawn")]
    assert result.names.back["agents__spawn"] == Original("spawn", "agents", "function")
    assert lines(receipt) == [("tools[*].namespace", "approximated")]


def test_C15_names_that_meet_when_flattened_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        run(CHAT, tools=[Tool("b__c", namespace="a"), Tool("c", namespace="a__b")])
    assert caught.value.path == "tools[1]"
    with pytest.raises(Refused):
        run(CHAT, tools=[Tool("a__b"), Tool("b", namespace="a")])


def test_C14_a_grammar_tool_goes_out_as_a_function_with_one_string() -> None:
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", "apply_patch", '*** Begin "x"\n', kind="custom")]),
        Message("tool", [ToolResult("a", [Text("done")], kind="custom")]),
    ]
    result, receipt = run(CHAT, tools=[PATCH], messages=history)
    tool = result.request.tools[0]
    assert isinstance(tool, Tool)
    assert tool.kind == "function"
    assert tool.parameters is not None
    assert tool.parameters["required"] == ["input"]
    assert tool.grammar is None
    assert tool.description.startswith("Edits files.")
    assert "lark" in tool.description
    assert "start: line+" in tool.description
    call = result.request.messages[1].parts[0]
    assert isinstance(call, ToolCall)
    assert call.kind == "function"
    assert json.loads(call.arguments) == {"input": '*** Begin "x"\n'}
    assert result.request.messages[2].parts == [ToolResult("a", [Text("done")])]
    assert result.names.back == {"apply_patch": Original("apply_patch", "", "custom")}
    assert lines(receipt) == [("tools[0]", "approximated")]


def test_C14_chats_nested_grammar_reaches_the_description() -> None:
    nested = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+"}}
    result, _ = run(CLAUDE, "openai_chat", tools=[Tool("digits", kind="custom", grammar=nested)])
    tool = result.request.tools[0]
    assert isinstance(tool, Tool)
    assert "[0-9]+" in tool.description


def test_C14_a_target_with_grammar_tools_gets_them_as_they_are() -> None:
    result, _ = run(RESPONSES, "openai_chat", tools=[PATCH])
    assert result.request.tools == [PATCH]
    assert result.names.empty


def test_C14_history_of_a_grammar_tool_fits_even_when_the_tool_is_gone() -> None:
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", "exec", "1+1", kind="custom", namespace="functions")]),
        Message("tool", [ToolResult("a", [Text("2")], kind="custom")]),
    ]
    result, _ = run(CHAT, tools=[], messages=history)
    assert result.request.messages[1].parts == [ToolCall("a", "functions__exec", '{"input":"1+1"}')]


def test_C08_deferred_tools_are_loaded_at_once() -> None:
    result, receipt = run(CHAT, "anthropic", tools=[Tool("a", deferred=True), Tool("b", deferred=True)])
    assert result.request.tools == [Tool("a"), Tool("b")]
    assert lines(receipt) == [("tools[*].deferred", "approximated")]


def test_C08_a_reference_to_a_tool_becomes_text_in_the_targets_name() -> None:
    reference = Opaque("anthropic", {"type": "tool_reference", "tool_name": "a.b"})
    history = [
        Message("user", [Text("go")]),
        Message("assistant", [ToolCall("a", "search", "{}")]),
        Message("tool", [ToolResult("a", [reference])]),
    ]
    result, receipt = run(CHAT, "anthropic", tools=[Tool("a.b"), Tool("search")], messages=history)
    part = result.request.messages[2].parts[0]
    assert isinstance(part, ToolResult)
    assert isinstance(part.content[0], Text)
    assert next(iter(result.names.back)) in part.content[0].text
    assert ("messages[2].parts[0].content[0]", "approximated") in lines(receipt)


def test_R11_strict_is_dropped_only_where_there_is_none() -> None:
    result, receipt = run(GEMINI, "openai_chat", tools=[Tool("a", strict=True), Tool("b", strict=False)])
    assert result.request.tools == [Tool("a"), Tool("b")]
    assert lines(receipt) == [("tools[*].strict", "dropped")]
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    kept, receipt = run(CLAUDE, "openai_chat", tools=[Tool("a", parameters=closed, strict=True)])
    assert kept.request.tools == [Tool("a", parameters=closed, strict=True)]
    assert receipt.losses == []


def test_R12_a_subset_becomes_the_list_of_tools_where_there_is_no_subset() -> None:
    choice = ToolChoice("subset", ["a", "c"], required=True)
    tools: list[Tool | Opaque] = [Tool("a"), Tool("b"), Tool("c")]
    result, receipt = run(CLAUDE, tools=tools, tool_choice=choice)
    assert result.request.tools == [Tool("a"), Tool("c")]
    assert result.request.tool_choice == ToolChoice("any")
    assert lines(receipt) == [("tool_choice", "approximated")]
    kept, _ = run(GEMINI, tools=tools, tool_choice=choice)
    assert kept.request.tool_choice is choice
    assert kept.request.tools is tools


def test_R12_a_forced_choice_switches_thinking_off_where_they_exclude_each_other() -> None:
    thinking = ReasoningSetting("on", effort="high")
    forced = ToolChoice("any")
    result, receipt = run(CLAUDE, tools=[Tool("a")], tool_choice=forced, reasoning=thinking)
    assert result.request.tool_choice == forced
    assert result.request.reasoning == ReasoningSetting("off")
    assert ("reasoning", "dropped") in lines(receipt)
    free, _ = run(CLAUDE, tools=[Tool("a")], tool_choice=ToolChoice("auto"), reasoning=thinking)
    assert free.request.reasoning is not None
    assert free.request.reasoning.mode == "on"


def test_R12_deepseek_thinks_unasked_so_a_forced_choice_switches_it_off() -> None:
    result, _ = run(
        find_profile("openai_chat", "deepseek-v4-flash"), "anthropic", tools=[Tool("a")], tool_choice=ToolChoice("any")
    )
    assert result.request.reasoning == ReasoningSetting("off")


def test_R12_a_model_that_always_thinks_is_left_to_decide() -> None:
    result, receipt = run(find_profile("anthropic", "claude-fable-5"), tools=[Tool("a")], tool_choice=ToolChoice("any"))
    assert result.request.tool_choice == ToolChoice("auto")
    assert lines(receipt) == [("tool_choice", "approximated")]


def test_R12_a_vendor_that_only_knows_auto() -> None:
    glm = find_profile("openai_chat", "glm-4.6")
    tools: list[Tool | Opaque] = [Tool("a"), Tool("b")]
    named, receipt = run(glm, "anthropic", tools=tools, tool_choice=ToolChoice("named", ["b"]))
    assert named.request.tool_choice == ToolChoice("auto")
    assert named.request.tools == [Tool("b")]
    assert lines(receipt) == [("tool_choice", "approximated")]
    none, _ = run(glm, "anthropic", tools=tools, tool_choice=ToolChoice("none"))
    assert none.request.tools == []
    assert none.request.tool_choice is None


def test_R12_no_switch_for_parallel_calls() -> None:
    result, receipt = run(GEMINI, tools=[Tool("a")], parallel_tools=False)
    assert result.request.parallel_tools is None
    assert lines(receipt) == [("parallel_tools", "dropped")]
