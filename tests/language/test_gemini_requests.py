"""Requests in the Gemini dialect: both spellings in, one spelling out, pairing, signatures, knobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.language.dialects import gemini
from dragoman.language.dialects.gemini.spelling import camel
from dragoman.language.envelope import seal
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Media,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    ReasoningSetting,
    Request,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Loss, Receipt
from dragoman.language.profiles import Profile
from tests.corpus import FOLDER, exchange

Body = dict[str, Any]
PROFILE = Profile(dialect="gemini")


def read(body: Body) -> Request:
    return gemini.read_request(json.loads(json.dumps(body)), model="gemini-3-flash", stream=False)


def write(request: Request, receipt: Receipt | None = None, **facts: Any) -> Body:
    return gemini.write_request(request, Profile(dialect="gemini", **facts), receipt or Receipt())


def user(*parts: Body) -> Body:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Body) -> Body:
    return {"role": "model", "parts": list(parts)}


def foreign(*messages: Message, **fields: Any) -> Request:
    return Request("anthropic", "gemini-3-flash", list(messages), **fields)


def call(name: str, id_: str = "", args: Body | None = None, **beside: Any) -> Body:
    return {"functionCall": {**({"id": id_} if id_ else {}), "name": name, "args": args or {}}, **beside}


def response(name: str, value: Any, id_: str = "") -> Body:
    return {"functionResponse": {**({"id": id_} if id_ else {}), "name": name, "response": value}}


# ---------------------------------------------------------------- spelling


def test_R25_snake_case_integers_and_single_values_are_read() -> None:
    body = {
        "contents": {"parts": {"text": "hi"}},
        "system_instruction": {"parts": [{"text": "be brief"}]},
        "tools": [
            {"function_declarations": [{"name": "f", "parameters": {"type": 6, "properties": {"a": {"type": 1}}}}]}
        ],
        "tool_config": {"function_calling_config": {"mode": 2, "allowed_function_names": ["f"]}},
        "generation_config": {"max_output_tokens": "100", "top_k": 40.0, "stop_sequences": ["x"]},
    }
    request = read(body)
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[1].parts == [Text("hi")]
    [tool] = request.tools
    assert isinstance(tool, Tool)
    assert tool.parameters == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names) == ("named", ["f"])
    assert request.sampling == Sampling(max_tokens=100, top_k=40, stop=["x"])


def test_R25_what_clients_and_tools_own_is_never_spelt_anew() -> None:
    args = {"max_output_tokens": 1, "file_data": {"mime_type": "x"}}
    body = {
        "contents": [model({"function_call": {"name": "f", "args": args}}), user(response("f", {"top_k": 1}))],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"properties": {"top_k": {}}}}]}],
        "labels": {"top_k": "a"},
    }
    again = write(read(body))
    assert again["contents"][0]["parts"][0]["functionCall"]["args"] == args
    assert again["contents"][1]["parts"][0]["functionResponse"]["response"] == {"top_k": 1}
    assert again["tools"] == body["tools"]
    assert again["labels"] == {"top_k": "a"}


def test_R25_snake_case_of_a_recorded_sdk_is_written_in_camel_case() -> None:
    name = "vertex-gemini--pydai--test_multimodal_tool_return_matrix-direct-binary-video-google_vertex--2"
    body = exchange(name)["request"]["body"]
    assert "function_call" in json.dumps(body)
    assert "function_call" not in json.dumps(write(read(body)))


def test_the_model_in_the_body_follows_the_route() -> None:
    body = {"model": "models/a", "contents": [user({"text": "hi"})]}
    assert gemini.read_request(dict(body)).model == "a"
    request = read(body)
    assert request.model == "gemini-3-flash"
    assert write(request)["model"] == "models/gemini-3-flash"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "contents"),
        ({"contents": 3}, "contents"),
        ({"contents": [3]}, "contents[0]"),
        ({"contents": [{"role": "wizard", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": "user", "parts": [3]}]}, "contents[0].parts[0]"),
        ({"contents": [], "tools": [3]}, "tools[0]"),
        ({"contents": [], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"contents": [], "generationConfig": {"topK": "many"}}, "generationConfig.topK"),
        ({"contents": [], "generationConfig": []}, "generationConfig"),
        ({"contents": [], "systemInstruction": 3}, "systemInstruction"),
    ],
)
def test_malformed_requests_are_refused_by_path(body: Body, path: str) -> None:
    with pytest.raises(Refused) as refused:
        gemini.read_request(body)
    assert refused.value.path == path


def test_X09_deep_nesting_is_refused() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    with pytest.raises(Refused):
        read({"contents": [], "labels": deep})


# ---------------------------------------------------------------- calls and responses


def test_R05_calls_without_ids_get_them_from_turn_and_position() -> None:
    body = {
        "contents": [
            user({"text": "go"}),
            model({"text": "both"}, call("f", args={"a": 1}), call("g"), call("f", args={"a": 2})),
            user(response("f", {"output": "1"}), response("f", {"output": "2"}), response("g", {"output": "3"})),
        ]
    }
    request = read(body)
    calls = [part for part in request.messages[1].parts if isinstance(part, ToolCall)]
    assert [part.id for part in calls] == ["call_1_1", "call_1_2", "call_1_3"]
    results = [part for part in request.messages[2].parts if isinstance(part, ToolResult)]
    assert [(part.call_id, part.content) for part in results] == [
        ("call_1_1", [Text("1")]),
        ("call_1_3", [Text("2")]),
        ("call_1_2", [Text("3")]),
    ]
    assert read(body) == request
    assert write(request) == body


def test_R05_ids_pair_first_and_come_back() -> None:
    body = {
        "contents": [
            model(call("f", "b"), call("f", "a")),
            user(response("f", {"output": "1"}, "a"), response("f", {"output": "2"}, "b")),
        ]
    }
    request = read(body)
    assert [part.call_id for part in request.messages[1].parts if isinstance(part, ToolResult)] == ["a", "b"]
    assert write(request) == body


def test_R05_an_id_the_client_invented_pairs_by_name_with_a_call_that_had_none() -> None:
    body = {"contents": [model(call("f")), user(response("f", {"output": "1"}, "mine"))]}
    request = read(body)
    [result] = request.messages[1].parts
    assert isinstance(result, ToolResult)
    assert result.call_id == "call_0_0"
    assert write(request) == body


def test_R05_an_unanswered_call_of_an_older_turn_is_not_paired() -> None:
    body = {
        "contents": [
            model(call("f")),
            user({"text": "never mind"}),
            model(call("f")),
            user(response("f", {"output": "1"})),
        ]
    }
    [result] = read(body).messages[3].parts
    assert isinstance(result, ToolResult)
    assert result.call_id == "call_2_0"


@pytest.mark.parametrize(
    ("value", "text", "is_error"),
    [
        ({"output": "ok"}, "ok", False),
        ({"result": "ok"}, "ok", False),
        ({"error": "bad"}, "bad", True),
        ({"error": {"code": 3}}, '{"code":3}', True),
        ({"error": "bad", "output": "half"}, '{"error":"bad","output":"half"}', False),
        ({"error": ""}, '{"error":""}', False),
        ({"result": 5}, '{"result":5}', False),
        ({}, "{}", False),
        (None, "", False),
    ],
)
def test_R26_responses_become_text_and_a_flag_and_come_back(value: Any, text: str, is_error: bool) -> None:
    body = {"contents": [model(call("f", "1")), user(response("f", value, "1"))]}
    if value is None:
        del body["contents"][1]["parts"][0]["functionResponse"]["response"]
    request = read(body)
    [result] = request.messages[1].parts
    assert isinstance(result, ToolResult)
    assert "".join(part.text for part in result.content if isinstance(part, Text)) == text
    assert result.is_error is is_error
    assert write(request) == body


def test_R26_foreign_results_say_output_or_error() -> None:
    request = foreign(
        Message("assistant", [ToolCall("a", "f", "{}"), ToolCall("b", "g", "")]),
        Message(
            "tool",
            [
                ToolResult("a", [Text("one"), Text("two")], name="f"),
                ToolResult("b", [Text("no")], is_error=True, name="g"),
            ],
        ),
    )
    assert write(request)["contents"] == [
        model(call("f", "a"), call("g", "b")),
        user(response("f", {"output": "one\ntwo"}, "a"), response("g", {"error": "no"}, "b")),
    ]


def test_R05_a_foreign_result_is_named_after_its_call() -> None:
    request = foreign(
        Message("assistant", [ToolCall("a", "f", "{}"), ToolCall("b", "g_short", "{}")]),
        Message("tool", [ToolResult("b", [Text("2")], name="g_before_it_was_shortened"), ToolResult("a", [Text("1")])]),
    )
    responses = [part["functionResponse"] for part in write(request)["contents"][1]["parts"]]
    assert [(item["id"], item["name"]) for item in responses] == [("b", "g_short"), ("a", "f")]


def test_R17_media_of_a_result_stands_in_its_parts() -> None:
    request = foreign(
        Message("assistant", [ToolCall("a", "shot", "{}")]),
        Message("tool", [ToolResult("a", [Text("see"), Media("image", "base64", "AAAA", "image/png")], name="shot")]),
    )
    written = write(request, result_media=True)["contents"][1]["parts"][0]["functionResponse"]
    assert written["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    assert written["response"] == {"output": "see"}
    again = read({"contents": [model(call("shot", "a")), user({"functionResponse": written})]})
    [result] = again.messages[1].parts
    assert isinstance(result, ToolResult)
    assert result.content == [Text("see"), Media("image", "base64", "AAAA", "image/png")]


@pytest.mark.parametrize(
    ("arguments", "args"),
    [("", {}), ("{}", {}), ('{"a":1}', {"a": 1}), ('{"a":', {"raw": '{"a":'}), ("[1]", {"value": [1]})],
)
def test_S09_arguments_are_always_an_object(arguments: str, args: Body) -> None:
    written = write(foreign(Message("assistant", [ToolCall("a", "f", arguments)])))
    assert written["contents"][0]["parts"][0]["functionCall"]["args"] == args


# ---------------------------------------------------------------- turns


def test_R01_neighbours_are_merged_and_results_stand_first() -> None:
    request = foreign(
        Message("user", [Text("a")]),
        Message("user", [Text("b")]),
        Message("assistant", [Text("c")]),
        Message("assistant", [ToolCall("1", "f", "{}")]),
        Message("tool", [ToolResult("1", [Text("r")], name="f")]),
        Message("user", [Text("d")]),
    )
    assert write(request)["contents"] == [
        user({"text": "a"}, {"text": "b"}),
        model({"text": "c"}, call("f", "1")),
        user(response("f", {"output": "r"}, "1"), {"text": "d"}),
    ]


def test_R01_a_turn_of_text_and_responses_comes_back_in_its_order() -> None:
    body = {
        "contents": [
            model(call("f", "1"), call("f", "2")),
            user(
                {"text": "x"}, response("f", {"output": "1"}, "1"), {"text": "y"}, response("f", {"output": "2"}, "2")
            ),
            user({"text": "z"}),
        ]
    }
    request = read(body)
    assert [message.role for message in request.messages] == ["assistant", "tool", "user", "user"]
    assert write(request) == body


def test_R07_blocks_of_the_system_prompt_stay_apart() -> None:
    request = foreign(Message("system", [Text("a"), Text("b")]), Message("user", [Text("hi")]))
    assert write(request)["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}


def test_a_request_of_instructions_alone_gets_a_user_turn() -> None:
    receipt = Receipt()
    written = write(foreign(Message("system", [Text("write a poem")])), receipt)
    assert written["contents"] == [user({"text": "write a poem"})]
    assert [loss.what for loss in receipt.losses] == ["moved"]


def test_T14_the_second_turn_begins_with_the_bytes_of_the_first() -> None:
    first = foreign(
        Message("user", [Text("a")]),
        Message("assistant", [Text("b"), ToolCall("1", "f", '{"x":1}')]),
        Message("tool", [ToolResult("1", [Text("r")], name="f")]),
    )
    second = foreign(*first.messages, Message("assistant", [Text("c")]), Message("user", [Text("d")]))
    head = json.dumps(write(first)["contents"])[:-1]
    assert json.dumps(write(second)["contents"]).startswith(head)


def test_foreign_opaque_blocks_and_bare_thoughts_are_skipped() -> None:
    request = foreign(
        Message("assistant", [Opaque("anthropic", {"type": "server_tool_use"}), Reasoning(""), Text("a"), Text("")]),
        tools=[Opaque("anthropic", {"type": "web_search"})],
    )
    written = write(request)
    assert written["contents"] == [model({"text": "a"})]
    assert "tools" not in written


# ---------------------------------------------------------------- signatures


def test_T04_signatures_stay_on_their_parts() -> None:
    body = {
        "contents": [
            model({"text": "a"}, {"text": "", "thoughtSignature": "c2ln"}),
            model({"text": "b", "thoughtSignature": "c2ln"}),
            model(call("f", args={"a": 1}, thoughtSignature="c2ln"), call("f")),
            model({"executableCode": {"code": "1"}, "thoughtSignature": "c2ln"}, {"thoughtSignature": "c2ln"}),
            model({"text": "t", "thought": True, "thoughtSignature": "c2ln"}, {"thought": True}),
            user({"inlineData": {"mimeType": "image/png", "data": "AA"}, "mediaResolution": {"level": "HIGH"}}),
            user({"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"startOffset": "1s"}}),
        ]
    }
    request = read(body)
    hidden = request.messages[0].parts[1]
    assert isinstance(hidden, Reasoning)
    assert hidden.text == ""
    assert write(request) == body


def test_T04_a_hidden_signature_survives_a_foreign_client() -> None:
    hidden = Reasoning("", {"gemini": {"thoughtSignature": "c2ln", "~text": True}})
    written = write(foreign(Message("assistant", [Text("a"), hidden])))
    assert written["contents"] == [model({"text": "a"}, {"text": "", "thoughtSignature": "c2ln"})]


def test_T05_only_a_profile_that_asks_for_it_gets_the_placeholder() -> None:
    request = foreign(
        Message("assistant", [Text("x"), ToolCall("1", "f", "{}"), ToolCall("2", "f", "{}")]),
        Message("tool", [ToolResult("1", [], name="f"), ToolResult("2", [], name="f")]),
        Message("assistant", [ToolCall("3", "f", "{}", extras={"gemini": {"thoughtSignature": "c2ln"}})]),
    )
    assert "skip_thought" not in json.dumps(write(request))
    receipt = Receipt()
    contents = write(request, receipt, needs_call_signature=True)["contents"]
    assert contents[0]["parts"][1]["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in contents[0]["parts"][2]
    assert contents[2]["parts"][0]["thoughtSignature"] == "c2ln"
    [loss] = receipt.losses
    assert (loss.path, loss.what) == ("contents[0].parts[1].thoughtSignature", "approximated")


def test_T02_an_envelope_gives_the_thought_back_to_its_owner() -> None:
    plain = seal({"anthropic": {"signature": "abc"}})
    request = read({"contents": [model({"text": "hm", "thought": True, "thoughtSignature": plain}, {"text": "a"})]})
    assert request.messages[0].parts == [Reasoning("hm", {"anthropic": {"signature": "abc"}}), Text("a")]


# ---------------------------------------------------------------- media


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"inlineData": {"mimeType": "audio/wav", "data": "AA"}}, Media("audio", "base64", "AA", "audio/wav")),
        (
            {"fileData": {"fileUri": "gs://b/x.pdf", "mimeType": "application/pdf"}},
            Media("document", "file", "gs://b/x.pdf", "application/pdf"),
        ),
        (
            {"fileData": {"fileUri": "https://a.b/x.png", "mimeType": "image/png"}},
            Media("image", "url", "https://a.b/x.png", "image/png"),
        ),
        (
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
            Media("document", "file", "https://generativelanguage.googleapis.com/v1beta/files/x"),
        ),
        (
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
            Media("video", "url", "https://www.youtube.com/watch?v=x"),
        ),
    ],
)
def test_R18_media_is_read_by_its_kind(part: Body, media: Media) -> None:
    request = read({"contents": [user(part)]})
    assert request.messages[0].parts == [media]
    assert write(request)["contents"] == [user(part)]


def test_R16_an_address_without_a_type_gets_one() -> None:
    request = foreign(
        Message("user", [Media("image", "url", "https://a.b/c.webp?x=1"), Media("document", "text", "words")])
    )
    assert write(request)["contents"][0]["parts"] == [
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://a.b/c.webp?x=1"}},
        {"text": "words"},
    ]


# ---------------------------------------------------------------- tools


def test_R09_schemas_go_out_whole_or_reduced() -> None:
    schema = {"$schema": "x", "type": "object", "properties": {"a": {"const": "b"}}, "additionalProperties": False}
    request = foreign(
        Message("user", [Text("hi")]),
        tools=[Tool("f", "does", schema), Tool("g", parameters={"type": "object", "properties": {}})],
    )
    [entry] = write(request)["tools"]
    assert entry["functionDeclarations"][0] == {"name": "f", "description": "does", "parametersJsonSchema": schema}
    receipt = Receipt()
    [entry] = write(request, receipt, json_schema_tools=False)["tools"]
    assert entry["functionDeclarations"] == [
        {
            "name": "f",
            "description": "does",
            "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "enum": ["b"]}}},
        },
        {"name": "g"},
    ]
    why = "the target's schema language does not know it"
    assert receipt.losses == [
        Loss("tools[0].parameters.$schema", "dropped", why),
        Loss("tools[0].parameters.additionalProperties", "dropped", why),
    ]


def test_hosted_tools_are_opaque_and_keep_their_entries() -> None:
    declaration = {
        "name": "f",
        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
    }
    body = {
        "contents": [user({"text": "hi"})],
        "tools": [
            {"googleSearch": {}, "functionDeclarations": [declaration]},
            {"codeExecution": {}},
            {"functionDeclarations": [{"name": "g"}]},
        ],
    }
    request = read(body)
    assert [type(tool) for tool in request.tools] == [Opaque, Tool, Opaque, Tool]
    tool = request.tools[1]
    assert isinstance(tool, Tool)
    assert tool.parameters == {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    assert write(request) == body


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ("auto", [], False)),
        ({"mode": "ANY"}, ("any", [], False)),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ("named", ["f"], True)),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ("subset", ["f", "g"], True)),
        ({"mode": "NONE"}, ("none", [], False)),
        ({"mode": "none"}, ("none", [], False)),
        ({"mode": "VALIDATED"}, ("auto", [], False)),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ("subset", ["f"], False)),
    ],
)
def test_R12_the_choice_of_tools(config: Body, choice: tuple[str, list[str], bool]) -> None:
    body = {
        "contents": [user({"text": "hi"})],
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"functionCallingConfig": config, "retrievalConfig": {"languageCode": "de"}},
    }
    request = read(body)
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.names, request.tool_choice.required) == choice
    assert write(request) == body


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("any"), {"mode": "ANY"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("named", ["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("subset", ["f"], required=True), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("subset", ["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_R12_foreign_choices(choice: ToolChoice, config: Body) -> None:
    request = foreign(Message("user", [Text("hi")]), tools=[Tool("f")], tool_choice=choice)
    assert write(request)["toolConfig"] == {"functionCallingConfig": config}
    request.tools = []
    assert "toolConfig" not in write(request)


# ---------------------------------------------------------------- knobs


@pytest.mark.parametrize(
    ("config", "mode", "effort", "budget", "summary"),
    [
        ({"thinkingBudget": 0}, "off", None, None, None),
        ({"thinkingBudget": -1, "includeThoughts": False}, "adaptive", None, None, None),
        ({"thinkingBudget": 8192, "includeThoughts": True}, "on", None, 8192, "auto"),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, "on", "high", None, "auto"),
        ({"thinkingLevel": "low"}, "on", "low", None, None),
        ({"includeThoughts": True}, "adaptive", None, None, "auto"),
        ({}, None, None, None, None),
    ],
)
def test_R15_thinking_is_read_and_comes_back(
    config: Body, mode: str | None, effort: str | None, budget: int | None, summary: str | None
) -> None:
    body = {"contents": [user({"text": "hi"})], "generationConfig": {"thinkingConfig": config}}
    request = read(body)
    setting = request.reasoning
    assert setting is not None
    assert (setting.mode, setting.effort, setting.budget, setting.summary) == (mode, effort, budget, summary)
    assert write(request) == body


@pytest.mark.parametrize(
    ("setting", "facts", "config"),
    [
        (
            ReasoningSetting("on", budget=2048),
            {"reasoning": "budget"},
            {"thinkingBudget": 2048, "includeThoughts": True},
        ),
        (ReasoningSetting("adaptive"), {"reasoning": "budget"}, {"thinkingBudget": -1, "includeThoughts": True}),
        (ReasoningSetting("off"), {"reasoning": "budget", "budget_range": (512, 9000)}, {"thinkingBudget": 0}),
        (
            ReasoningSetting("off"),
            {"reasoning": "budget", "budget_range": (128, 9000), "always_thinks": True},
            {"thinkingBudget": 128},
        ),
        (ReasoningSetting(summary="auto"), {"reasoning": "budget"}, {"includeThoughts": True}),
        (
            ReasoningSetting("on", effort="high"),
            {"reasoning": "effort"},
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (
            ReasoningSetting("on", effort="medium"),
            {"reasoning": "effort", "efforts": ("low", "high")},
            {"thinkingLevel": "LOW", "includeThoughts": True},
        ),
        (
            ReasoningSetting("on", effort="max"),
            {"reasoning": "effort", "efforts": ("low", "high")},
            {"thinkingLevel": "HIGH", "includeThoughts": True},
        ),
        (
            ReasoningSetting("off"),
            {"reasoning": "effort", "efforts": ("minimal", "high")},
            {"thinkingLevel": "MINIMAL"},
        ),
        (ReasoningSetting("on", budget=2048), {"reasoning": "none"}, None),
    ],
)
def test_R15_foreign_thinking_follows_the_profile(setting: ReasoningSetting, facts: Body, config: Body | None) -> None:
    written = write(foreign(Message("user", [Text("hi")]), reasoning=setting), **facts)
    assert (written.get("generationConfig") or {}).get("thinkingConfig") == config


def test_R22_a_schema_in_upper_case_is_read_as_json_schema() -> None:
    schema = {"type": "OBJECT", "properties": {"type": {"type": "STRING"}}}
    body = {
        "contents": [user({"text": "hi"})],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema, "speechConfig": {}},
    }
    request = read(body)
    assert request.output is not None
    assert request.output.schema == {"type": "object", "properties": {"type": {"type": "string"}}}
    assert write(request) == body


def test_R22_an_answer_that_is_one_word_of_a_list() -> None:
    schema = {"type": "STRING", "enum": ["cat", "dog"]}
    config = {"responseMimeType": "text/x.enum", "responseSchema": schema}
    request = read({"contents": [user({"text": "hi"})], "generationConfig": config})
    assert request.output is not None
    assert (request.output.choices, request.output.schema) == (["cat", "dog"], None)
    assert write(request)["generationConfig"] == config
    odd = {"contents": [user({"text": "hi"})], "generationConfig": {"responseMimeType": "text/x.enum"}}
    assert write(read(odd)) == odd


def test_R22_foreign_output_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    request = foreign(Message("user", [Text("hi")]), output=OutputFormat(schema))
    assert write(request)["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    reduced = write(request, json_schema_tools=False)["generationConfig"]["responseSchema"]
    assert reduced == {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    request.output = OutputFormat()
    assert write(request)["generationConfig"] == {"responseMimeType": "application/json"}


def test_R13_R21_every_knob_comes_back() -> None:
    body = {
        "contents": [user({"text": "hi"})],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40,
            "candidateCount": 2,
            "maxOutputTokens": 10,
            "stopSequences": ["a"],
            "seed": 7,
            "frequencyPenalty": 0.1,
            "presencePenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 3,
            "responseModalities": ["TEXT"],
            "mediaResolution": None,
        },
        "safetySettings": [{"category": 7, "threshold": 3}],
        "cachedContent": "cachedContents/x",
        "toolConfig": None,
    }
    request = read(body)
    assert request.sampling == Sampling(10, 0.5, 0.9, 40, ["a"], 7, 2, 0.1, 0.2, True, 3)
    assert request.extras["gemini"]["generationConfig"] == {"responseModalities": ["TEXT"]}
    assert write(request) == body


def test_R20_nothing_of_ours_reaches_another_dialects_provider_shape() -> None:
    request = read({"contents": [user({"text": "hi"})], "safetySettings": [{"category": 7, "threshold": 3}]})
    request.dialect = "anthropic"
    assert set(write(request)) == {"contents"}


def test_B03_half_characters_are_replaced() -> None:
    request = foreign(Message("user", [Text("a\ud83d")]))
    assert write(request)["contents"][0]["parts"] == [{"text": "a\ufffd"}]


@pytest.mark.parametrize(
    "name",
    [
        "gemini_cli_01",
        "gemini_cli_02",
        "gemini_cli_03",
        "gemini_cli_04",
        "gemini_cli_05",
        "gemini_cli_07",
        "sdk_genai_01",
        "sdk_genai_02",
    ],
)
def test_requests_of_real_clients_come_back(name: str) -> None:
    folder = FOLDER.parents[1] / "clients" / "examples"
    if not folder.is_dir():
        pytest.skip("the recorded requests of clients are not here")
    [path] = Path(folder).glob(f"{name}*.json")
    body = json.loads(path.read_text("utf-8"))["body"]
    request = read(body)
    assert request.messages
    assert write(request) == camel(body)
