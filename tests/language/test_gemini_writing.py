"""Answers and failures written for Gemini clients, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types as sdk

from dragoman.language.dialects import gemini
from dragoman.language.envelope import seal
from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
    unfold,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Finish,
    Message,
    Opaque,
    Reasoning,
    ReasoningSetting,
    Refusal,
    Request,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.streams import Asked
from tests.corpus import exchange

Body = dict[str, Any]


def stream(data: bytes) -> list[Event]:
    reader = gemini.StreamReader()
    events = reader.feed(data) + reader.close()
    return list(check(events))


def asked(thoughts: bool = False, array: bool = False) -> Asked:
    reasoning = ReasoningSetting("on", summary="auto") if thoughts else None
    extras = {"gemini": {"~array": True}} if array else {}
    request = Request("gemini", "mine", [Message("user", [Text("hi")])], reasoning=reasoning, extras=extras)
    return Asked(request, "mine", seed="5eed", created=1)


def write(events: list[Event], **how: bool) -> bytes:
    writer = gemini.StreamWriter(asked(**how))
    return b"".join(writer.write(event) for event in events)


def chunks(data: bytes) -> list[Body]:
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in data.split(b"\r\n\r\n") if frame]
    for frame in frames:
        if "error" not in frame:
            sdk.GenerateContentResponse.model_validate(frame)
    return frames


def parts_of(frames: list[Body]) -> list[Body]:
    return [part for frame in frames for candidate in frame["candidates"] for part in candidate["content"]["parts"]]


def answer(*parts: Any, finish: Finish | None = None, usage: Usage | None = None) -> Response:
    return Response("msg_1", "other", [Choice(list(parts), finish or Finish("end"))], usage or Usage(10, 5, 2, 7, 3))


# ---------------------------------------------------------------- writing


def test_every_text_delta_is_one_chunk_under_the_name_asked_for() -> None:
    events: list[Event] = [
        Started("msg_1", "other"),
        PartStarted(0, Text("")),
        PartDelta(0, "a"),
        PartDelta(0, 'q"\n\ud83d'),
        PartEnded(0),
        UsageReported(Usage(10, 5, 2, 7, 3)),
        Finished([Finish("end")]),
    ]
    data = write(events)
    assert data.startswith(b"data: {")
    assert data.endswith(b"}\r\n\r\n")
    frames = chunks(data)
    assert [part["text"] for part in parts_of(frames)] == ["a", 'q"\n\ufffd', ""]
    assert {(frame["modelVersion"], frame["responseId"]) for frame in frames} == {("mine", "msg_1")}
    last = frames[-1]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == {
        "promptTokenCount": 17,
        "cachedContentTokenCount": 5,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 24,
    }


def test_calls_are_written_whole_with_their_id() -> None:
    events: list[Event] = [
        Started("", ""),
        PartStarted(0, ToolCall("c1", "f", "")),
        PartDelta(0, '{"a":'),
        PartStarted(1, ToolCall("c2", "g", "")),
        PartDelta(0, "1}"),
        PartDelta(1, '{"broken'),
        PartEnded(0),
        PartEnded(1),
        Finished([Finish("tool_calls")]),
    ]
    frames = chunks(write(events))
    assert parts_of(frames)[:2] == [
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {"raw": '{"broken'}}},
    ]
    assert frames[-1]["candidates"][0]["finishReason"] == "STOP"
    assert frames[0]["responseId"] == "5eed"


def test_thoughts_are_shown_only_when_asked_for() -> None:
    response = answer(Reasoning("hm"), Text("a"))
    events = list(unfold(response))
    assert parts_of(chunks(write(events)))[0] == {"text": "a"}
    assert parts_of(chunks(write(events, thoughts=True)))[:2] == [{"text": "hm", "thought": True}, {"text": "a"}]
    assert gemini.write_response(response, asked())["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    shown = gemini.write_response(response, asked(thoughts=True))["candidates"][0]["content"]["parts"]
    assert shown == [{"text": "hm", "thought": True}, {"text": "a"}]


def history(parts: list[Body], *, with_thoughts: bool) -> list[Any]:
    """Parts as a client echoes them in the next request."""
    kept = [part for part in parts if (with_thoughts or not part.get("thought")) and part != {"text": ""}]
    contents = [{"role": "model", "parts": [part]} for part in kept]
    request = gemini.read_request({"contents": contents})
    return [part for message in request.messages for part in message.parts]


@pytest.mark.parametrize("with_thoughts", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_T02_foreign_thoughts_come_back_to_their_owner_on_the_call(with_thoughts: bool, whole: bool) -> None:
    signed = Reasoning("I think so", {"anthropic": {"signature": "abc"}})
    redacted = Reasoning("", {"anthropic": {"redacted": "xyz"}})
    second = Reasoning("again", {"anthropic": {"signature": "def"}})
    first_call, second_call = ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g", "{}")
    response = answer(signed, redacted, Text("let me"), first_call, second, second_call, finish=Finish("tool_calls"))
    if whole:
        parts = gemini.write_response(response, asked(thoughts=True))["candidates"][0]["content"]["parts"]
    else:
        events: list[Event] = [
            Started("m", "x"),
            PartStarted(0, Reasoning("")),
            PartDelta(0, "I think"),
            PartDelta(0, " so"),
            PartEnded(0, signed.extras),
        ]
        events += [
            event for event in unfold(answer(Text(""), redacted, *response.parts[2:])) if getattr(event, "index", 0) > 0
        ]
        parts = parts_of(chunks(write(list(check([*events, Finished([Finish("tool_calls")])]))[:-1], thoughts=True)))
    back = history(parts, with_thoughts=with_thoughts)
    assert [type(part) for part in back] == [Reasoning, Reasoning, Text, ToolCall, Reasoning, ToolCall]
    assert [back[0], back[1], back[4]] == [signed, redacted, second]
    assert "thoughtSignature" not in back[3].extras.get("gemini", {})


def test_T02_a_thought_without_a_call_is_signed_itself_when_shown() -> None:
    thought = Reasoning("hm", {"anthropic": {"signature": "abc"}})
    events = list(unfold(answer(thought, Text("a"))))
    parts = parts_of(chunks(write(events, thoughts=True)))
    # As Gemini itself does it: a piece of text without words. An empty thought would be shown as a second one.
    assert parts[-1] == {"text": "", "thoughtSignature": parts[-1]["thoughtSignature"]}
    assert history(parts, with_thoughts=True) == [thought, Text("a")]
    assert history(parts, with_thoughts=False) == [thought, Text("a")]
    assert b"thoughtSignature" not in write(events)


def test_T02_ours_is_written_as_it_came() -> None:
    own = ToolCall("c", "f", "{}", extras={"gemini": {"thoughtSignature": "c2ln"}})
    parts = parts_of(chunks(write(list(unfold(answer(own))))))
    assert parts[0]["thoughtSignature"] == "c2ln"
    assert seal({}) != "c2ln"


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (Finish("end"), "STOP"),
        (Finish("length"), "MAX_TOKENS"),
        (Finish("tool_calls"), "STOP"),
        (Finish("stop_sequence", "x"), "STOP"),
        (Finish("refusal", raw="content_filter"), "SAFETY"),
        (Finish("refusal", raw="RECITATION"), "RECITATION"),
        (Finish("pause"), "STOP"),
        (Finish("unknown", raw="weird"), "STOP"),
    ],
)
def test_S17_S18_every_finish_has_a_word(finish: Finish, word: str) -> None:
    whose = asked()
    assert gemini.write_response(answer(Text("a"), finish=finish), whose)["candidates"][0]["finishReason"] == word
    assert bool(whose.receipt.losses) == (finish.reason == "unknown")


def test_S17_the_words_of_a_refusal_are_shown() -> None:
    response = answer(Refusal("I will not"), finish=Finish("refusal"))
    assert parts_of(chunks(write(list(unfold(response)))))[0] == {"text": "I will not"}
    assert gemini.write_response(response, asked())["candidates"][0]["content"]["parts"] == [{"text": "I will not"}]


def test_foreign_opaque_is_dropped_once_and_noted() -> None:
    whose = asked()
    block = Opaque("anthropic", {"type": "server_tool_use"})
    gemini.write_response(answer(block, block, Text("a")), whose)
    assert [(loss.path, loss.what) for loss in whose.receipt.losses] == [("answer.content", "dropped")]


def test_E04_a_failure_is_an_error_object_and_no_success_follows() -> None:
    events: list[Event] = [
        Started("m", "x"),
        PartStarted(0, Text("")),
        PartDelta(0, "a"),
        PartEnded(0),
        Failed(Failure("overloaded", "busy", retry_after=2.4)),
    ]
    frames = chunks(write(events))
    assert frames[-1] == {
        "error": {
            "code": 503,
            "message": "busy",
            "status": "UNAVAILABLE",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}],
        }
    }
    assert not any("finishReason" in json.dumps(frame) for frame in frames)
    assert fold(stream(write([*events[:-1], Finished([Finish("end")])]))).parts == [Text("a")]


@pytest.mark.parametrize("ending", [Finished([Finish("end")]), Failed(Failure("server", "gone"))])
def test_B07_a_client_without_sse_gets_an_array(ending: Event) -> None:
    writer = gemini.StreamWriter(asked(array=True))
    events: list[Event] = [Started("m", "x"), PartStarted(0, Text("")), PartDelta(0, "a"), PartDelta(0, "b")]
    events += [PartEnded(0), ending]
    data = writer.ping() + b"".join(writer.write(event) + writer.ping() for event in events)
    frames = json.loads(data)
    assert len(frames) == 3
    assert ("error" in frames[-1]) == isinstance(ending, Failed)
    empty = gemini.StreamWriter(asked(array=True))
    assert json.loads(empty.write(Failed(Failure("server", "gone"))))[0]["error"]["message"] == "gone"


def test_E11_a_ping_is_no_data() -> None:
    writer = gemini.StreamWriter(asked())
    response = answer(Text("a"))
    data = b"".join(writer.ping() + writer.write(event) for event in unfold(response)) + writer.ping()
    assert fold(stream(data)).parts == response.parts


def test_V07_foreign_citations_become_grounding() -> None:
    text = Text(
        "héllo wörld", citations=[Citation("https://a.b", "A", "wörld", 6, 11), Citation("https://a.b", "A", "x")]
    )
    body = gemini.write_response(answer(text), asked())
    grounding = body["candidates"][0]["groundingMetadata"]
    sdk.GenerateContentResponse.model_validate(body)
    assert grounding["groundingChunks"] == [{"web": {"uri": "https://a.b", "title": "A"}}]
    assert grounding["groundingSupports"][0]["segment"] == {"startIndex": 7, "endIndex": 13, "text": "wörld"}
    [frame] = [frame for frame in chunks(write(list(unfold(answer(text))))) if "groundingMetadata" in json.dumps(frame)]
    assert frame["candidates"][0]["groundingMetadata"] == grounding
    [again] = gemini.read_response(body).parts
    assert isinstance(again, Text)
    assert again.citations[0] == text.citations[0]


def test_R21_log_probabilities_cross() -> None:
    body = exchange("vertex-gemini--pydai--test_google_vertex_logprobs_structure--0")["response"]["body"]
    [part] = gemini.read_response(body).parts
    assert isinstance(part, Text)
    assert part.logprobs[0]["token"] == body["candidates"][0]["logprobsResult"]["chosenCandidates"][0]["token"]
    assert len(part.logprobs[0]["top_logprobs"]) == 2
    written = gemini.write_response(answer(part), asked())
    sdk.GenerateContentResponse.model_validate(written)
    assert len(written["candidates"][0]["logprobsResult"]["topCandidates"]) == len(part.logprobs)


# ---------------------------------------------------------------- failures


def test_E06_a_bad_upstream_key_is_a_credential_failure() -> None:
    name = "gemini--rubyllm--chat_error_handling_with_gemini_gemini-2_5-flash_raises_appropriate_auth_error--0"
    body = json.dumps(exchange(name)["response"]["body"]).encode()
    failure = gemini.read_failure(400, {}, body)
    assert failure.kind == "credential"
    status, written = gemini.write_failure(failure)
    assert status == 502
    assert written["error"]["status"] == "INTERNAL"


def test_E05_an_overflow_is_its_own_kind() -> None:
    name = (
        "gemini--rubyllm--chat_real_error_scenarios_gemini_gemini-2_0-flash_handles_context_length_exceeded_errors--0"
    )
    recorded = exchange(name)["response"]
    failure = gemini.read_failure(recorded["status"], {}, json.dumps(recorded["body"]).encode())
    assert failure.kind == "context_length"
    assert not failure.retryable


def test_E09_the_wait_is_read_from_retry_info_and_written_once() -> None:
    recorded = exchange("gemini--vercel--google-429-retry-info--0")["response"]
    failure = gemini.read_failure(429, {}, json.dumps(recorded["body"]).encode())
    assert failure.retry_after is not None
    details = gemini.write_failure(failure)[1]["error"]["details"]
    assert sum("RetryInfo" in detail["@type"] for detail in details) == 1


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        ("invalid_request", 400, "INVALID_ARGUMENT"),
        ("context_length", 400, "INVALID_ARGUMENT"),
        ("authentication", 401, "UNAUTHENTICATED"),
        ("permission", 403, "PERMISSION_DENIED"),
        ("not_found", 404, "NOT_FOUND"),
        ("too_large", 413, "INVALID_ARGUMENT"),
        ("rate_limit", 429, "RESOURCE_EXHAUSTED"),
        ("quota", 429, "RESOURCE_EXHAUSTED"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("credential", 502, "INTERNAL"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
        ("server", 502, "INTERNAL"),
    ],
)
def test_E02_every_kind_has_a_status_and_a_word(kind: Any, status: int, word: str) -> None:
    message = (
        "The input token count exceeds the maximum number of tokens allowed" if kind == "context_length" else "why"
    )
    assert gemini.write_failure(Failure(kind, message)) == (
        status,
        {"error": {"code": status, "message": message, "status": word}},
    )


@pytest.mark.parametrize("words", ["prompt is too long: 250000 tokens > 200000 maximum", ""])
def test_E05_a_conversation_that_is_too_long_is_told_in_googles_words(words: str) -> None:
    _, body = gemini.write_failure(Failure("context_length", words, 400))
    assert "exceeds the maximum number of tokens allowed" in body["error"]["message"]
    assert words in body["error"]["message"]
    own = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    assert gemini.write_failure(Failure("context_length", own, 400))[1]["error"]["message"] == own


def test_U06_usage_that_nobody_reported_is_not_written_as_zero() -> None:
    response = answer(Text("a"), usage=Usage())
    assert "usageMetadata" not in gemini.write_response(response, asked())
    response.usage = Usage(input=3)
    assert gemini.write_response(response, asked())["usageMetadata"] == {"promptTokenCount": 3, "totalTokenCount": 3}
