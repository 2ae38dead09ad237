"""What is remembered between calls: earlier responses, and what providers attach to calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.ir import Message, Reasoning, Request, Text, ToolCall
from dragoman.language.losses import Receipt
from dragoman.relay.keepsakes import Keepsake, Keepsakes
from dragoman.relay.shelf import Shelf
from dragoman.relay.stored_responses import PreviousNotFound, StoredResponses
from tests.relay.rig import (
    ASK,
    DONE,
    Asked,
    Rig,
    Wire,
    chat_body,
    chat_chunk,
    chat_stream,
    events_of,
    replay,
    running,
    whole,
)

ASK_RESPONSES: dict[str, Any] = {"model": "gpt-x", "input": "My name is Ada.", "instructions": "Be brief."}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------- previous_response_id (R24)


async def first_id(rig: Rig, stream: bool, **more: Any) -> str:
    """The id of a first answer."""
    status, _, got = await rig.post("/v1/responses", {**ASK_RESPONSES, "stream": stream, **more})
    assert status == 200
    if stream:
        created = events_of(got)[0]["response"]["id"]
        assert events_of(got)[-1]["response"]["id"] == created
        return str(created)
    return str(got["id"])


@pytest.mark.parametrize("stream", [False, True])
async def test_R24_the_conversation_goes_on_where_the_provider_keeps_nothing(stream: bool) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json.get("stream"):
            await wire.stream(*chat_stream("Hello ", "Ada."))
        else:
            await wire.json(chat_body("Hello Ada."))

    async with running() as rig:
        rig.provider.script = script
        previous = await first_id(rig, stream)
        body = {"model": "gpt-x", "input": "What is my name?", "previous_response_id": previous}
        status, _, second = await rig.post("/v1/responses", body)
        assert status == 200
        sent = [(message["role"], message["content"]) for message in rig.provider.asked[1].json["messages"]]
        assert [role for role, _ in sent] == ["user", "assistant", "user"]  # instructions are not inherited
        assert "My name is Ada." in json.dumps(sent[0])
        assert "Hello Ada." in json.dumps(sent[1])
        assert second["previous_response_id"] == previous
        third = {**body, "previous_response_id": second["id"], "input": "Again."}
        await rig.post("/v1/responses", third)
        assert len(rig.provider.asked[2].json["messages"]) == 5


async def test_R24_an_unknown_response_is_refused_and_never_ignored() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        body = {**ASK_RESPONSES, "previous_response_id": "resp_nobody"}
        status, _, answer = await rig.post("/v1/responses", body)
        assert status == 400
        assert answer["error"]["code"] == "previous_response_not_found"
        unstored = await first_id(rig, False, store=False)
        status, _, answer = await rig.post("/v1/responses", {**body, "previous_response_id": unstored})
        assert answer["error"]["code"] == "previous_response_not_found"
        assert len(rig.provider.asked) == 1


async def test_R24_a_provider_that_keeps_answers_gets_the_name() -> None:
    answer = {"id": "resp_up", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-x",
              "output": [], "usage": None}  # fmt: skip
    async with running(account={"api": "responses"}) as rig:
        rig.provider.script = whole(answer)
        await rig.post("/v1/responses", ASK_RESPONSES)
        body = {**ASK_RESPONSES, "previous_response_id": "resp_up"}
        status, _, _ = await rig.post("/v1/responses", body)
        assert status == 200
        assert rig.provider.asked[1].json["previous_response_id"] == "resp_up"


async def test_stored_responses_can_be_fetched_and_forgotten() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hello Ada."))
        name = await first_id(rig, False)
        status, _, got = await rig.get(f"/v1/responses/{name}")
        assert (status, got["id"], got["object"]) == (200, name, "response")
        status, _, got = await rig.get(f"/v1/responses/{name}", "DELETE")
        assert got == {"id": name, "object": "response", "deleted": True}
        status, _, got = await rig.get(f"/v1/responses/{name}")
        assert (status, got["error"]["code"]) == (404, "not_found")


def test_R24_answers_belong_to_their_owner_and_issuer() -> None:
    stored = StoredResponses()
    stored.store("ada", {"input": "a"}, {"id": "r1", "output": []})
    body = {"input": "b", "previous_response_id": "r1"}
    assert stored.expanded("bob", body) is body
    assert stored.expanded("ada", body)["input"][0]["content"] == "a"
    stored.issued("ada", "r2", "openai")
    stored.check_issuer("ada", "r2", "openai", keeps=True)
    stored.check_issuer("ada", "unheard", "openai", keeps=True)
    for provider, keeps in (("azure", True), ("openai", False)):
        with pytest.raises(PreviousNotFound):
            stored.check_issuer("ada", "r2", provider, keeps=keeps)


# ---------------------------------------------------------------- item_reference (R24)


def reference(name: str) -> dict[str, str]:
    return {"type": "item_reference", "id": name}


@pytest.mark.parametrize("stream", [False, True])
async def test_R24_items_that_a_client_only_names_go_out_whole(stream: bool) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}

    async def script(asked: Asked, wire: Wire) -> None:
        if not asked.json.get("stream"):
            message = {"role": "assistant", "content": "Let me see.", "tool_calls": [call]}
            await wire.json(chat_body(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
            return
        calls = chat_chunk(tool_calls=[{"index": 0, **call}])
        await wire.stream(chat_chunk("Let me see."), calls, chat_chunk(finish="tool_calls"), DONE)

    async with running() as rig:
        rig.provider.script = script
        question = {"role": "user", "content": "look"}
        status, _, got = await rig.post(
            "/v1/responses", {"model": "gpt-x", "input": [question], "stream": stream, "tools": [TOOL]}
        )
        output = got["output"] if not stream else events_of(got)[-1]["response"]["output"]
        named = [reference(item["id"]) for item in output]
        result = {"type": "function_call_output", "call_id": "c1", "output": "seen"}
        body = {"model": "gpt-x", "input": [question, *named, result]}
        status, headers, _ = await rig.post("/v1/responses", body)
        assert status == 200
        assert headers["x-dragoman-receipt"] == "none"
        _, said, answered = rig.provider.asked[1].json["messages"]
        assert (said["content"], said["tool_calls"], answered["content"]) == ("Let me see.", [call], "seen")


async def test_R24_an_item_nobody_knows_is_refused_and_never_ignored() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        ask = {"model": "gpt-x", "input": [reference("msg_nobody"), {"role": "user", "content": "go"}]}
        status, _, answer = await rig.post("/v1/responses", ask)
        assert status == 400
        assert "msg_nobody" in answer["error"]["message"]
        # A thought is of no use to anybody but its owner.
        status, headers, _ = await rig.post("/v1/responses", {**ask, "input": [reference("rs_x"), ask["input"][1]]})
        assert (status, headers["x-dragoman-receipt"]) == (200, "dropped=1")


async def test_R24_names_that_the_provider_knows_pass() -> None:
    answer = {"id": "resp_up", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-x",
              "output": [], "usage": None}  # fmt: skip
    async with running(account={"api": "responses"}) as rig:
        rig.provider.script = whole(answer)
        body = {"model": "gpt-x", "input": [reference("msg_theirs")], "previous_response_id": "resp_theirs"}
        await rig.post("/v1/responses", body)
        assert rig.provider.asked[0].json == body


def test_R24_an_item_goes_with_its_answer_and_belongs_to_its_owner() -> None:
    stored = StoredResponses()
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    stored.store("ada", {"input": "a"}, {"id": "r1", "output": [item]})
    for named in ({"id": "msg_1"}, reference("msg_1")):
        body = {"input": ["odd", named], "previous_response_id": "elsewhere"}
        assert stored.expanded("ada", body) == {**body, "input": ["odd", item]}
        assert stored.expanded("bob", body) is body
    both = stored.expanded("ada", {"input": [reference("msg_1")], "previous_response_id": "r1"})
    assert [one.get("id") for one in both["input"]] == [None, "msg_1", "msg_1"]
    stored.delete("ada", "r1")
    assert stored.expanded("ada", body) is body


def test_the_shelf_is_bounded_and_expires() -> None:
    clock = Clock()
    shelf: Shelf[str] = Shelf(entries=3, size=100, life=10, clock=clock)
    for name in "abcd":
        shelf.put(name, name, 10)
    assert [shelf.take(name) for name in "abcd"] == [None, "b", "c", "d"]
    shelf.put("big", "big", 90)
    assert shelf.size == 100
    assert [shelf.take(name) for name in ("c", "d", "big")] == [None, "d", "big"]
    shelf.put("huge", "huge", 101)
    assert shelf.take("huge") is None
    clock.now = 11
    shelf.put("e", "e", 1)
    assert len(shelf) == 1
    assert shelf.size == 1


# ---------------------------------------------------------------- keepsakes (T05)


GEMINI_CALL = {
    "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
        {"functionCall": {"name": "look", "args": {"a": 1}}, "thoughtSignature": "c2lnbmF0dXJl"}]}}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
    "modelVersion": "gemini-up", "responseId": "R1",
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_T05_geminis_signature_comes_back_though_chat_has_no_room_for_it(stream: bool) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        if "streamGenerate" in asked.path:
            await wire.stream(b"data: " + json.dumps(GEMINI_CALL).encode() + b"\r\n\r\n")
        else:
            await wire.json(GEMINI_CALL)

    question = {"role": "user", "content": "look"}
    async with running("gemini") as rig:
        rig.provider.script = script
        ask = {"model": "gemini-3-pro", "messages": [question], "tools": [TOOL], "stream": stream}
        _, _, got = await rig.post("/v1/chat/completions", ask)
        if stream:
            deltas = [c["delta"] for event in events_of(got) for c in event["choices"]]
            call = next(delta["tool_calls"][0] for delta in deltas if delta.get("tool_calls"))
        else:
            call = got["choices"][0]["message"]["tool_calls"][0]
        assert "c2lnbmF0dXJl" not in json.dumps(call["id"])
        said = {"role": "assistant", "tool_calls": [
            {"id": call["id"], "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}]}  # fmt: skip
        result = {"role": "tool", "tool_call_id": call["id"], "content": "seen"}
        _, headers, _ = await rig.post("/v1/chat/completions", {**ask, "messages": [question, said, result]})
        parts = [part for turn in rig.provider.asked[1].json["contents"] for part in turn["parts"]]
        assert [part["thoughtSignature"] for part in parts if "functionCall" in part] == ["c2lnbmF0dXJl"]
        assert "restored=1" in headers["x-dragoman-receipt"]


def history(*parts: Any) -> Request:
    return Request("openai_chat", "m", [Message("assistant", list(parts))])


def test_T05_thoughts_return_to_where_they_stood() -> None:
    keepsakes = Keepsakes()
    first, second = (
        Reasoning("one", {"anthropic": {"signature": "s1"}}),
        Reasoning("two", {"anthropic": {"signature": "s2"}}),
    )
    keepsakes.keep("ada", "c1", Keepsake({}, [first]))
    keepsakes.keep("ada", "c2", Keepsake({}, [second]))
    request = history(Text("Let me look."), ToolCall("c1", "look", "{}"), ToolCall("c2", "look", "{}"))
    receipt = Receipt()
    keepsakes.restore("ada", request, receipt)
    kinds = [part.text if isinstance(part, Text | Reasoning) else part.id for part in request.messages[0].parts]  # type: ignore[union-attr]
    assert kinds == ["one", "Let me look.", "c1", "two", "c2"]
    assert receipt.header() == "restored=1"


def test_T05_the_kept_thought_stands_for_its_bare_words() -> None:
    keepsakes = Keepsakes()
    kept = Reasoning("why", {"anthropic": {"signature": "s1"}})
    keepsakes.keep("ada", "c1", Keepsake({}, [kept]))
    keepsakes.keep("ada", "c2", Keepsake({}, [Reasoning("plain")]), plain=True)
    request = history(Reasoning("why", {"openai_chat": {"~fields": ["reasoning"]}}), ToolCall("c1", "look", "{}"))
    keepsakes.restore("ada", request, Receipt())
    assert request.messages[0].parts == [kept, ToolCall("c1", "look", "{}")]
    for words, call in (Reasoning("mine", {"anthropic": {"signature": "own"}}), "c1"), (Reasoning("plain"), "c2"):
        own = history(words, ToolCall(call, "look", "{}"))
        keepsakes.restore("ada", own, Receipt())
        assert own.messages[0].parts[0] is words


def test_T05_a_thought_in_the_turns_message_before_is_not_restored_again() -> None:
    keepsakes = Keepsakes()
    kept = Reasoning("why", {"anthropic": {"signature": "s1"}})
    keepsakes.keep("ada", "c1", Keepsake({}, [kept]))
    call = Message("assistant", [ToolCall("c1", "look", "{}")])
    for before, restored in (Message("assistant", [kept]), False), (Message("user", [kept]), True):
        request = Request("gemini", "m", [before, call])
        keepsakes.restore("ada", request, Receipt())
        assert (request.messages[1].parts[0] is kept) is restored


def test_T05_keepsakes_belong_to_their_owner_and_never_overrule_the_client() -> None:
    keepsakes = Keepsakes()
    keepsakes.keep("ada", "c1", Keepsake({"gemini": {"thoughtSignature": "kept"}}, []))
    request = history(ToolCall("c1", "look", "{}"))
    keepsakes.restore("bob", request, Receipt())
    assert request.messages[0].parts == [ToolCall("c1", "look", "{}")]
    own = history(ToolCall("c1", "look", "{}", extras={"gemini": {"thoughtSignature": "own"}}))
    keepsakes.restore("ada", own, Receipt())
    [call] = own.messages[0].parts
    assert call.extras == {"gemini": {"thoughtSignature": "own"}}


def test_T05_nothing_that_could_not_be_lost_is_kept() -> None:
    keepsakes = Keepsakes()
    keepsakes.keep("ada", "c1", Keepsake({"openai_chat": {"~form": 1}}, [Reasoning("plain")]))
    keepsakes.keep("ada", "", Keepsake({"gemini": {"thoughtSignature": "x"}}, []))
    assert len(keepsakes) == 0


# ---------------------------------------------------------------- receipts, metering, counting


async def test_N1_the_receipt_counts_what_was_lost_and_the_record_says_why() -> None:
    body = {**ASK, "top_k": 5, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        _, headers, _ = await rig.post("/v1/messages", body)
        assert headers["x-dragoman-receipt"] == "dropped=2"
        record = await rig.record()
        assert {loss.path for loss in record.receipt.losses} == {"top_k", "tools[0]"}
        assert all(loss.why for loss in record.receipt.losses)


async def test_U06_unreported_usage_is_estimated_and_marked() -> None:
    async with running() as rig:
        rig.provider.script = replay(*[piece for piece in chat_stream("a" * 400) if b'"usage"' not in piece])
        _, _, data = await rig.post("/v1/messages", {**ASK, "stream": True})
        assert events_of(data)[0]["message"]["usage"]["input_tokens"] > 0
        record = await rig.record()
        assert record.usage.estimated
        assert record.usage.output == 100


async def test_the_log_line_holds_no_words_of_the_conversation() -> None:
    from dragoman.relay.metering import log_line

    async with running() as rig:
        rig.provider.script = whole(chat_body("secret answer"))
        await rig.post("/v1/messages", {**ASK, "messages": [{"role": "user", "content": "secret question"}]})
        line = log_line(await rig.record())
        assert line["outcome"] == "answered"
        assert line["tokens_in"] == 11
        assert "secret" not in json.dumps(line)


async def test_U10_counts_come_from_the_provider_or_from_here() -> None:
    async with running("anthropic") as rig:
        rig.provider.script = whole({"input_tokens": 77})
        ask = {"model": "claude-x", "messages": ASK["messages"]}
        status, _, got = await rig.post("/v1/messages/count_tokens?beta=true", ask)
        assert (status, got) == (200, {"input_tokens": 77})
        assert rig.provider.asked[0].path == "/v1/messages/count_tokens"
        assert rig.provider.asked[0].json == ask
        rig.provider.script = whole({"error": {"message": "x"}}, 500)
        status, _, got = await rig.post("/v1/messages/count_tokens", ask)
        assert status == 200
        assert 0 < got["input_tokens"] < 50
    async with running() as rig:
        status, _, got = await rig.post("/v1/messages/count_tokens", ask)
        assert (status, rig.provider.asked) == (200, [])
        status, _, tools = await rig.post(
            "/v1/messages/count_tokens", {**ask, "tools": [{"name": "a", "input_schema": {"type": "object"}}]}
        )
        assert tools["input_tokens"] > got["input_tokens"]
        wrapped = {"generateContentRequest": {"model": "models/x", "contents": [{"parts": [{"text": "Hello"}]}]}}
        status, _, got = await rig.post("/v1beta/models/x:countTokens", wrapped)
        assert status == 200
        assert got["totalTokens"] > 0
        status, _, got = await rig.post("/v1/responses/input_tokens", {"model": "x", "input": "Hello"})
        assert got["object"] == "response.input_tokens"


async def test_T16_a_stop_sequence_the_target_cannot_take_cuts_and_ends_the_answer() -> None:
    async with running("openai", account={"api": "responses"}) as rig:
        frames = responses_stream("Hello STOP and more")

        async def script(asked: Asked, wire: Wire) -> None:
            await wire.stream(*frames, end=False)
            await wire.wait_gone(5)

        rig.provider.script = script
        body = {**ASK, "model": "gpt-5.2", "stop_sequences": ["STOP"], "stream": True}
        _, _, data = await rig.post("/v1/messages", body)
        text = "".join(event.get("delta", {}).get("text", "") for event in events_of(data))
        assert text == "Hello "
        assert events_of(data)[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}


def responses_stream(text: str) -> list[bytes]:
    """The beginning of a Responses stream."""
    response: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress",
                                "model": "gpt-5.2", "output": []}  # fmt: skip
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
         "delta": text},
    ]  # fmt: skip
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': at})}\n\n".encode()
        for at, event in enumerate(events)
    ]


@pytest.mark.parametrize(("mode", "expected"), [("text", ["[Thinking] hm", "Hi"]), ("drop", ["Hi"])])
@pytest.mark.parametrize("stream", [False, True])
async def test_C16_thoughts_as_text_or_not_at_all(mode: str, expected: list[str], stream: bool) -> None:
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}
    body = chat_body(choices=[{"index": 0, "message": message, "finish_reason": "stop"}])
    async with running(reasoning=mode) as rig:
        rig.provider.script = whole(body)
        ask = {**ASK, "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000, "stream": stream}
        _, _, got = await rig.post("/v1/messages", ask)
        if stream:
            events = events_of(got)
            texts = [e["delta"]["text"] for e in events if e.get("delta", {}).get("type") == "text_delta"]
        else:
            texts = [block["text"] for block in got["content"]]
        assert "".join(texts) == "".join(expected)
        assert len(texts) >= len(expected)


@pytest.mark.parametrize("stream", [False, True])
async def test_C14_the_word_for_filtered_answers_can_be_set(stream: bool) -> None:
    filtered = chat_body("x", choices=[
        {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}])  # fmt: skip
    async with running(content_filter_stop="content_filtered") as rig:
        rig.provider.script = whole(filtered)
        _, _, got = await rig.post("/v1/messages", {**ASK, "stream": stream})
        reason = events_of(got)[-2]["delta"]["stop_reason"] if stream else got["stop_reason"]
        assert reason == "content_filtered"
