"""Answers of a Gemini provider, whole and streamed, read to events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types as sdk

from dragoman.language.dialects import gemini
from dragoman.language.events import (
    AnswerFailed,
    Event,
    Failed,
    Finished,
    PartEnded,
    UsageReported,
    check,
    fold,
    unfold,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Finish,
    Media,
    Message,
    Opaque,
    Reasoning,
    ReasoningSetting,
    Refusal,
    Request,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.streams import Asked
from tests.corpus import exchange, sse_bytes

Body = dict[str, Any]


def chunk(*parts: Body, reason: Any = None, usage: Body | None = None, **beside: Any) -> Body:
    candidate: Body = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **beside}
    if reason is not None:
        candidate["finishReason"] = reason
    body: Body = {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1"}
    if usage is not None:
        body["usageMetadata"] = usage
    return body


def sse(*payloads: Body) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\r\n\r\n" for payload in payloads)


def stream(data: bytes) -> list[Event]:
    reader = gemini.StreamReader()
    events = reader.feed(data) + reader.close()
    return list(check(events))


def streamed(*payloads: Body) -> Response:
    return fold(stream(sse(*payloads)))


def failure_of(*payloads: Body) -> Failure:
    last = stream(sse(*payloads))[-1]
    assert isinstance(last, Failed)
    return last.failure


def asked(thoughts: bool = False, array: bool = False) -> Asked:
    reasoning = ReasoningSetting("on", summary="auto") if thoughts else None
    extras = {"gemini": {"~array": True}} if array else {}
    request = Request("gemini", "mine", [Message("user", [Text("hi")])], reasoning=reasoning, extras=extras)
    return Asked(request, "mine", seed="5eed", created=1)


def write(events: list[Event], **how: bool) -> bytes:
    writer = gemini.StreamWriter(asked(**how))
    return b"".join(writer.write(event) for event in events)


def chunks(data: bytes) -> list[Body]:
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in data.split(b"\r\n\r\n") if frame]
    for frame in frames:
        if "error" not in frame:
            sdk.GenerateContentResponse.model_validate(frame)
    return frames


def answer(*parts: Any, finish: Finish | None = None, usage: Usage | None = None) -> Response:
    return Response("msg_1", "other", [Choice(list(parts), finish or Finish("end"))], usage or Usage(10, 5, 2, 7, 3))


# ---------------------------------------------------------------- reading


def test_S11_content_after_a_finish_reason_is_delivered_and_the_last_reason_stands() -> None:
    events = stream(
        sse(chunk({"text": "a"}, reason="STOP"), chunk({"text": "b"}), chunk({"text": "c"}, reason="MAX_TOKENS"))
    )
    response = fold(events)
    assert response.parts == [Text("abc")]
    assert response.finish.reason == "length"
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_S11_a_recorded_stream_with_two_finish_reasons_is_read_to_its_end() -> None:
    name = "gemini--rig--stream_terminal_matrix-two_terminal_stream_with_visible_thoughts--0"
    response = fold(stream(sse_bytes(name)))
    assert [type(part) for part in response.parts] == [Reasoning, Text, Opaque, Opaque, Text, Opaque, Opaque, Text]
    assert response.finish.reason == "end"


def test_S12_an_end_without_a_reason_is_a_failure() -> None:
    events = stream(sse(chunk({"text": "a"}, usage={"promptTokenCount": 3, "totalTokenCount": 3})))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-2], UsageReported)
    assert events[-2].usage.input == 3
    assert isinstance(events[-3], PartEnded)


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_S16_an_end_without_content_is_an_end(index: Body) -> None:
    last = {"candidates": [{**index, "finishReason": "MAX_TOKENS"}]}
    response = streamed(chunk({"text": "a"}), last)
    assert response.parts == [Text("a")]
    assert response.finish.reason == "length"


def test_S13_done_is_taken_as_an_end() -> None:
    response = fold(stream(sse(chunk({"functionCall": {"name": "f"}})) + b"data: [DONE]\n\n"))
    assert response.finish.reason == "tool_calls"


@pytest.mark.parametrize(
    ("word", "reason"),
    [("STOP", "tool_calls"), (1, "tool_calls"), ("OTHER", "tool_calls"), ("MAX_TOKENS", "length"), (2, "length")],
)
def test_S14_calls_decide_the_reason_but_length_stays(word: Any, reason: str) -> None:
    response = streamed(chunk({"functionCall": {"name": "f", "args": {}}}, reason=word))
    assert response.finish.reason == reason


def test_S16_an_answer_without_content_is_a_valid_empty_answer() -> None:
    body = exchange("gemini--pydai--test_google_model_max_tokens_thinking_model_empty_response--0")["response"]["body"]
    response = gemini.read_response(body)
    assert response.parts == []
    assert response.finish.reason == "length"
    assert response.usage.reasoning == response.usage.output
    for bare in ({"finishReason": "STOP"}, {"finishReason": "STOP", "content": {}}, {"content": {"role": "model"}}):
        assert gemini.read_response({"candidates": [bare]}).finish.reason == "end"


def test_S18_an_unknown_reason_is_kept_and_comes_back() -> None:
    body = exchange("vertex-gemini--firebase--unary-failure-unknown-enum-finish-reason--0")["response"]["body"]
    response = gemini.read_response(body)
    assert (response.finish.reason, response.finish.raw) == ("unknown", "FAKE_NEW_FINISH_REASON")
    again = gemini.write_response(response, asked())
    assert again["candidates"][0]["finishReason"] == "FAKE_NEW_FINISH_REASON"


def test_S05_blanks_beside_calls_open_nothing() -> None:
    response = streamed(
        chunk({"text": "\n"}), chunk({"functionCall": {"name": "f"}}), chunk({"text": ""}, reason="STOP")
    )
    assert [type(part) for part in response.parts] == [ToolCall]
    assert streamed(chunk({"text": "\n"}), chunk({"text": "a"}, reason="STOP")).parts == [Text("\na")]
    assert streamed(chunk({"text": "\n"}, reason="STOP")).parts == [Text("\n")]


def test_S06_one_chunk_holds_everything_in_order() -> None:
    response = streamed(
        chunk(
            {"text": "t", "thought": True}, {"text": "a"}, {"functionCall": {"name": "f"}}, {"text": "b"}, reason="STOP"
        )
    )
    assert [type(part) for part in response.parts] == [Reasoning, Text, ToolCall, Text]


def test_S09_R04_calls_without_arguments_and_ids_get_both() -> None:
    first = streamed(
        chunk({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {"a": 1}}}, reason="STOP")
    )
    calls = [part for part in first.parts if isinstance(part, ToolCall)]
    assert [(part.id, part.arguments) for part in calls] == [("call_r1_0", "{}"), ("call_r1_1", '{"a":1}')]


def test_S15_a_call_cut_by_the_limit_is_not_closed() -> None:
    response = streamed(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk(
            {
                "functionCall": {
                    "partialArgs": [{"jsonPath": "$.a.b", "stringValue": "x", "willContinue": True}],
                    "willContinue": True,
                }
            }
        ),
        chunk(reason="MAX_TOKENS"),
    )
    [part] = response.parts
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"a":{"b":"x'
    assert response.finish.reason == "length"


@pytest.mark.parametrize(
    "name",
    [
        "vertex-gemini--vercel--google-vertex-stream-tool-call-arguments-nested.1.chunks--0",
        "gemini--vercel--google-stream-tool-call-array-arguments-missing-terminal-function-call.chunks--0",
        "gemini--vercel--google-stream-tool-call-arguments.chunks--0",
        "gemini--vercel--google-stream-no-args-tool-call.chunks--0",
    ],
)
def test_V05_partial_arguments_make_one_document(name: str) -> None:
    response = fold(stream(sse_bytes(name)))
    calls = [part for part in response.parts if isinstance(part, ToolCall)]
    assert calls
    for part in calls:
        assert isinstance(json.loads(part.arguments), dict)
    assert response.finish.reason == "tool_calls"


def test_V05_paths_reach_into_lists_and_quoted_names() -> None:
    pieces: list[Body] = [
        {"jsonPath": "$.a[1].b", "stringValue": "x", "willContinue": True},
        {"jsonPath": "$.a[1].b", "stringValue": "y"},
        {"jsonPath": "$.a[0]", "numberValue": 2.0},
        {"jsonPath": "$['c d']", "boolValue": False},
        {"jsonPath": '$["e"].f', "nullValue": "NULL_VALUE"},
        {"jsonPath": "$.a[999999999]", "stringValue": "far"},
        {"jsonPath": "$.a[", "stringValue": "broken"},
        {"jsonPath": "$", "stringValue": "nowhere"},
    ]
    response = streamed(chunk({"functionCall": {"name": "f", "partialArgs": pieces}}, reason="STOP"))
    [part] = response.parts
    assert isinstance(part, ToolCall)
    assert json.loads(part.arguments) == {"a": [2, {"b": "xy"}], "c d": False, "e": {"f": None}}


def test_V05_a_call_ends_at_the_next_name_and_at_text() -> None:
    grow = {"partialArgs": [{"jsonPath": "$.a", "stringValue": "1"}], "willContinue": True}
    response = streamed(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": grow}),
        chunk({"functionCall": {"name": "g", "willContinue": True}}),
        chunk({"functionCall": grow}),
        chunk({"text": "done"}, reason="STOP"),
    )
    assert [getattr(part, "arguments", "") for part in response.parts] == ['{"a":"1"}', '{"a":"1"}', ""]


def test_V06_a_broken_call_is_an_error_the_user_sees() -> None:
    name = (
        "vertex-gemini--rubyllm--chat_tool_choice_and_calls_control_vertexai_gemini-2_5-flash_respects_choice_none--1"
    )
    with pytest.raises(AnswerFailed, match="UNEXPECTED_TOOL_CALL"):
        gemini.read_response(exchange(name)["response"]["body"])
    events = stream(sse(chunk({"text": "a"}), chunk(reason="MALFORMED_FUNCTION_CALL", finishMessage="print(f())")))
    assert isinstance(events[-1], Failed)
    assert "print(f())" in events[-1].failure.message
    assert events[-1].failure.code == "MALFORMED_FUNCTION_CALL"


def test_V06_frames_of_unknown_shape_are_skipped() -> None:
    response = streamed({"this": [{"is": "not"}]}, chunk({"text": "a"}), {"this": 1}, chunk(reason="STOP"))
    assert response.parts == [Text("a")]
    assert response.id == "r1"


def test_V07_hosted_work_is_opaque_and_images_are_media() -> None:
    code = {"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "c2ln"}
    image = {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    response = streamed(chunk(code, image, reason="STOP"))
    assert response.parts == [Opaque("gemini", code), Media("image", "base64", "AA", "image/png")]
    assert response.finish.reason == "end"


def test_V07_grounding_becomes_citations_in_characters() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.b", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 6, "endIndex": 11, "text": "wörd"}, "groundingChunkIndices": [0]},
            {"segment": {"endIndex": 3, "text": "elsewhere"}, "groundingChunkIndices": [0, 9]},
        ],
        "searchEntryPoint": {"renderedContent": "<b>"},
    }
    response = streamed(
        chunk({"text": "héll "}, groundingMetadata={}),
        chunk({"text": "wörd"}, reason="STOP", groundingMetadata=grounding),
    )
    [part] = response.parts
    assert isinstance(part, Text)
    assert part.citations == [
        Citation("https://a.b", "A", "wörd", 5, 9),
        Citation("https://a.b", "A", "elsewhere"),
    ]
    assert response.finish.extras["gemini"]["groundingMetadata"] == grounding


def test_V07_citation_lists_of_several_chunks_join() -> None:
    response = fold(stream(sse_bytes("vertex-gemini--firebase--streaming-success-citations--0")))
    assert len(response.finish.extras["gemini"]["citationMetadata"]["citations"]) == 6
    [part] = response.parts
    assert isinstance(part, Text)
    assert len(part.citations) == 6


def test_T04_a_signature_ends_the_text_it_came_with() -> None:
    response = streamed(
        chunk({"text": "a"}), chunk({"text": "b", "thoughtSignature": "c2ln"}), chunk({"text": "c"}, reason="STOP")
    )
    assert response.parts == [Text("ab", extras={"gemini": {"thoughtSignature": "c2ln"}}), Text("c")]
    trailing = streamed(chunk({"text": "ab"}), chunk({"text": "", "thoughtSignature": "c2ln"}, reason="STOP"))
    assert trailing.parts == [Text("ab", extras={"gemini": {"thoughtSignature": "c2ln"}})]


def test_T04_a_signature_without_text_is_hidden_and_kept() -> None:
    code = {"executableCode": {"code": "1"}}
    response = streamed(chunk(code), chunk({"text": "", "thoughtSignature": "c2ln"}, reason="STOP"))
    assert response.parts[1] == Reasoning("", {"gemini": {"~text": True, "thoughtSignature": "c2ln"}})


def test_T04_only_the_first_parallel_call_is_signed() -> None:
    response = streamed(
        chunk(
            {"functionCall": {"name": "f"}, "thoughtSignature": "c2ln"}, {"functionCall": {"name": "g"}}, reason="STOP"
        )
    )
    signed = ["thoughtSignature" in part.extras["gemini"] for part in response.parts]
    assert signed == [True, False]


def test_U01_U03_the_three_inputs_add_up_and_output_holds_the_thoughts() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 7,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 11,
        "totalTokenCount": 123,
        "trafficType": "ON_DEMAND",
    }
    response = streamed(
        chunk({"text": "a"}, usage={"promptTokenCount": 100, "totalTokenCount": 100}), chunk(reason="STOP", usage=usage)
    )
    found = response.usage
    assert (found.input, found.cache_read, found.cache_write, found.output, found.reasoning) == (47, 60, None, 16, 11)
    assert gemini.write_response(response, asked())["usageMetadata"] == usage


def test_U03_a_missing_count_is_not_zero() -> None:
    events = stream(
        sse(chunk({"text": "a"}, usage={"promptTokenCount": 3, "totalTokenCount": 3}), chunk(reason="STOP"))
    )
    assert [event.usage.output for event in events if isinstance(event, UsageReported)] == [None, None]


@pytest.mark.parametrize(
    "word", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY", 3]
)
def test_E15_a_filtered_answer_is_a_refusal_with_its_reason(word: Any) -> None:
    response = streamed(chunk({"text": "a"}), chunk(reason=word, usage={"promptTokenCount": 3}))
    assert response.finish.reason == "refusal"
    assert response.finish.raw == ("SAFETY" if word == 3 else word)
    assert response.usage.input == 3


def test_E15_a_blocked_prompt_is_a_refusal_whose_words_are_shown() -> None:
    name = "vertex-gemini--pydai--test_google_model_armor_prompt_template_text_gets_blocked--1"
    response = gemini.read_response(exchange(name)["response"]["body"])
    assert (response.finish.reason, response.finish.raw) == ("refusal", "MODEL_ARMOR")
    [part] = response.parts
    assert isinstance(part, Refusal)
    assert part.text.startswith("The prompt violated")


@pytest.mark.parametrize("after", [[], [chunk({"text": "a"}, reason="STOP")]])
def test_E03_an_error_in_the_stream_fails_it_even_after_a_reason(after: list[Body]) -> None:
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    failure = failure_of(*after, error)
    assert (failure.kind, failure.status, failure.message) == ("overloaded", 503, "overloaded")


def test_E03_an_error_spread_over_bare_lines_is_read() -> None:
    name = "vertex-gemini--firebase--streaming-failure-error-mid-stream--0"
    last = stream(sse_bytes(name))[-1]
    assert isinstance(last, Failed)
    assert last.failure.message == "The operation was cancelled."


def test_B07_an_array_and_a_body_are_read_for_a_stream() -> None:
    payloads = [chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")]
    assert fold(stream(json.dumps(payloads, indent=1).encode())).parts == [Text("ab")]
    assert fold(stream(json.dumps(payloads[1]).encode())).parts == [Text("b")]
    last = stream(b'[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]')[-1]
    assert isinstance(last, Failed)
    assert last.failure.kind == "rate_limit"


def test_B03_halves_of_a_character_in_two_chunks_are_joined() -> None:
    raw = sse(chunk({"text": "X"}), chunk({"text": "Y"}, reason="STOP"))
    response = fold(stream(raw.replace(b'"X"', b'"\\ud83d"').replace(b'"Y"', b'"\\ude00!"')))
    assert response.parts == [Text("😀!")]


def test_R21_candidates_are_kept_apart() -> None:
    def two(one: str, other: str, **beside: Any) -> Body:
        texts = [
            {"content": {"parts": [{"text": text}]}, "index": at, **beside} for at, text in enumerate((one, other))
        ]
        return {"candidates": texts}

    response = streamed(two("a", "x"), two("b", "y", finishReason="STOP"))
    assert [choice.parts for choice in response.choices] == [[Text("ab")], [Text("xy")]]
    frames = chunks(write(list(unfold(response))))
    assert [frame["candidates"][0]["index"] for frame in frames[:-1]] == [0, 1]
    assert [candidate["finishReason"] for candidate in frames[-1]["candidates"]] == ["STOP", "STOP"]


def test_R25_snake_case_answers_are_read() -> None:
    response = streamed(
        {
            "candidates": [
                {
                    "content": {
                        "parts": [{"function_call": {"name": "f", "args": {"a_b": 1}}, "thought_signature": "c2ln"}]
                    },
                    "finish_reason": "STOP",
                }
            ],
            "usage_metadata": {"prompt_token_count": 3, "total_token_count": 3},
            "model_version": "m",
            "response_id": "r",
        }
    )
    assert (response.id, response.model, response.usage.input) == ("r", "m", 3)
    [part] = response.parts
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"a_b":1}'
    assert part.extras["gemini"]["thoughtSignature"] == "c2ln"
