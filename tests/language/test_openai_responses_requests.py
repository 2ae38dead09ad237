"""Rules of Responses requests: what is read, what is refused, how a foreign conversation is spelt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dragoman.language.dialects import openai_responses as dialect
from dragoman.language.envelope import seal
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Media,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    ReasoningSetting,
    Refusal,
    Request,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

NAME = "openai_responses"
OWN = Profile(NAME)
THINKER = Profile(NAME, reasoning="effort", efforts=("none", "low", "medium", "high"))


def foreign(*messages: Message, **fields: Any) -> Request:
    return Request("anthropic", "gpt-5.2", list(messages), **fields)


def body_of(request: Request, profile: Profile = THINKER) -> dict[str, Any]:
    return dialect.write_request(request, profile, Receipt())


def same(body: dict[str, Any]) -> Request:
    request = dialect.read_request(body)
    assert dialect.write_request(request, OWN, Receipt()) == body
    return request


def test_R25_input_may_be_a_string_or_items_without_a_type() -> None:
    assert same({"model": "m", "input": "hi"}).messages[0].parts == [Text("hi")]
    items = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "input_text", "text": "and?"}]},
    ]
    messages = same({"model": "m", "input": items}).messages
    assert [(message.role, message.parts[0].text) for message in messages] == [  # type: ignore[union-attr]
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "and?"),
    ]
    outputs = dialect.read_request({"model": "m", "input": [{"call_id": "c", "output": "done"}]}).messages
    assert isinstance(outputs[0].parts[0], ToolResult)


def test_T06_assistant_items_in_a_row_are_one_turn_in_order() -> None:
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "id": "msg_1", "phase": "commentary", "content": [
            {"type": "output_text", "text": "one", "annotations": [], "logprobs": []},
            {"type": "refusal", "refusal": "two"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "namespace": "n", "input": "raw {"},
        {"type": "function_call_output", "call_id": "a", "output": "ok"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "fine"}]},
    ]  # fmt: skip
    request = same({"model": "m", "input": items})
    assert [message.role for message in request.messages] == ["user", "assistant", "tool"]
    kinds = [type(part) for part in request.messages[1].parts]
    assert kinds == [Reasoning, Text, Refusal, ToolCall, Opaque, ToolCall]
    custom = request.messages[1].parts[5]
    assert isinstance(custom, ToolCall)
    assert (custom.kind, custom.namespace, custom.arguments) == ("custom", "n", "raw {")


def test_R17_images_in_outputs_are_read_and_written_as_a_list() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "original"}
    result = same({"model": "m", "input": [{"type": "function_call_output", "call_id": "a", "output": [image]}]})
    part = result.messages[0].parts[0]
    assert isinstance(part, ToolResult)
    assert isinstance(part.content[0], Media)
    assert (part.content[0].media_type, part.content[0].value) == ("image/png", "iVBO")
    made = ToolResult("a", [Text("see"), Media("image", "base64", "iVBO", "image/png")])
    item = body_of(foreign(Message("tool", [made])))["input"][0]
    assert item["output"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"},
        {"type": "input_image", "file_id": "file-1", "image_url": None},
        {"type": "input_image", "image_url": "data:image/png;charset=x;base64,iVBO"},
        {"type": "input_image", "image_url": "data:;base64,iVBO"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "JVBE"},
        {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": ""},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {"type": "input_file", "file_id": "file-1", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_hologram", "beam": 1},
    ],
    ids=lambda part: str(sorted(part))[:40],
)
def test_R18_R20_every_kind_of_content_part_comes_back(part: dict[str, Any]) -> None:
    same({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "see"}, part]}]})


def test_R26_a_failed_tool_is_marked_at_the_head_of_its_output_and_known_again() -> None:
    result = ToolResult("a", [Text("no such file")], is_error=True)
    body = body_of(foreign(Message("tool", [result, ToolResult("b", [Text("fine")])])))
    assert [item["output"] for item in body["input"]] == ["[ERROR] no such file", "fine"]
    parts = dialect.read_request({"model": "m", "input": body["input"]}).messages[0].parts
    assert [(part.is_error, part.content) for part in parts if isinstance(part, ToolResult)] == [
        (True, [Text("no such file")]),
        (False, [Text("fine")]),
    ]
    same({"model": "m", "input": [{"type": "function_call_output", "call_id": "a", "output": "[ERROR] x"}]})


def test_R10_strict_is_always_said_for_a_foreign_client_and_never_added_for_an_own() -> None:
    tools: list[Tool | Opaque] = [Tool("f"), Tool("g", strict=True, parameters={"type": "object"})]
    written = body_of(foreign(Message("user", [Text("hi")]), tools=tools))["tools"]
    assert [tool["strict"] for tool in written] == [False, True]
    assert written[0]["parameters"] == {"type": "object", "properties": {}}
    same({"model": "m", "input": "hi", "tools": [{"type": "function", "name": "f", "parameters": {}}]})


def test_R08_keys_of_a_tool_stay_beside_its_schema() -> None:
    tool = {"type": "function", "name": "f", "description": "", "parameters": {"type": "object", "strict": True},
            "strict": None, "defer_loading": False, "allowed_callers": ["direct"]}  # fmt: skip
    request = same({"model": "m", "input": "hi", "tools": [tool]})
    read = request.tools[0]
    assert isinstance(read, Tool)
    assert (read.parameters, read.strict, read.deferred) == ({"type": "object", "strict": True}, None, False)


def test_C11_a_nested_chat_tool_is_read_and_written_flat() -> None:
    nested = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    request = dialect.read_request({"model": "m", "input": "hi", "tools": [nested, {"type": "custom", "name": "p"}]})
    written = dialect.write_request(request, OWN, Receipt())["tools"]
    assert written[0] == {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    assert written[1] == {"type": "custom", "name": "p"}


def test_C14_C15_namespaces_and_grammar_tools_come_back_folded() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    inner = [{"type": "function", "name": "a", "parameters": {}, "strict": False},
             {"type": "custom", "name": "b", "format": grammar}, {"type": "hosted_thing"}]  # fmt: skip
    tools = [
        {"type": "namespace", "name": "n", "description": "N", "tools": inner},
        {"type": "web_search"},
        {"type": "namespace", "name": "n", "description": "again", "tools": inner[:1]},
        {"type": "namespace", "name": "empty", "description": "E", "tools": []},
    ]
    request = same({"model": "m", "input": "hi", "tools": tools})
    named = [(tool.name, tool.namespace, tool.kind) for tool in request.tools if isinstance(tool, Tool)]
    assert named == [("a", "n", "function"), ("b", "n", "custom"), ("a", "n", "function")]


def test_C16_tools_that_stand_in_the_input_are_tools_of_the_request() -> None:
    item = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [
        {"type": "namespace", "name": "functions", "description": "F",
         "tools": [{"type": "custom", "name": "exec", "format": {"type": "text"}}]}]}  # fmt: skip
    request = same({"model": "m", "input": [item, {"role": "user", "content": "hi"}], "tools": [
        {"type": "function", "name": "f", "parameters": {}}]})  # fmt: skip
    assert [(tool.name, tool.namespace) for tool in request.tools if isinstance(tool, Tool)] == [
        ("f", ""),
        ("exec", "functions"),
    ]


@pytest.mark.parametrize(
    ("wire", "read"),
    [
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("any")),
        ("none", ToolChoice("none")),
        ({"type": "function", "name": "f"}, ToolChoice("named", ["f"])),
        ({"type": "custom", "name": "f"}, ToolChoice("named", ["f"])),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}],
            },
            ToolChoice("subset", ["f"], required=True),
        ),
        ({"type": "web_search"}, ToolChoice("auto")),
        ({"type": "mcp", "server_label": "x"}, ToolChoice("auto")),
    ],
)
def test_R12_every_tool_choice_is_read_and_comes_back(wire: Any, read: ToolChoice) -> None:
    tools = [{"type": "function", "name": "f", "parameters": {}}]
    request = same({"model": "m", "input": "hi", "tools": tools, "tool_choice": wire})
    assert request.tool_choice is not None
    assert replace(request.tool_choice, extras={}) == read


def test_R12_a_foreign_choice_names_the_kind_of_its_tool() -> None:
    tools: list[Tool | Opaque] = [Tool("f"), Tool("p", kind="custom")]
    user = Message("user", [Text("hi")])
    named = body_of(foreign(user, tools=tools, tool_choice=ToolChoice("named", ["p"])))
    assert named["tool_choice"] == {"type": "custom", "name": "p"}
    subset = body_of(foreign(user, tools=tools, tool_choice=ToolChoice("subset", ["f", "p"], required=True)))
    assert subset["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"}],
    }


@pytest.mark.parametrize(
    ("part", "kind", "value", "written"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
            "image",
            "https://a/b.png",
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
        ),
        (
            {"type": "image_url", "image_url": "https://a/b.png"},
            "image",
            "https://a/b.png",
            {"type": "input_image", "image_url": "https://a/b.png"},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            "document",
            "JVBE",
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        ),
    ],
)
def test_C12_chats_images_and_files_are_read(part: Any, kind: str, value: str, written: Any) -> None:
    request = dialect.read_request({"model": "m", "input": [{"role": "user", "content": [part]}]})
    [media] = request.messages[0].parts
    assert isinstance(media, Media)
    assert (media.kind, media.value) == (kind, value)
    assert dialect.write_request(request, OWN, Receipt())["input"][0]["content"] == [written]


def test_C12_without_tools_no_choice_goes_out() -> None:
    body = body_of(
        foreign(Message("user", [Text("hi")]), tool_choice=ToolChoice("auto"), parallel_tools=True, tools=[])
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_R07_head_system_messages_are_instructions_and_later_ones_stay_in_place() -> None:
    body = body_of(
        foreign(
            Message("system", [Text("one"), Text("two")]),
            Message("system", [Text("three")]),
            Message("user", [Text("hi")]),
            Message("system", [Text("later")]),
        )
    )
    assert body["instructions"] == "one\n\ntwo\n\nthree"
    assert [(item["role"], item["content"][0]["text"]) for item in body["input"]] == [
        ("user", "hi"),
        ("developer", "later"),
    ]


def test_R06_blank_text_and_empty_turns_stay_out_of_foreign_requests() -> None:
    turns = [Message("user", [Text("hi")]), Message("assistant", [Text("  ")]), Message("system", []),
             Message("assistant", [Opaque("anthropic", {"type": "x"})])]  # fmt: skip
    assert len(body_of(foreign(*turns))["input"]) == 1


def test_T08_a_foreign_conversation_keeps_nothing_at_the_provider() -> None:
    body = body_of(foreign(Message("user", [Text("hi")]), reasoning=ReasoningSetting(mode="on", effort="low")))
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    plain = body_of(foreign(Message("user", [Text("hi")])), OWN)
    assert "include" not in plain  # refused by models that do not think


def test_R15_thinking_switched_off_asks_for_no_summary() -> None:
    user = Message("user", [Text("hi")])
    assert body_of(foreign(user, reasoning=ReasoningSetting(mode="off")))["reasoning"] == {"effort": "none"}
    read = dialect.read_request({"model": "m", "input": "x", "reasoning": {"effort": "none"}}).reasoning
    assert read is not None
    assert read.mode == "off"


def test_R13_the_output_limit_is_at_least_sixteen() -> None:
    request = foreign(Message("user", [Text("hi")]), sampling=Sampling(max_tokens=1, stop=["x"], seed=3))
    body = body_of(request)
    assert body["max_output_tokens"] == 16
    assert not {"stop", "seed"} & set(body)


def test_R22_an_output_schema_is_text_format() -> None:
    schema = {"type": "object"}
    body = body_of(foreign(Message("user", [Text("hi")]), output=OutputFormat(schema, strict=True)))
    assert body["text"] == {"format": {"type": "json_schema", "name": "response", "schema": schema, "strict": True}}
    same({"model": "m", "input": "x", "text": {"format": {"type": "text"}, "verbosity": "low"}})
    same({"model": "m", "input": "x", "text": {"format": {"type": "json_object"}}})
    same({"model": "m", "input": "x", "text": {}})


def test_T02_a_sealed_thought_gives_back_its_owner_and_never_reaches_openai() -> None:
    extras = {"anthropic": {"signature": "EqQB"}}
    items = [
        {"type": "reasoning", "id": "rs_dgmab00", "summary": [{"type": "summary_text", "text": "hm"}],
         "encrypted_content": seal(extras)},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    ]  # fmt: skip
    request = dialect.read_request({"model": "m", "input": items})
    assert request.messages[0].parts[0] == Reasoning("hm", extras)
    receipt = Receipt()
    body = dialect.write_request(request, OWN, receipt)
    assert [item["type"] for item in body["input"]] == ["function_call"]
    assert [loss.what for loss in receipt.losses] == ["dropped"]


def test_T02_an_own_thought_of_another_clients_history_comes_back_whole() -> None:
    wire = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "content": [],
            "summary": [{"type": "summary_text", "text": "a\n\nb"}, {"type": "summary_text", "text": "c"}]}  # fmt: skip
    part = dialect.read_request({"model": "m", "input": [wire]}).messages[0].parts[0]
    assert isinstance(part, Reasoning)
    assert part.text == "a\n\nb\n\nc"
    assert body_of(foreign(Message("assistant", [part, ToolCall("a", "f", "{}")])))["input"][0] == wire


def test_S09_foreign_calls_keep_their_ids_and_get_arguments() -> None:
    item = body_of(foreign(Message("assistant", [ToolCall("call_1", "f", " ")])))["input"][0]
    assert item == {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}


def test_R24_a_chained_request_names_its_predecessor() -> None:
    request = same({"model": "m", "previous_response_id": "resp_1", "input": "go on", "store": True})
    assert request.previous == "resp_1"
    same({"model": "m", "prompt": {"id": "pmpt_1"}})


def test_R20_unknown_fields_and_nulls_come_back_and_knobs_are_read() -> None:
    request = same(
        {"model": "m", "input": "x", "temperature": None, "instructions": None, "user": "u", "metadata": {"a": "b"},
         "prompt_cache_key": "k", "safety_identifier": "s", "max_tool_calls": 3, "top_logprobs": 2, "stream": False,
         "include": ["message.output_text.logprobs"], "client_metadata": {"x": 1}, "store": False, "tools": [],
         "reasoning": {"effort": "low", "summary": None, "context": "all_turns"}, "future": [1]}
    )  # fmt: skip
    assert (request.user, request.cache_key, request.sampling.top_logprobs, request.sampling.logprobs) == (
        "u",
        "k",
        2,
        True,
    )
    assert request.stream is False
    assert same({"model": "m", "input": "x", "safety_identifier": "s"}).user == "s"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": 3}, "input"),
        ({"model": "m", "input": ["x"]}, "input[0]"),
        ({"model": "m", "input": [{"type": "message", "content": "x"}]}, "input[0].role"),
        ({"model": "m", "input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"model": "m", "input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"model": "m", "input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"model": "m", "input": [{"type": "function_call_output", "call_id": "a"}]}, "input[0].output"),
        ({"model": "m", "input": [{"beam": 1}]}, "input[0].type"),
        ({"model": "m", "input": "x", "tools": {}}, "tools"),
        ({"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": "m", "input": "x", "max_output_tokens": "9"}, "max_output_tokens"),
        ({"model": "m", "input": "x", "temperature": True}, "temperature"),
        ({"model": "m", "input": "x", "stream": "yes"}, "stream"),
        ({"model": "m", "input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ],
)
def test_R25_what_cannot_be_read_is_refused_with_its_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(Refused) as refused:
        dialect.read_request(body)
    assert refused.value.path == path


def test_T14_two_turns_share_the_bytes_of_the_first() -> None:
    first = [Message("system", [Text("s")]), Message("user", [Text("hi")])]
    later = [
        *first,
        Message("assistant", [Text("yes"), ToolCall("a", "f", "{}")]),
        Message("tool", [ToolResult("a", [])]),
    ]
    one, two = body_of(foreign(*first)), body_of(foreign(*later))
    assert two["input"][: len(one["input"])] == one["input"]
    assert list(one)[:3] == list(two)[:3] == ["model", "instructions", "input"]
