"""A provider pauses a long turn, and a client that knows no pause gets one whole answer (trap S20)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.language.events import Event, check, fold
from dragoman.language.ir import Usage
from dragoman.language.registry import DIALECTS
from dragoman.relay.rounds import MOST, Rounds, joined, paused
from dragoman.relay.streaming import Patience
from tests import corpus
from tests.patience import SOON
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, Asked, Rig, Script, Wire, events_of, running
from tests.relay.test_survival import two_accounts

FIRST = "anthropic-messages--pydai--test_pause_turn_web_search_vcr--0"
SECOND = "anthropic-messages--pydai--test_pause_turn_web_search_vcr--1"

CLIENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", "/v1/chat/completions", CHAT_ASK),
    "openai_responses": ("/v1/responses", "/v1/responses", RESPONSES_ASK),
    "gemini": ("/v1beta/models/x:generateContent", "/v1beta/models/x:streamGenerateContent?alt=sse", GEMINI_ASK),
}
"""Clients that know no pause: path of a whole answer, path of a stream, body."""

ALL = pytest.mark.parametrize("dialect", CLIENTS)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

SEARCH = [
    {"type": "thinking", "thinking": "I must look.", "signature": "c2lnbmVk"},
    {"type": "text", "text": "Looking. "},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}},
]
FOUND = [
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]},
    {"type": "text", "text": "Still. "},
    {"type": "server_tool_use", "id": "srvtoolu_2", "name": "web_search", "input": {"query": "b"}},
]
ANSWER = [
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_2", "content": [{"type": "web_search_result"}]},
    {"type": "text", "text": "Done."},
]
CALL = [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}]


# ---------------------------------------------------------------- what the provider says


def message(content: list[Any], stop: str = "pause_turn", **usage: int) -> dict[str, Any]:
    """A whole message."""
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "content": content,
        "stop_reason": stop, "stop_sequence": None,
        "usage": usage or {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 5},
    }  # fmt: skip


def frames(body: dict[str, Any]) -> list[bytes]:
    """The same message as a stream."""
    usage = body["usage"]
    start = {**body, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    payloads: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for at, block in enumerate(body["content"]):
        empty, deltas = opened(block)
        payloads.append({"type": "content_block_start", "index": at, "content_block": empty})
        payloads += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
        payloads.append({"type": "content_block_stop", "index": at})
    ending = {"stop_reason": body["stop_reason"], "stop_sequence": None}
    payloads.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}})
    payloads.append({"type": "message_stop"})
    return [f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n".encode() for payload in payloads]


def opened(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it opens, and the deltas that complete it."""
    kind = block["type"]
    if kind == "text":
        cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations") or []]
        return {**block, "text": ""} | ({"citations": []} if cited else {}), [
            {"type": "text_delta", "text": block["text"]},
            *cited,
        ]
    if kind == "thinking":
        return {"type": kind, "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if kind in ("server_tool_use", "tool_use"):
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return block, []


def rounds(*bodies: dict[str, Any]) -> Script:
    """Answer each request in turn; the last answer again and again."""
    count = iter(range(1000))

    async def script(asked: Asked, wire: Wire) -> None:
        body = bodies[min(next(count), len(bodies) - 1)]
        if asked.json.get("stream"):
            await wire.stream(*frames(body))
        else:
            await wire.json(body)

    return script


THREE = (message(SEARCH), message(FOUND), message(ANSWER, "end_turn"))


# ---------------------------------------------------------------- what the client gets


async def ask(rig: Rig, dialect: str, stream: bool, **more: Any) -> tuple[int, Any]:
    """Ask as a client of the dialect: status, and the body or the payloads of the stream."""
    plain, streamed, body = CLIENTS[dialect]
    if stream and dialect != "gemini":
        body = {**body, "stream": True}
    if stream and dialect == "openai_chat":
        body = {**body, "stream_options": {"include_usage": True}}
    status, _, got = await rig.post(streamed if stream else plain, {**body, **more})
    return status, events_of(got) if isinstance(got, bytes) else got


def seen(dialect: str, stream: bool, got: Any) -> tuple[str, str, tuple[int, int]]:
    """Text, the word for the end, and tokens in and out, as the client reads them."""
    return READERS[dialect](got if stream else [got])


def _chat(got: list[Any]) -> tuple[str, str, tuple[int, int]]:
    choices = [choice for one in got for choice in one["choices"]]
    said = [choice.get("delta") or choice.get("message", {}) for choice in choices]
    ends = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(ends) == 1
    usage = next(one["usage"] for one in got if one.get("usage"))
    text = "".join(one.get("content") or "" for one in said)
    return text, ends[0], (usage["prompt_tokens"], usage["completion_tokens"])


def _responses(got: list[Any]) -> tuple[str, str, tuple[int, int]]:
    body = got[-1].get("response", got[-1])
    if len(got) > 1:
        assert [one["sequence_number"] for one in got] == list(range(len(got)))
        places = [one["output_index"] for one in got if one["type"] == "response.output_item.added"]
        assert places == list(range(len(body["output"])))
    texts = [part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]]
    end = (body.get("incomplete_details") or {}).get("reason") or body["status"]
    return "".join(texts), end, (body["usage"]["input_tokens"], body["usage"]["output_tokens"])


def _gemini(got: list[Any]) -> tuple[str, str, tuple[int, int]]:
    candidates = [one["candidates"][0] for one in got if one.get("candidates")]
    parts = [part for one in candidates for part in one.get("content", {}).get("parts", [])]
    ends = [one["finishReason"] for one in candidates if one.get("finishReason")]
    assert len(ends) == 1
    usage = got[-1]["usageMetadata"]
    output = usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    return text, ends[0], (usage["promptTokenCount"], output)


READERS: dict[str, Callable[[list[Any]], tuple[str, str, tuple[int, int]]]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "gemini": _gemini,
}
END = {"openai_chat": "stop", "openai_responses": "completed", "gemini": "STOP"}
SUCCESS = {
    "openai_chat": '"finish_reason": "',
    "openai_responses": '"type": "response.completed"',
    "gemini": '"finishReason": "STOP"',
}
CUT = {"openai_chat": "length", "openai_responses": "max_output_tokens", "gemini": "MAX_TOKENS"}


# ---------------------------------------------------------------- one answer out of several rounds


@ALL
@BOTH
async def test_S20_rounds_reach_the_client_as_one_answer_with_their_usage_summed(dialect: str, stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(*THREE)
        status, got = await ask(rig, dialect, stream)
        assert status == 200
        assert seen(dialect, stream, got) == ("Looking. Still. Done.", END[dialect], (39, 15))
        record = await rig.record()
        assert (record.outcome, record.finish, record.failure) == ("answered", "end", None)
        assert (record.usage.input, record.usage.cache_read, record.usage.output) == (30, 9, 15)
        assert [one.why for one in record.rounds] == ["pause", "pause", ""]
        assert [(one.usage.input, one.usage.cache_read, one.usage.output) for one in record.rounds] == [(10, 3, 5)] * 3
        assert len(rig.records) == 1


@ALL
@BOTH
async def test_S20_the_turn_is_sent_back_unchanged(dialect: str, stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(*THREE)
        await ask(rig, dialect, stream)
        first, second, third = (asked.json for asked in rig.provider.asked)
        assert second["messages"] == [*first["messages"], {"role": "assistant", "content": SEARCH}]
        told = [block for turn in third["messages"][1:] for block in turn["content"]]
        assert told == SEARCH + FOUND
        for later in (second, third):
            assert {**later, "messages": None} == {**first, "messages": None}


async def test_S20_what_was_said_before_is_said_again_in_the_same_bytes() -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(*THREE)
        await ask(rig, "openai_chat", True, messages=[{"role": "user", "content": "Grüße \U0001f600"}])
        first, second, _ = (asked.body for asked in rig.provider.asked)
        history = first[first.index(b'"messages":[') :].partition(b"]}],")[0]
        assert history in second


@BOTH
async def test_S20_every_round_goes_to_the_same_account_with_the_same_key(stream: bool) -> None:
    keys = {"api_key": "one-secret-key", "api_keys": ["two-secret-key", "three-secret-key"]}
    async with running("anthropic", account=keys) as rig:
        rig.provider.script = rounds(*THREE * 6)
        for number in range(6):
            await ask(rig, "openai_chat", stream, messages=[{"role": "user", "content": f"conversation {number}"}])
        used = [asked.headers["x-api-key"] for asked in rig.provider.asked]
        assert len(used) == 18
        assert len(set(used)) > 1
        assert all(len(set(used[at : at + 3])) == 1 for at in range(0, 18, 3))


@BOTH
async def test_S20_an_anthropic_client_gets_the_pause_itself(stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(*THREE)
        status, _, got = await rig.post("/v1/messages", {**ASK, "stream": stream})
        assert (status, len(rig.provider.asked)) == (200, 1)
        if stream:
            assert events_of(got)[1:] == events_of(b"".join(frames(THREE[0])))[1:]
        else:
            assert (got["stop_reason"], got["content"]) == ("pause_turn", SEARCH)
        assert (await rig.record()).rounds == []


@ALL
@BOTH
async def test_S20_an_answer_without_a_pause_has_no_rounds(dialect: str, stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(message([{"type": "text", "text": "Hi"}], "end_turn"))
        _, got = await ask(rig, dialect, stream)
        assert seen(dialect, stream, got) == ("Hi", END[dialect], (13, 5))
        assert len(rig.provider.asked) == 1
        assert (await rig.record()).rounds == []


# ---------------------------------------------------------------- where rounds end


@ALL
@BOTH
async def test_S20_rounds_are_bounded_and_the_cut_is_told(dialect: str, stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(message([{"type": "text", "text": "on "}]))
        status, got = await ask(rig, dialect, stream)
        assert (status, len(rig.provider.asked)) == (200, MOST)
        assert seen(dialect, stream, got) == ("on " * MOST, CUT[dialect], (13 * MOST, 5 * MOST))
        assert len((await rig.record()).rounds) == MOST


@BOTH
async def test_S20_a_pause_with_a_call_is_the_clients_turn(stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(message(SEARCH), message([*FOUND, *CALL]))
        tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
        _, got = await ask(rig, "openai_chat", stream, tools=tools)
        text, end, _ = seen("openai_chat", stream, got)
        assert (text, end, len(rig.provider.asked)) == ("Looking. Still. ", "tool_calls", 2)


@BOTH
async def test_S20_a_pause_after_nothing_is_not_repeated(stream: bool) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = rounds(message([]))
        _, got = await ask(rig, "openai_chat", stream)
        assert seen("openai_chat", stream, got)[1] == "length"
        assert len(rig.provider.asked) == 1


async def test_S20_a_pause_whose_stream_just_stops_is_a_pause() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        last = len(rig.provider.asked) > 1
        pieces = frames(THREE[2] if last else THREE[0])
        await wire.stream(*(pieces if last else pieces[:-1]))

    async with running("anthropic") as rig:
        rig.provider.script = script
        _, got = await ask(rig, "openai_chat", True)
        assert seen("openai_chat", True, got) == ("Looking. Done.", "stop", (26, 10))


async def test_S20_a_provider_that_keeps_the_line_open_after_its_pause_is_not_waited_for() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        last = len(rig.provider.asked) > 1
        await wire.stream(*frames(THREE[2] if last else THREE[0]), end=last)

    async with running("anthropic") as rig:
        rig.provider.script = script
        async with asyncio.timeout(3):
            _, got = await ask(rig, "openai_chat", True)
        assert seen("openai_chat", True, got)[:2] == ("Looking. Done.", "stop")


# ---------------------------------------------------------------- what goes wrong in a later round


def broken(how: str) -> Script:
    """A first round that pauses, and what comes then."""

    async def script(asked: Asked, wire: Wire) -> None:
        first = len(asked.json["messages"]) == 1
        if first and asked.json.get("stream"):
            await wire.stream(*frames(THREE[0]))
        elif first:
            await wire.json(THREE[0])
        elif how == "refused":
            await wire.json({"type": "error", "error": {"type": "invalid_request_error", "message": "no more"}}, 400)
        elif how == "in band" and asked.json.get("stream"):
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no more"}}
            await wire.stream(*frames(THREE[1])[:4], f"event: error\ndata: {json.dumps(error)}\n\n".encode())
        else:
            await wire.head(200, content_type="text/event-stream", content_length="100000")
            await wire.writer.drain()
            wire.reset()

    return script


@ALL
@pytest.mark.parametrize("how", ["refused", "in band", "reset"])
async def test_S20_a_later_rounds_failure_is_told_in_the_stream(dialect: str, how: str) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = broken(how)
        status, got = await ask(rig, dialect, True)
        assert status == 200
        whole = json.dumps(got)
        assert "Looking. " in whole
        assert '"error"' in whole
        assert how == "reset" or "no more" in whole
        assert SUCCESS[dialect] not in whole
        record = await rig.record()
        assert record.outcome == "failed"
        assert record.failure is not None
        assert [one.why for one in record.rounds] == ["pause", ""]
        assert (record.usage.output or 0) >= 5
        assert len(rig.provider.asked) == 2


@ALL
@pytest.mark.parametrize("how", ["refused", "reset"])
async def test_S20_a_later_rounds_failure_is_a_plain_error_of_a_whole_answer(dialect: str, how: str) -> None:
    async with running("anthropic") as rig:
        rig.provider.script = broken(how)
        status, got = await ask(rig, dialect, False)
        assert status == (400 if how == "refused" else 502)
        assert "error" in got
        record = await rig.record()
        assert record.outcome == "failed"
        assert record.usage.output == 5


@BOTH
async def test_S20_only_who_was_given_nothing_is_served_by_another_account(stream: bool) -> None:
    async def overloaded_later(asked: Asked, wire: Wire) -> None:
        if len(asked.json["messages"]) == 1:
            await (wire.stream(*frames(THREE[0])) if stream else wire.json(THREE[0]))
        else:
            await wire.json({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529)

    other = message([{"type": "text", "text": "Whole."}], "end_turn")
    async with two_accounts(overloaded_later, rounds(other), kinds=("anthropic", "anthropic")) as two:
        _, got = await ask(two.rig, "openai_chat", stream, model="main")
        record = await two.rig.record()
        if stream:
            assert two.asked == (2, 0)
            assert (record.outcome, "busy" in json.dumps(got), SUCCESS["openai_chat"] in json.dumps(got)) == (
                "failed", True, False,
            )  # fmt: skip
        else:
            assert two.asked == (2, 1)
            assert seen("openai_chat", stream, got) == ("Whole.", "stop", (13, 5))
            assert (record.failed_attempts[0].usage.output, record.usage.output, record.rounds) == (5, 5, [])


# ---------------------------------------------------------------- between rounds


def slow(begun: asyncio.Event, go: asyncio.Event) -> Script:
    """A first round that pauses, and a second that does not answer until it is told to."""

    async def script(asked: Asked, wire: Wire) -> None:
        if len(asked.json["messages"]) == 1:
            await (wire.stream(*frames(THREE[0])) if asked.json.get("stream") else wire.json(THREE[0]))
            return
        begun.set()
        waits = {asyncio.ensure_future(one.wait()) for one in (go, wire.gone)}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if go.is_set():
            await wire.stream(*frames(THREE[2]))

    return script


async def test_S20_the_client_is_kept_company_between_rounds() -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    async with running("anthropic", patience=Patience(ping=0.1, idle=5.0)) as rig:
        rig.provider.script = slow(begun, go)
        asyncio.get_running_loop().call_later(0.4, go.set)
        _, _, got = await rig.post("/v1/chat/completions", {**CHAT_ASK, "stream": True})
        between = got[got.index(b"Looking. ") : got.index(b"Done.")]
        assert between.count(b"\n:") >= 2
        assert got.endswith(b"data: [DONE]\n\n")


@BOTH
async def test_S20_a_client_that_leaves_between_rounds_ends_them(stream: bool) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    async with running("anthropic") as rig:
        rig.provider.script = slow(begun, go)
        _, writer = await rig.raw("/v1/chat/completions", {**CHAT_ASK, "stream": stream})
        await asyncio.wait_for(begun.wait(), SOON)
        writer.close()
        await rig.provider.wires[-1].wait_gone(1.0)
        record = await rig.record()
        assert (record.outcome, len(rig.provider.asked)) == ("left", 2)
        assert [one.why for one in record.rounds] == ["pause"]
        assert record.usage.output == 5


# ---------------------------------------------------------------- recorded


@ALL
@BOTH
async def test_S20_the_recorded_search_goes_on_as_its_own_client_made_it_go_on(dialect: str, stream: bool) -> None:
    first, second = corpus.exchange(FIRST), corpus.exchange(SECOND)
    one, two = first["response"]["body"], second["response"]["body"]
    async with running("anthropic") as rig:
        rig.provider.script = rounds(one, two)
        _, got = await ask(rig, dialect, stream)
        assert rig.provider.asked[1].json["messages"][1] == second["request"]["body"]["messages"][1]
        text, end, (tokens_in, tokens_out) = seen(dialect, stream, got)
        assert text == "".join(block["text"] for block in one["content"] + two["content"] if block["type"] == "text")
        assert end == END[dialect]
        assert tokens_in == one["usage"]["input_tokens"] + two["usage"]["input_tokens"]
        assert tokens_out == one["usage"]["output_tokens"] + two["usage"]["output_tokens"]
        searches = (await rig.record()).usage.extras["anthropic"]["server_tool_use"]["web_search_requests"]
        counted = [body["usage"].get("server_tool_use", {}).get("web_search_requests", 0) for body in (one, two)]
        assert searches == sum(counted)


# ---------------------------------------------------------------- the pure part


def stream_of(*bodies: dict[str, Any], size: int) -> list[Event]:
    """The events of several rounds, fed in pieces of the size."""
    booked: list[tuple[str, Usage]] = []
    one = Rounds(DIALECTS["anthropic"].StreamReader, paused, lambda why, usage: booked.append((why, usage)))
    events: list[Event] = []
    for body in bodies:
        data = b"".join(frames(body))
        for at in range(0, len(data), size):
            events += one.feed(data[at : at + size])
        assert (one.next() is None) == (body is bodies[-1])
    return events + one.close()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_S20_joined_events_keep_the_grammar_and_fold_to_the_joined_answer(size: int) -> None:
    events = list(check(stream_of(*THREE, size=size)))
    said = [DIALECTS["anthropic"].read_response(body) for body in THREE]
    whole = joined(joined(said[0], said[1]), said[2])
    folded = fold(events)
    assert folded.parts == whole.parts
    assert folded.finish == whole.finish
    assert (folded.id, folded.model, folded.usage) == (whole.id, whole.model, whole.usage)
    assert (whole.id, whole.usage.prompt, whole.usage.output) == ("msg_1", 39, 15)


def test_S20_sums_go_to_any_depth_and_leave_the_unreported_unreported() -> None:
    one = Usage(input=1, output=2, extras={"x": {"tools": {"a": 1}, "log": [1], "tier": "std", "same": True}})
    two = Usage(input=4, cache_read=0, extras={"x": {"tools": {"a": 2, "b": 3}, "log": [2], "tier": "fast"}})
    both = one.plus(two)
    assert (both.input, both.cache_read, both.cache_write, both.output) == (5, 0, None, 2)
    assert both.extras == {"x": {"tools": {"a": 3, "b": 3}, "log": [1, 2], "tier": "fast", "same": True}}
    assert one.extras["x"]["tools"] == {"a": 1}


def test_S20_what_a_round_used_is_the_sum_without_those_before() -> None:
    one = Usage(
        10, None, 4, 2, extras={"anthropic": {"cache_creation": {"ephemeral_1h_input_tokens": 4}, "passes": [1]}}
    )
    two = Usage(
        20, 5, 6, 3, 1, extras={"anthropic": {"cache_creation": {"ephemeral_1h_input_tokens": 6}, "passes": [2]}}
    )
    assert one.plus(two).minus(one) == two
    assert two.minus(Usage()) == two
