"""Answers of a shape that no reader foresaw are broken replies, whatever is wrong with them, and never defects."""

from __future__ import annotations

import copy
import json
import random
from contextlib import suppress
from typing import Any

import pytest

from dragoman.language.events import AnswerFailed, Failed, Finished, check, fold, unfold
from dragoman.language.failures import Refused
from dragoman.language.losses import Receipt
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked
from dragoman.relay.whole import Ways, read_whole

ASKED = DIALECTS["openai_chat"].read_request({"model": "m", "messages": [{"role": "user", "content": "a"}]})
JUNK: list[Any] = [None, "", 0, -1, True, [], {}, "x", 1.5, [1], {"a": 1}, [None], [{}], {"type": "x"}, 10**30, [[]]]

BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 2},
    },
    "openai_chat": {
        "id": "c", "object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "a",
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "n", "arguments": "{}"}}]}}],
    },
    "openai_responses": {
        "id": "r", "object": "response", "model": "m", "status": "completed",
        "output": [
            {"type": "message", "id": "i", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "a", "annotations": []}]},
            {"type": "function_call", "id": "f", "call_id": "t", "name": "n", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3,
                  "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
    },
    "gemini": {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "a"}, {"functionCall": {"name": "n", "args": {"a": 1}}},
            {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3,
                          "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}]},
        "modelVersion": "m",
    },
}  # fmt: skip


def spoilt(value: Any, chance: random.Random) -> Any:
    """The value with one to three of its places spoilt."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        node = value
        for _ in range(chance.randint(1, 7)):
            if not isinstance(node, dict | list) or not node:
                break
            key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
            if chance.random() < 0.3 or not isinstance(node[key], dict | list):
                node[key] = copy.deepcopy(chance.choice(JUNK))
                break
            node = node[key]
    return value


def asked() -> Asked:
    return Asked(ASKED, "m", "seed", 1, receipt=Receipt())


@pytest.mark.parametrize("client", sorted(DIALECTS))
@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_spoilt_bodies_are_answers_or_failures(dialect: str, client: str) -> None:
    chance = random.Random(dialect + client)
    for _ in range(300):
        body = spoilt(BODIES[dialect], chance)
        with suppress(AnswerFailed):
            answer = read_whole(json.dumps(body).encode(), {}, Ways(dialect, client, short=False), asked())
            assert isinstance(json.loads(answer.body), dict)


@pytest.mark.parametrize("client", sorted(DIALECTS))
@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_spoilt_streams_end_once_and_well_formed(dialect: str, client: str) -> None:
    chance = random.Random(dialect + client)
    writer = DIALECTS[dialect].StreamWriter
    source = unfold(DIALECTS[dialect].read_response(BODIES[dialect]))
    plain = writer(asked())
    frames = b"".join(plain.write(event) for event in source).replace(b"\r\n", b"\n").split(b"\n\n")
    for _ in range(150):
        raw = b"\n\n".join(_spoilt_frame(frame, chance) for frame in frames if chance.random() > 0.05) + b"\n\n"
        reader = DIALECTS[dialect].StreamReader()
        events = list(check(reader.feed(raw) + reader.close()))
        assert isinstance(events[-1], Finished | Failed)
        told = DIALECTS[client].StreamWriter(asked())
        assert b"".join(told.write(event) for event in events).decode()


def _spoilt_frame(frame: bytes, chance: random.Random) -> bytes:
    head, mark, data = frame.partition(b"data: ")
    if not mark or not data.startswith(b"{") or chance.random() > 0.3:
        return frame
    return head + mark + json.dumps(spoilt(json.loads(data), chance)).encode()


@pytest.mark.parametrize("part", [{"inlineData": {"mimeType": 1, "data": "x"}}, {"fileData": {"fileUri": ["a"]}}])
def test_media_of_a_request_that_is_none_is_refused_by_its_path(part: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        DIALECTS["gemini"].read_request({"contents": [{"role": "user", "parts": [part]}]}, model="m")
    assert caught.value.path in ("contents[0].parts[0].inlineData.mimeType", "contents[0].parts[0].fileData.fileUri")


def test_a_fold_of_a_failure_is_no_answer() -> None:
    reader = DIALECTS["openai_responses"].StreamReader()
    events = reader.feed(b'data: {"type": ["x"]}\n\n') + reader.close()
    with pytest.raises(AnswerFailed):
        fold(events)
