"""Anthropic requests: what clients may send, what is refused, and that the owner gets his spelling back."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.dialects import anthropic
from dragoman.language.envelope import seal
from dragoman.language.failures import Refused
from dragoman.language.ir import Media, Opaque, Reasoning, Request, Text, Tool, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from tests.language.anthropic_wire import BODY, roundtrip

CACHE = {"type": "ephemeral", "ttl": "1h"}


def _read(**fields: Any) -> Request:
    return anthropic.read_request(BODY | fields)


def _content(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "a", "cache_control": CACHE},
    {"type": "text", "text": "a", "citations": None},
    {"type": "text", "text": "a", "citations": []},
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
        "cache_control": CACHE,
    },
    {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    {"type": "image", "source": {"type": "somewhere_new", "place": 1}},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "T",
    },
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "context": "c"},
    {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}, "citations": {"enabled": True}},
    {"type": "document", "source": {"type": "file", "file_id": "file_2"}, "title": None},
    {"type": "document", "source": {"type": "content", "content": "quoted"}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "quoted"}]}},
    {"type": "search_result", "source": "https://x.test", "title": "t", "content": [{"type": "text", "text": "found"}]},
    {"type": "container_upload", "file_id": "file_3"},
    {"type": "tool_result", "tool_use_id": "toolu_1"},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": ""},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x", "is_error": False},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [], "is_error": True},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": {"bare": "object"}},
    {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "cache_control": CACHE,
        "content": [
            {"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
            {"type": "tool_reference", "tool_name": "late"},
        ],
    },
    {"type": "thinking", "thinking": "hm", "signature": "sig=="},
    {"type": "thinking", "thinking": "", "signature": "sig=="},
    {"type": "redacted_thinking", "data": "abc"},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "caller": {"type": "direct"}},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 18446744073709551615}, "cache_control": CACHE},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "never_seen_before", "payload": [1, {"deep": None}]},
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block["type"])
def test_C02_block_survives(block: dict[str, Any]) -> None:
    assistant = block["type"] in ("thinking", "redacted_thinking", "tool_use", "server_tool_use")
    body = BODY | _content(block, role="assistant" if assistant else "user")
    assert roundtrip(body) == body


TOP: list[dict[str, Any]] = [
    {"system": "be brief"},
    {"system": ""},
    {"system": []},
    {"system": None},
    {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": CACHE}]},
    {"stream": True},
    {"stream": False},
    {"temperature": 0.5, "top_p": None, "top_k": 3, "stop_sequences": ["x", "\n"]},
    {"stop_sequences": []},
    {"tools": []},
    {"metadata": {}},
    {"metadata": {"user_id": "u", "more": 1}},
    {"metadata": {"user_id": None}},
    {"service_tier": "standard_only", "betas": ["b"], "container": "c", "mcp_servers": [{"name": "x", "type": "url"}]},
    {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, "cache_control": CACHE},
    {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
    {"thinking": {"type": "disabled"}},
    {"thinking": {"type": "adaptive", "block_binding": {"a": 1}}},
    {"thinking": {"type": "between_tools"}},
    {"output_config": {}},
    {"output_config": {"effort": "xhigh", "task_budget": {"total": 5}}},
    {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}, "name": "n"}}},
    {"output_config": {"format": {"type": "grammar_of_the_future"}}},
    {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
    {"output_format": {"type": "json_schema", "schema": {"type": "object"}}, "output_config": {"effort": "low"}},
    {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "id": "kept"}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "s"}]},
    {"messages": [{"role": "system", "content": [{"type": "tool_addition", "tool": {"name": "t"}}]}]},
    {"messages": [{"role": "user", "content": None}, {"role": "user"}, {"role": "user", "content": ""}]},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "prefill "}]},
]


@pytest.mark.parametrize("fields", TOP, ids=str)
def test_C02_body_survives(fields: dict[str, Any]) -> None:
    body = BODY | fields
    assert roundtrip(body) == body


TOOLS: list[dict[str, Any]] = [
    {"name": "f", "input_schema": {"type": "object", "properties": {}}},
    {"name": "f", "description": "", "input_schema": {"type": "object"}, "type": "custom"},
    {"name": "f", "description": "d", "input_schema": {"$ref": "#/$defs/x"}, "strict": True, "cache_control": CACHE},
    {"name": "f", "input_schema": True, "strict": False},
    {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, "input_examples": [{"a": 1}]},
    {"name": "f", "input_schema": {"type": "object"}, "defer_loading": False, "eager_input_streaming": None},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 8, "user_location": None},
    {"type": "mcp_toolset", "mcp_server_name": "x"},
]


@pytest.mark.parametrize("tool", TOOLS, ids=str)
def test_R08_tool_survives(tool: dict[str, Any]) -> None:
    body = BODY | {"tools": [tool]}
    assert roundtrip(body) == body


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "auto"},
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "f", "disable_parallel_tool_use": False},
        {"type": "none"},
        {"type": "later", "name": "x"},
    ],
    ids=str,
)
def test_R12_tool_choice_survives(choice: dict[str, Any]) -> None:
    body = BODY | {"tools": TOOLS[:1], "tool_choice": choice}
    assert roundtrip(body) == body


@pytest.mark.parametrize(
    ("choice", "mode", "names", "parallel"),
    [
        ({"type": "auto"}, "auto", [], None),
        ({"type": "any", "disable_parallel_tool_use": True}, "any", [], False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, "named", ["f"], True),
        ({"type": "none"}, "none", [], None),
    ],
)
def test_R12_tool_choice_is_understood(
    choice: dict[str, Any], mode: str, names: list[str], parallel: bool | None
) -> None:
    request = _read(tools=TOOLS[:1], tool_choice=choice)
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names, request.parallel_tools) == (mode, names, parallel)


REFUSED: list[tuple[Any, str]] = [
    ([], "body"),
    ({"model": "m"}, "messages"),
    (BODY | {"messages": []}, "messages"),
    (BODY | {"messages": "hi"}, "messages"),
    (BODY | {"messages": ["hi"]}, "messages[0]"),
    (BODY | {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    (BODY | {"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
    (BODY | _content({"text": "x"}), "messages[0].content[0].type"),
    (BODY | {"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    (BODY | _content({"type": "text"}), "messages[0].content[0].text"),
    (BODY | _content({"type": "image"}), "messages[0].content[0].source"),
    (BODY | _content({"type": "image", "source": {"type": "url"}}), "messages[0].content[0].source.url"),
    (BODY | _content({"type": "tool_result", "content": "x"}), "messages[0].content[0].tool_use_id"),
    (BODY | _content({"type": "tool_use", "id": "t", "input": {}}, role="assistant"), "messages[0].content[0].name"),
    (BODY | _content({"type": "tool_use", "name": "t"}, role="assistant"), "messages[0].content[0].id"),
    (BODY | {"tools": [{"input_schema": {}}]}, "tools[0].name"),
    (BODY | {"tools": {"name": "f"}}, "tools"),
    (BODY | {"tool_choice": "auto"}, "tool_choice"),
    (BODY | {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    (BODY | {"system": 5}, "system"),
    (BODY | {"max_tokens": "5"}, "max_tokens"),
    (BODY | {"max_tokens": True}, "max_tokens"),
    (BODY | {"temperature": "hot"}, "temperature"),
    (BODY | {"stream": "yes"}, "stream"),
    (BODY | {"stop_sequences": "x"}, "stop_sequences"),
    (BODY | {"stop_sequences": [1]}, "stop_sequences[0]"),
    (BODY | {"thinking": "on"}, "thinking"),
    (BODY | {"thinking": {}}, "thinking.type"),
    (BODY | {"metadata": []}, "metadata"),
    (BODY | {"model": 4}, "model"),
]


@pytest.mark.parametrize(("body", "path"), REFUSED, ids=[path for _, path in REFUSED])
def test_T35_wrong_body_is_refused_with_its_path(body: Any, path: str) -> None:
    with pytest.raises(Refused) as refused:
        anthropic.read_request(body)
    assert refused.value.path == path
    status, answer = anthropic.write_failure(refused.value.failure())
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert path in answer["error"]["message"]


def test_T01_string_and_block_content_mean_the_same() -> None:
    one = _read(system="s")
    two = _read(
        system=[{"type": "text", "text": "s"}], messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    )
    assert [[part.text for part in m.parts if isinstance(part, Text)] for m in one.messages] == [["s"], ["hi"]]
    assert [(m.role, len(m.parts)) for m in one.messages] == [(m.role, len(m.parts)) for m in two.messages]


@pytest.mark.parametrize("content", [None, "", []])
def test_R06_empty_content_reads_as_nothing_said(content: Any) -> None:
    assert _read(messages=[{"role": "user", "content": content}]).messages[0].parts == []
    assert _read(messages=[{"role": "user"}]).messages[0].parts == []


def test_R01_results_and_words_of_one_turn_become_two_messages() -> None:
    request = _read(
        **_content(
            {"type": "tool_result", "tool_use_id": "b", "content": "B", "is_error": True},
            {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "A"}]},
            {"type": "text", "text": "go on"},
        )
    )
    assert [message.role for message in request.messages] == ["tool", "user"]
    results = [part for part in request.messages[0].parts if isinstance(part, ToolResult)]
    assert [(part.call_id, part.is_error) for part in results] == [("b", True), ("a", False)]


def test_R07_system_in_mid_conversation_stays_in_place() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "system", "content": "s"}, {"role": "user", "content": "b"}]
    request = _read(system="top", messages=turns)
    assert [message.role for message in request.messages] == ["system", "user", "system", "user"]


def test_R15_thinking_in_every_spelling() -> None:
    def mode(thinking: dict[str, Any]) -> str | None:
        setting = _read(thinking=thinking).reasoning
        assert setting is not None
        return setting.mode

    assert mode({"type": "enabled", "budget_tokens": 2000}) == "on"
    assert mode({"enabled": True}) == "on"
    assert mode({"enabled": False}) == "off"
    assert mode({"type": "disabled"}) == "off"
    assert mode({"type": "adaptive"}) == "adaptive"
    assert mode({"type": "between_tools"}) == "adaptive"
    assert roundtrip(BODY | {"thinking": {"enabled": False}})["thinking"] == {"type": "disabled"}


def test_R15_effort_without_thinking_turns_nothing_on() -> None:
    setting = _read(output_config={"effort": "high"}).reasoning
    assert setting is not None
    assert (setting.mode, setting.effort) == (None, "high")


def test_R22_schema_in_both_spellings() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    for request in (_read(output_format=form), _read(output_config={"format": form})):
        assert request.output is not None
        assert request.output.schema == {"type": "object"}


def test_C09_typed_tools_are_never_the_clients_own() -> None:
    request = _read(tools=[{"type": "web_search_20250305", "name": "web_search"}, {"type": "custom", "name": "f"}])
    assert isinstance(request.tools[0], Opaque)
    assert isinstance(request.tools[1], Tool)


def test_T11_tool_without_a_schema_gets_the_empty_one() -> None:
    assert roundtrip(BODY | {"tools": [{"name": "f"}]})["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    ]


def test_media_is_understood() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    request = _read(**_content({"type": "document", "source": source, "title": "T"}))
    assert request.messages[0].parts == [Media("document", "base64", "JVBERi0=", "application/pdf", "T")]


def test_quoted_document_is_readable_by_everybody() -> None:
    part = _read(**_content(BLOCKS[12])).messages[0].parts[0]
    assert isinstance(part, Media)
    assert (part.source, part.value) == ("text", "quoted")


def test_T02_our_envelope_gives_the_owner_his_bytes_back_and_never_reaches_anthropic() -> None:
    theirs = {"openai_responses": {"id": "rs_1", "encrypted_content": "gAAA"}}
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": seal(theirs)},
        {"type": "redacted_thinking", "data": seal(theirs)},
        {"type": "text", "text": "x"},
    ]
    request = _read(**_content(*blocks, role="assistant"))
    for thought in request.messages[0].parts[:2]:
        assert isinstance(thought, Reasoning)
        assert thought.extras == theirs
    receipt = Receipt()
    body = anthropic.write_request(request, Profile("anthropic"), receipt)
    assert body["messages"][0]["content"] == [{"type": "text", "text": "x"}]
    assert [loss.what for loss in receipt.losses] == ["dropped"]


def test_T03_thinking_is_switched_off_when_the_open_tool_turn_lost_its_thought() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    thought = {"type": "thinking", "thinking": "hm", "signature": seal({})}
    turns = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
    ]
    body = BODY | {"thinking": {"type": "enabled", "budget_tokens": 2000}, "messages": turns}
    receipt = Receipt()
    assert "thinking" not in roundtrip(body, receipt)
    assert ("thinking", "dropped") in [(loss.path, loss.what) for loss in receipt.losses]
    later = body | {"messages": [*turns, {"role": "assistant", "content": "done"}, {"role": "user", "content": "more"}]}
    assert roundtrip(later)["thinking"] == body["thinking"]


def test_B10_arguments_of_history_keep_every_digit() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"id": 9007199254740993, "s": "é<"}}
    part = _read(**_content(block, role="assistant")).messages[0].parts[0]
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"id":9007199254740993,"s":"é<"}'


def test_model_and_stream_may_come_from_the_url() -> None:
    body = {"anthropic_version": "vertex-2023-10-16", "messages": BODY["messages"]}
    request = anthropic.read_request(body, model="claude-x", stream=True)
    assert (request.model, request.stream) == ("claude-x", True)
    assert roundtrip(body) == body
