"""How answers of Chat and Responses reach a Messages client, whole and streamed (compat §3.6, §3.7; T-18 to T-31).

``folded`` checks the grammar of each stream: blocks one after another from 0, nothing behind the end, no ``[DONE]``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.registry import DIALECTS
from tests.compat.azure import body as responses_body
from tests.compat.azure import call, message, thought
from tests.compat.azure import stream as responses_stream
from tests.compat.upstreams import (
    APIS,
    LOOK,
    Place,
    call_delta,
    chat_call,
    chat_message,
    delta,
    folded,
    stream_of,
    upstream,
)
from tests.relay.rig import DONE, Asked, Wire, events_of, replay, whole

THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
EXACT = '{"path": "a/ü\\u00e9.py",\n  "n": 1.50, "deep": {"a": [1, 2]}}'


def uses(answer: Any) -> list[tuple[str, str, Any]]:
    """The calls of a message."""
    blocks = [block for block in answer["content"] if block["type"] == "tool_use"]
    return [(block["id"], block["name"], block["input"]) for block in blocks]


def kinds(answer: Any) -> list[str]:
    """The types of a message's blocks."""
    return [block["type"] for block in answer["content"]]


def partial_json(data: bytes) -> str:
    """The argument fragments of a stream, joined."""
    deltas = [event["delta"] for event in events_of(data) if event["type"] == "content_block_delta"]
    return "".join(one["partial_json"] for one in deltas if one["type"] == "input_json_delta")


async def streamed(place: Place, *chunks: bytes, **fields: Any) -> Any:
    """The message of a scripted stream."""
    place.rig.provider.script = replay(*chunks)
    return await place.ask(stream=True, tools=[LOOK], **fields)


async def failed(place: Place, *chunks: bytes, **fields: Any) -> list[Any]:
    """The events of a scripted stream that must end in an error."""
    place.rig.provider.script = replay(*chunks)
    status, data = await place.post(stream=True, tools=[LOOK], **fields)
    assert status == 200
    events = events_of(data)
    assert events[-1]["type"] == "error"
    assert events[-1].keys() >= {"type", "error"}
    assert "message_stop" not in [event["type"] for event in events]
    assert not [event for event in events if event["type"] == "message_delta"], "no success before the error"
    return events


def opened() -> list[dict[str, Any]]:
    return delta(role="assistant")


# ---------------------------------------------------------------- calls


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_T_18_fragments_join_to_the_exact_arguments(size: int) -> None:
    pieces = [EXACT[at : at + size] for at in range(0, len(EXACT), size)]
    first = delta(tool_calls=[call_delta(0, "", id="call_1", type="function", name="look")])
    rest = [delta(tool_calls=[call_delta(0, piece)]) for piece in pieces]
    async with upstream("chat") as place:
        place.rig.provider.script = replay(*stream_of(opened(), first, *rest, delta("tool_calls")))
        _, data = await place.post(stream=True, tools=[LOOK])
        assert partial_json(data) == EXACT
        answer = folded(data)
        assert uses(answer) == [("call_1", "look", json.loads(EXACT))]
        assert answer["stop_reason"] == "tool_use"


async def test_T_18_also_from_responses() -> None:
    async with upstream("responses") as place:
        place.says(call("look", EXACT))
        _, data = await place.post(stream=True, tools=[LOOK])
        assert partial_json(data) == EXACT
        assert uses(folded(data)) == [("call_1", "look", json.loads(EXACT))]


TWO = [("call_a", "look", {"at": 1}), ("call_b", "look", {"at": 2})]


async def test_T_19_interleaved_calls_become_blocks_one_after_another() -> None:
    chunks = [
        delta(tool_calls=[call_delta(0, "", id="call_a", type="function", name="look")]),
        delta(tool_calls=[call_delta(1, "", id="call_b", type="function", name="look")]),
        delta(tool_calls=[call_delta(0, '{"at"')]),
        delta(tool_calls=[call_delta(1, '{"at"'), call_delta(0, ": ")]),
        delta(tool_calls=[call_delta(1, ": 2}")]),
        delta(tool_calls=[call_delta(0, "1}")]),
    ]
    async with upstream("chat") as place:
        answer = await streamed(place, *stream_of(opened(), *chunks, delta("tool_calls")))
        assert kinds(answer) == ["tool_use", "tool_use"]
        assert uses(answer) == TWO


async def test_T_19_interleaved_items_of_responses_too() -> None:
    items = [call("look", '{"at": 1}', "call_a"), call("look", '{"at": 2}', "call_b")]
    frames = responses_stream(*items)
    created, *middle, completed = frames
    half = len(middle) // 2
    both = [frame for pair in zip(middle[:half], middle[half:], strict=True) for frame in pair]
    async with upstream("responses") as place:
        answer = await streamed(place, created, *both, completed)
        assert uses(answer) == TWO


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_19_two_calls_whole_and_streamed(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        place.says(call("look", '{"at": 1}', "call_a"), call("look", '{"at": 2}', "call_b"))
        answer = await place.ask(tools=[LOOK], stream=stream)
        assert uses(answer) == TWO
        assert (kinds(answer), answer["stop_reason"]) == (["tool_use", "tool_use"], "tool_use")


async def test_T_20_text_behind_a_call_opens_a_block_of_its_own() -> None:
    chunks = [
        delta(content="one"),
        delta(tool_calls=[call_delta(0, '{"at": 1}', id="call_1", type="function", name="look")]),
        delta(content="two"),
        delta(content=" more"),
    ]
    async with upstream("chat") as place:
        answer = await streamed(place, *stream_of(opened(), *chunks, delta("tool_calls")))
        assert kinds(answer) == ["text", "tool_use", "text"]
        assert [block["text"] for block in answer["content"][::2]] == ["one", "two more"]


@pytest.mark.parametrize("stream", [False, True])
async def test_T_20_three_items_of_responses_are_three_blocks(stream: bool) -> None:
    second = {**message("two"), "id": "msg_2"}
    async with upstream("responses") as place:
        place.says(message("one"), call("look", '{"at": 1}'), second)
        answer = await place.ask(tools=[LOOK], stream=stream)
        assert kinds(answer) == ["text", "tool_use", "text"]
        assert [block["text"] for block in answer["content"][::2]] == ["one", "two"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", [{}, THINK])
@pytest.mark.parametrize("api", APIS)
async def test_T_21_a_call_alone_is_block_0_and_no_thought_leaves_no_gap(
    api: str, fields: dict[str, Any], stream: bool
) -> None:
    """A thought that only its owner can read is kept for it, out of sight (trap T09); it is no empty block."""
    async with upstream(api) as place:
        empty = {"id": "rs_1", "type": "reasoning", "summary": []}
        place.says(*([empty] if api == "responses" and fields else []), call("look", '{"at": 1}'))
        answer = await place.ask(tools=[LOOK], stream=stream, model="gpt-5", **fields)
        assert answer["content"][-1] == {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}}
        for block in answer["content"][:-1]:
            assert (api, block["type"]) == ("responses", "redacted_thinking")
            assert block["data"]


# ---------------------------------------------------------------- ends


STOPS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "function_call", "content_filter", "error",
                                    "cancelled", "eos", "", None])  # fmt: skip
async def test_T_22_only_words_of_anthropic_end_a_stream_and_no_done(finish: str | None) -> None:
    async with upstream("chat") as place:
        place.says(message("Hi"), finish=finish)
        _, data = await place.post(stream=True)
        assert b"[DONE]" not in data
        for event in events_of(data):
            reason = event.get("delta", {}).get("stop_reason")
            assert reason is None or reason in STOPS
            if event["type"] == "message_delta":
                assert reason is not None


@pytest.mark.parametrize("status", ["completed", "incomplete"])
async def test_T_22_also_from_responses(status: str) -> None:
    async with upstream("responses") as place:
        place.says(message("Hi"), status=status)
        place.rig.provider.script = replay(*responses_stream(message("Hi"), status=status), DONE)
        answer = await place.ask(stream=True)
        assert answer["stop_reason"] in STOPS


ARRIVALS: dict[str, list[dict[str, Any]]] = {
    "id and name late": [
        call_delta(0, '{"at"'),
        call_delta(0, ": 1}", id="call_1"),
        call_delta(0, "", name="look"),
    ],
    "name first, id later": [call_delta(0, "", name="look"), call_delta(0, '{"at": 1}', id="call_1")],
    "whole in one delta": [call_delta(0, '{"at": 1}', id="call_1", type="function", name="look")],
    "no index": [call_delta(None, '{"at": 1}', id="call_1", type="function", name="look")],
    "id in the first delta only": [
        call_delta(0, "", id="call_1", type="function", name="look"),
        call_delta(0, '{"at"', id=None, name=None),
        call_delta(0, ": 1}", id="", name=""),
    ],
    "id and name in every delta": [
        call_delta(0, piece, id="call_1", type="function", name="look") for piece in ('{"at"', ": 1}")
    ],
}


@pytest.mark.parametrize("how", ARRIVALS)
async def test_T_23_a_call_is_one_block_however_it_comes(how: str) -> None:
    chunks = [delta(tool_calls=[entry]) for entry in ARRIVALS[how]]
    async with upstream("chat") as place:
        answer = await streamed(place, *stream_of(opened(), *chunks, delta("tool_calls")))
        assert answer["content"] == [{"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}}]


async def test_T_24_a_chat_stream_that_is_cut_is_an_error() -> None:
    cut = stream_of(opened(), delta(content="half"), usage=None, done=False)
    calling = delta(tool_calls=[call_delta(0, '{"at"', id="call_1", type="function", name="look")])
    async with upstream("chat") as place:
        for chunks in (cut, stream_of(opened(), calling, usage=None, done=False)):
            [*_, error] = await failed(place, *chunks)
            assert error["error"]["type"] == "api_error"


async def test_T_24_a_responses_stream_that_is_cut_is_an_error() -> None:
    async with upstream("responses") as place:
        for items in ([message("half a text")], [call("look", '{"at": 1}')]):
            await failed(place, *responses_stream(*items)[:-1])


async def test_T_24_a_connection_that_breaks_is_an_error() -> None:
    async def broken(asked: Asked, wire: Wire) -> None:
        await wire.stream(*stream_of(opened(), delta(content="half"), usage=None, done=False), end=False)
        wire.reset()

    async with upstream("chat") as place:
        place.rig.provider.script = broken
        _, data = await place.post(stream=True)
        assert events_of(data)[-1]["type"] == "error"
        assert b"end_turn" not in data


@pytest.mark.parametrize("stream", [False, True])
async def test_T_25_incomplete_is_max_tokens(stream: bool) -> None:
    async with upstream("responses") as place:
        place.says(message("half"), status="incomplete")
        answer = await place.ask(stream=stream)
        assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": "half"}], "max_tokens")


FAILED = {"code": "server_error", "message": "the model gave up"}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_T_25_a_failed_answer_is_an_error(status: str) -> None:
    body = {**responses_body(message("half")), "status": status, "error": FAILED if status == "failed" else None}
    async with upstream("responses") as place:
        place.rig.provider.script = whole(body)
        got, answer = await place.post()
        assert got >= 500
        assert answer["type"] == "error"
        if status == "failed":
            assert answer["error"]["message"] == "the model gave up"


@pytest.mark.parametrize("kind", ["response.failed", "error"])
async def test_T_25_a_failure_in_the_stream_is_an_error(kind: str) -> None:
    begun = responses_stream(message("half"))[:4]
    event: dict[str, Any] = {"type": "error", "sequence_number": 9, "param": None, **FAILED}
    if kind == "response.failed":
        response = {**responses_body(message("half")), "status": "failed", "error": FAILED}
        event = {"type": kind, "sequence_number": 9, "response": response}
    last = f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()
    async with upstream("responses") as place:
        events = await failed(place, *begun, last)
        assert events[-1]["error"]["message"] == "the model gave up"


async def test_T_26_documented_events_are_live_and_counted_once() -> None:
    frames = responses_stream(thought("I should look"), call("look", '{"at": 1}'))
    done = {"type": "response.function_call_arguments.done", "item_id": "fc_call_1", "output_index": 1,
            "arguments": '{"at": 1}', "sequence_number": 90}  # fmt: skip
    summed = {"type": "response.reasoning_summary_text.done", "item_id": "rs_1", "output_index": 0,
              "summary_index": 0, "text": "I should look", "sequence_number": 91}  # fmt: skip
    at = next(at for at, frame in enumerate(frames) if b"response.output_item.done" in frame)
    frames.insert(at, f"event: {summed['type']}\ndata: {json.dumps(summed)}\n\n".encode())
    frames.insert(len(frames) - 2, f"event: {done['type']}\ndata: {json.dumps(done)}\n\n".encode())
    async with upstream("responses") as place:
        place.rig.provider.script = replay(*frames)
        _, data = await place.post(stream=True, tools=[LOOK], model="gpt-5", **THINK)
        deltas = [event["delta"]["type"] for event in events_of(data) if event["type"] == "content_block_delta"]
        assert deltas.count("thinking_delta") == 2, "each delta leaves as it comes"
        assert deltas.count("input_json_delta") == 2
        assert partial_json(data) == '{"at": 1}'
        assert folded(data)["content"][0]["thinking"] == "I should look"


async def test_T_26_arguments_that_come_only_at_the_end_come_once() -> None:
    frames = [frame for frame in responses_stream(call("look", '{"at": 1}')) if b"arguments.delta" not in frame]
    async with upstream("responses") as place:
        assert uses(await streamed(place, *frames)) == [("call_1", "look", {"at": 1})]


FILTERED: dict[str, Any] = {
    "id": "", "object": "", "created": 0, "model": "", "choices": [],
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
}  # fmt: skip


async def test_T_27_chunks_without_choices_are_passed_over() -> None:
    filtered = b"data: " + json.dumps(FILTERED).encode() + b"\n\n"
    said = stream_of(opened(), delta(content="Hi"), delta("stop"))
    async with upstream("chat") as place:
        answer = await streamed(place, filtered, said[0], filtered, *said[1:])
        assert answer["content"] == [{"type": "text", "text": "Hi"}]
        assert answer["stop_reason"] == "end_turn"
        assert answer["id"].startswith("msg_")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_27_an_upstream_that_says_nothing_is_an_error(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        place.rig.provider.script = replay()
        status, answer = await place.post(stream=stream)
        if status == 200:
            answer = events_of(answer)[-1]
        assert status in (200, 502)
        assert (answer["type"], answer["error"]["type"]) == ("error", "api_error")


# ---------------------------------------------------------------- numbers, reasons, odd values


async def test_T_28_usage_behind_the_finish_is_in_the_last_delta() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
             "prompt_tokens_details": {"cached_tokens": 80}}  # fmt: skip
    chunks = stream_of(opened(), delta(content="Hi"), delta("stop"), usage=usage)
    async with upstream("chat") as place:
        place.rig.provider.script = replay(*chunks)
        _, data = await place.post(stream=True)
        assert place.sent["stream_options"] == {"include_usage": True}
        last = events_of(data)[-2]["usage"]
        assert (last["input_tokens"], last["cache_read_input_tokens"], last["output_tokens"]) == (20, 80, 7)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_28_cached_tokens_are_counted_once(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        usage = (await place.ask(stream=stream))["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (20, 100, 30)
        record = await place.rig.record()
        assert (record.usage.input, record.usage.cache_read, record.usage.output) == (20, 100, 30)


REASONS: list[tuple[str | None, bool, str]] = [
    ("content_filter", False, "refusal"),
    ("function_call", True, "tool_use"),
    (None, True, "tool_use"),
    (None, False, "end_turn"),
    ("stop", True, "tool_use"),
    ("stop", False, "end_turn"),
    ("length", False, "max_tokens"),
    ("something_new", False, "end_turn"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("finish", "calls", "expected"), REASONS)
async def test_T_29_reasons(finish: str | None, calls: bool, expected: str, stream: bool) -> None:
    async with upstream("chat") as place:
        place.says(message("Hi"), *([call("look", '{"at": 1}')] if calls else []), finish=finish)
        answer = await place.ask(stream=stream, tools=[LOOK])
        assert answer["stop_reason"] == expected
        assert answer["stop_sequence"] is None


@pytest.mark.parametrize("stream", [False, True])
async def test_T_29_a_legacy_function_call_is_a_tool_use(stream: bool) -> None:
    said: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "look", "arguments": '{"at": 1}'},
    }
    async with upstream("chat") as place:
        if stream:
            place.rig.provider.script = replay(*stream_of(delta(**said), delta("function_call")))
        else:
            choice = {"index": 0, "message": said, "finish_reason": "function_call"}
            place.rig.provider.script = whole({"id": "chatcmpl-1", "choices": [choice], "model": "m"})
        answer = await place.ask(stream=stream, tools=[LOOK])
        [(identifier, name, given)] = uses(answer)
        assert identifier
        assert (name, given, answer["stop_reason"]) == ("look", {"at": 1}, "tool_use")


@pytest.mark.parametrize("stream", [False, True])
async def test_T_29_a_refusal_of_responses_is_a_refusal(stream: bool) -> None:
    no = {**message(""), "content": [{"type": "refusal", "refusal": "I will not"}]}
    async with upstream("responses") as place:
        if stream:
            whole_answer = responses_body(no)
            events: list[dict[str, Any]] = [
                {"type": "response.created", "response": {**whole_answer, "status": "in_progress", "output": []}},
                {"type": "response.output_item.added", "output_index": 0, "item": {**no, "content": []}},
                {"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1",
                 "delta": "I will not"},
                {"type": "response.output_item.done", "output_index": 0, "item": no},
                {"type": "response.completed", "response": whole_answer},
            ]  # fmt: skip
            frames = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
            place.rig.provider.script = replay(*frames)
        else:
            place.rig.provider.script = whole(responses_body(no))
        answer = await place.ask(stream=stream)
        assert answer["stop_reason"] == "refusal"
        assert answer["content"][0]["text"] == "I will not"


BROKEN: list[tuple[str, Any]] = [
    ('{"at": 1', {"raw": '{"at": 1'}),
    ("look at it", {"raw": "look at it"}),
    ("[1, 2]", {"value": [1, 2]}),
    ("7", {"value": 7}),
    ('"words"', {"value": "words"}),
    ("null", {}),
    ("", {}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_30_arguments_that_are_no_object_are_kept(api: str, stream: bool) -> None:
    """No arguments at all are ``{}`` (trap S09). What begins as an object streams as it comes (T-18, trap S15)."""
    async with upstream(api) as place:
        for arguments, expected in BROKEN:
            place.says(call("look", arguments))
            status, answer = await place.post(tools=[LOOK], stream=stream)
            assert status == 200
            if stream and arguments.startswith("{"):
                assert partial_json(answer) == arguments
            else:
                assert uses(folded(answer) if stream else answer) == [("call_1", "look", expected)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", [None, "", "Hi"])
async def test_T_31_thoughts_are_shown_where_asked_for(content: str | None, stream: bool) -> None:
    async with upstream("chat") as place:
        if content:
            place.says(thought("Let me see"), message(content))
        else:
            place.says(thought("Let me see"))
        answer = await place.ask(stream=stream)
        assert "None" not in json.dumps(answer["content"])
        assert "thinking" not in kinds(answer)
        assert answer["content"] == [{"type": "text", "text": content or ""}]
        answer = await place.ask(stream=stream, model="gpt-5", **THINK)
        assert answer["content"][0]["thinking"] == "Let me see"
        assert answer["content"][0]["signature"]
        assert "None" not in json.dumps(answer["content"])


@pytest.mark.parametrize("stream", [False, True])
async def test_T_31_thoughts_of_responses_are_shown_where_asked_for(stream: bool) -> None:
    async with upstream("responses") as place:
        place.says(thought("Let me see"), message("Hi"))
        assert kinds(await place.ask(stream=stream)) == ["text"]
        answer = await place.ask(stream=stream, **THINK)
        assert kinds(answer) == ["thinking", "text"]
        assert answer["content"][0]["thinking"] == "Let me see"
        assert answer["content"][0]["signature"]


def test_the_chat_answers_of_these_tests_say_what_the_items_say() -> None:
    assert chat_message(thought("t"), message("m"), call("look", "{}")) == {
        "role": "assistant",
        "content": "m",
        "reasoning_content": "t",
        "tool_calls": [chat_call("call_1", "look", "{}")],
    }


def test_T_25_an_incomplete_answer_without_a_reason_was_cut() -> None:
    body: dict[str, Any] = {"id": "resp_1", "model": "m", "status": "incomplete", "output": []}
    response = DIALECTS["openai_responses"].read_response(body)
    assert response.finish.reason == "length"
