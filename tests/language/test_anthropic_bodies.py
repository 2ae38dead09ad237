"""Requests of other dialects written for a provider that speaks Anthropic."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dragoman.language.ir import (
    Citation,
    Media,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningSetting,
    Refusal,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Receipt
from tests.language.anthropic_wire import ADAPTIVE, BUDGET, foreign, user, written

SIGNED = Reasoning("hm", {"anthropic": {"signature": "sig"}})


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def test_R01_turns_of_one_role_are_joined_and_results_come_first() -> None:
    body = written(
        foreign(
            Message("system", [Text("s")]),
            user("a"),
            user("b"),
            Message("assistant", [Text("c")]),
            Message("assistant", [ToolCall("1", "f", "{}")]),
            user("d"),
            Message("tool", [ToolResult("1", [Text("r")])]),
        )
    )
    assert body["system"] == [_text("s")]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [_text("a"), _text("b")]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


def test_R02_text_after_a_call_is_moved_before_it() -> None:
    parts: list[Part] = [SIGNED, ToolCall("1", "f", "{}"), Text("late"), ToolCall("2", "g", "{}")]
    body = written(foreign(user("a"), Message("assistant", parts)))
    kinds = [block["type"] for block in body["messages"][1]["content"]]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]


def test_R06_blank_text_never_goes_to_anthropic() -> None:
    body = written(
        foreign(
            Message("system", [Text(" ")]),
            user("a"),
            Message("assistant", [Text("  \n"), ToolCall("1", "f", "")]),
            Message("tool", [ToolResult("1", [Text("")])]),
            user(""),
        )
    )
    assert "system" not in body
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert body["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "1"}]


def test_R26_failed_result_has_content() -> None:
    body = written(foreign(user("a"), Message("tool", [ToolResult("1", [], is_error=True)])))
    result = body["messages"][0]["content"][0]
    assert result["is_error"] is True
    assert result["content"]


def test_T02_unsigned_thought_is_never_sent() -> None:
    receipt = Receipt()
    thought = Reasoning("secret", {"openai_chat": {"reasoning_details": []}})
    body = written(foreign(user("a"), Message("assistant", [thought, Text("b")]), user("c")), receipt=receipt)
    assert body["messages"][1]["content"] == [_text("b")]
    assert receipt.losses[0].what == "dropped"


def test_T02_signed_thought_goes_back_to_its_owner() -> None:
    redacted = Reasoning("", {"anthropic": {"redacted": "abc"}})
    body = written(foreign(user("a"), Message("assistant", [SIGNED, redacted, Text("b")]), user("c")))
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "abc"},
    ]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        ("null", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a":', {"raw": '{"a":'}),
        ("[1]", {"value": [1]}),
        ('"x"', {"value": "x"}),
        ("[" * 5000, {"raw": "[" * 5000}),
    ],
    ids=["empty", "null", "object", "broken", "list", "string", "deep"],
)
def test_S09_T30_input_is_always_an_object(arguments: str, value: dict[str, Any]) -> None:
    body = written(foreign(user("a"), Message("assistant", [ToolCall("1", "f", arguments)])))
    assert body["messages"][1]["content"][0]["input"] == value


def test_custom_call_and_namespace_left_by_fitting_are_spelt() -> None:
    call = ToolCall("1", "patch", "*** raw", kind="custom", namespace="ns")
    body = written(foreign(user("a"), Message("assistant", [call])))
    block = body["messages"][1]["content"][0]
    assert (block["name"], block["input"]) == ("ns__patch", {"input": "*** raw"})


def test_R08_tools_are_spelt_for_anthropic() -> None:
    tools: list[Tool | Opaque] = [
        Tool("a"),
        Tool("b", "d", {}),
        Tool("c", parameters={"properties": {"x": {}}}, strict=False, deferred=True),
        Tool("d", kind="custom", grammar={"type": "text"}),
        Opaque("openai_responses", {"type": "web_search"}),
    ]
    sent = written(foreign(user("a"), tools=tools))["tools"]
    empty = {"type": "object", "properties": {}}
    assert sent == [
        {"name": "a", "input_schema": empty},
        {"name": "b", "description": "d", "input_schema": empty},
        {"name": "c", "input_schema": {"type": "object", "properties": {"x": {}}}},
        {
            "name": "d",
            "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("any"), True, {"type": "any"}),
        (ToolChoice("named", ["f"]), False, {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("subset", ["f"], required=True), None, {"type": "tool", "name": "f"}),
        (ToolChoice("subset", ["f", "g"], required=True), None, {"type": "any"}),
        (ToolChoice("subset", ["f", "g"]), None, {"type": "auto"}),
    ],
)
def test_R12_tool_choice(choice: ToolChoice | None, parallel: bool | None, sent: dict[str, Any] | None) -> None:
    tools: list[Tool | Opaque] = [Tool("f"), Tool("g"), Tool("h")]
    body = written(foreign(user("a"), tools=tools, tool_choice=choice, parallel_tools=parallel))
    assert body.get("tool_choice") == sent
    if choice is not None and choice.mode == "subset":
        assert [tool["name"] for tool in body["tools"]] == choice.names


def test_R12_choice_without_tools_is_not_sent() -> None:
    assert "tool_choice" not in written(foreign(user("a"), tool_choice=ToolChoice("auto"), parallel_tools=False))


def test_R13_max_tokens_is_filled_in_and_blank_stops_are_not_sent() -> None:
    body = written(foreign(user("a"), sampling=Sampling(stop=["x", "\n"], temperature=0.5, seed=3)))
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"]) == (64000, ["x"], 0.5)
    assert "seed" not in body


@pytest.mark.parametrize(
    ("setting", "thinking", "effort"),
    [
        (None, None, None),
        (ReasoningSetting("on", budget=2000), {"type": "enabled", "budget_tokens": 2000}, None),
        (ReasoningSetting("on"), {"type": "enabled", "budget_tokens": 4096}, None),
        (ReasoningSetting("off"), {"type": "disabled"}, None),
        (ReasoningSetting(effort="none"), {"type": "disabled"}, None),
    ],
)
def test_R15_thinking_by_budget(setting: ReasoningSetting | None, thinking: Any, effort: str | None) -> None:
    body = written(foreign(user("a"), reasoning=setting))
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_R15_thinking_by_effort() -> None:
    setting = ReasoningSetting("on", effort="high", budget=2000, summary="auto")
    body = written(foreign(user("a"), reasoning=setting), ADAPTIVE)
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "high"}


def test_T03_thinking_budget_needs_a_signed_thought_in_the_open_tool_turn() -> None:
    def thinking(*parts: Any) -> Any:
        turns = [user("a"), Message("assistant", list(parts)), Message("tool", [ToolResult("1", [Text("r")])])]
        return written(foreign(*turns, reasoning=ReasoningSetting("on", budget=2000))).get("thinking")

    call = ToolCall("1", "f", "{}")
    assert thinking(call) is None
    assert thinking(SIGNED, call) == {"type": "enabled", "budget_tokens": 2000}


def test_R17_R18_media() -> None:
    words = base64.b64encode("plain wörds".encode()).decode()
    parts: list[Any] = [
        Media("image", "base64", "iVBORw0KGgo="),
        Media("image", "url", "https://x.test/a.png"),
        Media("document", "base64", words, "text/plain", "notes.txt"),
        Media("audio", "base64", "AAAA", "audio/wav"),
    ]
    receipt = Receipt()
    body = written(foreign(Message("user", parts)), receipt=receipt)
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "data": "iVBORw0KGgo=", "media_type": "image/png"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {
            "type": "document",
            "source": {"type": "text", "data": "plain wörds", "media_type": "text/plain"},
            "title": "notes.txt",
        },
    ]
    assert "audio" in receipt.losses[0].why


def test_R20_R22_user_schema_and_foreign_fields() -> None:
    request = foreign(
        user("a"),
        user="u-1",
        cache_key="key",
        output=OutputFormat({"type": "object"}, name="x", strict=True),
        extras={"openai_chat": {"service_tier": "flex"}},
        stream=True,
    )
    body = written(request)
    assert body["metadata"] == {"user_id": "u-1"}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert body["stream"] is True
    assert not {"service_tier", "cache_key", "prompt_cache_key"} & set(body)


def test_R23_prefill_goes_out_without_trailing_blanks() -> None:
    body = written(foreign(user("a"), Message("assistant", [Text("Sure: ")])))
    assert body["messages"][-1] == {"role": "assistant", "content": [_text("Sure:")]}


def test_R01_conversation_begins_with_the_user_and_is_not_empty() -> None:
    receipt = Receipt()
    assert (
        written(foreign(Message("assistant", [Text("x")]), user("y")), receipt=receipt)["messages"][0]["role"] == "user"
    )
    only_system = written(foreign(Message("system", [Text("do it")])), receipt=receipt)
    assert only_system["messages"] == [{"role": "user", "content": [_text("do it")]}]
    assert "system" not in only_system
    assert [loss.what for loss in receipt.losses] == ["repaired", "moved"]


def test_R07_system_in_mid_conversation_is_spelt_in_place() -> None:
    turns = [user("a"), Message("system", [Text("s")]), user("b")]
    assert [turn["role"] for turn in written(foreign(*turns))["messages"]] == ["user", "system", "user"]


def test_S17_refusals_and_foreign_citations_stay_readable() -> None:
    cited = Text("fact", [Citation("https://x.test", extras={"openai_chat": {}})])
    body = written(foreign(user("a"), Message("assistant", [Refusal("no"), cited]), user("b")), BUDGET)
    assert body["messages"][1]["content"] == [_text("no"), _text("fact")]


def test_T14_the_second_turn_begins_with_the_first_ones_messages() -> None:
    first = [user("a"), Message("assistant", [ToolCall("1", "f", '{"b":1,"a":2}')])]
    second = [*first, Message("tool", [ToolResult("1", [Text("r")])])]
    assert written(foreign(*second))["messages"][:2] == written(foreign(*first))["messages"]
