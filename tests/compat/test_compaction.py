"""Compaction for Responses clients on any target: one item, which later turns can be told (C17)."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.compat import azure
from tests.relay.rig import Rig, anthropic_events, chat_body, chat_stream, events_of, replay, running, whole

SUMMARY = "The user wants a parser. Half of it is written."
HISTORY: list[Any] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write a parser"}]},
    {"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
]
TOOLS = [
    {"type": "function", "name": "exec_command", "parameters": {"type": "object", "properties": {}}, "strict": False}
]
TRIGGER = {"type": "compaction_trigger"}
KINDS = ["openai_compatible", "anthropic"]


def says(rig: Rig, kind: str, stream: bool) -> None:
    """Let the provider of the kind answer with the summary."""
    if kind == "anthropic":
        block = {"type": "text", "text": SUMMARY}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "content": [block],
                   "stop_reason": "end_turn", "stop_sequence": None,
                   "usage": {"input_tokens": 9, "output_tokens": 5}}  # fmt: skip
        rig.provider.script = replay(*anthropic_events(SUMMARY)) if stream else whole(message)
    else:
        rig.provider.script = replay(*chat_stream(*SUMMARY.split(" "))) if stream else whole(chat_body(SUMMARY))


async def compacted(rig: Rig, **more: Any) -> Any:
    """The output of one compaction by the path of its own."""
    status, _, answer = await rig.post("/v1/responses/compact", {"model": "gpt-x", "input": HISTORY, **more})
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("kind", KINDS)
async def test_C17_the_path_gives_one_item_and_the_next_turn_is_told_the_summary(kind: str) -> None:
    async with running(kind) as rig:
        says(rig, kind, stream=False)
        answer = await compacted(rig)
        assert set(answer) == {"id", "object", "created_at", "output", "usage"}
        assert answer["object"] == "response.compaction"
        [item] = answer["output"]
        assert (item["type"], item["id"].startswith("cmp_")) == ("compaction", True)
        assert SUMMARY not in json.dumps(answer)
        assert "summary" in json.dumps(rig.provider.asked[0].json["messages"][-1])
        later = [HISTORY[0], item, {"role": "user", "content": "Go on"}]
        status, _, _ = await rig.post("/v1/responses", {"model": "gpt-x", "input": later})
        assert status == 200
        assert SUMMARY in json.dumps(rig.provider.asked[1].json["messages"])
        assert item["encrypted_content"] not in rig.provider.asked[1].body.decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_C17_a_trigger_in_the_input_gives_exactly_one_item(kind: str, stream: bool) -> None:
    async with running(kind) as rig:
        says(rig, kind, stream)
        ask = {"model": "gpt-x", "input": [*HISTORY, TRIGGER], "tools": TOOLS, "stream": stream, "store": False}
        status, _, got = await rig.post("/v1/responses", ask)
        assert status == 200
        if stream:
            events = events_of(got)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
            got = events[-1]["response"]
            assert got["output"] == items
        assert (got["status"], [item["type"] for item in got["output"]]) == ("completed", ["compaction"])
        sent = rig.provider.asked[0].json
        assert "compaction_trigger" not in json.dumps(sent)
        assert sent["tools"]
        assert sent["tool_choice"] in ("none", {"type": "none"})


async def test_C17_a_provider_that_knows_the_trigger_gets_it() -> None:
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": "its own"}
    async with running("openai") as rig:
        rig.provider.script = whole(azure.body(item))
        ask = {"model": "gpt-5.5", "input": [*HISTORY, TRIGGER], "tools": TOOLS}
        status, _, answer = await rig.post("/v1/responses", ask)
        assert (status, answer["output"]) == (200, [item])
        assert rig.provider.asked[0].json == ask


async def test_C17_the_item_of_another_maker_stays_what_it_is() -> None:
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": "its own"}
    async with running("openai") as rig:
        rig.provider.script = whole(azure.body(azure.message("Hi")))
        ask = {"model": "gpt-5.5", "input": [item, {"role": "user", "content": "Go on"}]}
        assert (await rig.post("/v1/responses", ask))[0] == 200
        assert rig.provider.asked[0].json == ask


async def test_C17_ours_goes_to_a_responses_provider_as_words() -> None:
    async with running("openai") as rig:
        rig.provider.script = whole(azure.body(azure.message(SUMMARY)))
        [item] = (await compacted(rig))["output"]
        assert rig.provider.asked[0].path == "/v1/responses"
        later = {"model": "gpt-5.5", "input": [item, {"role": "user", "content": "Go on"}], "store": False}
        assert (await rig.post("/v1/responses", later))[0] == 200
        sent = rig.provider.asked[1].json["input"]
        assert SUMMARY in json.dumps(sent[0])
        assert [one.get("type", "message") for one in sent] == ["message", "message"]


async def test_C17_the_word_alone_is_no_trigger() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        ask = {"model": "gpt-x", "input": "What is a compaction_trigger?"}
        _, _, answer = await rig.post("/v1/responses", ask)
        assert [item["type"] for item in answer["output"]] == ["message"]


async def test_C17_no_summary_is_an_error_and_not_an_empty_item() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body(""))
        status, _, answer = await rig.post("/v1/responses/compact", {"model": "gpt-x", "input": HISTORY})
        assert status == 502
        assert "summary" in answer["error"]["message"]
        rig.provider.script = whole({"error": {"message": "slow down"}}, 429, retry_after="3")
        status, headers, answer = await rig.post("/v1/responses/compact", {"model": "gpt-x", "input": HISTORY})
        assert (status, headers["retry-after"]) == (429, "3")


async def test_C17_the_sdk_compacts() -> None:
    async with running() as rig, openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="k", max_retries=0) as client:
        rig.provider.script = whole(chat_body(SUMMARY))
        made = await client.responses.compact(model="gpt-x", input="Hello")
        assert (made.object, made.output[0].type) == ("response.compaction", "compaction")
