"""Chat streams: every recorded one in any chunking, and the state machine's rules one by one."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.language.dialects import openai_chat as chat
from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
)
from dragoman.language.ir import (
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.language.streams import Asked
from tests import corpus

Json = dict[str, Any]

STREAMS = [
    name
    for name in corpus.identifiers()
    if corpus.exchange(name)["protocol"] == "openai-chat" and corpus.exchange(name)["response"].get("sse")
]


def feed(raw: bytes, size: int = 1 << 20) -> list[Event]:
    reader = chat.StreamReader()
    events = [event for at in range(0, len(raw), size) for event in reader.feed(raw[at : at + size])]
    return list(check(events + reader.close()))


def recorded(identifier: str) -> list[Event]:
    return feed(corpus.sse_bytes(identifier))


def chunk(delta: Json | None = None, finish: str | None = None, index: int = 0, **fields: Any) -> Json:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": choices, **fields}


def stream(*payloads: Json, done: bool = True) -> list[Event]:
    frames = b"".join(b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads)
    return feed(frames + (b"data: [DONE]\n\n" if done else b""))


def parts(events: list[Event], choice: int = 0) -> list[Part]:
    return fold(events).choices[choice].parts


def call(index: int | None = 0, identifier: str | None = None, name: str | None = None, text: str | None = "") -> Json:
    item: Json = {"type": "function", "function": {"name": name, "arguments": text}, "id": identifier}
    return {"tool_calls": [item if index is None else {**item, "index": index}]}


END = chunk({}, "stop")


# ---------------------------------------------------------------- recorded


@pytest.mark.parametrize("identifier", STREAMS)
def test_B01_any_chunking_of_a_recorded_stream_gives_the_same_events(identifier: str) -> None:
    raw = corpus.sse_bytes(identifier)
    whole = feed(raw)
    for size in (1, 7, 1024):
        assert feed(raw, size) == whole


@pytest.mark.parametrize("identifier", STREAMS)
def test_S21_written_and_read_again_a_recorded_answer_is_the_same(identifier: str) -> None:
    events = recorded(identifier)
    if isinstance(events[-1], Failed):
        assert events[-1].failure.message
        return
    answer = fold(events)
    again = fold(feed(write(events)))
    assert [choice.parts for choice in again.choices] == [choice.parts for choice in answer.choices]
    assert [c.finish.reason for c in again.choices] == [c.finish.reason for c in answer.choices]
    assert (again.usage.prompt, again.usage.output) == (answer.usage.prompt, answer.usage.output or 0)
    assert again.id == (answer.id or "chatcmpl-5eed")


# ---------------------------------------------------------------- reading


def test_S01_there_is_one_start_however_often_the_role_comes() -> None:
    events = stream(chunk({"role": "assistant", "content": "a"}), chunk({"role": "assistant", "content": "b"}), END)
    assert sum(isinstance(event, Started) for event in events) == 1
    assert parts(events) == [Text("ab")]


def test_S02_nothing_opens_before_payload_and_a_change_of_kind_closes() -> None:
    events = stream(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "a"}),
        END,
    )
    kinds = [type(event).__name__ for event in events]
    assert kinds == [
        "Started",
        "PartStarted",
        "PartDelta",
        "PartEnded",
        "PartStarted",
        "PartDelta",
        "PartEnded",
        "Finished",
    ]


def test_S03_the_chunk_that_opens_a_call_keeps_its_payload() -> None:
    events = stream(chunk(call(0, "c", "f", '{"a":1}'), "tool_calls"))
    assert parts(events) == [ToolCall("c", "f", '{"a":1}')]


@pytest.mark.parametrize(
    "delta",
    [
        {"content": ""},
        {"content": None},
        {"reasoning": None},
        {"reasoning_content": ""},
        {"reasoning_details": []},
        {"tool_calls": []},
        {"tool_calls": [{"index": 0, "function": {"arguments": ""}}]},
        {"function_call": {"name": "", "arguments": ""}},
        {"audio": {"id": "", "data": ""}},
        {"refusal": ""},
        {},
    ],
)
def test_S05_V04_empty_pieces_say_nothing(delta: Json) -> None:
    events = stream(chunk({"content": "a"}), chunk(delta), chunk({"content": "b"}), END)
    assert parts(events) == [Text("ab")]


def test_S05_blanks_beside_calls_open_no_text() -> None:
    events = stream(
        chunk({"content": "\n\n"}),
        chunk(call(0, "c", "f", "{}")),
        chunk({"content": " "}),
        chunk({}, "tool_calls"),
    )
    assert parts(events) == [ToolCall("c", "f", "{}")]
    assert parts(stream(chunk({"content": "\n"}), chunk({"content": "a"}), chunk({"content": " "}), END)) == [
        Text("\na ")
    ]
    assert parts(stream(chunk({"content": " "}), END)) == [Text(" ")]


def test_S06_one_chunk_may_hold_everything() -> None:
    delta = {"reasoning_content": "hm", "content": "a", **call(0, "c", "f", "{}")}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    events = stream(chunk(delta, "tool_calls", usage=usage))
    assert parts(events) == [Reasoning("hm"), Text("a"), ToolCall("c", "f", "{}")]
    assert fold(events).usage.output == 2


def test_S06_content_may_be_a_list_of_typed_parts() -> None:
    answer = fold(
        recorded("compat.mistral--rubyllm--chat_mistral_hybrid_reasoning_streams_thinking_separately_from_content--0")
    )
    assert [type(part) for part in answer.parts] == [Reasoning, Text]
    assert answer.parts[1].text == "144"  # type: ignore[union-attr]


def test_S07_a_late_id_and_name_are_waited_for() -> None:
    events = stream(
        chunk(call(0, None, None, '{"a"')),
        chunk(call(0, "c", None, "")),
        chunk(call(0, "", "f", ":1}")),
        chunk(call(0, None, "f", "")),
        chunk({}, "tool_calls"),
    )
    assert parts(events) == [ToolCall("c", "f", '{"a":1}')]


def test_S07_an_id_that_never_comes_is_made_the_same_each_time() -> None:
    payloads = chunk(call(0, None, "f", "{}")), chunk(call(1, "", "f", "{}")), chunk({}, "tool_calls")
    first, second = parts(stream(*payloads)), parts(stream(*payloads))
    assert first == second
    ids = [part.id for part in first if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize("start", [0, 1, 5])
def test_S08_calls_are_told_apart_by_index_wherever_it_starts(start: int) -> None:
    events = stream(
        chunk(call(start, "a", "f", "{")),
        chunk(call(start + 1, "b", "g", "[")),
        chunk(call(start, None, None, "}")),
        chunk(call(start + 1, None, None, "]")),
        chunk({}, "tool_calls"),
    )
    assert parts(events) == [ToolCall("a", "f", "{}"), ToolCall("b", "g", "[]")]


def test_S08_calls_without_index_are_told_apart_by_id_and_order() -> None:
    events = stream(
        chunk(call(None, "a", "f", '{"x":')),
        chunk(call(None, "", None, "1}")),
        chunk(call(None, "b", "f", "{}")),
        chunk({}, "tool_calls"),
    )
    assert parts(events) == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", "{}")]


def test_S08_parallel_calls_folded_onto_one_index_are_still_two() -> None:
    events = stream(chunk(call(0, "a", "f", "{}")), chunk(call(0, "b", "g", "{}")), chunk({}, "tool_calls"))
    assert [part.name for part in parts(events) if isinstance(part, ToolCall)] == ["f", "g"]


def test_S08_a_whole_call_leaves_before_the_next_begins() -> None:
    events = stream(chunk(call(0, "a", "f", "{}")), chunk(call(1, "b", "g", "{}")), chunk({}, "tool_calls"))
    order = [(type(event).__name__, event.index) for event in events if isinstance(event, PartStarted | PartEnded)]
    assert order == [("PartStarted", 0), ("PartEnded", 0), ("PartStarted", 1), ("PartEnded", 1)]


def test_S09_arguments_that_come_twice_count_once() -> None:
    events = stream(chunk(call(0, "a", "f", '{"x":1}')), chunk(call(0, "a", "f", '{"x":1}'), "tool_calls"))
    assert parts(events) == [ToolCall("a", "f", '{"x":1}')]


def test_S09_no_arguments_are_an_empty_object() -> None:
    name = "compat.openrouter--llm--test_tools_streaming_variant_d--0"
    assert parts(recorded(name)) == [ToolCall("0", "llm_version", "{}")]


def test_S15_a_cut_call_is_not_repaired() -> None:
    events = stream(chunk(call(0, "a", "f", '{"x')), chunk({}, "length"))
    assert parts(events) == [ToolCall("a", "f", '{"x')]
    assert parts(stream(chunk(call(0, "a", "f", "")), chunk({}, "length"))) == [ToolCall("a", "f", "")]


def test_S10_usage_behind_the_finish_is_read_and_the_end_comes_last() -> None:
    events = stream(chunk({"content": "a"}), END, chunk(None, usage={"prompt_tokens": 3, "completion_tokens": 4}))
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, UsageReported) for event in events)
    assert fold(events).usage.output == 4


def test_S10_what_follows_done_is_ignored() -> None:
    raw = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    events = feed(raw + b"data: [DONE]\n\n" + raw)
    assert parts(events) == [Text("a")]


def test_S11_the_last_reason_stands_and_content_behind_it_is_kept() -> None:
    events = stream(
        chunk({"content": "a"}, "stop"),
        chunk({"content": "b"}),
        chunk({}, "length"),
        chunk({}, None, usage={"prompt_tokens": 1}),
    )
    assert parts(events) == [Text("ab")]
    assert fold(events).finish.reason == "length"


@pytest.mark.parametrize("payloads", [[], [chunk({"content": "a"})], [chunk(call(0, "c", "f", "{"))]])
def test_S12_a_stream_without_reason_or_marker_is_broken(payloads: list[Json]) -> None:
    events = stream(*payloads, done=False)
    assert isinstance(events[-1], Failed)
    assert events[-1].failure.kind == "server"


def test_S13_either_sign_is_enough() -> None:
    assert parts(stream(chunk({"content": "a"}), END, done=False)) == [Text("a")]
    inferred = stream(chunk({"content": "a"}))
    assert fold(inferred).finish.reason == "end"
    assert fold(stream(chunk(call(0, "c", "f", "{}")))).finish.reason == "tool_calls"


def test_S14_calls_with_stop_are_tool_calls() -> None:
    assert fold(recorded("openai-chat--mirascope--openai_gpt_4o_completions-stream--0-2")).finish.reason == "tool_calls"


def test_S17_a_streamed_refusal_keeps_its_words() -> None:
    answer = fold(recorded("compat.openrouter--rig--refusal_matrix-streaming_azure_routed_refusal--0"))
    assert isinstance(answer.parts[0], Refusal)
    assert answer.parts[0].text.startswith("I'm")
    assert answer.finish.reason == "refusal"


def test_R21_choices_are_tracked_apart() -> None:
    events = stream(
        chunk({"content": "a"}),
        chunk({"content": "x"}, index=1),
        chunk({"content": "b"}, "stop"),
        chunk({"content": "y"}, "length", index=1),
    )
    assert parts(events) == [Text("ab")]
    assert parts(events, 1) == [Text("xy")]
    assert [choice.finish.reason for choice in fold(events).choices] == ["end", "length"]
    cut = stream(chunk({"content": "a"}, "stop"), chunk({"content": "x"}, index=1), done=False)
    assert isinstance(cut[-1], Failed), "the finish of one is not the end of the other"


def test_E03_an_error_before_a_reason_fails_and_after_it_is_noted() -> None:
    error = {"error": {"message": "boom", "code": 429}}
    events = stream(chunk({"content": "a"}), error)
    assert isinstance(events[-1], Failed)
    assert (events[-1].failure.kind, events[-1].failure.message) == ("rate_limit", "boom")
    assert isinstance(events[-2], PartEnded)
    assert fold(stream(chunk({"content": "a"}, "length"), error)).finish.reason == "length"
    assert isinstance(stream(error)[0], Failed)


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("compat.groq--pydai--test_tool_use_failed_error_streaming--0", "Tool call validation failed"),
        (
            "compat.gpustack--rubyllm--chat_with_extended_thinking_gpustack_qwen3"
            "_streams_thinking_content_when_available--0",
            "failed to decode",
        ),
    ],
)
def test_E03_recorded_errors_in_the_stream(identifier: str, words: str) -> None:
    last = recorded(identifier)[-1]
    assert isinstance(last, Failed)
    assert words in last.failure.message


def test_E03_vllm_prints_its_error_without_an_error_key() -> None:
    events = stream(chunk({"content": "a"}), {"object": "error", "message": "boom", "code": 400})
    assert isinstance(events[-1], Failed)
    assert events[-1].failure.message == "boom"


def test_T10_three_fields_with_the_same_words_are_one_thought() -> None:
    def both(words: str, **entry: Any) -> Json:
        detail = {"type": "reasoning.text", "text": words, "index": 0, "format": "x", **entry}
        return chunk({"reasoning": words, "reasoning_details": [detail]})

    signed = chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "index": 0, "format": "x"}]})
    thought = parts(stream(both("h"), both("m"), signed, chunk({"content": "a"}), END))[0]
    assert isinstance(thought, Reasoning)
    assert thought.text == "hm"
    assert thought.extras["openai_chat"]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "index": 0, "format": "x", "signature": "sig"}
    ]


def test_T09_an_encrypted_thought_without_words_is_kept() -> None:
    name = "compat.openrouter--rig--streaming_tools-stream_encrypted_reasoning_survives_into_the_next_turn--1"
    thought = parts(recorded(name))[0]
    assert isinstance(thought, Reasoning)
    assert thought.text == ""
    assert thought.extras["openai_chat"]["reasoning_details"][0]["data"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_T11_a_leading_tag_is_a_thought_however_it_is_cut(size: int) -> None:
    def read(text: str) -> list[Part]:
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        return parts(stream(*(chunk({"content": piece}) for piece in pieces), END))

    assert read("<think>\nhm</think>\n\nfour") == [Reasoning("hm"), Text("four")]
    assert read("\n<think>a < b</thin</think>x") == [Reasoning("a < b</thin"), Text("x")]
    assert read("<think>never closed") == [Reasoning("never closed")]
    assert read("<thin ice>") == [Text("<thin ice>")]
    assert read("say <think> aloud") == [Text("say <think> aloud")]
    assert read("<think>") == []
    assert read("<") == [Text("<")]


def test_T11_recorded_tags_beside_a_call() -> None:
    name = (
        "compat.gpustack--rubyllm--chat_function_calling_gpustack_qwen3"
        "_can_use_tools_with_multi-turn_streaming_conversations--0"
    )
    assert [type(part) for part in parts(recorded(name))] == [Reasoning, ToolCall]


def test_U02_reports_replace_each_other() -> None:
    answer = fold(recorded("compat.perplexity--vercel--perplexity-citations.chunks--0"))
    assert (answer.usage.input, answer.usage.output) == (10, 336)


def test_U05_usage_hides_in_x_groq_and_in_the_choice() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert fold(stream(chunk({"content": "a"}, "stop", x_groq={"usage": usage}))).usage.output == 2
    moonshot = chunk({"content": "a"}, "stop")
    moonshot["choices"][0]["usage"] = usage
    assert fold(stream(moonshot)).usage.output == 2


def test_U07_reports_behind_each_choices_finish_are_summed() -> None:
    each = fold(recorded("compat.llama-cpp--rig--response_shape_matrix-two_candidates_streaming--0")).usage
    assert (each.prompt, each.output) == (28, 16)
    once = fold(
        recorded("compat.mistral--rig--terminal_metadata_matrix-streaming_mistral_small_tiny_plain_two--0")
    ).usage
    assert (once.prompt, once.output) == (30, 2)


def test_U07_cumulative_reports_of_two_choices_are_not_summed() -> None:
    def report(output: int) -> Json:
        return {"prompt_tokens": 5, "completion_tokens": output}

    events = stream(
        chunk({"content": "a"}, usage=report(1)),
        chunk({"content": "b"}, "stop", index=1, usage=report(2)),
        chunk({"content": "c"}, usage=report(3)),
        chunk({}, "stop", usage=report(4)),
    )
    assert fold(events).usage.output == 4


def test_V01_an_empty_first_chunk_is_no_start_and_the_first_identity_stands() -> None:
    first = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": [{"a": 1}]}
    other = chunk({"content": "b"}, "stop", id="other", model="n")
    events = stream(first, chunk({"content": "a"}), other)
    assert isinstance(events[0], Started)
    assert (events[0].id, events[0].model) == ("chatcmpl-1", "m")
    assert events[0].extras["openai_chat"]["prompt_filter_results"] == [{"a": 1}]


def test_V03_perplexity_repeats_the_whole_answer_beside_the_delta() -> None:
    answer = fold(recorded("compat.perplexity--lcgo--TestTool_Integration--0"))
    text = answer.parts[0]
    assert isinstance(text, Text)
    assert len(answer.parts) == 1
    assert text.text.count("largest country") == 1
    assert text.citations


def test_B03_half_a_character_waits_for_the_other_half() -> None:
    frames = [json.dumps(chunk({"content": "X"})).replace('"X"', half) for half in ('"\\ud83d"', '"\\ude00"')]
    raw = "".join(f"data: {frame}\n\n" for frame in [*frames, json.dumps(END)]) + "data: [DONE]\n\n"
    assert parts(feed(raw.encode())) == [Text("\U0001f600")]


def test_B07_a_whole_body_on_a_streaming_call_is_read() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}
    assert parts(feed(json.dumps(body).encode(), 5)) == [Text("a")]


def test_logprobs_stay_with_their_text() -> None:
    token = {"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}
    payload = chunk({"content": "a"})
    payload["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    assert parts(stream(payload, END)) == [Text("a", logprobs=[token])]


def test_speech_arrives_whole_with_its_words() -> None:
    events = stream(
        chunk({"audio": {"id": "audio_1", "transcript": "be"}}),
        chunk({"audio": {"data": "QU", "transcript": "ep"}}),
        chunk({"audio": {"data": "I=", "expires_at": 9}}),
        END,
    )
    text, sound = parts(events)
    assert isinstance(text, Text)
    assert isinstance(sound, Media)
    assert (text.text, sound.value) == ("beep", "QUI=")


PIECES: list[Json] = [
    chunk({"content": "a"}),
    chunk({"content": " "}),
    chunk({"reasoning_content": "r"}),
    chunk({"refusal": "n"}),
    chunk(call(0, "c0", "f", '{"a":')),
    chunk(call(0, None, None, "1}")),
    chunk(call(1, "c1", "g", "{}")),
    chunk(call(1, None, "", "")),
    chunk({"content": "x"}, index=1),
    chunk({}, "stop"),
    chunk({}, "stop", index=1),
    chunk(None, usage={"prompt_tokens": 1, "completion_tokens": 1}),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
def test_S04_every_interleaving_keeps_the_grammar_both_ways(payloads: list[Json]) -> None:
    events = stream(*payloads)
    if isinstance(events[-1], Failed):
        return
    answer = fold(events)
    again = fold(feed(write(events)))
    assert [words(choice.parts) for choice in again.choices] == [words(choice.parts) for choice in answer.choices]


def words(found: list[Part]) -> list[tuple[str, str]]:
    """Kind and words; neighbours of one kind are one, because Chat has one text per message."""
    said = [(type(part).__name__, getattr(part, "arguments", getattr(part, "text", ""))) for part in found]
    return [(kind, "".join(text for _, text in group)) for kind, group in itertools.groupby(said, lambda one: one[0])]


def asked(**fields: Any) -> Asked:
    body = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "stream": True, **fields}
    return Asked(chat.read_request(body), "asked", "5eed", 1700000000)


WITH_USAGE: Json = {"stream_options": {"include_usage": True}}


def write(events: list[Event], call: Asked | None = None) -> bytes:
    writer = chat.StreamWriter(call or asked(**WITH_USAGE))
    return b"".join(writer.write(event) for event in events)


JUNK: list[Any] = [None, "", 0, True, 1.5, "x", [], {}, [None], [1], ["x"], [{}], {"a": 1}]


@pytest.mark.parametrize(
    "path", ["choices", "usage", "index", "delta", "finish_reason", "logprobs", "error", *PIECES[4]]
)
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_X09_junk_in_any_place_never_breaks_the_reader(path: str, junk: Any) -> None:
    payload = json.loads(json.dumps(chunk({"content": "b", **call(0, "c", "f", "{}")})))
    place = payload if path in payload or path in ("usage", "error") else payload["choices"][0]
    place[path] = junk
    for field in ("content", "reasoning_content", "reasoning_details", "tool_calls", "annotations", "audio", "images"):
        other = chunk({"content": "c", field: junk})
        events = stream(chunk({"content": "a"}), payload, other, END)
        write(events)
