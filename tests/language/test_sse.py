"""Framing: server-sent events and JSON arrays, in any chunking."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.language.events import PartDelta
from dragoman.language.registry import DIALECTS
from dragoman.language.sse import MAX_EVENT, EventTooLarge, JsonArrayParser, SseEvent, SseParser

STREAM = (
    ": keepalive\r\n\r\n"
    'event: a\r\ndata: {"t":"héllo 🌍"}\r\n\r\n'
    "data:no-space\n\n"
    " data: leading blank\n\n"
    "data: one\ndata: two\n\n"
    'error: {"message":"quota"}\n'
    '{"error":{"message":"bare"}}\n\n'
    "data:  two blanks\n\n"
    "data: last without a blank line"
).encode()
EVENTS = [
    SseEvent("a", '{"t":"héllo 🌍"}'.encode()),
    SseEvent("", b"no-space"),
    SseEvent("", b"leading blank"),
    SseEvent("", b"one\ntwo"),
    SseEvent("error", b'{"message":"quota"}'),
    SseEvent("", b'{"error":{"message":"bare"}}'),
    SseEvent("", b" two blanks"),
    SseEvent("", b"last without a blank line"),
]


def parsed(chunks: list[bytes]) -> list[SseEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()


def test_B01_B02_B04_B06_every_split_point_gives_the_same_events() -> None:
    assert parsed([STREAM]) == EVENTS
    for at in range(len(STREAM)):
        assert parsed([STREAM[:at], STREAM[at:]]) == EVENTS
    assert parsed([STREAM[at : at + 1] for at in range(len(STREAM))]) == EVENTS


def test_B05_comments_are_a_sign_of_life_and_nothing_else() -> None:
    parser = SseParser()
    assert parser.feed(b": OPENROUTER PROCESSING\n\n: keepalive\n\n") == []
    assert parser.comments == 2


lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))


@given(st.lists(lines, max_size=5), st.integers(1, 9))
def test_B01_any_text_survives_any_chunking(texts: list[str], size: int) -> None:
    raw = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert [event.data.decode() for event in parsed([raw[at : at + size] for at in range(0, len(raw), size)])] == texts


def test_B12_a_huge_event_is_read_whole_and_bounded() -> None:
    piece = b"x" * 1000
    parser = SseParser()
    parser.feed(b"data: ")
    for _ in range(8000):
        assert parser.feed(piece) == []
    assert len(parser.feed(b"\n\n")[0].data) == 8_000_000
    parser.feed(b"y" * MAX_EVENT)
    with pytest.raises(EventTooLarge):
        parser.feed(b"y")


def test_B07_array_elements_arrive_as_they_complete() -> None:
    raw = '[{"a":"}{\\"["}\n,\r\n{"b":{"c":["é"]}}]'.encode()
    wanted = [b'{"a":"}{\\"["}', '{"b":{"c":["é"]}}'.encode()]
    for size in (1, 2, 7, 1000):
        parser = JsonArrayParser()
        got = [event.data for at in range(0, len(raw), size) for event in parser.feed(raw[at : at + size])]
        assert got == wanted


def test_B02_a_character_cut_anywhere_arrives_whole() -> None:
    """Every single split point, and bytes one by one, in every dialect's reader."""
    words = "中文 \U0001f600 é \U0001f469\u200d\U0001f680"
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": words}, "finish_reason": "stop"}]}
    event = {
        "type": "response.output_text.delta",
        "item_id": "m",
        "output_index": 0,
        "content_index": 0,
        "delta": words,
    }
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}
    candidate = {"content": {"role": "model", "parts": [{"text": words}]}, "finishReason": "STOP"}
    streams: dict[str, list[Any]] = {
        "openai_chat": [chunk],
        "openai_responses": [{"type": "response.created", "response": {"id": "r", "output": []}}, event],
        "anthropic": [{"type": "message_start", "message": {"id": "m", "content": [], "usage": {}}}, start, delta],
        "gemini": [{"candidates": [candidate]}],
    }
    for name, payloads in streams.items():
        raw = b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in payloads)
        cuts = [[raw[:at], raw[at:]] for at in range(len(raw) + 1)]
        for pieces in [*cuts, [raw[at : at + 1] for at in range(len(raw))]]:
            reader = DIALECTS[name].StreamReader()
            events = [event for piece in pieces for event in reader.feed(piece)] + reader.close()
            assert "".join(event.text for event in events if isinstance(event, PartDelta)) == words
