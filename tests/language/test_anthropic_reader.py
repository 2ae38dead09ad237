"""Streams of providers that speak Anthropic, whole and broken, read into events."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.dialects import anthropic
from dragoman.language.events import AnswerFailed, Failed, Finished, PartDelta, PartStarted, Started, fold
from dragoman.language.ir import Opaque, Reasoning, Response, Text, ToolCall
from tests import corpus
from tests.language.anthropic_wire import END, asked, closed, delta, feed, frames, opened, read, start, stopped, write

TEXT = opened(0, type="text", text="")


def _fold(*payloads: dict[str, Any]) -> Response:
    return fold(read(*payloads))


def _failed(*payloads: dict[str, Any]) -> Failed:
    last = read(*payloads)[-1]
    assert isinstance(last, Failed)
    return last


def test_S01_a_second_start_fails() -> None:
    assert "second answer" in _failed(start(), TEXT, start(), stopped(), END).failure.message


def test_S01_S02_a_delta_of_another_kind_begins_its_own_part() -> None:
    parts = _fold(
        start(), TEXT, delta(0, "thinking_delta", thinking="hm"), delta(0, "text_delta", text="x"), stopped(), END
    ).parts
    assert [type(part) for part in parts] == [Reasoning, Text]


def test_S03_payload_in_the_block_start_is_not_swallowed() -> None:
    parts = _fold(
        start(),
        opened(0, type="thinking", thinking="h", signature="s"),
        closed(0),
        opened(1, type="text", text="whole"),
        closed(1),
        opened(2, type="tool_use", id="t", name="f", input={"a": 1}),
        closed(2),
        stopped("tool_use"),
        END,
    ).parts
    assert isinstance(parts[0], Reasoning)
    assert (parts[0].text, parts[0].extras) == ("h", {"anthropic": {"signature": "s"}})
    assert isinstance(parts[1], Text)
    assert parts[1].text == "whole"
    assert isinstance(parts[2], ToolCall)
    assert parts[2].arguments == '{"a":1}'


def test_S04_deltas_and_stops_of_unknown_blocks() -> None:
    answer = _fold(
        start(),
        closed(4),
        delta(0, "input_json_delta", partial_json="{}"),
        delta(0, "text_delta", text="a"),
        delta(0, "text_delta", text="b"),
        closed(0),
        closed(0),
        stopped(),
        END,
    )
    assert [part.text for part in answer.parts if isinstance(part, Text)] == ["ab"]


def test_S04_blocks_without_an_index_are_kept_together() -> None:
    payloads = [
        start(),
        TEXT,
        delta(0, "text_delta", text="a"),
        delta(0, "text_delta", text="b"),
        closed(0),
        stopped(),
        END,
    ]
    for payload in payloads:
        payload.pop("index", None) if payload is not TEXT else None
    assert [part.text for part in _fold(*payloads).parts if isinstance(part, Text)] == ["ab"]


def test_S05_empty_pieces_are_nothing() -> None:
    events = read(
        start(),
        TEXT,
        delta(0, "text_delta", text=""),
        delta(0, "thinking_delta", thinking=""),
        closed(0),
        stopped(),
        END,
    )
    assert not [event for event in events if isinstance(event, PartDelta)]
    assert len([event for event in events if isinstance(event, PartStarted)]) == 1


def test_S09_a_call_without_arguments_is_an_empty_object() -> None:
    call = opened(0, type="tool_use", id="t", name="f", input={})
    part = _fold(
        start(), call, delta(0, "input_json_delta", partial_json=""), closed(0), stopped("tool_use"), END
    ).parts[0]
    assert isinstance(part, ToolCall)
    assert part.arguments == "{}"


def test_S10_nothing_is_read_after_the_end() -> None:
    events = read(
        start(), TEXT, closed(0), stopped(), END, delta(0, "text_delta", text="late"), stopped("max_tokens"), END
    )
    assert isinstance(events[-1], Finished)
    assert events[-1].finishes[0].reason == "end"


def test_S11_a_later_null_clears_no_reason_and_later_text_is_delivered() -> None:
    answer = _fold(start(), stopped("max_tokens"), TEXT, delta(0, "text_delta", text="x"), stopped(None), END)
    assert answer.finish.reason == "length"
    assert answer.parts


def test_S12_a_stream_without_an_end_fails_and_closes_its_parts() -> None:
    assert _failed(start(), TEXT, delta(0, "text_delta", text="x")).failure.kind == "server"
    assert _failed().failure.kind == "server"


@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"])
def test_S13_a_stop_reason_without_message_stop_is_an_end(tail: bytes) -> None:
    events = feed(frames(start(), TEXT, delta(0, "text_delta", text="x"), stopped()) + tail)
    assert isinstance(events[-1], Finished)


def test_S13_done_without_a_reason_is_an_end_with_an_inferred_reason() -> None:
    call = opened(0, type="tool_use", id="t", name="f", input={})
    events = feed(frames(start(), call) + b"data: [DONE]\n\n")
    assert isinstance(events[-1], Finished)
    assert events[-1].finishes[0].reason == "tool_calls"


def test_S15_a_cut_call_is_not_repaired() -> None:
    answer = fold(feed(corpus.sse_bytes("anthropic-messages--anthsdk--incomplete_partial_json_response--0")))
    assert answer.finish.reason == "length"
    call = answer.parts[1]
    assert isinstance(call, ToolCall)
    assert call.arguments.startswith('{"filename": "taxes.txt", "lines')
    assert call.arguments.endswith("Filing taxes")


def test_S17_refusal_is_a_reason_with_details() -> None:
    answer = fold(feed(corpus.sse_bytes("anthropic-messages--anthsdk--refusal_response--0")))
    assert answer.finish.reason == "refusal"
    assert answer.finish.extras["anthropic"]["stop_details"]["category"] == "cyber"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "pause"),
        ("compaction", "pause"),
        ("newest", "unknown"),
    ],
)
def test_S18_S20_words_the_model_has_no_room_for_are_kept(word: str, reason: str) -> None:
    events = read(start(), stopped(word), END)
    finish = fold(events).finish
    assert finish.reason == reason
    assert f'"stop_reason":"{word}"'.encode() in write(events)


def test_S19_stop_sequence_is_named() -> None:
    answer = fold(
        feed(corpus.sse_bytes("anthropic-messages--rig--stop_sequence_terminal_matrix-raw_unicode_sequence--0"))
    )
    assert (answer.finish.reason, answer.finish.stop_sequence) == ("stop_sequence", "🌊")


def test_T01_signature_pieces_are_appended() -> None:
    part = _fold(
        start(),
        opened(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="ab"),
        delta(0, "signature_delta", signature="cd"),
        closed(0),
        stopped(),
        END,
    ).parts[0]
    assert part == Reasoning("hm", {"anthropic": {"signature": "abcd"}})


def test_T09_thoughts_without_text_are_kept() -> None:
    identifier = "anthropic-messages--rig--messages_thinking-redacted_thinking_streaming--0"
    thoughts = [part for part in fold(feed(corpus.sse_bytes(identifier))).parts if isinstance(part, Reasoning)]
    assert any(part.extras["anthropic"].get("redacted") for part in thoughts)


def test_U02_the_last_report_stands() -> None:
    answer = fold(feed(corpus.sse_bytes("anthropic-messages--fantasy--testdata-TestAnthropicWebSearch-stream--0")))
    assert answer.usage.input == 13520
    assert answer.usage.extras["anthropic"]["server_tool_use"]["web_search_requests"] == 1


def test_U02_a_null_in_a_report_is_no_report() -> None:
    usage = {"output_tokens": 9, "input_tokens": None, "server_tool_use": None}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    first = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1, "server_tool_use": {"n": 1}}
    answer = _fold(start(usage=first), end, END)
    assert (answer.usage.input, answer.usage.cache_read, answer.usage.output) == (5, 2, 9)
    assert answer.usage.extras["anthropic"]["server_tool_use"] == {"n": 1}


def test_U08_passes_stay_in_reach_of_the_ledger() -> None:
    answer = fold(feed(corpus.sse_bytes("anthropic-messages--pydai--test_anthropic_advisor_tool_stream--0")))
    iterations = answer.usage.extras["anthropic"]["iterations"]
    assert [item["type"] for item in iterations] == ["message", "advisor_message", "message"]
    assert answer.usage.reasoning == 47


def test_V08_vertex_reports_only_output_at_the_end() -> None:
    identifier = "compat.vertex-anthropic--fantasy--TestGoogleCommon-vertex-claude-3-7-sonnet-tool_streaming--0"
    answer = fold(feed(corpus.sse_bytes(identifier)))
    assert answer.usage.input
    assert answer.usage.output
    assert answer.finish.reason == "tool_calls"


def test_V09_content_and_reason_may_stand_in_message_start() -> None:
    content = [
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": {"type": "code_execution_20250825"}},
    ]
    answer = _fold(start(content=content, stop_reason="tool_use", container={"id": "c"}), END)
    assert answer.finish.reason == "tool_calls"
    assert [type(part) for part in answer.parts] == [Text, ToolCall]
    assert answer.extras["anthropic"]["container"] == {"id": "c"}


def test_V09_hosted_tools_are_opaque_with_their_whole_input() -> None:
    identifier = "anthropic-messages--pydai--test_anthropic_mcp_servers_stream--0"
    parts = fold(feed(corpus.sse_bytes(identifier))).parts
    used = [part for part in parts if isinstance(part, Opaque) and part.data["type"] == "mcp_tool_use"]
    assert used
    assert all(part.data["input"] for part in used)
    assert not [part for part in parts if isinstance(part, ToolCall)]


def test_V09_unknown_blocks_and_deltas_are_folded() -> None:
    part = _fold(
        start(),
        opened(0, type="brand_new", words="a", note=None),
        delta(0, "brand_new_delta", words="b", note={"n": 1}),
        closed(0),
        stopped(),
        END,
    ).parts[0]
    assert part == Opaque("anthropic", {"type": "brand_new", "words": "ab", "note": {"n": 1}})


def test_V09_what_stands_beside_the_end_is_kept_where_it_stood() -> None:
    end = stopped() | {"context_management": {"applied_edits": []}}
    end["delta"]["container"] = {"id": "c"}
    events = read(start(), end, END)
    raw = write(events)
    assert b'"container":{"id":"c"}},"usage"' in raw
    assert b'"context_management":{"applied_edits":[]}}' in raw
    assert fold(events).extras["anthropic"]["container"] == {"id": "c"}


def test_V10_citations_know_their_text() -> None:
    identifier = "anthropic-messages--rubyllm--chat_citations_with_anthropic_claude-haiku-4-5_streams_citations--0"
    cited = [
        part for part in fold(feed(corpus.sse_bytes(identifier))).parts if isinstance(part, Text) and part.citations
    ]
    assert cited
    for part in cited:
        assert [(c.start, c.end) for c in part.citations] == [(0, len(part.text))] * len(part.citations)
        assert all(citation.cited_text for citation in part.citations)


def test_E03_an_error_as_first_event_keeps_its_true_status() -> None:
    events = feed(corpus.sse_bytes("anthropic-messages--vercel--anthropic-language-model.test-first-event-error--0"))
    assert len(events) == 1
    assert isinstance(events[0], Failed)
    assert (events[0].failure.kind, events[0].failure.status) == ("overloaded", 529)


def test_E03_an_error_after_content_fails_and_after_the_reason_is_too_late() -> None:
    error = {"type": "error", "error": {"type": "api_error", "message": "oops"}}
    assert _failed(start(), TEXT, delta(0, "text_delta", text="x"), error).failure.message == "oops"
    assert isinstance(read(start(), TEXT, closed(0), stopped(), error)[-1], Finished)


def test_E03_bare_json_and_error_lines_between_events() -> None:
    for line in (b'{"error":{"message":"boom"}}\n', b'error: {"error":{"message":"boom"}}\n'):
        last = feed(frames(start(), TEXT) + line)[-1]
        assert isinstance(last, Failed)
        assert last.failure.message == "boom"


def test_B06_the_type_rules_and_the_name_is_a_hint() -> None:
    import json

    stream = [start(), TEXT, delta(0, "text_delta", text="x"), closed(0), stopped(), END]
    raw = b"".join(b"data:" + json.dumps(payload).encode() + b"\r\n\r\n" for payload in stream)
    assert fold(feed(raw[:-2])) == fold(read(*stream))


def test_B07_a_whole_body_in_answer_to_a_stream() -> None:
    identifier = "anthropic-messages--pydai--test_anthropic_mcp_servers--1"
    body = corpus.exchange(identifier)["response"]["body"]
    assert fold(feed(corpus.body_bytes(identifier), 100)) == anthropic.read_response(body)
    assert isinstance(feed(b'{"type":"error","error":{"type":"api_error","message":"x"}}')[-1], Failed)
    assert isinstance(feed(b'{"hello":1}')[-1], Failed)


def test_B03_a_surrogate_pair_cut_between_deltas_is_joined() -> None:
    raw = frames(start(), TEXT)
    for half in (b"\\ud83c", b"\\udf0a", b"\\ud83c"):
        raw += (
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"' + half + b'"}}\n\n'
        )
    raw += frames(closed(0), stopped(), END)
    events = feed(raw)
    part = fold(events).parts[0]
    assert isinstance(part, Text)
    assert part.text == "🌊\ufffd"
    assert "🌊".encode() in write(events, asked())


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "content_block_delta"},
        {"type": "content_block_delta", "index": [], "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "index": 0, "delta": "x"},
        {"type": "content_block_delta", "index": 0, "delta": {}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": []}},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_start", "index": 9, "content_block": {}},
        {"type": "content_block_start", "index": 9, "content_block": {"type": "tool_use"}},
        {"type": "content_block_start", "index": 9, "content_block": {"type": "text", "text": 3, "citations": [3]}},
        {"type": "content_block_stop", "index": {}},
        {"type": "message_delta", "delta": 3, "usage": []},
        {"type": "message_delta", "usage": {"output_tokens": "9", "input_tokens": True}},
        {"type": "vendor_event"},
        {"type": 3},
        {"type": []},
        {},
    ],
    ids=str,
)
def test_V14_frames_of_unknown_shape_break_nothing(payload: dict[str, Any]) -> None:
    stream = [start(), TEXT, delta(0, "text_delta", text="x")]
    raw = frames(*stream) + b"data: " + str(payload).replace("'", '"').replace("True", "true").encode() + b"\n\n"
    answer = fold(feed(raw + frames(closed(0), stopped(), END)))
    assert [part.text for part in answer.parts if isinstance(part, Text)][:1] == ["x"]


def test_E03_whole_error_body_raises() -> None:
    with pytest.raises(AnswerFailed) as failed:
        anthropic.read_response({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert failed.value.failure.kind == "overloaded"


def test_V01_a_stream_without_message_start_still_starts_once() -> None:
    events = read(TEXT, delta(0, "text_delta", text="x"), closed(0), stopped(), END)
    assert len([event for event in events if isinstance(event, Started)]) == 1
    assert isinstance(events[-1], Finished)
