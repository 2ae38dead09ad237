"""Whole Chat answers: every recorded body, usage in its odd places, and errors out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.dialects import openai_chat as chat
from dragoman.language.events import AnswerFailed
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Finish,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.streams import Asked
from tests import corpus

Json = dict[str, Any]


def asked(**fields: Any) -> Asked:
    body = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], **fields}
    return Asked(chat.read_request(body), "asked", "5eed", 1700000000)


def answer(message: Json, finish: str | None = "stop", **fields: Any) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return chat.read_response({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], **fields})


def written(*parts: Any, finish: str = "end", **kwargs: Any) -> Json:
    response = Response("msg_1", "claude", [Choice(list(parts), Finish(finish))], **kwargs)  # type: ignore[arg-type]
    return chat.write_response(response, asked())


BODIES = [
    name
    for name in corpus.identifiers()
    if corpus.exchange(name)["protocol"] == "openai-chat"
    and corpus.exchange(name)["response"]["status"] == 200
    and isinstance((corpus.exchange(name)["response"].get("body") or {}).get("choices"), list)
]


def bare(value: Any) -> Any:
    """A body without what is empty, so that only what says something is compared."""
    if isinstance(value, dict):
        kept = {key: bare(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", [], {}, 0)}
    return [bare(item) for item in value] if isinstance(value, list) else value


CHANGED = {
    "azure-chat--tracel--test_chat_content_filtering--0": "the choice had no message",
    "compat.gemini-openai--pydai--test_compatible_api_with_tool_calls_without_id--0": "the call had no id",
    "compat.groq--pydai--test_reasoning_wire_contract-groq-qwen3-effort-setting--0": "T11",
    "compat.huggingface--lcgo--TestHuggingFaceLLMWithProvider--0": "T11",
    "compat.huggingface--pydai--test_max_completion_tokens--0": "T11",
    "compat.snowflake--pydai--test_snowflake_thinking--0": "no id, no finish reason",
    "compat.snowflake--pydai--test_snowflake_thinking--1": "no id, no finish reason",
    "openai-chat--tracel--test_open_ai_function_calls_with_events_with_no_content--0": "asked() declares no functions",
}


@pytest.mark.parametrize("identifier", BODIES)
def test_B11_recorded_bodies_come_back_whole(identifier: str) -> None:
    body = corpus.exchange(identifier)["response"]["body"]
    call = asked()
    call.model = body["model"]
    again = bare(chat.write_response(chat.read_response(json.loads(json.dumps(body))), call))
    expected = bare(body)
    reasoning = [choice["message"].pop("reasoning_content", "") for choice in again["choices"] if "message" in choice]
    for choice, words in zip(expected["choices"], reasoning, strict=False):
        message = choice.get("message", {})
        said = message.pop("reasoning_content", None) or message.get("reasoning")
        assert said is None or words == said
    if "object" not in expected:
        del again["object"]
        again.pop("created")
    again["usage"] = expected["usage"] = None  # U04 and U05 have tests of their own
    assert (again == expected) == (identifier not in CHANGED)


def test_T11_a_leading_think_tag_is_a_thought() -> None:
    response = answer({"content": "<think>\nhm\n</think>\n\nfour"})
    assert response.parts == [Reasoning("hm\n"), Text("four")]
    message = chat.write_response(response, asked())["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("four", "hm\n")
    assert answer({"content": "say <think> aloud"}).parts == [Text("say <think> aloud")]
    assert answer({"content": "<think>never closed"}).parts == [Reasoning("never closed")]


def test_S06_content_may_be_a_list_of_typed_parts() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "four"}]
    parts = answer({"content": content}).parts
    assert [(type(part), part.text) for part in parts] == [(Reasoning, "hm"), (Text, "four")]  # type: ignore[union-attr]


def test_S14_calls_with_stop_are_tool_calls_and_length_stays_length() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert answer({"tool_calls": calls}).finish.reason == "tool_calls"
    assert answer({"tool_calls": calls}, "length").finish.reason == "length"


@pytest.mark.parametrize(
    ("said", "reason", "shown"),
    [
        ("stop", "end", "stop"),
        ("eos", "end", "stop"),
        ("length", "length", "length"),
        ("content_filter", "refusal", "content_filter"),
        ("", "end", "stop"),
        (None, "end", "stop"),
        ("abracadabra", "unknown", "stop"),
    ],
)
def test_S18_finish_reasons(said: str | None, reason: str, shown: str) -> None:
    response = answer({"content": "a"}, said)
    assert response.finish.reason == reason
    choice = chat.write_response(response, asked())["choices"][0]
    assert choice["finish_reason"] == shown
    if reason == "unknown":
        assert choice["native_finish_reason"] == "abracadabra"


def test_S19_a_stop_string_is_named_and_a_token_id_is_not() -> None:
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    read = chat.read_response({"id": "x", "choices": [{**choice, "stop_reason": "END"}]})
    assert (read.finish.reason, read.finish.stop_sequence) == ("stop_sequence", "END")
    read = chat.read_response({"id": "x", "choices": [{**choice, "matched_stop": 163586}]})
    assert (read.finish.reason, read.finish.stop_sequence) == ("end", None)


def test_S17_a_refusal_keeps_its_words() -> None:
    response = answer({"content": None, "refusal": "I cannot"})
    assert response.parts == [Refusal("I cannot")]
    assert response.finish.reason == "refusal"
    body = written(Refusal("I cannot"), finish="refusal")["choices"][0]
    assert body["message"]["refusal"] == "I cannot"
    assert body["message"]["content"] is None
    assert body["finish_reason"] == "content_filter"


def test_E15_a_filtered_choice_without_message_is_a_refusal() -> None:
    read = chat.read_response(corpus.exchange("azure-chat--tracel--test_chat_content_filtering--0")["response"]["body"])
    assert read.parts == []
    assert read.finish.reason == "refusal"
    assert read.usage.output == 19


def test_E03_an_error_inside_a_200_is_a_failure_with_its_status() -> None:
    name = "azure-chat--tracel--test_prompt_content_filtering_with_events_with_content--0"
    with pytest.raises(AnswerFailed) as caught:
        chat.read_response(corpus.exchange(name)["response"]["body"])
    assert caught.value.failure.status == 400
    assert caught.value.failure.code == "content_filter"


def test_V04_empty_placeholders_mean_absent() -> None:
    message = {
        "content": "a",
        "audio": {"id": "", "data": "", "transcript": "", "expires_at": 0},
        "function_call": {"name": "", "arguments": ""},
        "refusal": "",
        "tool_calls": [{"id": "", "type": "function", "function": {"name": "", "arguments": ""}}],
    }
    assert answer(message).parts == [Text("a")]


def test_V03_perplexitys_lists_become_citations_and_stay_for_their_owner() -> None:
    results = [{"title": "T", "url": "https://a.example", "snippet": "s"}]
    response = answer({"content": "a"}, search_results=results, citations=["https://a.example"])
    text = response.parts[0]
    assert isinstance(text, Text)
    assert [(one.url, one.title, one.cited_text) for one in text.citations] == [("https://a.example", "T", "s")]
    body = chat.write_response(response, asked())
    assert body["search_results"] == results
    assert "annotations" not in body["choices"][0]["message"]


def test_V10_offsets_count_from_the_start_of_the_message() -> None:
    cited = Text("river", citations=[Citation("https://a.example", "A", start=0, end=5)])
    message = written(Text("The "), cited)["choices"][0]["message"]
    assert message["content"] == "The river"
    assert message["annotations"][0]["url_citation"] == {
        "start_index": 4,
        "end_index": 9,
        "url": "https://a.example",
        "title": "A",
    }


def test_S07_a_call_without_id_gets_the_same_one_every_time() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    first, second = (answer({"tool_calls": [call, call]}).parts for _ in range(2))
    assert first == second
    ids = [part.id for part in first if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2
    assert all(ids)


def test_C11_custom_calls_return_in_the_form_of_their_declaration() -> None:
    call = ToolCall("c", "patch", "*** Begin", kind="custom")
    response = Response("r", "m", [Choice([call], Finish("tool_calls"))])
    nested = asked(tools=[{"type": "custom", "custom": {"name": "patch"}}])
    flat = asked(tools=[{"type": "custom", "name": "patch"}])
    assert chat.write_response(response, nested)["choices"][0]["message"]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    ]
    assert chat.write_response(response, flat)["choices"][0]["message"]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "patch", "arguments": "*** Begin"}}
    ]


def test_S09_S15_no_arguments_are_an_empty_object_unless_they_were_cut_off() -> None:
    def arguments(finish: str) -> str:
        message = written(ToolCall("c", "f", ""), finish=finish)["choices"][0]["message"]
        return str(message["tool_calls"][0]["function"]["arguments"])

    assert arguments("tool_calls") == "{}"
    assert arguments("length") == ""


def test_T05_a_gemini_signature_travels_through_a_chat_client() -> None:
    call = ToolCall("c", "f", "{}", extras={"gemini": {"thoughtSignature": "sig"}})
    message = written(call, finish="tool_calls")["choices"][0]["message"]
    history = {"model": "m", "messages": [{"role": "assistant", **message}]}
    echoed = chat.read_request(json.loads(json.dumps(history))).messages[0].parts[0]
    assert echoed.extras["gemini"] == {"thoughtSignature": "sig"}


def test_T02_a_foreign_signature_comes_back_byte_for_byte() -> None:
    message = written(Reasoning("hm", {"anthropic": {"signature": "s+/="}}), Text("a"))["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    history = {"model": "m", "messages": [{**message, "role": "assistant"}]}
    echoed = chat.read_request(json.loads(json.dumps(history))).messages[0].parts[0]
    assert echoed == Reasoning("hm", {"anthropic": {"signature": "s+/="}})


def test_C16_what_chat_has_no_place_for_is_noted() -> None:
    call = asked()
    response = Response("r", "m", [Choice([Opaque("anthropic", {"type": "server_tool_use"})], Finish("end"))])
    assert chat.write_response(response, call)["choices"][0]["message"]["content"] == ""
    assert [(loss.path, loss.what) for loss in call.receipt.losses] == [("answer.content", "dropped")]


def test_pictures_in_an_answer_are_images() -> None:
    message = written(Media("image", "base64", "QUI=", "image/png"))["choices"][0]["message"]
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUI="}}]
    assert answer(message).parts == [Media("image", "base64", "QUI=", "image/png")]


def test_C20_the_envelope_of_another_dialects_answer() -> None:
    body = written(Text("a"), usage=Usage(input=3, cache_read=4, output=5))
    assert (body["id"], body["model"], body["created"]) == ("chatcmpl-5eed", "asked", 1700000000)
    assert body["object"] == "chat.completion"


# ---------------------------------------------------------------- usage


def usage(**raw: Any) -> Usage:
    return answer({"content": "a"}, usage=raw).usage


def counts(one: Usage) -> tuple[int | None, ...]:
    return one.input, one.cache_read, one.cache_write, one.output, one.reasoning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, (9, None, None, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 5}, (4, 5, None, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5}, (4, 5, None, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cache_read_input_tokens": 5}, (4, 5, None, 4, None)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cache_creation_input_tokens": 5}, (4, None, 5, 4, None)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None, "reasoning_tokens": 0},
            (9, None, None, 4, 0),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            (4, 2, 3, 4, 1),
        ),
    ],
)
def test_U05_cache_and_reasoning_in_their_many_places(raw: Json, expected: tuple[int | None, ...]) -> None:
    assert counts(usage(**raw)) == expected


def test_U04_reasoning_outside_the_completion_is_added() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 9827}}
    one = usage(prompt_tokens=43, completion_tokens=101, total_tokens=9971, **details)
    assert (one.output, one.reasoning) == (9928, 9827)
    inside = usage(prompt_tokens=43, completion_tokens=101, total_tokens=144, **details)
    assert (inside.output, inside.reasoning) == (101, 101), "a share is never larger than its whole"


def test_U04_audio_left_out_of_the_prompt_is_input() -> None:
    assert usage(prompt_tokens=11, completion_tokens=15, total_tokens=401, prompt_audio_seconds=5).prompt == 386


def test_U04_more_cached_than_sent_is_clamped() -> None:
    one = usage(prompt_tokens=7, completion_tokens=1, prompt_tokens_details={"cached_tokens": 161})
    assert (one.input, one.cache_read, one.prompt) == (0, 7, 7)


def test_U05_written_usage_has_integers_wherever_clients_look() -> None:
    one = written(Text("a"), usage=Usage(input=3, cache_read=4, cache_write=2, output=5, reasoning=1))["usage"]
    assert (one["prompt_tokens"], one["completion_tokens"], one["total_tokens"]) == (9, 5, 14)
    assert one["prompt_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}
    assert one["completion_tokens_details"] == {"reasoning_tokens": 1}
    bare_usage = written(Text("a"))["usage"]
    assert bare_usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert bare_usage["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_U01_the_shares_of_the_prompt_add_up_in_every_recorded_body() -> None:
    for name in BODIES:
        body = corpus.exchange(name)["response"]["body"]
        read = chat.read_response(body).usage
        if "prompt_audio_seconds" not in body["usage"]:
            assert read.prompt == body["usage"]["prompt_tokens"], name


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("failure", "status", "type_", "code"),
    [
        (Failure("invalid_request", "x"), 400, "invalid_request_error", "invalid_request"),
        (Failure("authentication", "x"), 401, "authentication_error", "invalid_api_key"),
        (Failure("not_found", "x", 404, code="model_not_found"), 404, "invalid_request_error", "model_not_found"),
        (Failure("rate_limit", "x", 429, code="1300"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (Failure("quota", "x", 429), 429, "insufficient_quota", "insufficient_quota"),
        (Failure("overloaded", "x", 529), 529, "server_error", "overloaded"),
        (Failure("credential", "x", code="invalid_api_key"), 502, "server_error", "upstream_credential"),
        (Failure("timeout", "x"), 504, "timeout_error", "upstream_timeout"),
        (Failure("server", "x"), 502, "server_error", "server_error"),
    ],
)
def test_E05_E06_errors_have_the_words_clients_act_on(failure: Failure, status: int, type_: str, code: str) -> None:
    assert chat.write_failure(failure) == (
        status,
        {"error": {"message": "x", "type": type_, "param": None, "code": code}},
    )


@pytest.mark.parametrize("words", ["prompt is too long: 250000 tokens > 200000 maximum", ""])
def test_E05_a_conversation_that_is_too_long_is_told_in_openais_words(words: str) -> None:
    status, body = chat.write_failure(Failure("context_length", words, 400))
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert "This model's maximum context length is" in body["error"]["message"]
    assert words in body["error"]["message"]
    own = "This model's maximum context length is 8 tokens."
    assert chat.write_failure(Failure("context_length", own, 400))[1]["error"]["message"] == own


def test_E08_a_failed_generation_is_shown() -> None:
    body = json.dumps({"error": {"message": "x", "code": "tool_use_failed", "failed_generation": "{"}}).encode()
    _, shown = chat.write_failure(chat.read_failure(400, {}, body))
    assert shown["error"]["failed_generation"] == "{"
    assert shown["error"]["code"] == "tool_use_failed"
