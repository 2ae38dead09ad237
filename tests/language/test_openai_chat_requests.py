"""Chat requests: read as clients send them, written as providers take them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dragoman.language.dialects import openai_chat as chat
from dragoman.language.envelope import seal
from dragoman.language.failures import Refused
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
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from tests import corpus

Json = dict[str, Any]
HERE = Profile(dialect="openai_chat")


def read(*messages: Json, **fields: Any) -> Request:
    return chat.read_request({"model": "m", "messages": list(messages), **fields})


def write(request: Request, **facts: Any) -> Json:
    return chat.write_request(request, Profile(dialect="openai_chat", **facts), Receipt())


def again(*messages: Json, **fields: Any) -> Json:
    body: Json = json.loads(json.dumps({"model": "m", "messages": list(messages), **fields}))
    return write(chat.read_request(body))


def foreign(*messages: Message, **fields: Any) -> Request:
    return Request("anthropic", "m", list(messages), **fields)


USER: Json = {"role": "user", "content": "hi"}


def sent(identifier: str) -> Json | None:
    request = corpus.exchange(identifier).get("request") or {}
    body = request.get("body")
    return body if isinstance(body, dict) else None


REQUESTS = [
    name
    for name in corpus.identifiers()
    if corpus.exchange(name)["protocol"] == "openai-chat" and sent(name) is not None
]
_SHAPELESS = "messages[0].content: must be a string or a list"
_SCENARIO = "chat_real_error_scenarios"
REFUSED = {
    "compat.llama-cpp--rig--error_matrix-malformed_request_field--0": "temperature: must be a number",
    f"compat.ollama--rubyllm--{_SCENARIO}_ollama_mistral-small3_1_handles_invalid_message_format_errors--0": _SHAPELESS,
    f"openai-chat--rubyllm--{_SCENARIO}_openai_gpt-4_1-nano_handles_invalid_message_format_errors--0": _SHAPELESS,
}
"""Requests that their providers refused too, and where."""


@pytest.mark.parametrize("identifier", REQUESTS)
def test_B11_recorded_requests_come_back_as_they_were(identifier: str) -> None:
    body = sent(identifier)
    assert body is not None
    if identifier in REFUSED:
        assert corpus.exchange(identifier)["response"]["status"] >= 400
        with pytest.raises(Refused, match=re.escape(REFUSED[identifier])):
            chat.read_request(body)
        return
    request = chat.read_request(json.loads(json.dumps(body)))
    expected = json.loads(json.dumps(body))
    for message in expected["messages"]:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = call["function"]["arguments"] or "{}"  # S09
    assert chat.write_request(request, HERE, Receipt()) == expected


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("content", [None, "", "  ", []])
def test_R06_content_without_text_reads_as_no_text_and_keeps_its_form(content: Any) -> None:
    message = {"role": "assistant", "content": content}
    assert read(USER, message).messages[1].parts == []
    assert again(USER, message)["messages"][1] == message


def test_R06_missing_content_reads_as_no_text() -> None:
    message = {"role": "assistant", "tool_calls": [call("c1")]}
    assert [type(part) for part in read(USER, message).messages[1].parts] == [ToolCall]
    assert "content" not in again(USER, message)["messages"][1]


def call(identifier: str, name: str = "f", arguments: str = "{}") -> Json:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_R07_developer_and_system_in_mid_conversation_stay_in_place() -> None:
    messages = [{"role": "developer", "content": "a"}, USER, {"role": "system", "content": "b"}]
    assert [message.role for message in read(*messages).messages] == ["system", "user", "system"]
    assert again(*messages)["messages"] == messages


def test_R07_a_profile_swaps_the_two_roles() -> None:
    request = foreign(Message("system", [Text("a"), Text("b")]), Message("user", [Text("hi")]))
    assert write(request, family="gpt-5", developer_role=True)["messages"][0] == {
        "role": "developer",
        "content": "a\n\nb",
    }
    request = read({"role": "developer", "content": "a"}, USER)
    assert write(request, family="deepseek")["messages"][0]["role"] == "system"


def test_R02_text_and_calls_of_one_turn_stand_in_one_message() -> None:
    request = foreign(
        Message("user", [Text("hi")]),
        Message("assistant", [Text("I look")]),
        Message("assistant", [ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g", "")]),
        Message("tool", [ToolResult("c1", [Text("one"), Text("two")]), ToolResult("c2", [])]),
    )
    messages = write(request)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["content"] == "I look"
    assert [c["function"]["arguments"] for c in messages[1]["tool_calls"]] == ['{"a":1}', "{}"]  # S09
    assert messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "one\ntwo"}
    assert messages[3]["content"] == "No content provided"


def test_R26_a_failed_tool_is_marked_in_its_text_and_read_back() -> None:
    request = foreign(Message("tool", [ToolResult("c1", [Text("boom")], is_error=True)]))
    written = write(request)["messages"][0]
    assert written["content"] == "[ERROR] boom"
    result = read(USER, {"role": "assistant", "tool_calls": [call("c1")]}, written).messages[2].parts[0]
    assert isinstance(result, ToolResult)
    assert (result.is_error, result.content) == (True, [Text("boom")])


def test_R26_a_failure_without_words_is_still_a_failure() -> None:
    request = foreign(Message("tool", [ToolResult("c1", [], is_error=True)]))
    assert write(request)["messages"][0]["content"].startswith("[ERROR]")


def test_legacy_functions_are_read_and_written_back() -> None:
    messages = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    fields = {"functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": {"name": "f"}}
    request = read(*messages, **fields)
    made, result = request.messages[1].parts[0], request.messages[2].parts[0]
    assert isinstance(made, ToolCall)
    assert isinstance(result, ToolResult)
    assert made.id == result.call_id
    assert request.tool_choice == ToolChoice("named", ["f"])
    assert again(*messages, **fields) == {"model": "m", "messages": messages, **fields}


def test_a_result_without_id_answers_the_oldest_open_call() -> None:
    calls = {"role": "assistant", "tool_calls": [call("c1"), call("c2")]}
    result = read(USER, calls, {"role": "tool", "content": "x"}).messages[2].parts[0]
    assert isinstance(result, ToolResult)
    assert result.call_id == "c1"


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, Text),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,QUI=", "detail": "low"}}, Media),
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, Media),
        ({"type": "image_url", "image_url": "https://a.example/b.png"}, Media),
        ({"type": "input_audio", "input_audio": {"data": "QUI=", "format": "wav"}}, Media),
        ({"type": "input_audio", "input_audio": "QUI="}, Media),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,QUI=", "filename": "a.pdf"}}, Media),
        ({"type": "file", "file": {"file_id": "file-1"}}, Media),
        ({"type": "file", "file": {"file_data": "QUI="}}, Media),
        ({"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}, Media),
        ({"type": "document_url", "document_url": "https://a.example/b.pdf", "document_name": "b"}, Media),
        ({"type": "refusal", "refusal": "no"}, Refusal),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, Reasoning),
        ({"type": "unheard_of", "x": [1]}, Opaque),
    ],
)
def test_R18_every_part_is_read_and_written_back(block: Json, part: type) -> None:
    message = {"role": "user", "content": [block, {"type": "text", "text": "b"}]}
    assert type(read(message).messages[0].parts[0]) is part
    assert again(message)["messages"] == [message]


def test_R16_a_data_uri_gives_its_bytes_and_type() -> None:
    url = {"type": "image_url", "image_url": {"url": "data:image/webp;base64,QUI="}}
    assert read({"role": "user", "content": [url]}).messages[0].parts[0] == Media(
        "image", "base64", "QUI=", "image/webp"
    )


def test_R18_media_of_other_dialects_become_parts_in_order() -> None:
    parts: list[Part] = [
        Text("see"),
        Media("image", "base64", "QUI=", "image/png"),
        Media("document", "base64", "QQ=="),
    ]
    content = write(foreign(Message("user", parts)))["messages"][0]["content"]
    assert [block["type"] for block in content] == ["text", "image_url", "file"]
    assert content[1]["image_url"]["url"] == "data:image/png;base64,QUI="
    assert content[2]["file"]["file_data"] == "data:application/pdf;base64,QQ=="
    assert content[2]["file"]["filename"]


def test_T15_cache_hints_go_where_the_target_takes_them() -> None:
    hint = {"type": "ephemeral", "ttl": "1h"}
    request = foreign(
        Message("user", [Text("a", extras={"anthropic": {"cache_control": hint}})]),
        tools=[Tool("f", extras={"anthropic": {"cache_control": hint}})],
    )
    taken = write(request, cache_hints=True)
    assert taken["messages"][0]["content"] == [{"type": "text", "text": "a", "cache_control": hint}]
    assert taken["tools"][0]["cache_control"] == hint
    plain = write(request)
    assert plain["messages"][0]["content"] == "a"
    assert "cache_control" not in json.dumps(plain)
    part = read({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": hint}]}).messages[0].parts
    assert part[0].extras["anthropic"] == {"cache_control": hint}


# ---------------------------------------------------------------- tools


def test_C11_tools_of_mixed_shape_are_read_one_by_one() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/"}}
    tools = [
        {"type": "function", "function": {"name": "nested", "parameters": schema, "strict": True}},
        {"type": "function", "name": "flat", "parameters": schema},
        {"name": "claude", "description": "d", "input_schema": schema},
        {"type": "custom", "name": "flat_custom", "format": grammar},
        {"type": "custom", "custom": {"name": "custom", "format": nested}},
        {"type": "openrouter:web_search", "parameters": {"max": 1}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    request = read(USER, tools=tools)
    kinds = [(tool.name, tool.kind) for tool in request.tools if isinstance(tool, Tool)]
    assert kinds == [
        ("nested", "function"),
        ("flat", "function"),
        ("claude", "function"),
        ("flat_custom", "custom"),
        ("custom", "custom"),
    ]
    assert [tool.dialect for tool in request.tools if isinstance(tool, Opaque)] == ["openai_chat", "anthropic"]
    written = write(request)["tools"]
    assert all(tool["function"]["parameters"] == schema for tool in written[:3])
    assert written[3]["custom"]["format"] == written[4]["custom"]["format"] == nested
    assert written[5] == tools[5]
    assert len(written) == 6


def test_R08_a_tool_without_schema_gets_an_empty_one_from_strangers_only() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert again(USER, tools=[tool])["tools"] == [tool]
    written = write(foreign(Message("user", [Text("a")]), tools=[Tool("f")]))["tools"][0]
    assert written["function"] == {"name": "f", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("auto", "auto", []),
        ("none", "none", []),
        ("required", "any", []),
        ("any", "any", []),
        ({"type": "function", "function": {"name": "f"}}, "named", ["f"]),
        ({"type": "custom", "custom": {"name": "f"}}, "named", ["f"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            "subset",
            ["f"],
        ),
        ({"type": "openrouter:web_search"}, "auto", []),
    ],
)
def test_R12_every_tool_choice_is_read_and_written_back(choice: Any, mode: str, names: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    request = read(USER, tools=tools, tool_choice=choice)
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names) == (mode, names)
    assert write(request)["tool_choice"] == choice


@pytest.mark.parametrize("choice", [{"type": "function", "name": "f"}, {"type": "tool", "name": "f"}])
def test_C11_flat_choices_are_written_nested(choice: Json) -> None:
    request = read(USER, tools=[{"type": "function", "name": "f"}], tool_choice=choice)
    assert write(request)["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_R12_a_choice_among_no_tools_is_not_sent() -> None:
    request = foreign(Message("user", [Text("a")]), tool_choice=ToolChoice("auto"), parallel_tools=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & write(request).keys()


def test_C12_anthropic_blocks_on_the_chat_path_are_read() -> None:
    request = read(
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "1"}]},
                {"type": "text", "text": "go on"},
            ],
        },
    )
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "user"]
    messages = write(request)["messages"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert messages[2]["tool_call_id"] == "toolu_1"


def test_C10_a_responses_body_on_the_chat_path_is_read_by_its_shape() -> None:
    request = chat.read_request(
        {
            "model": "m",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "max_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    assert request.dialect == "openai_responses"
    assert request.messages[0].parts == [Text("hi")] or request.messages[0].parts[0].text == "hi"  # type: ignore[union-attr]
    assert request.sampling.max_tokens == 9
    assert request.extras["openai_chat"]["stream_options"] == {"include_usage": True}


# ---------------------------------------------------------------- knobs


def test_R13_stop_and_limits_in_both_spellings() -> None:
    assert read(USER, stop="a").sampling.stop == ["a"]
    assert again(USER, stop="a")["stop"] == "a"
    assert again(USER, stop=["a"])["stop"] == ["a"]
    assert read(USER, max_completion_tokens=5).sampling.max_tokens == 5
    request = read(USER, max_tokens=5)
    assert write(request)["max_tokens"] == 5
    assert write(request, family="gpt-5", token_field="max_completion_tokens")["max_completion_tokens"] == 5
    assert "max_tokens" not in write(request, family="gpt-5", token_field="max_completion_tokens")


@pytest.mark.parametrize(
    ("fields", "mode", "effort", "budget"),
    [
        ({"reasoning_effort": "high"}, "on", "high", None),
        ({"reasoning_effort": "none"}, "off", "none", None),
        ({"reasoning": {"max_tokens": 2000}}, "on", None, 2000),
        ({"reasoning": {"enabled": False}}, "off", None, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "on", None, 9),
        ({"thinking": {"type": "disabled"}}, "off", None, None),
        ({"enable_thinking": False}, "off", None, None),
    ],
)
def test_R15_every_vendors_words_on_thinking(fields: Json, mode: str, effort: str | None, budget: int | None) -> None:
    setting = read(USER, **fields).reasoning
    assert setting is not None
    assert (setting.mode, setting.effort, setting.budget) == (mode, effort, budget)
    assert again(USER, **fields) == {"model": "m", "messages": [USER], **fields}


def test_R22_output_formats() -> None:
    schema = {"type": "object"}
    fields = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True, "x": 1}}
    output = read(USER, response_format=fields).output
    assert output is not None
    assert (output.schema, output.name, output.strict) == (schema, "n", True)
    assert again(USER, response_format=fields)["response_format"] == fields
    for raw in ({"type": "json_object"}, {"type": "text"}, {"type": "json_object", "schema": schema}):
        assert again(USER, response_format=raw)["response_format"] == raw
    assert read(USER, response_format={"type": "text"}).output is None


def test_R20_unknown_fields_go_back_to_their_owner_only() -> None:
    body = {"logit_bias": {"1": 2}, "x_vendor": [1], "service_tier": "flex", "stop": None, "user": "u"}
    assert again(USER, **body) == {"model": "m", "messages": [USER], **body}
    request = foreign(Message("user", [Text("a")]), extras={"anthropic": {"service_tier": "standard_only"}})
    assert "service_tier" not in write(request)


def test_U06_usage_is_asked_for_where_the_client_cannot_ask() -> None:
    request = foreign(Message("user", [Text("a")]), stream=True)
    assert write(request)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in write(request, stream_usage=False)
    assert again(USER, stream=True) == {"model": "m", "messages": [USER], "stream": True}


# ---------------------------------------------------------------- thoughts


def test_T10_one_thought_however_many_fields_hold_it() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}]
    message = {"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_details": details}
    parts = read(USER, message).messages[1].parts
    assert [type(part) for part in parts] == [Reasoning, Text]
    assert parts[0].text == "hm"  # type: ignore[union-attr]
    assert again(USER, message)["messages"][1] == message


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_T12_thoughts_go_back_in_the_profiles_field(field: str) -> None:
    request = foreign(Message("user", [Text("a")]), Message("assistant", [Reasoning("hm"), Text("b")]))
    assert write(request, family="x", reasoning_field=field)["messages"][1][field] == "hm"
    assert "hm" not in json.dumps(write(request, family="x"))


def test_T02_sealed_signatures_are_restored_and_never_sent_to_a_provider() -> None:
    sealed = {"type": "reasoning.encrypted", "data": seal({"anthropic": {"signature": "sig"}}), "format": "dragoman-v1"}
    message = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": [sealed]}
    request = read(USER, message)
    assert request.messages[1].parts[0] == Reasoning("hm", {"anthropic": {"signature": "sig"}})
    assert (
        "reasoning_details" not in write(request, family="deepseek", reasoning_field="reasoning_content")["messages"][1]
    )


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]"),
        ({"messages": [], "temperature": "hot"}, "temperature"),
        ({"messages": [], "stream": "yes"}, "stream"),
        ({"messages": [], "n": True}, "n"),
        ({"messages": [], "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"messages": [], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"messages": [], "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [], "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(body: Json, path: str) -> None:
    with pytest.raises(Refused) as caught:
        chat.read_request({"model": "m", **body})
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["sdk_openai_01_chat_json", "sdk_openai_02_chat_stream"])
def test_the_official_clients_requests(name: str) -> None:
    file = corpus.FOLDER.parents[1] / "clients" / "examples" / f"{name}.json"
    if not file.is_file():
        pytest.skip("the recorded requests of clients are not here")
    body = json.loads(file.read_text("utf-8"))["body"]
    assert chat.write_request(chat.read_request(json.loads(json.dumps(body))), HERE, Receipt()) == body
