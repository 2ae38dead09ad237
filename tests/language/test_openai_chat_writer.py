"""Chat streams as clients get them: the writer's rules one by one."""

from __future__ import annotations

import json
from typing import Any

from dragoman.language.dialects import openai_chat as chat
from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    unfold,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Finish,
    Opaque,
    Part,
    Reasoning,
    Response,
    Text,
    ToolCall,
    Usage,
)
from tests.language.test_openai_chat_stream import asked, feed, parts, write


def frames(raw: bytes) -> list[Any]:
    """Payloads of the frames; ``[DONE]`` as it is."""
    assert raw.endswith(b"\n\n")
    datas = [block.removeprefix(b"data: ") for block in raw[:-2].split(b"\n\n")]
    return [data.decode() if data == b"[DONE]" else json.loads(data) for data in datas]


def shown(*found: Part, finish: str = "end", **kwargs: Any) -> list[Any]:
    response = Response("msg_1", "claude", [Choice(list(found), Finish(finish))], **kwargs)  # type: ignore[arg-type]
    return frames(write(list(unfold(response))))


def test_S13_a_stream_ends_in_one_reason_usage_and_one_done() -> None:
    out = shown(Text("a"), usage=Usage(input=3, output=4))
    assert [item == "[DONE]" for item in out] == [False] * (len(out) - 1) + [True]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in out[:-2]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert out[-2]["choices"] == []
    assert out[-2]["usage"]["total_tokens"] == 7
    assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in out[:-1]} == {
        ("chatcmpl-5eed", "asked", 1700000000)
    }


def test_U06_the_usage_chunk_is_withheld_from_those_who_did_not_ask() -> None:
    raw = write(list(unfold(Response("x", "m", [Choice([Text("a")], Finish("end"))]))), asked())
    assert b'"usage"' not in raw


def test_the_role_comes_once_per_choice_and_first() -> None:
    choices = [Choice([Text("a"), ToolCall("c", "f", "{}")], Finish("tool_calls")), Choice([Text("b")], Finish("end"))]
    out = frames(write(list(unfold(Response("x", "m", choices)))))
    seen = [chunk["choices"][0] for chunk in out[:-2]]
    for number in (0, 1):
        mine = [choice["delta"] for choice in seen if choice["index"] == number]
        assert ["role" in delta for delta in mine] == [True] + [False] * (len(mine) - 1)


def test_S08_written_indices_are_contiguous_per_choice_and_names_come_once() -> None:
    events: list[Event] = [
        Started("x", "m"),
        PartStarted(3, ToolCall("a", "f", "")),
        PartStarted(7, ToolCall("b", "g", "")),
        PartDelta(7, "[1"),
        PartDelta(3, "{}"),
        PartDelta(7, "]"),
        PartEnded(3),
        PartEnded(7),
        Finished([Finish("tool_calls")]),
    ]
    deltas = [chunk["choices"][0]["delta"] for chunk in frames(write(events))[:-2]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [one["index"] for one in calls] == [0, 1, 1, 0, 1]
    assert [one.get("id") for one in calls] == ["a", "b", None, None, None]
    assert [one["function"].get("name") for one in calls] == ["f", "g", None, None, None]


def test_S09_a_call_without_arguments_says_an_empty_object() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in shown(ToolCall("c", "f", ""), finish="tool_calls")[:-2]]
    assert [d["tool_calls"][0]["function"]["arguments"] for d in deltas if "tool_calls" in d] == ["", "{}"]


def test_T11_thoughts_leave_as_reasoning_content_only() -> None:
    out = shown(Reasoning("hm"), Text("a"))
    deltas = [chunk["choices"][0]["delta"] for chunk in out[:-2]]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["hm"]
    assert "<think>" not in json.dumps(out)


def test_T02_a_foreign_signature_travels_sealed_and_comes_back() -> None:
    thoughts = [
        Reasoning("hm", {"anthropic": {"signature": "s1"}}),
        Reasoning("so", {"anthropic": {"signature": "s2"}}),
    ]
    raw = write(list(unfold(Response("x", "m", [Choice([*thoughts, Text("a")], Finish("end"))]))))
    details = [
        entry for chunk in frames(raw)[:-2] for entry in chunk["choices"][0]["delta"].get("reasoning_details", [])
    ]
    assert [entry["index"] for entry in details] == [0, 1]
    assert b"s1" not in raw
    signed = [part.extras.get("anthropic") for part in parts(feed(raw)) if isinstance(part, Reasoning)]
    assert {"signature": "s2"} in signed


def test_E04_a_failure_is_an_error_object_and_nothing_that_looks_like_success() -> None:
    events: list[Event] = [
        Started("x", "m"),
        PartStarted(0, Text("")),
        PartDelta(0, "a"),
        PartEnded(0),
        Failed(Failure("server", "boom")),
    ]
    out = frames(write(events))
    assert out[-1] == {"error": {"message": "boom", "type": "server_error", "param": None, "code": "server_error"}}
    assert "[DONE]" not in out
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in out[:-1])


def test_C11_custom_calls_stream_in_the_form_of_their_declaration() -> None:
    answer = Response("x", "m", [Choice([ToolCall("c", "patch", "*** Begin", "custom")], Finish("tool_calls"))])
    nested = asked(tools=[{"type": "custom", "custom": {"name": "patch"}}])
    flat = asked(tools=[{"type": "custom", "name": "patch"}])
    for call, kind, field in ((nested, "custom", "input"), (flat, "function", "arguments")):
        out = frames(write(list(unfold(answer)), call))
        found = [
            c["choices"][0]["delta"]["tool_calls"][0] for c in out[:-1] if "tool_calls" in c["choices"][0]["delta"]
        ]
        assert found[0][kind]["name"] == "patch"
        assert "".join(one[kind][field] for one in found) == "*** Begin"


def test_legacy_clients_get_a_function_call() -> None:
    call = asked(functions=[{"name": "f", "parameters": {}}])
    answer = Response("x", "m", [Choice([ToolCall("c", "f", '{"a":1}')], Finish("tool_calls"))])
    out = frames(write(list(unfold(answer)), call))
    found = [
        chunk["choices"][0]["delta"]["function_call"]
        for chunk in out[:-1]
        if "function_call" in chunk["choices"][0]["delta"]
    ]
    assert found == [{"name": "f", "arguments": ""}, {"arguments": '{"a":1}'}]
    assert out[-2]["choices"][0]["finish_reason"] == "function_call"


def test_R12_legacy_clients_are_given_one_call_at_a_time() -> None:
    call = asked(functions=[{"name": "f", "parameters": {}}])
    assert call.request.parallel_tools is False
    calls: list[Part] = [ToolCall("c", "f", '{"a":1}'), ToolCall("d", "f", '{"a":2}')]
    answer = Response("x", "m", [Choice(calls, Finish("tool_calls"))])
    message = chat.write_response(answer, call)["choices"][0]["message"]
    assert message["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    deltas = [chunk["choices"][0]["delta"] for chunk in frames(write(list(unfold(answer)), call))[:-1]]
    pieces = [delta["function_call"] for delta in deltas if "function_call" in delta]
    assert "".join(piece["arguments"] for piece in pieces) == '{"a":1}'
    assert [loss.what for loss in call.receipt.losses] == ["dropped"]


def test_V10_annotations_are_numbered_and_count_from_the_start_of_the_message() -> None:
    cited = [Text("The "), Text("river", citations=[Citation("https://a.example", "A", start=0, end=5)])]
    deltas = [chunk["choices"][0]["delta"] for chunk in shown(*cited)[:-2]]
    annotation = next(delta["annotations"][0] for delta in deltas if "annotations" in delta)
    assert annotation["index"] == 0
    assert (annotation["url_citation"]["start_index"], annotation["url_citation"]["end_index"]) == (4, 9)


def test_C16_foreign_items_are_noted_and_left_out() -> None:
    call = asked()
    answer = Response("x", "m", [Choice([Opaque("anthropic", {"type": "server_tool_use"})], Finish("end"))])
    assert b"server_tool_use" not in write(list(unfold(answer)), call)
    assert call.receipt.header() == "dropped=1"


def test_B03_lone_halves_never_break_a_stream() -> None:
    assert shown(Text("a\ud83d"))[1]["choices"][0]["delta"]["content"] == "a\ufffd"


def test_E11_a_ping_is_a_comment() -> None:
    assert chat.StreamWriter(asked()).ping() == b": ping\n\n"
