"""The Anthropic dialect on recorded traffic: identity, grammar, chunking, and what the official SDK accepts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dragoman.language.dialects import anthropic
from dragoman.language.events import fold
from dragoman.language.failures import Refused
from dragoman.language.ir import Response
from dragoman.language.losses import Receipt
from tests import corpus
from tests.language.anthropic_wire import asked, feed, payloads, roundtrip, write

BADLY_FORMED = (
    "anthropic-messages--rubyllm--chat_real_error_scenarios_anthropic_"
    "claude-3-5-haiku-20241022_handles_invalid_message_format_er--0"
)
"""Anthropic refuses this recorded request too."""


def _mine(want: Callable[[dict[str, Any]], Any]) -> list[str]:
    """Ids of the exchanges of this protocol that are wanted; one that skips where the corpus is absent."""
    found = ((i, corpus.exchange(i)) for i in corpus.identifiers())
    return [i for i, e in found if e["protocol"] == "anthropic-messages" and want(e)] or ["absent"]


REQUESTS = _mine(lambda e: e["request"])
STREAMS = _mine(lambda e: "sse" in e["response"] and e["response"]["sse"].startswith("event: message_start"))
ANSWERS = _mine(lambda e: "body" in e["response"] and e["response"]["status"] == 200)
FAILURES = _mine(lambda e: "body" in e["response"] and e["response"]["status"] != 200)
EXAMPLES = corpus.FOLDER.parents[1] / "clients" / "examples"


def _clients() -> list[str]:
    """Recorded requests of real clients; one that skips where they are absent."""
    found = []
    for path in sorted(EXAMPLES.glob("*.json")):
        if path.name.startswith(("claude_code", "sdk_anthropic")):
            body = json.loads(path.read_text("utf-8"))["body"]
            found += [path.name] if isinstance(body, dict) and "messages" in body else []
    return found or ["absent"]


def _counted(response: Response) -> Response:
    """Written usage always has the cache counts, so an unreported one reads back as 0."""
    usage = response.usage
    counts = replace(usage, cache_read=usage.cache_read or 0, cache_write=usage.cache_write or 0)
    return replace(response, usage=counts)


@pytest.mark.parametrize("identifier", REQUESTS)
def test_request_is_identical_after_reading_and_writing(identifier: str) -> None:
    request = corpus.exchange(identifier)["request"]
    if identifier == BADLY_FORMED:
        with pytest.raises(Refused, match=r"messages\[0\]\.content"):
            anthropic.read_request(request["body"])
        return
    receipt = Receipt()
    assert roundtrip(request["body"], receipt) == request["body"]
    assert not receipt.losses


@pytest.mark.parametrize("name", _clients())
def test_client_request_is_identical_after_reading_and_writing(name: str) -> None:
    if name == "absent":
        pytest.skip("the recorded client requests are not here")
    body = json.loads((EXAMPLES / name).read_text("utf-8"))["body"]
    assert roundtrip(body) == body


@pytest.mark.parametrize("identifier", ANSWERS)
def test_whole_answer_is_identical_after_reading_and_writing(identifier: str) -> None:
    body = corpus.exchange(identifier)["response"]["body"]
    assert anthropic.write_response(anthropic.read_response(body), asked(body["model"])) == body


@pytest.mark.parametrize("identifier", STREAMS)
def test_B01_stream_gives_equal_events_in_any_chunking(identifier: str) -> None:
    raw = corpus.sse_bytes(identifier)
    events = feed(raw)
    for size in (1, 7, 1024):
        assert feed(raw, size) == events


def test_B01_B02_every_split_point_gives_equal_events() -> None:
    raw = corpus.sse_bytes("anthropic-messages--rig--stop_sequence_terminal_matrix-raw_unicode_sequence--0")
    events = feed(raw)
    for at in range(1, len(raw)):
        reader = anthropic.StreamReader()
        assert reader.feed(raw[:at]) + reader.feed(raw[at:]) + reader.close() == events


@pytest.mark.parametrize("identifier", STREAMS)
def test_B11_S21_stream_survives_writing_and_folding(identifier: str) -> None:
    events = feed(corpus.sse_bytes(identifier))
    answer = fold(events)
    assert answer.id
    assert answer.finish.reason != "unknown"
    again = fold(feed(write(events, asked(answer.model))))
    assert _counted(again) == _counted(answer)
    body = anthropic.write_response(answer, asked(answer.model))
    assert anthropic.write_response(anthropic.read_response(body), asked(answer.model)) == body


@pytest.mark.parametrize("identifier", STREAMS)
def test_B11_stream_keeps_every_block_and_the_end(identifier: str) -> None:
    """Against the wire itself, not against our own reading of it."""
    raw = corpus.sse_bytes(identifier)
    events = feed(raw)
    assert _substance(payloads(write(events, asked("m")))) == _substance(_wire(raw))


def _wire(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in raw.decode().splitlines() if line.startswith("data:")]


def _substance(stream: list[dict[str, Any]]) -> dict[str, Any]:
    """Blocks assembled from their deltas, and everything said about the end."""
    blocks: dict[int, dict[str, Any]] = {}
    found: dict[str, Any] = {"usage": {}}
    for payload in stream:
        match payload["type"]:
            case "message_start":
                found["usage"] |= payload["message"]["usage"]
            case "content_block_start":
                blocks[payload["index"]] = dict(payload["content_block"], _json="")
            case "content_block_delta":
                _fold(blocks[payload["index"]], payload["delta"])
            case "message_delta":
                found["usage"] |= payload["usage"]
                found["end"] = {key: value for key, value in payload.items() if key != "usage"}
    for block in blocks.values():
        text = block.pop("_json")
        if text and block["type"] != "tool_use":
            block["input"] = json.loads(text)
        elif block["type"] == "tool_use":
            block["input"] = text or "{}"
    for key in ("cache_read_input_tokens", "cache_creation_input_tokens"):
        found["usage"].setdefault(key, 0)
    return found | {"blocks": blocks}


def _fold(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "partial_json":
            block["_json"] += value
        elif key == "citation":
            block["citations"] = [*(block.get("citations") or []), value]
        elif key != "type":
            block[key] = block[key] + value if isinstance(block.get(key), str) and isinstance(value, str) else value


@pytest.mark.parametrize("identifier", STREAMS)
def test_written_stream_is_accepted_by_the_official_sdk(identifier: str) -> None:
    messages = pytest.importorskip("anthropic.lib.streaming._beta_messages")
    pytest.importorskip("httpx2")
    import httpx2

    events = feed(corpus.sse_bytes(identifier))
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in payloads(write(events, asked("m"))):
        if event["type"] == "ping":
            continue
        snapshot = messages.accumulate_event(
            event=event, current_snapshot=snapshot, json_bufs=buffers, request_headers=httpx2.Headers()
        )
    answer = fold(events)
    assert snapshot is not None
    assert snapshot.id == answer.id
    assert len(snapshot.content) == len(answer.parts)
    assert snapshot.usage.output_tokens == answer.usage.output


@pytest.mark.parametrize("identifier", FAILURES)
def test_C03_failure_body_goes_back_unmodified(identifier: str) -> None:
    response = corpus.exchange(identifier)["response"]
    headers = response.get("headers_subset") or {}
    failure = anthropic.read_failure(response["status"], headers, corpus.body_bytes(identifier))
    status, body = anthropic.write_failure(failure)
    if response["status"] == 401:
        assert (failure.kind, status, body["error"]["type"]) == ("credential", 502, "api_error")
        return
    assert (status, body) == (response["status"], response["body"])
