"""Counts before a call: what providers' counters are sent, and estimates that come true (U06, U10)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dragoman.language.envelope import seal
from dragoman.language.ir import Media, Message, Request, Text, Usage
from dragoman.relay.estimates import EAGER, Estimates
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, Asked, Rig, Wire, chat_body, events_of, running, whole

LONG = {**ASK, "model": "qwen-x", "messages": [{"role": "user", "content": "the quick brown fox jumps " * 60}]}
TOOLS = [{"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {}}}]
OF_AN_ANSWER = {
    "max_tokens": 9,
    "stream": True,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
}


# ---------------------------------------------------------------- what the counter is asked


async def test_U10_anthropics_counter_gets_no_fields_of_an_answer() -> None:
    kept = {
        "model": "claude-x",
        "messages": ASK["messages"],
        "system": "s",
        "tools": TOOLS,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "context_management": {"edits": []},
        "brand_new": 1,
    }
    async with running("anthropic") as rig:
        rig.provider.script = whole({"input_tokens": 7})
        raw = json.dumps(kept, indent=2).encode()
        await rig.post("/v1/messages/count_tokens", raw, anthropic_beta="b")
        assert rig.provider.asked[0].body == raw
        assert rig.provider.asked[0].headers["anthropic-beta"] == "b"
        await rig.post("/v1/messages/count_tokens", {**kept, **OF_AN_ANSWER})
        assert rig.provider.asked[1].json == kept


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1beta/models/claude-sonnet-4-5:countTokens"])
async def test_U10_anthropics_counter_is_asked_in_its_own_words(path: str) -> None:
    body: dict[str, Any] = GEMINI_ASK
    if "responses" in path:
        body = {"model": "claude-sonnet-4-5", "input": "Hello", "max_output_tokens": 99, "temperature": 0.2,
                "user": "u", "stream": True}  # fmt: skip
    async with running("anthropic") as rig:
        rig.provider.script = whole({"input_tokens": 7})
        status, _, got = await rig.post(path, body)
        assert status == 200
        assert 7 in got.values()
        sent = rig.provider.asked[0].json
        assert set(sent) <= {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
        assert "Hello" in json.dumps(sent["messages"])


async def test_U10_geminis_counter_counts_instructions_and_tools_too() -> None:
    more = {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "tools": [{"functionDeclarations": []}]}
    wrapped = {"generateContentRequest": {"model": "models/an-alias", **GEMINI_ASK, **more}}
    async with running("gemini", account={"deployments": {"gemini-x": "gemini-up"}}) as rig:
        rig.provider.script = whole({"totalTokens": 12})
        for body in ({**GEMINI_ASK, **more}, wrapped):
            status, _, got = await rig.post("/v1beta/models/gemini-x:countTokens", body)
            assert (status, got) == (200, {"totalTokens": 12})
            asked = rig.provider.asked[-1]
            assert asked.path.endswith("/models/gemini-up:countTokens")
            assert asked.json == {"generateContentRequest": {"model": "models/gemini-up", **GEMINI_ASK, **more}}
        await rig.post("/v1/messages/count_tokens", {**ASK, "model": "gemini-x", "system": "s", "tools": TOOLS})
        sent = rig.provider.asked[-1].json["generateContentRequest"]
        assert set(sent) >= {"model", "contents", "systemInstruction", "tools"}


async def test_U10_vertex_counts_a_bare_request() -> None:
    async with running("vertex") as rig:
        rig.provider.script = whole({"totalTokens": 12})
        ask = {**ASK, "model": "gemini-2.5-pro", "system": "s", "tools": TOOLS}
        status, _, got = await rig.post("/v1/messages/count_tokens", ask)
        assert (status, got) == (200, {"input_tokens": 12})
        assert set(rig.provider.asked[0].json) <= {"contents", "systemInstruction", "tools", "generationConfig"}
        assert set(rig.provider.asked[0].json) >= {"contents", "systemInstruction", "tools"}


async def test_T02_the_counter_sees_no_envelope_either() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": seal({"gemini": {"thoughtSignature": "S"}})}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]
    async with running("anthropic") as rig:
        rig.provider.script = whole({"input_tokens": 7})
        await rig.post("/v1/messages/count_tokens", {"model": "claude-x", "messages": turns})
        assert rig.provider.asked[0].json["messages"][1]["content"] == [{"type": "text", "text": "b"}]
        assert "max_tokens" not in rig.provider.asked[0].json


# ---------------------------------------------------------------- what is learnt


async def count(rig: Rig, model: str = "qwen-x") -> int:
    """The gateway's own count of the long request."""
    _, _, got = await rig.post("/v1/messages/count_tokens", {**LONG, "model": model})
    return int(got["input_tokens"])


async def learnt(rig: Rig, prompt: int, times: int, *, stream: bool = False) -> None:
    """Some calls whose provider reports so many prompt tokens; then time for the counting."""
    usage = {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "up",
             "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}  # fmt: skip

    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json.get("stream"):
            await wire.stream(b"data: " + json.dumps(chunk).encode() + b"\n\n", b"data: [DONE]\n\n")
        else:
            await wire.json(chat_body("x", usage=usage))

    rig.provider.script = script
    for _ in range(times):
        status, _, _ = await rig.post("/v1/messages", {**LONG, "stream": stream})
        assert status == 200
    await asyncio.sleep(0.2)


@pytest.mark.parametrize("stream", [False, True])
async def test_U10_counts_move_towards_what_is_reported(stream: bool) -> None:
    async with running() as rig:
        first = await count(rig)
        reported = round(first * 1.1)
        await learnt(rig, reported, 3, stream=stream)
        after_three = await count(rig)
        assert first < after_three < reported
        await learnt(rig, reported, 12, stream=stream)
        assert after_three < await count(rig) <= reported
        assert abs(await count(rig) - reported) <= first * 0.01
        assert await count(rig, "another-model") == first


async def test_U10_what_is_learnt_is_bounded() -> None:
    async with running() as rig:
        first = await count(rig)
        await learnt(rig, first * 1000, EAGER)
        assert first * 1.5 < await count(rig) <= first * 2.5


async def test_U10_nothing_is_counted_for_models_nobody_counts_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def note(request: Request, model: str) -> int:
        counted.append(model)
        return 100

    monkeypatch.setattr("dragoman.relay.estimates.count_request", note)
    async with running() as rig:
        await learnt(rig, 5000, 3)
        assert counted == []
        await count(rig)
        await learnt(rig, 5000, EAGER + 16)
        assert counted == ["qwen-x"] * (EAGER + 2)


async def test_U06_a_streams_first_usage_comes_nearer() -> None:
    async with running() as rig:
        started: list[int] = []
        for _ in range(3):
            await learnt(rig, 700, 4)
            _, _, data = await rig.post("/v1/messages", {**LONG, "stream": True})
            started.append(events_of(data)[0]["message"]["usage"]["input_tokens"])
        assert started[0] < started[1] < started[2] <= 700
        assert events_of(data)[-2]["usage"]["input_tokens"] == 700


async def test_U06_media_and_failures_teach_nothing() -> None:
    estimates = Estimates()
    words = Request("anthropic", "m", [Message("user", [Text("x" * 4000)])])
    picture = Request("anthropic", "m", [Message("user", [Text("x"), Media("image", "base64", "AAAA")])])
    estimates.learn("m", picture, 1000, Usage(input=2000))
    estimates.learn("m", words, 1000, Usage(output=5))
    estimates.learn("m", words, 1000, Usage(input=2000, estimated=True))
    assert estimates.sized("m", 1000) == 1000
    estimates.learn("m", words, 1000, Usage(input=1000, cache_read=1000))
    assert 1000 < estimates.sized("m", 1000) < 2000
    async with running() as rig:
        rig.provider.script = whole({"error": {"message": "no", "type": "t"}}, 400)
        first = await count(rig)
        await rig.post("/v1/chat/completions", CHAT_ASK)
        assert await count(rig) == first
