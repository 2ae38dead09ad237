"""A refusal that names one parameter: read from the words of many providers, and what is left of the body."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.sniffing import sniff_failure
from dragoman.language.unsupported import unsupported_parameter, without_parameter
from dragoman.language.wire import encode
from tests.corpus import body_bytes, exchange


def named(body: Any, status: int = 400) -> str:
    return unsupported_parameter(sniff_failure(status, {}, encode(body)))


def openai(message: str, code: str | None = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Unsupported parameter: 'top_p' is not supported with this model.", "top_p"),
        ("Unknown parameter: 'reasoning.summary'.", "reasoning.summary"),
        ("Unrecognized request argument supplied: stream_options", "stream_options"),
        ("Unrecognized request arguments supplied: seed, logprobs", ""),
        ("context_management: Extra inputs are not permitted", "context_management"),
        ("output_config.effort: Extra inputs are not permitted", ""),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("property 'enable_thinking' is unsupported", "enable_thinking"),
        ("`logprobs` is not supported with this model", "logprobs"),
        ("Extra inputs are not permitted, field: 'top_k', value: 5", "top_k"),
        ("Argument not supported on this model: stop", "stop"),
        ("Model grok-4 does not support parameter presencePenalty.", "presencePenalty"),
        ("extraneous key [seed] is not permitted", "seed"),
        ("Failed to deserialize the JSON body into the target type: unknown field `foo`, expected one of `a`", "foo"),
        ("Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field.", "topK"),
        ("The parameter temperature is not supported.", "temperature"),
        ("User location is not supported for the API use.", ""),
        ("tools.0.custom: For 'object' type, property 'properties' is not supported", ""),
        ("This model is not supported on this route.", ""),
        ("temperature and top_p cannot both be specified", ""),
        ("Thinking mode does not support this tool_choice", ""),
        ("messages: Extra inputs are not permitted", ""),
        ("Unsupported parameter: 'tools' is not supported with this model.", ""),
    ],
)
def test_one_parameter_is_read_from_the_words(words: str, name: str) -> None:
    assert named(openai(words)) == name


def test_the_code_and_the_place_beside_the_words_count() -> None:
    assert named(openai("That is not for this one.", "unsupported_parameter", "logit_bias")) == "logit_bias"
    value = "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) is supported."
    assert named(openai(value, "unsupported_value", "temperature")) == "temperature"
    assert named(openai("Bad role.", "unsupported_value", "messages[0].role")) == ""
    forbidden = {
        "type": "extra_forbidden",
        "loc": ["body", "seed"],
        "msg": "Extra inputs are not permitted",
        "input": 1,
    }
    assert named({"detail": [forbidden]}, 422) == "seed"


@pytest.mark.parametrize("status", [401, 404, 429])
def test_only_a_refusal_of_the_request_counts(status: int) -> None:
    assert named(openai("Unsupported parameter: 'top_p' is not supported with this model."), status) == ""


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("openai-chat--envoy--chat-bad-request--0", "max_tokens"),
        ("openai-responses--vercel--reasoning-model-temperature-error--0", "temperature"),
        ("compat.mistral--rig--logprobs_rejection_matrix-blocking_ministral_3b--0", "Logprobs"),
        ("openai-chat--pydai--test_openai_o1_mini_system_role-system--0", ""),
        ("openai-chat--pydai--test_openai_web_search_tool_model_not_supported--0", ""),
        ("compat.deepseek--rig--wire_shape_matrix-forced_tool_choice_under_thinking_is_rejected_upstream--0", ""),
        ("compat.deepseek--rig--wire_shape_matrix-blocking_image_url_part_reaches_the_wire--0", ""),
        ("anthropic-messages--rig--strict_schema_matrix-boolean_true_subschema_is_rejected_by_strict_compiler--0", ""),
    ],
)
def test_recorded_refusals(identifier: str, name: str) -> None:
    status = exchange(identifier)["response"]["status"]
    assert unsupported_parameter(sniff_failure(status, {}, body_bytes(identifier))) == name


def test_no_recorded_refusal_loses_what_the_call_means() -> None:
    body = {"model": "m", "messages": [], "tools": [], "temperature": 1}
    assert without_parameter(body, "temperature") == {"model": "m", "messages": [], "tools": []}
    assert body["temperature"] == 1


@pytest.mark.parametrize(
    ("body", "path", "left"),
    [
        ({"a": 1, "b": 2}, "a", {"b": 2}),
        ({"a": 1}, "b", None),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary", {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"summary": "auto"}, "b": 1}, "reasoning.summary", {"b": 1}),
        ({"reasoning": {}}, "reasoning.summary", None),
        ({"presence_penalty": 1, "b": 2}, "presencePenalty", {"b": 2}),
        ({"logprobs": True, "b": 2}, "Logprobs", {"b": 2}),
        ({"generationConfig": {"topK": 3, "topP": 1}}, "topK", {"generationConfig": {"topP": 1}}),
        ({"messages": [{"role": "x"}]}, "messages[0].role", None),
    ],
)
def test_what_is_left_without_it(body: dict[str, Any], path: str, left: dict[str, Any] | None) -> None:
    assert without_parameter(body, path) == left
