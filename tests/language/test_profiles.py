"""What a target's name says about it: families, limits, vendors (R13, R14, R15, R22; compat T-47)."""

from __future__ import annotations

import pytest

from dragoman.language.profiles import EFFORTS, find_profile


@pytest.mark.parametrize(
    ("model", "family", "limit"),
    [
        ("gpt-3.5-turbo", "classic", 4096),
        ("gpt-35-turbo-16k", "classic", 4096),
        ("gpt-4", "classic", 8192),
        ("gpt-4-0613", "classic", 8192),
        ("gpt-4o", "classic", 16384),
        ("gpt-4o-mini-2024-07-18", "classic", 16384),
        ("gpt-4.1-nano", "classic", 32768),
        ("chatgpt-4o-latest", "classic", 16384),
        ("o1", "o-series", 100000),
        ("o3-mini", "o-series", 100000),
        ("prod-o4-mini", "o-series", 100000),
        ("gpt-5", "gpt-5", 128000),
        ("gpt-5-nano-2025-08-07", "gpt-5", 128000),
        ("gpt-5.1", "gpt-5.1+", 128000),
        ("GPT-5.2-Codex", "gpt-5.1+", 128000),
        ("gpt-5-codex", "gpt-5.1+", 128000),
        ("gpt-6.1-sol", "gpt-5.1+", 128000),
        ("prod-main", "other", None),
    ],
)
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses"])
def test_R13_a_family_is_guessed_from_whole_words(dialect: str, model: str, family: str, limit: int | None) -> None:
    profile = find_profile(dialect, model)
    assert (profile.family, profile.max_output) == (family, limit)


@pytest.mark.parametrize("model", ["foo3", "solo1", "gpt-4o", "go4", "o35", "pro1"])
def test_T47_names_that_only_contain_o1_o3_or_o4_are_not_o_series(model: str) -> None:
    assert find_profile("openai_chat", model).family != "o-series"


def test_T47_a_configured_family_overrules_the_name() -> None:
    profile = find_profile("openai_chat", "prod-main", "gpt-5")
    assert profile == find_profile("openai_chat", "gpt-5")
    assert find_profile("openai_chat", "gpt-5", "classic").token_field == "max_tokens"
    assert find_profile("openai_chat", "gpt-5", "other").family == "other"


def test_a_configured_family_may_be_a_model_to_be_taken_for() -> None:
    assert find_profile("openai_chat", "prod-main", "gpt-4.1").max_output == 32768


@pytest.mark.parametrize("model", ["o3-mini", "gpt-5", "gpt-5.1", "codex-mini-latest"])
def test_R13_reasoning_families_on_chat(model: str) -> None:
    profile = find_profile("openai_chat", model)
    assert profile.token_field == "max_completion_tokens"
    assert not profile.sampling & {"temperature", "top_p", "stop"}
    assert profile.api == "responses"


@pytest.mark.parametrize(
    ("model", "efforts"),
    [
        ("o3", ("low", "medium", "high")),
        ("gpt-5-mini", ("minimal", "low", "medium", "high")),
        ("gpt-5.1", ("none", "low", "medium", "high")),
        ("gpt-4o", ()),
        ("glm-4.6", ()),
    ],
)
def test_R15_efforts_of_a_family(model: str, efforts: tuple[str, ...]) -> None:
    assert find_profile("openai_chat", model).efforts == efforts


@pytest.mark.parametrize(
    ("model", "api"),
    [("computer-use-preview", "responses"), ("gpt-4.1", "chat"), ("deepseek-chat", "chat"), ("gpt-oss-120b", "chat")],
)
def test_R14_surface_of_a_family(model: str, api: str) -> None:
    assert find_profile("openai_chat", model).api == api


@pytest.mark.parametrize(
    ("model", "reasoning", "system", "prefill"),
    [
        ("claude-3-5-haiku-20241022", "none", False, "native"),
        ("claude-3-7-sonnet-20250219", "budget", False, "native"),
        ("claude-sonnet-4-20250514", "budget", False, "native"),
        ("claude-haiku-4-5-20251001", "budget", False, "native"),
        ("anthropic.claude-opus-4-6-v1", "adaptive", False, "refused"),
        ("claude-sonnet-4-6", "adaptive", False, "refused"),
        ("claude-opus-4-7", "adaptive", False, "refused"),
        ("claude-opus-4-8", "adaptive", True, "refused"),
        ("claude-sonnet-5", "adaptive", True, "refused"),
        ("claude-fable-5-1", "adaptive", True, "refused"),
        ("claude-novella-9", "adaptive", True, "refused"),
        ("glm-4.6", "budget", False, "native"),
    ],
)
def test_R15_R07_claude_generations(model: str, reasoning: str, system: bool, prefill: str) -> None:
    profile = find_profile("anthropic", model)
    assert (profile.reasoning, profile.system_in_place, profile.prefill) == (reasoning, system, prefill)


def test_R13_the_newest_claude_takes_no_temperature() -> None:
    assert "temperature" not in find_profile("anthropic", "claude-opus-4-8").sampling
    assert "temperature" in find_profile("anthropic", "claude-sonnet-4-6").sampling


@pytest.mark.parametrize("model", ["claude-opus-4-20250514", "claude-3-haiku-20240307", "claude-sonnet-5", "glm-4.6"])
def test_R13_anthropic_always_has_a_limit_to_fill_in(model: str) -> None:
    profile = find_profile("anthropic", model)
    assert profile.default_max
    assert profile.default_max <= (profile.max_output or profile.default_max)


def test_R15_gemini_counts_tokens_until_two_and_a_half_and_says_words_since_three() -> None:
    assert find_profile("gemini", "gemini-2.5-flash").reasoning == "budget"
    assert find_profile("gemini", "gemini-2.5-pro").always_thinks
    assert find_profile("gemini", "gemini-2.0-flash").reasoning == "none"
    assert find_profile("gemini", "gemini-3-pro-preview").efforts == ("low", "high")
    assert find_profile("gemini", "gemini-3.5-flash-lite").reasoning == "effort"


def test_R17_T05_gemini_three_takes_media_in_results_and_wants_signed_calls() -> None:
    three, two = find_profile("gemini", "gemini-3-flash-preview"), find_profile("gemini", "gemini-2.5-flash")
    assert three.result_media
    assert three.needs_call_signature
    assert not two.result_media
    assert not two.needs_call_signature


def test_T12_the_field_in_which_a_vendor_wants_its_reasoning_back() -> None:
    assert find_profile("openai_chat", "deepseek-v4-flash").reasoning_field == "reasoning_content"
    assert find_profile("openai_chat", "openai/gpt-oss-120b", vendor="groq").reasoning_field == "reasoning"
    assert find_profile("openai_chat", "anthropic/claude-haiku-4.5", vendor="openrouter").reasoning_field == (
        "reasoning_details"
    )
    assert find_profile("openai_chat", "gpt-4.1").reasoning_field == ""


def test_C14_only_openai_itself_is_known_to_take_grammar_tools() -> None:
    assert find_profile("openai_responses", "gpt-5.2", vendor="azure").custom_tools
    other = find_profile("openai_responses", "deepseek-v4-flash", vendor="deepseek")
    assert not other.custom_tools
    assert not other.namespaces
    assert "subset" not in other.choices


def test_unknown_dialects_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        find_profile("smoke-signals", "gpt-5")


def test_R15_effort_words_stand_in_order() -> None:
    assert EFFORTS == ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    for model in ("o3", "gpt-5", "gpt-5.1", "gpt-5.2", "deepseek-v4-pro"):
        efforts = find_profile("openai_chat", model).efforts
        assert list(efforts) == sorted(efforts, key=EFFORTS.index)
