"""Schemas that a target compiles, or takes only of objects, or only beside the word JSON (R08, R11, R22)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.fitting import Fitted, fit
from dragoman.language.fitting.compiled import MOST_OPTIONAL, MOST_TOOLS, MOST_UNIONS, compiled
from dragoman.language.ir import Message, OutputFormat, Request, Text, Tool
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.language.registry import DIALECTS
from tests.corpus import exchange

CLAUDE = find_profile("anthropic", "claude-sonnet-4-5")
CHAT = find_profile("openai_chat", "gpt-5.2", vendor="openai")
RESPONSES = find_profile("openai_responses", "gpt-5.2", vendor="openai")
OTHER_CHAT = find_profile("openai_chat", "qwen3-coder")

STRING = {"type": "string"}
PERSON: dict[str, Any] = {"type": "object", "properties": {"name": STRING}, "required": ["name"]}
CLOSED = {**PERSON, "additionalProperties": False}


def run(profile: Any, *, dialect: str = "gemini", words: str = "go", **fields: Any) -> tuple[Fitted, Receipt]:
    receipt = Receipt()
    request = Request(dialect, "m", [Message("user", [Text(words)])], **fields)
    return fit(request, profile, receipt), receipt


def lines(receipt: Receipt) -> list[tuple[str, str]]:
    return [(loss.path, loss.what) for loss in receipt.losses]


def texts(fitted: Fitted) -> str:
    return "\n".join(part.text for one in fitted.request.messages for part in one.parts if isinstance(part, Text))


# ---------------------------------------------------------------- what the compiler takes


def test_R22_objects_are_closed_at_every_depth() -> None:
    schema = {
        "$defs": {"P": PERSON},
        "type": "object",
        "properties": {"one": {"$ref": "#/$defs/P", "description": "x"}, "all": {"type": "array", "items": PERSON}},
        "required": ["one"],
    }
    assert compiled(schema) == {
        "$defs": {"P": CLOSED},
        "type": "object",
        "properties": {"one": {"$ref": "#/$defs/P"}, "all": {"type": "array", "items": CLOSED}},
        "required": ["one"],
        "additionalProperties": False,
    }


def test_R22_bounds_are_said_in_the_description() -> None:
    schema = {"type": "integer", "description": "Age", "minimum": 0, "maximum": 150}
    assert compiled(schema) == {"type": "integer", "description": "Age (minimum: 0, maximum: 150)"}
    assert compiled({"type": "array", "items": STRING, "minItems": 1}) == {
        "type": "array", "items": STRING, "minItems": 1,
    }  # fmt: skip
    assert compiled({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}
    assert compiled({"type": "string", "pattern": "^a"}) == {"type": "string", "description": '(pattern: "^a")'}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": STRING},
        {"type": "object", "properties": {"any": True}},
        {"type": "object", "properties": {"any": {}}},
        {"type": "object", "properties": PERSON, "required": True},
        {"type": "array", "prefixItems": [STRING]},
        {"allOf": [PERSON, PERSON]},
        {"enum": [{"a": 1}]},
        {"$ref": "#/$defs/missing"},
        {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"},
        {"type": "object", "properties": {f"p{n}": STRING for n in range(MOST_OPTIONAL + 1)}},
        {"type": "array", "items": [STRING]},
    ],
)
def test_R11_what_the_compiler_takes_in_no_form(schema: dict[str, Any]) -> None:
    assert compiled(schema) is None


def test_R11_deep_nesting_is_no_recursion_error() -> None:
    schema: dict[str, Any] = STRING
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    assert compiled(schema) is None


@pytest.mark.parametrize(
    "name",
    [
        "limits-seventeen_union_parameters_are_rejected",
        "limits-sixteen_union_parameters_in_one_schema_hit_internal_limit",
        "limits-twenty_five_optional_parameters_are_rejected",
        "matrix-boolean_true_subschema_is_rejected_by_strict_compiler",
        "matrix-recursive_ref_is_rejected_by_strict_compiler",
    ],
)
def test_R11_what_was_refused_is_known_to_be(name: str) -> None:
    recorded = exchange(f"anthropic-messages--rig--strict_schema_{name}--0")["request"]["body"]
    body = json.loads(recorded) if isinstance(recorded, str) else recorded
    assert [compiled(tool["input_schema"]) for tool in body["tools"]] == [None]


# ---------------------------------------------------------------- output


def test_R22_claude_is_held_to_the_closed_schema() -> None:
    fitted, receipt = run(CLAUDE, output=OutputFormat(PERSON, "p"))
    assert fitted.request.output == OutputFormat(CLOSED, "p")
    assert lines(receipt) == [("output.schema", "approximated")]
    same, receipt = run(CLAUDE, output=OutputFormat(CLOSED, "p"))
    assert same.request.output == OutputFormat(CLOSED, "p")
    assert receipt.losses == []


def test_R22_claude_is_told_a_schema_that_cannot_be_compiled() -> None:
    fitted, receipt = run(CLAUDE, output=OutputFormat({"type": "object", "additionalProperties": {"type": "integer"}}))
    assert fitted.request.output is None
    assert '"additionalProperties"' in texts(fitted)
    assert lines(receipt) == [("output", "approximated")]


@pytest.mark.parametrize("profile", [CHAT, CLAUDE])
def test_R22_a_choice_of_words_is_said(profile: Any) -> None:
    fitted, receipt = run(profile, output=OutputFormat(choices=["cat", "dog"]))
    assert fitted.request.output is None
    assert "cat, dog" in texts(fitted)
    assert lines(receipt) == [("output", "approximated")]


@pytest.mark.parametrize("profile", [CHAT, RESPONSES])
def test_R22_openai_is_told_the_schema_of_a_list(profile: Any) -> None:
    fitted, receipt = run(profile, output=OutputFormat({"type": "array", "items": STRING}))
    assert fitted.request.output is None
    assert '"array"' in texts(fitted)
    assert lines(receipt) == [("output", "approximated")]


def test_R22_other_servers_take_the_schema_of_a_list() -> None:
    output = OutputFormat({"type": "array", "items": STRING})
    fitted, receipt = run(OTHER_CHAT, output=output)
    assert fitted.request.output is output
    assert receipt.losses == []


@pytest.mark.parametrize("profile", [CHAT, RESPONSES, OTHER_CHAT])
def test_R22_free_json_is_asked_for_in_words_where_nothing_says_json(profile: Any) -> None:
    fitted, receipt = run(profile, output=OutputFormat())
    assert fitted.request.output == OutputFormat()
    assert "JSON" in texts(fitted)
    assert lines(receipt) == [("output", "approximated")]
    said, receipt = run(profile, output=OutputFormat(), words="Answer in json.")
    assert texts(said) == "Answer in json."
    assert receipt.losses == []


def test_R22_the_word_json_stands_in_the_input_of_responses() -> None:
    system = Message("system", [Text("Answer in JSON.")])
    request = Request("openai_chat", "m", [system, Message("user", [Text("go")])], output=OutputFormat())
    written = DIALECTS["openai_responses"].write_request(
        fit(request, RESPONSES, Receipt()).request, RESPONSES, Receipt()
    )
    assert "instructions" not in written
    assert [item["role"] for item in written["input"]] == ["developer", "user"]


def test_R06_responses_is_never_asked_without_input() -> None:
    request = Request("openai_chat", "m", [Message("system", [Text("Tell a joke.")])])
    written = DIALECTS["openai_responses"].write_request(
        fit(request, RESPONSES, Receipt()).request, RESPONSES, Receipt()
    )
    assert "instructions" not in written
    assert [item["role"] for item in written["input"]] == ["developer"]


# ---------------------------------------------------------------- tools


def test_R11_strict_is_dropped_where_the_compiler_would_refuse_the_schema() -> None:
    bounded = {**CLOSED, "properties": {"name": STRING, "age": {"type": "integer", "minimum": 0}}}
    tools = [Tool("a", parameters=CLOSED, strict=True), Tool("b", parameters=bounded, strict=True)]
    fitted, receipt = run(CLAUDE, dialect="openai_chat", tools=tools)
    assert fitted.request.tools == [tools[0], Tool("b", parameters=bounded)]
    assert lines(receipt) == [("tools[*].strict", "dropped")]


@pytest.mark.parametrize("count", [MOST_TOOLS, MOST_TOOLS + 1])
def test_R11_more_strict_tools_than_the_compiler_takes_are_not_strict(count: int) -> None:
    tools = [Tool(f"t{n}", parameters=CLOSED, strict=True) for n in range(count)]
    fitted, _ = run(CLAUDE, dialect="openai_chat", tools=tools)
    assert {tool.strict for tool in fitted.request.tools if isinstance(tool, Tool)} == {
        True if count <= MOST_TOOLS else None
    }


def test_R11_unions_of_all_strict_tools_count_together() -> None:
    either = {"anyOf": [STRING, {"type": "null"}]}
    schema = {"type": "object", "properties": {"a": either}, "required": ["a"], "additionalProperties": False}
    tools = [Tool(f"t{n}", parameters=dict(schema), strict=True) for n in range(MOST_UNIONS + 1)]
    fitted, receipt = run(CLAUDE, dialect="openai_chat", tools=tools)
    assert {tool.strict for tool in fitted.request.tools if isinstance(tool, Tool)} == {None}
    assert lines(receipt) == [("tools[*].strict", "dropped")]


@pytest.mark.parametrize("profile", [CLAUDE, CHAT, RESPONSES])
@pytest.mark.parametrize("parameters", [{}, {"properties": {"a": STRING}}, {"$defs": {}, "$ref": "#/$defs/A"}])
def test_R08_parameters_say_that_they_are_an_object(profile: Any, parameters: dict[str, Any]) -> None:
    fitted, _ = run(profile, tools=[Tool("a", parameters=parameters)])
    tool = fitted.request.tools[0]
    assert isinstance(tool, Tool)
    assert tool.parameters == {"type": "object", **(parameters or {"properties": {}})}
