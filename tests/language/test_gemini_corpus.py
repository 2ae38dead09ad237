"""The Gemini dialect against every recorded Gemini exchange: identity, grammar, chunking, and the SDK's types."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.genai import types as sdk

from dragoman.language.dialects import gemini
from dragoman.language.dialects.gemini.spelling import camel
from dragoman.language.events import AnswerFailed, Event, Failed, Finished, Started, UsageReported, check, fold, unfold
from dragoman.language.ir import Message, Request, Response, Text
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.streams import Asked
from tests.corpus import available, body_bytes, exchange, identifiers, sse_bytes

Body = dict[str, Any]

GEMINI = [name for name in identifiers() if name.startswith(("gemini--", "vertex-gemini--"))]
WITH_REQUEST = [name for name in GEMINI if (exchange(name)["request"] or {}).get("body")]
STREAMS = [name for name in GEMINI if "sse" in exchange(name)["response"]]
ARRAYS = [name for name in GEMINI if isinstance(exchange(name)["response"].get("body"), list)]
ANSWERS = [
    name
    for name in GEMINI
    if name not in STREAMS and name not in ARRAYS and exchange(name)["response"]["status"] == 200
]
FAILURES = [name for name in GEMINI if exchange(name)["response"]["status"] >= 400]

PROFILE = Profile(dialect="gemini")


def asked(model: str) -> Asked:
    request = Request("gemini", model, [Message("user", [Text("hi")])], stream=True)
    return Asked(request, model, seed="5eed", created=1_700_000_000)


def read_stream(data: bytes, size: int) -> list[Event]:
    reader = gemini.StreamReader()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += reader.feed(data[at : at + size])
    return events + reader.close()


def written(events: list[Event], model: str) -> bytes:
    writer = gemini.StreamWriter(asked(model))
    return b"".join(writer.write(event) for event in events)


def chunks_of(data: bytes) -> Iterator[Body]:
    for frame in data.split(b"\r\n\r\n"):
        if frame:
            assert frame.startswith(b"data: ")
            yield json.loads(frame[6:])


def stream_bytes(name: str) -> bytes:
    return sse_bytes(name) if name in STREAMS else body_bytes(name)


def as_foreign(events: list[Event]) -> list[Event]:
    """The events as another provider would have given them: without what only Gemini knows of the envelope."""
    stripped: list[Event] = []
    for event in copy.deepcopy(events):
        if isinstance(event, Started | Finished):
            event.extras = {}
        if isinstance(event, UsageReported):
            event.usage.extras = {}
        if isinstance(event, Finished):
            for finish in event.finishes:
                finish.extras = {}
        stripped.append(event)
    return stripped


def answer(events: list[Event]) -> Response | str:
    try:
        return fold(events)
    except AnswerFailed as error:
        return error.failure.message


@pytest.mark.skipif(not available(), reason="the recorded corpus (../shared/corpus) is not here")
def test_the_corpus_holds_what_these_tests_need() -> None:
    assert len(GEMINI) > 150
    assert len(WITH_REQUEST) > 90
    assert len(STREAMS) > 50
    assert ARRAYS
    assert len(ANSWERS) > 50
    assert len(FAILURES) > 20


@pytest.mark.parametrize("name", WITH_REQUEST)
def test_B11_a_request_read_and_written_is_the_same(name: str) -> None:
    body = exchange(name)["request"]["body"]
    request = gemini.read_request(json.loads(json.dumps(body)), model="m", stream=True)
    receipt = Receipt()
    again = gemini.write_request(request, PROFILE, receipt)
    expected = camel(body)
    if "model" in expected:
        expected["model"] = "models/m" if "models/" in expected["model"] else "m"
    assert again == expected
    assert receipt.losses == []


@pytest.mark.parametrize("name", ANSWERS)
def test_B11_an_answer_read_and_written_is_the_same(name: str) -> None:
    body = exchange(name)["response"]["body"]
    try:
        response = gemini.read_response(body)
    except AnswerFailed as error:
        pytest.fail(str(error)) if error.failure.code != "UNEXPECTED_TOOL_CALL" else None
        return
    again = gemini.write_response(response, asked(body.get("modelVersion", "")))
    assert again == body


@pytest.mark.parametrize("name", ANSWERS)
def test_S21_a_whole_answer_is_the_fold_of_its_events(name: str) -> None:
    body = exchange(name)["response"]["body"]
    reader = gemini.StreamReader()
    events = reader.feed(json.dumps(body).encode()) + reader.close()
    list(check(events))
    try:
        response = gemini.read_response(body)
    except AnswerFailed:
        assert isinstance(events[-1], Failed)
        return
    assert fold(events) == response
    assert fold(unfold(response)) == response


@pytest.mark.parametrize("name", STREAMS + ARRAYS)
def test_B01_any_chunking_gives_the_same_events(name: str) -> None:
    data = stream_bytes(name)
    events = read_stream(data, len(data) or 1)
    list(check(events))
    for size in (1, 7, 1024):
        assert read_stream(data, size) == events
    assert isinstance(events[-1], Finished | Failed)


@pytest.mark.parametrize("name", STREAMS + ARRAYS)
def test_B11_a_stream_read_and_written_reads_the_same(name: str) -> None:
    data = stream_bytes(name)
    events = read_stream(data, len(data) or 1)
    first = answer(events)
    model = first.model if isinstance(first, Response) else "m"
    again = read_stream(written(events, model), 1 << 20)
    list(check(again))
    if isinstance(first, Response):
        assert answer(again) == first
    else:
        assert isinstance(again[-1], Failed)


@pytest.mark.parametrize("name", STREAMS + ARRAYS)
def test_U03_the_last_report_stands(name: str) -> None:
    data = stream_bytes(name)
    payloads = [json.loads(line[5:]) for line in data.splitlines() if line.startswith(b"data:")]
    if name in ARRAYS:
        payloads = json.loads(data)
    reports = [payload["usageMetadata"] for payload in payloads if payload.get("usageMetadata")]
    merged: Body = reports[-1] if reports else {}
    usages = [event.usage for event in read_stream(data, 1 << 20) if isinstance(event, UsageReported)]
    if "promptTokenCount" not in merged:
        assert all(usage.input is None for usage in usages)
        return
    last = usages[-1]
    total = last.prompt + (last.output or 0)
    assert total == merged["totalTokenCount"]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_sdk_accepts_written_answers(name: str) -> None:
    body = exchange(name)["response"]["body"]
    try:
        response = gemini.read_response(body)
    except AnswerFailed:
        return
    again = gemini.write_response(fold(as_foreign(list(unfold(response)))), asked("m"))
    sdk.GenerateContentResponse.model_validate(again)


@pytest.mark.parametrize("name", STREAMS + ARRAYS)
def test_the_sdk_accepts_written_chunks(name: str) -> None:
    data = stream_bytes(name)
    for chunk in chunks_of(written(as_foreign(read_stream(data, 1 << 20)), "m")):
        if "error" not in chunk:
            sdk.GenerateContentResponse.model_validate(chunk)


@pytest.mark.parametrize("name", FAILURES)
def test_E02_the_providers_words_are_kept(name: str) -> None:
    recorded = exchange(name)["response"]
    failure = gemini.read_failure(recorded["status"], recorded["headers_subset"], body_bytes(name))
    assert recorded["body"]["error"]["message"].strip() in failure.message
    status, body = gemini.write_failure(failure, "req_1")
    assert body["error"]["code"] == status
    assert body["error"]["message"] == failure.message
    assert body["error"]["details"][-1]["requestId"] == "req_1"
