"""Answers of any provider written for Anthropic clients, streamed and whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.language.dialects import anthropic
from dragoman.language.envelope import unseal
from dragoman.language.events import (
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
from tests.language.anthropic_wire import answer, asked, blocks, payloads, said, write

RS = {"openai_responses": {"id": "rs_1", "encrypted_content": "gAAA"}}


def _types(raw: bytes) -> list[str]:
    return [payload["type"] for payload in payloads(raw)]


def _end(raw: bytes) -> dict[str, Any]:
    return next(payload for payload in payloads(raw) if payload["type"] == "message_delta")


def _whole(*parts: Part, finish: Finish | None = None, usage: Usage | None = None) -> Response:
    return Response("chatcmpl-1", "gpt", [Choice(list(parts), finish or Finish("end"))], usage or Usage())


def test_T22_order_of_a_plain_answer() -> None:
    raw = write(answer(said(Text(""), "He", "y")))
    assert _types(raw) == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert b"[DONE]" not in raw
    message = payloads(raw)[0]["message"]
    assert message["id"] == "msg_5eed"
    assert (message["model"], message["role"], message["type"]) == ("asked", "assistant", "message")
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)


def test_B09_every_event_leaves_at_once() -> None:
    writer = anthropic.StreamWriter(asked())
    assert writer.write(Started("x", "gpt"))
    writer.write(PartStarted(0, Text("")))
    for piece in ("a", "b"):
        assert piece.encode() in writer.write(PartDelta(0, piece))


def test_C20_an_anthropic_id_is_kept_and_the_model_is_the_asked_one() -> None:
    message = payloads(write(answer(id_="msg_01")))[0]["message"]
    assert (message["id"], message["model"]) == ("msg_01", "asked")


def test_U05_U06_usage_stands_in_both_places() -> None:
    events = answer(said(Text(""), "x"))
    events.insert(-1, UsageReported(Usage(input=20, cache_read=80, output=7, reasoning=3)))
    raw = write(events, asked(estimate=90))
    assert payloads(raw)[0]["message"]["usage"]["input_tokens"] == 90
    assert _end(raw)["usage"] == {
        "input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 80,
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3},
    }  # fmt: skip


def test_U06_an_unreported_input_is_estimated_never_zero() -> None:
    assert _end(write(answer(), asked(estimate=90)))["usage"]["input_tokens"] == 90
    assert anthropic.write_response(_whole(), asked(estimate=90))["usage"]["input_tokens"] == 90


def test_T20_S08_text_gives_way_to_a_call_and_goes_on_in_its_own_block() -> None:
    events: list[Event] = [
        Started("x", "gpt"),
        PartStarted(0, Text("")),
        PartDelta(0, "before"),
        PartStarted(1, ToolCall("c", "f", "")),
        PartDelta(1, '{"a":1}'),
        PartDelta(0, " after"),
        PartEnded(1),
        PartEnded(0),
        Finished([Finish("tool_calls")]),
    ]
    found = blocks(write(check(events)))
    assert [block["type"] for block in found] == ["text", "tool_use", "text"]
    assert (found[0]["text"], found[1]["input"], found[2]["text"]) == ("before", {"a": 1}, " after")


def test_T19_interleaved_calls_become_blocks_one_after_the_other() -> None:
    events: list[Event] = [
        Started("x", "gpt"),
        PartStarted(0, ToolCall("a", "f", "")),
        PartStarted(1, ToolCall("b", "g", "")),
        PartDelta(1, '{"y":'),
        PartDelta(0, '{"x":'),
        PartDelta(1, "2}"),
        PartDelta(0, "1}"),
        PartEnded(1),
        PartEnded(0),
        Finished([Finish("tool_calls")]),
    ]
    found = blocks(write(check(events)))
    assert [(block["name"], block["input"]) for block in found] == [("f", {"x": 1}), ("g", {"y": 2})]


def test_S08_a_call_leaves_as_it_comes() -> None:
    writer = anthropic.StreamWriter(asked())
    writer.write(Started("x", "gpt"))
    assert b"tool_use" in writer.write(PartStarted(0, ToolCall("a", "f", "")))
    assert b'{\\"x' in writer.write(PartDelta(0, '{"x'))
    assert b'\\":1}' in writer.write(PartDelta(0, '":1}'))


def test_S05_R06_blank_text_opens_no_block_next_to_calls() -> None:
    raw = write(answer(said(Text(""), "\n", " "), said(ToolCall("c", "f", ""), "{}", index=1)))
    assert [block["type"] for block in blocks(raw)] == ["tool_use"]
    assert blocks(write(answer(said(Text(""), "\n", "x"))))[0]["text"] == "\nx"


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        ([], {}),
        (["{}"], {}),
        ([" ", '{"a"', ":1}"], {"a": 1}),
        (["[1,", "2]"], {"value": [1, 2]}),
        (["not json"], {"raw": "not json"}),
        (["null"], {}),
    ],
)
def test_S09_T30_arguments_are_one_object(pieces: list[str], value: Any) -> None:
    raw = write(answer(said(ToolCall("c", "f", ""), *pieces)))
    assert blocks(raw)[0]["input"] == value
    whole = anthropic.write_response(_whole(ToolCall("c", "f", "".join(pieces))), asked())
    assert whole["content"][0]["input"] == value


def test_T18_fragments_concatenate_to_the_exact_string() -> None:
    pieces = ['{"a": ', '"\\u003c"', ', "n": 9007199254740993.10}']
    raw = write(answer(said(ToolCall("c", "f", ""), *pieces)))
    sent = [p["delta"]["partial_json"] for p in payloads(raw) if p["type"] == "content_block_delta"]
    assert "".join(sent) == "".join(pieces)


def test_S09_tool_use_starts_with_an_empty_input() -> None:
    block = next(p for p in payloads(write(answer(said(ToolCall("", "f", ""), "{}")))) if "content_block" in p)
    assert block["content_block"]["input"] == {}
    assert block["content_block"]["id"] == "toolu_5eed0"


def test_custom_calls_are_wrapped() -> None:
    raw = write(answer(said(ToolCall("c", "p", "", kind="custom"), "{not", " json")))
    assert blocks(raw)[0]["input"] == {"input": "{not json"}


def test_T31_thoughts_of_others_are_shown_only_when_asked_for() -> None:
    events = answer(said(Reasoning("", RS), "hm"), said(Text(""), "x", index=1))
    assert [block["type"] for block in blocks(write(events))] == ["text"]
    first = blocks(write(events, asked(thinking=True)))[0]
    assert (first["type"], first["thinking"]) == ("thinking", "hm")
    assert unseal(first["signature"]) == RS
    assert [b["type"] for b in anthropic.write_response(fold(events), asked(thinking=True))["content"]] == [
        "thinking",
        "text",
    ]
    assert [b["type"] for b in anthropic.write_response(fold(events), asked())["content"]] == ["text"]


def test_thinking_begins_with_an_empty_signature_and_ends_with_one() -> None:
    raw = write(answer(said(Reasoning(""), "hm")), asked(thinking=True))
    changes: list[Any] = [
        p.get("content_block") or p.get("delta") for p in payloads(raw) if p["type"].startswith("content_block_")
    ]
    assert changes[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert changes[2]["type"] == "signature_delta"
    assert unseal(changes[2]["signature"]) == {}


def test_T09_a_thought_without_text_is_kept_but_shown_to_nobody() -> None:
    events = answer([PartStarted(0, Reasoning("")), PartEnded(0, RS)], said(Text(""), "x", index=1))
    found = blocks(write(events, asked(thinking=True)))
    assert [block["type"] for block in found] == ["redacted_thinking", "text"]
    assert unseal(found[0]["data"]) == RS
    assert anthropic.write_response(fold(events), asked(thinking=True))["content"] == found


def test_T21_a_thought_that_never_came_leaves_no_gap() -> None:
    events = answer(said(Reasoning("")), said(ToolCall("c", "f", ""), "{}", index=1))
    assert [block["type"] for block in blocks(write(events, asked(thinking=True)))] == ["tool_use"]


def test_S14_a_call_makes_the_reason_tool_use_but_length_stays() -> None:
    call = said(ToolCall("c", "f", ""), "{}")
    for reason, word in (("end", "tool_use"), ("unknown", "tool_use"), ("length", "max_tokens")):
        finish = Finish(reason)  # type: ignore[arg-type]
        assert _end(write(answer(call, finish=finish)))["delta"]["stop_reason"] == word
        assert anthropic.write_response(_whole(ToolCall("c", "f", "{}"), finish=finish), asked())["stop_reason"] == word


@pytest.mark.parametrize(
    ("finish", "word", "sequence"),
    [
        (Finish("end"), "end_turn", None),
        (Finish("length"), "max_tokens", None),
        (Finish("stop_sequence", "STOP"), "stop_sequence", "STOP"),
        (Finish("stop_sequence"), "end_turn", None),
        (Finish("refusal", raw="content_filter"), "refusal", None),
        (Finish("unknown", raw="weird"), "end_turn", None),
    ],
)
def test_T22_S19_stop_reasons(finish: Finish, word: str, sequence: str | None) -> None:
    delta = _end(write(answer(finish=finish)))["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == (word, sequence)
    assert ("stop_details" in delta) == (word == "refusal")


def test_S17_refusal_words_reach_the_client() -> None:
    raw = write(answer(said(Refusal(""), "I ", "cannot"), finish=Finish("refusal")))
    assert blocks(raw)[0] == {"type": "text", "text": "I cannot"}
    assert _end(raw)["delta"]["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


def test_S16_an_empty_answer() -> None:
    raw = write(answer(finish=Finish("length")))
    block = ["content_block_start", "content_block_stop"]
    assert _types(raw) == ["message_start", "ping", *block, "message_delta", "message_stop"]
    assert blocks(raw) == [{"type": "text", "text": ""}]
    assert anthropic.write_response(_whole(), asked())["content"] == [{"type": "text", "text": ""}]
    own = Response("msg_1", "m", [Choice([], Finish("refusal"))], extras={"anthropic": {}})
    assert anthropic.write_response(own, asked())["content"] == []


def test_what_has_no_place_is_noted_once() -> None:
    call = asked()
    search = Opaque("openai_responses", {"type": "web_search_call"})
    cited = PartDelta(3, citation=Citation("https://x.test", extras={"openai_chat": {}}))
    events = answer(
        said(search),
        said(search, index=1),
        said(Media("image", "base64", "AAAA"), index=2),
        [PartStarted(3, Text("")), PartDelta(3, "fact"), cited, cited, PartEnded(3)],
    )
    assert blocks(write(events, call)) == [{"type": "text", "text": "fact"}]
    assert len(call.receipt.losses) == 3
    second = asked()
    assert anthropic.write_response(fold(events), second)["content"] == [{"type": "text", "text": "fact"}]
    assert second.receipt.losses == call.receipt.losses


def test_R21_only_the_first_choice_is_written() -> None:
    events: list[Event] = [Started("x", "gpt"), PartStarted(0, Text(""), 1), PartDelta(0, "b"), PartEnded(0)]
    events += [*said(Text(""), "a", index=1), Finished([Finish("end"), Finish("length")])]
    raw = write(check(events))
    assert blocks(raw) == [{"type": "text", "text": "a"}]
    assert _end(raw)["delta"]["stop_reason"] == "end_turn"


def test_E04_a_failure_in_the_stream_is_an_error_event_and_no_end() -> None:
    events: list[Event] = [Started("x", "g"), PartStarted(0, Text("")), PartDelta(0, "x"), PartEnded(0)]
    raw = write(check([*events, Failed(Failure("server", "upstream lost"))]))
    last = payloads(raw)[-1]
    assert last == {"type": "error", "error": {"type": "api_error", "message": "upstream lost"}, "request_id": None}
    assert "message_stop" not in _types(raw)
    assert "message_delta" not in _types(raw)


def test_E11_ping_is_an_event_and_may_come_first() -> None:
    writer = anthropic.StreamWriter(asked())
    assert writer.ping() == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_T28_whole_answer_has_all_its_keys() -> None:
    body = anthropic.write_response(_whole(Text("Hi"), usage=Usage(input=20, cache_read=80, output=2)), asked())
    assert body == {
        "id": "msg_5eed",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 80, "output_tokens": 2,
        },
    }  # fmt: skip


def test_B03_a_lone_surrogate_does_not_break_the_stream() -> None:
    raw = write(answer(said(Text(""), "a", "\ud83c", "b")))
    assert blocks(raw)[0]["text"] == "a\ufffdb"


PARTS: list[Part] = [Text(""), Refusal(""), Reasoning("", RS), ToolCall("c", "f", ""), Reasoning("", {"anthropic": {}})]


@st.composite
def _interleavings(draw: st.DrawFn) -> list[Event]:
    """Any overlap of any parts that the grammar allows."""
    parts = draw(st.lists(st.sampled_from(PARTS), max_size=5))
    todo: list[list[Event]] = []
    for index, part in enumerate(parts):
        if isinstance(part, ToolCall):
            text = json.dumps({"n": index, "text": draw(st.text(max_size=8))})
        else:
            text = draw(st.text(max_size=12))
        cut = draw(st.integers(0, len(text)))
        pieces = [piece for piece in (text[:cut], text[cut:]) if piece]
        todo.append(said(part, *pieces, index=index))
    events: list[Event] = [Started("x", "gpt")]
    while any(todo):
        lane = draw(st.sampled_from([lane for lane in todo if lane]))
        events.append(lane.pop(0))
    return [*events, Finished([Finish("end")])]


@settings(max_examples=150, deadline=None)
@given(_interleavings())
def test_S04_every_interleaving_is_a_strict_stream_with_all_of_the_payload(events: list[Event]) -> None:
    found = blocks(write(check(events), asked(thinking=True)))
    response = fold(events)
    calls = [block["input"] for block in found if block["type"] == "tool_use"]
    wanted = [json.loads(part.arguments) for part in response.parts if isinstance(part, ToolCall)]
    assert sorted(calls, key=lambda call: call["n"]) == wanted
    thoughts = [block["thinking"] for block in found if block["type"] == "thinking"]
    assert sorted(filter(None, thoughts)) == sorted(
        p.text for p in response.parts if isinstance(p, Reasoning) and p.text
    )
    words = "".join(block["text"] for block in found if block["type"] == "text")
    spoken = [p.text for p in response.parts if isinstance(p, Text | Refusal)]
    assert sorted("".join(words.split())) == sorted("".join("".join(spoken).split()))
