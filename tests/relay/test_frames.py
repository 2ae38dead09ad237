"""Raw frames: every byte kept, cut at blank lines however they come."""

from __future__ import annotations

import json

import pytest

from dragoman.relay.frames import ModelName, RawFrames, with_data

STREAM = b'event: a\ndata: {"x":1}\n\n: ping\n\ndata: {"y":"\xe4\xb8\xad"}\n\n\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_B01_frames_are_the_same_in_any_chunking(size: int, newline: bytes) -> None:
    stream = STREAM.replace(b"\n", newline)
    frames = RawFrames()
    out: list[bytes] = []
    for at in range(0, len(stream), size):
        out += frames.feed(stream[at : at + size])
    assert b"".join(out) == stream
    assert frames.aligned
    assert out[0] == b'event: a\ndata: {"x":1}\n\n'.replace(b"\n", newline)
    assert next(frame for frame in out if b"[DONE]" in frame).endswith(newline * 2)


def test_half_a_frame_is_held_back_and_given_up() -> None:
    frames = RawFrames()
    assert frames.feed(b"data: 1\n\ndata: ") == [b"data: 1\n\n"]
    assert not frames.aligned
    assert frames.rest() == b"data: "
    assert frames.aligned


def test_B12_a_huge_frame_in_small_pieces_is_linear() -> None:
    frames = RawFrames()
    for _ in range(50_000):
        assert frames.feed(b"x" * 20) == []
    [frame] = frames.feed(b"\n\n")
    assert len(frame) == 1_000_002


def chunk(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def test_C20_the_name_changes_in_every_chunk_and_nothing_else() -> None:
    name = ModelName(("model",), "asked", b'"asked"', once=False)
    for text in ("a", 'say "model": "up"', "b"):
        frame = chunk(id="1", model="up", inner={"model": "up"}, text=text)
        assert name.frame(frame) == frame.replace(b'"model": "up"', b'"model": "asked"', 1)
    other = chunk(text="before", model="up2", id="2")
    assert json.loads(name.frame(other)[6:]) == {"text": "before", "model": "asked", "id": "2"}


def test_C20_equal_names_settle_at_once() -> None:
    name = ModelName(("model",), "same", b'"same"', once=False)
    frame = chunk(model="same")
    assert name.frame(frame) == frame
    assert name.settled


def test_C20_the_one_frame_of_a_message_start() -> None:
    name = ModelName(("message", "model"), "asked", b'"asked"', once=True)
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    assert name.frame(ping) == ping
    start = b'event: message_start\ndata: {"message":{"model":"up","id":"m"}}\n\n'
    assert name.frame(start) == start.replace(b"up", b"asked")
    assert name.settled


def test_a_payload_over_several_lines_keeps_the_other_lines() -> None:
    frame = b'event: e\nid: 4\ndata: {"a":1,\ndata: "model":"up"}\n\n'
    name = ModelName(("model",), "asked", b'"asked"', once=False)
    assert name.frame(frame) == b'event: e\nid: 4\ndata: {"a":1,\ndata: "model":"asked"}\n\n'
    assert with_data(b"data: 1\r\n\r\n", b"2") == b"data: 2\r\n\r\n"
