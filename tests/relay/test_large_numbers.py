"""Integers beyond 64 bits pass exactly, by the short cut and by the long way (T-39)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.relay.rig import chat_body, running, whole

BIG = 12345678901234567890123
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": BIG, "enum": [BIG, 2**64]}}}
ARGUMENTS = json.dumps({"n": BIG})

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": (
        "/v1/messages",
        {
            "model": "gemini-2.5-pro",
            "max_tokens": 9,
            "tools": [{"name": "look", "input_schema": SCHEMA}],
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"n": BIG}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "b"}]},
            ],
            "unknown": BIG,
        },
    ),
    "openai_chat": (
        "/v1/chat/completions",
        {
            "model": "gemini-2.5-pro",
            "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}
                    ],
                },
                {"role": "tool", "tool_call_id": "t1", "content": "b"},
            ],
            "unknown": BIG,
        },
    ),
    "openai_responses": (
        "/v1/responses",
        {
            "model": "gemini-2.5-pro",
            "tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}],
            "input": [
                {"role": "user", "content": "a"},
                {"type": "function_call", "call_id": "t1", "name": "look", "arguments": ARGUMENTS},
                {"type": "function_call_output", "call_id": "t1", "output": "b"},
            ],
            "unknown": BIG,
        },
    ),
    "gemini": (
        "/v1beta/models/gemini-2.5-pro:generateContent",
        {
            "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}],
            "contents": [
                {"role": "user", "parts": [{"text": "a"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"n": BIG}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "b"}}}]},
            ],
            "unknown": BIG,
        },
    ),
}
KINDS: dict[str, dict[str, Any]] = {
    "anthropic": {"kind": "anthropic"},
    "openai_chat": {},
    "openai_responses": {"account": {"api": "responses"}},
    "gemini": {"kind": "gemini"},
}


def numbers(value: Any) -> list[Any]:
    """Every number in a JSON value, in strings that hold JSON too."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    if isinstance(value, str) and value[:1] == "{":
        return numbers(json.loads(value))
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize("provider", BODIES)
@pytest.mark.parametrize("client", BODIES)
async def test_T39_large_integers_reach_every_provider(client: str, provider: str) -> None:
    path, body = BODIES[client]
    async with running(**KINDS[provider]) as rig:
        rig.provider.script = whole(chat_body())
        _, _, answer = await rig.post(path, body)
        assert rig.provider.asked, answer
        [asked] = rig.provider.asked
        found = [number for number in numbers(asked.json) if number > 2**60]
        # Three of the schema, one of the call, and between equal dialects the unknown field.
        assert sorted(found) == [2**64, BIG, BIG, BIG] + [BIG] * (client == provider)
        assert all(isinstance(number, int) for number in found)
        if client == provider:
            assert asked.json["unknown"] == BIG


@pytest.mark.parametrize("client", BODIES)
async def test_T39_large_integers_in_whole_answers(client: str) -> None:
    calls = [{"id": "t1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS}}]
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": calls}}
    from_gemini = {
        "candidates": [
            {"content": {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"n": BIG}}}]},
             "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
    }  # fmt: skip
    answers = {"openai_chat": chat_body(choices=[{**choice, "finish_reason": "tool_calls"}]), "gemini": from_gemini}
    for provider, answer in answers.items():
        async with running(**KINDS[provider]) as rig:
            rig.provider.script = whole(answer)
            status, _, got = await rig.post(*BODIES[client])
            assert status == 200
            assert BIG in numbers(got)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5000])
@pytest.mark.parametrize("client", BODIES)
async def test_T39_a_number_that_cannot_be_kept_is_a_400(client: str, number: str) -> None:
    path, body = BODIES[client]
    raw = json.dumps({**body, "unknown": "HERE"}).replace('"HERE"', number).encode()
    async with running() as rig:
        status, _, answer = await rig.post(path, raw)
        assert status == 400
        assert "JSON" in answer["error"]["message"]
        assert rig.provider.asked == []
