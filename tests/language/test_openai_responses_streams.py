"""Rules of Responses answers, streamed and whole, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.dialects import openai_responses as dialect
from dragoman.language.envelope import unseal
from dragoman.language.events import (
    AnswerFailed,
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
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
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.streams import Asked
from tests import corpus

NAME = "openai_responses"
CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}}


def asked(**fields: Any) -> Asked:
    body = {"model": "asked", "input": "hi", "store": False, "include": ["reasoning.encrypted_content"], **fields}
    return Asked(dialect.read_request(body), "asked", "ab" * 12, 1700000000, input_estimate=9)


def read(*payloads: dict[str, Any], done: bool = False) -> list[Event]:
    reader = dialect.StreamReader()
    raw = b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)
    return list(check(reader.feed(raw + (b"data: [DONE]\n\n" if done else b"")) + reader.close()))


def completed(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "m", "status": "completed", "output": list(output), **fields}
    return {"type": f"response.{response['status']}", "response": response}


def events_for(*parts: Part, finish: Finish | None = None) -> list[Event]:
    return list(unfold(Response("msg_x", "claude", [Choice(list(parts), finish or Finish("end"))], Usage(3, output=2))))


def frames(events: list[Event], call: Asked | None = None) -> list[dict[str, Any]]:
    writer = dialect.StreamWriter(call or asked())
    raw = b"".join(writer.write(event) for event in events)
    return [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]


def types(payloads: list[dict[str, Any]]) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in payloads]


# ---------------------------------------------------------------- reading


def test_V11_parts_are_known_by_place_when_ids_change() -> None:
    events = read(
        CREATED,
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "a"}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 1, "item_id": "b", "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 1, "item_id": "c", "delta": "lo"},
        {"type": "response.output_item.done", "output_index": 0, "item": {
            "type": "message", "id": "d", "content": [{"type": "output_text", "text": "Hello"}]}},
        completed(),
    )  # fmt: skip
    assert [part.text for part in fold(events).parts if isinstance(part, Text)] == ["Hello"]


def test_V11_arguments_that_come_only_when_done_are_filled_in_once() -> None:
    call = {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": ""}
    events = read(
        CREATED,
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"x":1}'},
        {"type": "response.output_item.done", "output_index": 0, "item": {**call, "arguments": '{"x":1}'}},
        completed({**call, "arguments": '{"x":1}'}),
    )
    assert [event.text for event in events if isinstance(event, PartDelta)] == ['{"x":1}']
    assert fold(events).finish.reason == "tool_calls"  # S14


def test_V11_a_delta_that_was_lost_is_filled_in_from_the_end() -> None:
    events = read(
        CREATED,
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"},
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"},
        completed(),
    )
    assert [event.text for event in events if isinstance(event, PartDelta)] == ["Hel", "lo"]


def test_V11_events_without_an_index_find_their_item_and_unknown_ones_are_skipped() -> None:
    events = read(
        CREATED,
        {"type": "response.output_item.added", "item": {
            "type": "function_call", "id": "fc", "call_id": "a", "name": "f"}},
        {"type": "response.hologram.delta", "delta": "?"},
        {"type": "response.function_call_arguments.delta", "item_id": "fc", "delta": "{}"},
        {"type": "response.output_item.done", "item": {
            "type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{}"}},
        completed(),
    )  # fmt: skip
    calls = [part for part in fold(events).parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [("a", "f", "{}")]


def test_V11_several_message_items_stay_apart_and_several_contents_too() -> None:
    one = {"type": "message", "id": "a", "role": "assistant", "status": "completed", "phase": "commentary", "content": [
        {"type": "output_text", "text": "x", "annotations": []}, {"type": "refusal", "refusal": "y"}]}  # fmt: skip
    two = {**one, "id": "b", "content": [{"type": "output_text", "text": "z", "annotations": []}]}
    events = read(
        CREATED,
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"},
        {"type": "response.refusal.delta", "output_index": 0, "content_index": 1, "delta": "y"},
        {"type": "response.output_item.done", "output_index": 0, "item": one},
        {"type": "response.output_item.done", "output_index": 1, "item": two},
        completed(one, two),
    )
    answer = fold(events)
    assert [(type(part), part.text) for part in answer.parts if isinstance(part, Text | Refusal)] == [
        (Text, "x"),
        (Refusal, "y"),
        (Text, "z"),
    ]
    assert answer.finish.reason == "refusal"
    items = [event["item"] for event in frames(events) if event["type"] == "response.output_item.done"]
    assert [len(item["content"]) for item in items] == [2, 1]
    assert items[1] == two


def test_V12_an_empty_terminal_output_takes_nothing_back() -> None:
    name = "compat.chatgpt-codex--rig--codex_behaviors-strict_tools_opt_in_roundtrip--0"
    raw = corpus.sse_bytes(name)
    reader = dialect.StreamReader()
    answer = fold(check(reader.feed(raw) + reader.close()))
    assert any(isinstance(part, ToolCall) and part.arguments for part in answer.parts)
    body = dialect.write_response(answer, asked())
    assert len(body["output"]) == len(answer.parts)


def test_V12_items_that_only_the_terminal_output_holds_are_read() -> None:
    message = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
    assert fold(read(CREATED, completed(message))).parts == dialect.read_response(completed(message)["response"]).parts


def test_T07_the_encrypted_content_of_done_replaces_that_of_added() -> None:
    item = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "early"}
    events = read(
        CREATED,
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "encrypted_content": "true"}},
        completed(),
    )
    assert [part.extras[NAME]["encrypted_content"] for part in fold(events).parts] == ["true"]


def test_T06_a_silent_thought_keeps_its_place_before_what_follows() -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": []}
    events = read(
        CREATED,
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "hi"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**thought, "encrypted_content": "x"}},
        completed(),
    )
    assert [type(part) for part in fold(events).parts] == [Reasoning, Text]


def summary(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.reasoning_summary_{kind}", "output_index": 0, "summary_index": index, **fields}


def test_T06_summaries_are_one_thought_and_fall_apart_again_in_a_written_stream() -> None:
    item = {"type": "reasoning", "id": "rs", "encrypted_content": "x", "summary": [
        {"type": "summary_text", "text": "a\n\nb"}, {"type": "summary_text", "text": "c"}]}  # fmt: skip
    events = read(
        CREATED,
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "summary": []}},
        summary("text.delta", 0, delta="a"),
        summary("text.delta", 0, delta="\n\n"),
        summary("text.delta", 0, delta="b"),
        summary("text.delta", 1, delta="c"),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        completed(item),
    )
    part = fold(events).parts[0]
    assert isinstance(part, Reasoning)
    assert part.text == "a\n\nb\n\nc"
    out = frames(events)
    assert [event["part"]["text"] for event in out if event["type"].endswith("summary_part.done")] == ["a\n\nb", "c"]
    assert [event["item"] for event in out if event["type"] == "response.output_item.done"] == [item]


def test_S13_done_after_whole_items_is_an_end_and_silence_is_not() -> None:
    item = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
    payload = {"type": "response.output_item.done", "output_index": 0, "item": item}
    assert isinstance(read(CREATED, payload, done=True)[-1], Finished)
    assert isinstance(read(CREATED, payload)[-1], Failed)  # S12
    assert isinstance(read(CREATED, done=True)[-1], Failed)


def test_S15_a_cut_call_is_marked_and_the_reason_survives() -> None:
    raw = corpus.sse_bytes("openai-responses--rig--streaming_grammar-incomplete_mid_tool_call--0")
    reader = dialect.StreamReader()
    events = reader.feed(raw) + reader.close()
    ended = [event for event in events if isinstance(event, PartEnded)]
    assert ended[0].extras[NAME]["status"] == "incomplete"
    assert fold(events).finish.reason == "length"
    out = frames(events)
    assert out[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert out[-1]["response"]["output"][0]["status"] == "incomplete"


def test_S15_a_foreign_call_that_is_no_json_goes_out_incomplete() -> None:
    events = events_for(ToolCall("a", "f", '{"x": 4'), ToolCall("b", "f", "{}"), finish=Finish("length"))
    output = frames(events)[-1]["response"]["output"]
    assert [(item["status"], item["arguments"]) for item in output] == [("incomplete", '{"x": 4'), ("completed", "{}")]
    assert dialect.write_response(fold(events), asked())["output"] == output


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, "rate_limit"),
        ({"type": "error", "code": "context_length_exceeded", "message": "too long"}, "context_length"),
        ({"error": {"message": "boom", "type": "server_error"}}, "server"),
        ({"type": "response.failed", "response": {"status": "failed", "error": {
            "code": "insufficient_quota", "message": "no money"}}}, "quota"),
        ({"type": "response.failed", "response": {"status": "failed", "error": None}}, "server"),
    ],
)  # fmt: skip
def test_E03_errors_inside_a_stream_end_it(payload: dict[str, Any], kind: str) -> None:
    events = read(
        CREATED,
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"},
        payload,
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "after"},
        completed(),
    )
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.failure.kind == kind
    assert [event.text for event in events if isinstance(event, PartDelta)] == ["hi"]


def test_B07_one_json_body_instead_of_a_stream_is_read() -> None:
    message = {"type": "message", "id": "a", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
    body = completed(message)["response"]
    for wire, last in ((body, Finished), ({"error": {"message": "no"}}, Failed)):
        reader = dialect.StreamReader()
        events = list(check(reader.feed(json.dumps(wire).encode()) + reader.close()))
        assert isinstance(events[-1], last)


def test_B03_an_emoji_cut_between_two_deltas_is_whole_again() -> None:
    delta = b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"%s"}\n\n'
    reader = dialect.StreamReader()
    events = reader.feed(b"data: " + json.dumps(CREATED).encode() + b"\n\n" + delta % b"a\\ud83d" + delta % b"\\ude00")
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "a\U0001f600"


def test_U01_U04_the_three_inputs_add_up_and_odd_numbers_come_back() -> None:
    wire = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 105,
            "cost": 0.1}  # fmt: skip
    usage = dialect.read_response(completed(usage=wire)["response"]).usage
    assert (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) == (10, 60, 30, 5, 2)
    odd = {**wire, "input_tokens": 7, "total_tokens": 9}
    response = dialect.read_response(completed(usage=odd)["response"])
    assert response.usage.input == 0
    assert dialect.write_response(response, asked())["usage"] == odd
    beside = {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert dialect.read_response(completed(usage=beside)["response"]).usage.output == 6


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_E04_a_failed_body_is_a_failure(status: str) -> None:
    with pytest.raises(AnswerFailed):
        dialect.read_response({"id": "r", "status": status, "error": {"code": "server_error", "message": "x"}})


# ---------------------------------------------------------------- writing


def test_C13_a_text_answer_has_every_event_in_order() -> None:
    out = frames(events_for(Text("hello")))
    assert types(out) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in out] == list(range(9))
    response = out[-1]["response"]
    assert response["output"] == [out[-2]["item"]]
    assert (response["model"], response["status"], response["object"]) == ("asked", "completed", "response")
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    assert response["id"].startswith("resp_")


def test_C14_C15_a_custom_call_comes_back_raw_and_in_its_namespace() -> None:
    call = ToolCall("call_1", "apply_patch", "*** Begin", kind="custom", namespace="functions")
    out = frames(events_for(call, finish=Finish("tool_calls")))
    assert types(out)[2:-1] == [
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
    ]  # fmt: skip
    item = out[-2]["item"]
    assert (item["type"], item["input"], item["namespace"]) == ("custom_tool_call", "*** Begin", "functions")
    assert item["call_id"] == "call_1"


def test_S09_a_call_without_arguments_reaches_the_client_as_an_object() -> None:
    out = frames(events_for(ToolCall("a", "f", "")))
    assert [event["delta"] for event in out if event["type"].endswith("arguments.delta")] == ["{}"]
    assert out[-1]["response"]["output"][0]["arguments"] == "{}"


def test_S02_S05_empty_foreign_parts_open_nothing() -> None:
    events: list[Event] = [
        Started("x", "m"),
        PartStarted(0, Text("")),
        PartDelta(0, ""),
        PartEnded(0),
        PartStarted(1, ToolCall("a", "f", "")),
        PartDelta(1, "{}"),
        PartEnded(1),
        Finished([Finish("tool_calls")]),
    ]
    assert [item["type"] for item in frames(events)[-1]["response"]["output"]] == ["function_call"]


def test_S08_parts_that_overlap_are_separate_items() -> None:
    events: list[Event] = [
        Started("x", "m"),
        PartStarted(0, ToolCall("a", "f", "")),
        PartStarted(1, ToolCall("b", "g", "")),
        PartDelta(1, '{"b"'),
        PartDelta(0, "{}"),
        PartDelta(1, ":1}"),
        PartEnded(1),
        PartEnded(0),
        UsageReported(Usage(1, output=1)),
        Finished([Finish("tool_calls")]),
    ]
    output = frames(events)[-1]["response"]["output"]
    assert [(item["name"], item["arguments"]) for item in output] == [("f", "{}"), ("g", '{"b":1}')]


def test_T02_a_foreign_thought_is_a_summary_with_its_extras_sealed() -> None:
    extras = {"anthropic": {"signature": "EqQB"}}
    out = frames([
        Started("x", "claude"), PartStarted(0, Reasoning("")), PartDelta(0, "hm"), PartEnded(0, extras),
        Finished([Finish("end")])])  # fmt: skip
    item = out[-1]["response"]["output"][0]
    assert item["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert unseal(item["encrypted_content"]) == extras
    assert [name for name in types(out) if "reasoning" in name] == [
        "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]  # fmt: skip
    again = dialect.read_request({"model": "m", "input": [item]}).messages[0].parts[0]
    assert again == Reasoning("hm", extras)


def test_T09_a_thought_with_nothing_to_show_or_seal_is_left_out() -> None:
    open_call = Asked(dialect.read_request({"model": "asked", "input": "hi"}), "asked", "ab" * 12, 0)
    events = events_for(Reasoning("", {"anthropic": {"redacted": "x"}}), Text("hi"))
    assert [item["type"] for item in frames(events, open_call)[-1]["response"]["output"]] == ["message"]
    assert [item["type"] for item in dialect.write_response(fold(events), open_call)["output"]] == ["message"]
    assert [item["type"] for item in frames(events)[-1]["response"]["output"]] == ["reasoning", "message"]


def test_S17_a_refusal_reaches_the_client_in_words_and_as_a_reason() -> None:
    said = frames(events_for(Refusal("no"), finish=Finish("refusal")))
    assert said[-1]["type"] == "response.completed"
    assert said[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]
    silent = frames(events_for(finish=Finish("refusal")))
    assert silent[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}


def test_V10_citations_are_annotations_with_offsets() -> None:
    cited = Text("as said", [Citation("https://x.test", "X", "said")])
    out = frames(events_for(cited))
    added = [event for event in out if event["type"] == "response.output_text.annotation.added"]
    assert added[0]["annotation"] == {
        "type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 7,
    }  # fmt: skip
    content = out[-1]["response"]["output"][0]["content"][0]
    assert content["annotations"] == [added[0]["annotation"]]
    whole = dialect.write_response(fold(events_for(cited)), asked())
    assert whole["output"][0]["content"][0] == content


def test_V07_a_picture_is_a_finished_generation_and_strangers_are_noted() -> None:
    call = asked()
    picture = Media("image", "base64", "iVBO", "image/png")
    out = frames(
        events_for(picture, Opaque("anthropic", {"type": "server_tool_use"}), Media("audio", "base64", "x")), call
    )
    assert [(item["type"], item["result"]) for item in out[-1]["response"]["output"]] == [
        ("image_generation_call", "iVBO")
    ]
    assert len(call.receipt.losses) == 2


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure("rate_limit", "Slow down.", retry_after=6.2), "rate_limit_exceeded"),
        (Failure("quota", "no money"), "insufficient_quota"),
        (Failure("context_length", "too long"), "context_length_exceeded"),
        (Failure("overloaded", "busy"), "server_error"),
        (Failure("server", "broken"), "server_error"),
        (Failure("invalid_request", "bad"), "invalid_prompt"),
    ],
)
def test_C18_E04_a_failure_ends_the_stream_with_a_code_clients_know(failure: Failure, code: str) -> None:
    out = frames([Started("x", "m"), PartStarted(0, Text("")), PartDelta(0, "hi"), PartEnded(0), Failed(failure)])
    assert types(out)[-2:] == ["error", "failed"]
    response = out[-1]["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", code)
    assert response["output"][0]["content"][0]["text"] == "hi"
    assert [event["sequence_number"] for event in out] == list(range(len(out)))
    if failure.kind == "rate_limit":
        assert "try again in 7s" in response["error"]["message"]


def test_E04_a_failure_before_the_start_still_makes_a_stream() -> None:
    assert types(frames([Failed(Failure("server", "x"))])) == ["created", "in_progress", "error", "failed"]


def test_E11_a_ping_is_a_comment() -> None:
    assert dialect.StreamWriter(asked()).ping() == b": ping\n\n"


def test_C20_S21_a_whole_foreign_answer_equals_its_stream() -> None:
    call = asked(tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}], instructions="be brief")
    parts: list[Part] = [
        Reasoning("hm", {"gemini": {"thoughtSignature": "s"}}),
        Text("hello"),
        ToolCall("a", "f", "{}"),
    ]
    events = events_for(*parts, finish=Finish("tool_calls"))
    body = dialect.write_response(fold(events), call)
    assert frames(events, call)[-1]["response"] == body
    assert (body["model"], body["instructions"], body["tools"][0]["name"]) == ("asked", "be brief", "f")


def test_U06_without_a_report_the_prompt_is_estimated() -> None:
    events: list[Event] = [Started("x", "m"), Finished([Finish("end")])]
    assert frames(events)[-1]["response"]["usage"]["input_tokens"] == 9


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Failure("invalid_request", "x"), 400, "invalid_request"),
        (Failure("invalid_request", "x", code="unknown_parameter"), 400, "unknown_parameter"),
        (Failure("context_length", "x", code="other"), 400, "context_length_exceeded"),
        (Failure("authentication", "x"), 401, "invalid_api_key"),
        (Failure("permission", "x"), 403, "insufficient_permissions"),
        (Failure("credential", "x", code="invalid_api_key"), 502, "upstream_credential"),
        (Failure("rate_limit", "x", status=429), 429, "rate_limit_exceeded"),
        (Failure("quota", "x"), 429, "insufficient_quota"),
        (Failure("timeout", "x"), 504, "upstream_timeout"),
    ],
)
def test_E02_E06_errors_have_the_openai_shape(failure: Failure, status: int, code: str) -> None:
    given, body = dialect.write_failure(failure, "req_1")
    assert given == status
    assert body["error"]["code"] == code
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_E05_a_conversation_that_is_too_long_is_told_in_openais_words() -> None:
    failure = Failure("context_length", "prompt is too long: 250000 tokens > 200000 maximum", 400)
    told = dialect.write_failure(failure)[1]["error"]["message"]
    assert told.startswith("Your input exceeds the context window of this model")
    assert failure.message in told
    own = Failure("context_length", "Your input exceeds the context window of this model. Please adjust it.", 400)
    assert dialect.write_failure(own)[1]["error"]["message"] == own.message
