"""The short way of a Chat stream's tool arguments gives what the long way gives."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from dragoman.language.dialects import openai_chat as chat
from dragoman.language.events import Event, check
from tests import corpus

Json = dict[str, Any]

CALLING = [
    name
    for name in corpus.identifiers()
    if corpus.exchange(name)["protocol"] == "openai-chat"
    if '"tool_calls"' in (corpus.exchange(name)["response"].get("sse") or "")
]


def read(chunks: list[bytes]) -> list[Event]:
    reader = chat.StreamReader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return list(check(events + reader.close()))


def read_the_long_way(chunks: list[bytes]) -> list[Event]:
    with patch.object(chat.StreamReader, "_hasty", return_value=False):
        return read(chunks)


def frame(delta: Json, finish: str | None = None) -> bytes:
    payload = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def piece(text: str, index: int = 0, **more: Any) -> bytes:
    return frame({"tool_calls": [{"index": index, "function": {"arguments": text}, **more}]})


def opened(index: int, call_id: str, name: str) -> bytes:
    call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
    return frame({"tool_calls": [call]})


END = [frame({}, "tool_calls"), b"data: [DONE]\n\n"]
FIRST = opened(0, "call_1", "look")


@pytest.mark.parametrize(
    "chunks",
    [
        [FIRST, piece('{"a'), piece('":1'), piece("}")],
        [FIRST, piece('{"a":1}'), piece('{"a":1}')],
        [FIRST, piece('{"a":1}'), piece(""), piece("", 1)],
        [FIRST, piece('{"a"', id="call_1", type="function"), piece(":1}", id="call_1", type="function")],
        [FIRST, piece('{"a":1}'), opened(1, "call_2", "find"), piece('{"b"', 1), piece(":2}", 1)],
        [FIRST, opened(1, "call_2", "find"), piece('{"a"'), piece('{"b"', 1), piece(":1}"), piece(":2}", 1)],
        [FIRST, piece('{"a":1}'), frame({"content": "words"}), frame({"content": " more"}), piece('"x"', 0)],
        [FIRST, frame({"content": "hm", "tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]})],
        [FIRST, frame({"tool_calls": [{"index": 0, "function": {"arguments": 7}}]}), frame({"tool_calls": [None]})],
        [FIRST, frame({"tool_calls": "odd"}), frame({"tool_calls": [{"index": 0, "function": None}]}), piece("{}")],
        [FIRST, piece('{"a":1}'), piece('{"b":2}', id="call_9"), piece("x", 0, id="call_9")],
    ],
)  # fmt: skip
def test_S08_arguments_come_out_the_same_either_way(chunks: list[bytes]) -> None:
    assert read([*chunks, *END]) == read_the_long_way([*chunks, *END])


@pytest.mark.parametrize("name", CALLING)
def test_S08_recorded_calls_come_out_the_same_either_way(name: str) -> None:
    frames = [part + b"\n\n" for part in corpus.sse_bytes(name).split(b"\n\n")]
    assert read(frames) == read_the_long_way(frames)
