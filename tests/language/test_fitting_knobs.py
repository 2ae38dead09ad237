"""Sampling, limits, stop sequences and ids in a target's terms (R13, R20, R21; compat T-13 to T-17)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from dragoman.language.failures import Refused
from dragoman.language.fitting import Fitted, fit
from dragoman.language.ir import Message, ReasoningSetting, Request, Sampling, Text
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile

GPT5 = find_profile("openai_responses", "gpt-5")
GPT41 = find_profile("openai_chat", "gpt-4.1")
CLAUDE = find_profile("anthropic", "claude-haiku-4-5")


def run(profile: Profile, dialect: str, **fields: Any) -> tuple[Fitted, Receipt]:
    receipt = Receipt()
    known = {"tools", "reasoning", "user", "cache_key"}
    rest = {key: fields.pop(key) for key in list(fields) if key in known}
    request = Request(dialect, "m", [Message("user", [Text("go")])], sampling=Sampling(**fields), **rest)
    return fit(request, profile, receipt), receipt


def lines(receipt: Receipt) -> list[tuple[str, str]]:
    return [(loss.path, loss.what) for loss in receipt.losses]


def test_R13_nothing_said_nothing_sent() -> None:
    result, receipt = run(GPT41, "anthropic")
    assert result.request.sampling == Sampling()
    assert receipt.losses == []


def test_T13_knobs_a_reasoning_model_refuses_are_dropped() -> None:
    result, receipt = run(GPT5, "anthropic", temperature=0.5, top_p=0.9, top_k=40, max_tokens=100)
    assert result.request.sampling == Sampling(max_tokens=100)
    assert lines(receipt) == [("temperature", "dropped"), ("top_p", "dropped"), ("top_k", "dropped")]


@pytest.mark.parametrize(("given", "sent"), [(1.7, 1.0), (-1.0, 0.0), (0.3, 0.3)])
def test_R13_temperature_is_clamped(given: float, sent: float) -> None:
    result, receipt = run(CLAUDE, "openai_chat", temperature=given)
    assert result.request.sampling.temperature == sent
    assert lines(receipt) == ([] if given == sent else [("temperature", "approximated")])


def test_R13_claude_takes_temperature_or_top_p_not_both() -> None:
    result, receipt = run(CLAUDE, "openai_chat", temperature=0.3, top_p=0.9)
    assert result.request.sampling.temperature == 0.3
    assert result.request.sampling.top_p is None
    assert lines(receipt) == [("top_p", "dropped")]


def test_R13_a_thinking_claude_takes_no_temperature_and_no_top_k() -> None:
    thinking = ReasoningSetting("on", budget=2000)
    result, receipt = run(CLAUDE, "gemini", temperature=0.3, top_k=64, top_p=0.95, reasoning=thinking)
    assert result.request.sampling == Sampling(max_tokens=64000, top_p=0.95)
    assert lines(receipt) == [("temperature", "dropped"), ("top_k", "dropped")]


def test_R13_the_newest_claude_takes_no_temperature_at_all() -> None:
    result, receipt = run(find_profile("anthropic", "claude-opus-4-8"), "openai_chat", temperature=0.3)
    assert result.request.sampling.temperature is None
    assert lines(receipt) == [("temperature", "dropped")]


def test_T15_a_limit_above_the_models_is_lowered() -> None:
    result, receipt = run(find_profile("openai_chat", "gpt-4o"), "anthropic", max_tokens=200000)
    assert result.request.sampling.max_tokens == 16384
    assert lines(receipt) == [("max_tokens", "approximated")]


def test_T15_no_limit_is_invented_save_for_anthropic() -> None:
    assert run(find_profile("gemini", "gemini-2.5-pro"), "openai_chat")[0].request.sampling.max_tokens is None
    result, receipt = run(CLAUDE, "openai_chat")
    assert result.request.sampling.max_tokens == CLAUDE.default_max
    assert receipt.losses == []


def test_T14_responses_takes_no_less_than_sixteen() -> None:
    assert run(GPT5, "anthropic", max_tokens=1)[0].request.sampling.max_tokens == 16
    assert run(GPT41, "anthropic", max_tokens=1)[0].request.sampling.max_tokens == 1


@pytest.mark.parametrize("limit", [100, 1024, 1025, 4000, 30000])
@pytest.mark.parametrize("effort", ["minimal", "low", "high", "max"])
def test_R13_the_limit_stays_above_the_thinking_budget(limit: int, effort: str) -> None:
    thinking = ReasoningSetting("on", effort=effort)
    result, receipt = run(CLAUDE, "openai_chat", max_tokens=limit, reasoning=thinking)
    fitted = result.request
    assert fitted.reasoning is not None
    assert fitted.reasoning.budget is not None
    assert fitted.sampling.max_tokens is not None
    assert 1024 <= fitted.reasoning.budget < fitted.sampling.max_tokens
    if limit > 2048:
        assert fitted.sampling.max_tokens == limit
    assert receipt.losses


def test_R21_several_answers_where_one_is_given_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        run(CLAUDE, "openai_chat", n=2)
    assert caught.value.path == "n"
    assert run(CLAUDE, "openai_chat", n=1)[0].request.sampling.n is None
    assert run(find_profile("gemini", "gemini-2.5-flash"), "openai_chat", n=2)[0].request.sampling.n == 2


def test_R21_seed_logprobs_and_penalties_are_noted_where_unknown() -> None:
    result, receipt = run(CLAUDE, "openai_chat", seed=7, logprobs=True, top_logprobs=2, presence_penalty=0.5)
    assert result.request.sampling == Sampling(max_tokens=64000)
    assert lines(receipt) == [
        ("seed", "dropped"),
        ("presence_penalty", "dropped"),
        ("logprobs", "dropped"),
        ("top_logprobs", "dropped"),
    ]


def test_T16_stop_sequences_a_target_does_not_know_are_the_gateways() -> None:
    result, receipt = run(GPT5, "anthropic", stop=["END", "###", "END"])
    assert result.request.sampling.stop == []
    assert result.cut_stops == ["END", "###"]
    assert ("stop", "approximated") in lines(receipt)


def test_T16_more_stop_sequences_than_are_taken() -> None:
    result, _ = run(GPT41, "anthropic", stop=["1", "2", "3", "4", "5", "6"])
    assert result.request.sampling.stop == ["1", "2", "3", "4"]
    assert result.cut_stops == ["5", "6"]


def test_R13_blank_stop_sequences_are_not_for_anthropic() -> None:
    result, _ = run(CLAUDE, "openai_chat", stop=["\n", "END"])
    assert result.request.sampling.stop == ["END"]
    assert result.cut_stops == ["\n"]
    native, receipt = run(GPT41, "gemini", stop=["\n"])
    assert native.request.sampling.stop == ["\n"]
    assert native.cut_stops == []
    assert receipt.losses == []


def test_T17_R20_claude_codes_user_id_serves_openai_as_cache_key() -> None:
    long = '{"device_id":"' + "d" * 64 + '","session_id":"s"}'
    result, receipt = run(GPT5, "anthropic", user=long)
    assert result.request.user == ""
    assert result.request.cache_key == hashlib.sha256(long.encode()).hexdigest()
    assert lines(receipt) == [("user", "moved"), ("cache_key", "approximated")]


def test_T15_a_cache_key_of_the_clients_own_wins() -> None:
    result, receipt = run(GPT5, "anthropic", user="u", cache_key="mine")
    assert result.request.cache_key == "mine"
    assert lines(receipt) == [("user", "dropped")]


def test_R20_other_backends_get_the_user() -> None:
    glm = find_profile("openai_chat", "glm-4.6")
    assert run(glm, "anthropic", user="ann")[0].request.user == "ann"
    assert run(glm, "anthropic", user="u" * 65)[0].request.user == hashlib.sha256(b"u" * 65).hexdigest()
    assert run(GPT41, "openai_responses", user="ann")[0].request.user == "ann"


def test_R20_no_place_for_a_user_is_noted() -> None:
    result, receipt = run(find_profile("gemini", "gemini-2.5-flash"), "openai_chat", user="ann", cache_key="k")
    assert (result.request.user, result.request.cache_key) == ("", "")
    assert lines(receipt) == [("user", "dropped"), ("cache_key", "dropped")]
