"""What model families accept: defaults per dialect, then one row per family, first match wins.

Facts come from https://platform.claude.com/docs, https://platform.openai.com/docs,
https://ai.google.dev/api and the vendors' own references, and from recorded refusals. It must not know
who runs a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dragoman.language.ir import ChoiceMode, MediaKind, MediaSource
from dragoman.language.profiles.facts import Profile

# ---------------------------------------------------------------- dialect defaults

_IMAGE: dict[MediaKind, frozenset[MediaSource]] = {"image": frozenset({"base64", "url"})}
_ALL_CHOICES: frozenset[ChoiceMode] = frozenset({"auto", "any", "none", "named", "subset"})

DEFAULTS: dict[str, Profile] = {
    "anthropic": Profile(
        "anthropic",
        default_max=64000,
        sampling=frozenset({"temperature", "top_p", "top_k", "stop"}),
        temperature_max=1.0,
        one_of_temperature_top_p=True,
        thinking_fixes_sampling=True,
        budget_range=(1024, 128000),
        forced_with_thinking=False,
        result_media=True,
        media={**_IMAGE, "document": frozenset({"base64", "url", "text"})},
        compiled_schemas=True,
        json_output=False,
        many_choices=False,
        prefill="refused",
        user_limit=256,
        cache_hints=True,
    ),
    "openai_chat": Profile(
        "openai_chat",
        max_stops=4,
        media={**_IMAGE, "document": frozenset({"base64"}), "audio": frozenset({"base64"})},
        json_word=True,
        call_id_length=(1, 40),
    ),
    "openai_responses": Profile(
        "openai_responses",
        token_field="max_output_tokens",
        min_output=16,
        sampling=frozenset({"temperature", "top_p", "logprobs", "top_logprobs"}),
        max_stops=0,
        custom_tools=True,
        namespaces=True,
        choices=_ALL_CHOICES,
        result_media=True,
        media={**_IMAGE, "document": frozenset({"base64", "url"})},
        object_output=True,
        json_word=True,
        many_choices=False,
        cache_key=True,
        api="responses",
    ),
    "gemini": Profile(
        "gemini",
        sampling=frozenset({"temperature", "top_p", "top_k", "stop", "seed", "n", "logprobs", "top_logprobs"}),
        max_stops=5,
        system_in_place=False,
        choices=_ALL_CHOICES,
        strict_tools=False,
        parallel_switch=False,
        media={kind: frozenset({"base64", "url"}) for kind in ("image", "document", "audio", "video")},
        user_limit=0,
    ),
}


# ---------------------------------------------------------------- families


@dataclass(frozen=True, slots=True)
class Row:
    """One family: its name, the test on a model's name, and what differs from the dialect's default."""

    family: str
    test: re.Pattern[str]
    facts: dict[str, Any]


def _row(family: str, words: str, **facts: Any) -> Row:
    """``words`` is an alternation; each must stand as a whole word in the lower-case model name."""
    return Row(family, re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])"), facts)


_CLAUDE_BUDGET: dict[str, Any] = {"reasoning": "budget", "system_in_place": False, "prefill": "native"}
_CLAUDE_ADAPTIVE: dict[str, Any] = {
    "reasoning": "adaptive",
    "efforts": ("low", "medium", "high", "max"),
    "system_in_place": False,
    "max_output": 128000,
}
_CLAUDE_NEWEST: dict[str, Any] = {
    "reasoning": "adaptive",
    "efforts": ("low", "medium", "high", "xhigh", "max"),
    "sampling": frozenset({"stop"}),  # temperature, top_p and top_k are answered with 400 since 4.7
    "system_before_answer": True,
}

_CLAUDE: tuple[Row, ...] = (
    _row("claude-fable", r"fable|mythos", **_CLAUDE_NEWEST, always_thinks=True),
    _row("claude-4.8", r"opus-4[-.][89]|(?:opus|sonnet|haiku)-[5-9](?:[-.]\d)?", **_CLAUDE_NEWEST),
    _row("claude-4.7", r"(?:opus|sonnet|haiku)-4[-.]7", **_CLAUDE_NEWEST | {"system_in_place": False}),
    _row("claude-4.6", r"(?:opus|sonnet|haiku)-4[-.]6", **_CLAUDE_ADAPTIVE),
    _row("claude-4.5", r"(?:opus|sonnet|haiku)-4[-.]5", **_CLAUDE_BUDGET, max_output=64000),
    _row("claude-opus-4.1", r"opus-4[-.]1", **_CLAUDE_BUDGET, max_output=32000, default_max=32000),
    _row("claude-opus-4", r"opus-4", **_CLAUDE_BUDGET, max_output=32000, default_max=32000, schema_output=False),
    _row("claude-4", r"sonnet-4", **_CLAUDE_BUDGET, max_output=64000, schema_output=False),
    _row("claude-3.7", r"claude-3[-.]7", **_CLAUDE_BUDGET, max_output=64000, schema_output=False),
    _row(
        "claude-3.5",
        r"claude-3[-.]5",
        **_CLAUDE_BUDGET | {"reasoning": "none", "forced_with_thinking": True},
        max_output=8192,
        default_max=8192,
        schema_output=False,
    ),
    _row(
        "claude-3",
        r"claude-(?:3|2|instant)",
        **_CLAUDE_BUDGET | {"reasoning": "none", "forced_with_thinking": True},
        max_output=4096,
        default_max=4096,
        schema_output=False,
    ),
    # A Claude nobody knows is a new one. Other names are other models behind this wire, see "other".
    _row("claude-other", r"claude\S*", **_CLAUDE_NEWEST),
    _row("other", r".*", **_CLAUDE_BUDGET),
)

_REASONING_CHAT: dict[str, Any] = {
    "token_field": "max_completion_tokens",
    "sampling": frozenset({"seed", "n"}),
    "min_output": 16,
    "reasoning": "effort",
    "developer_role": True,
    "api": "responses",
}
_REASONING_RESPONSES: dict[str, Any] = {"sampling": frozenset(), "reasoning": "effort", "always_thinks": True}
_O_SERIES: dict[str, Any] = {"efforts": ("low", "medium", "high"), "always_thinks": True, "max_output": 100000}
_GPT_5: dict[str, Any] = {
    "efforts": ("minimal", "low", "medium", "high"),
    "always_thinks": True,
    "max_output": 128000,
}
_GPT_5_1: dict[str, Any] = {"efforts": ("none", "low", "medium", "high"), "always_thinks": False, "max_output": 128000}
_GPT_5_2: dict[str, Any] = _GPT_5_1 | {"efforts": ("none", "low", "medium", "high", "xhigh")}
_GPT_5_4: dict[str, Any] = _GPT_5_2 | {"tools_with_reasoning": False}
_GPT_5_6: dict[str, Any] = _GPT_5_4 | {"cache_breakpoints": True}


def _openai(reasoning: dict[str, Any], classic: dict[str, Any]) -> tuple[Row, ...]:
    """OpenAI's own families; the name tests and limits are the same on both of its surfaces."""
    return (
        _row("computer-use", r"computer-use\S*", **classic, api="responses"),
        _row("classic", r"gpt-?(?:3\.5|35)\S*", **classic, max_output=4096, schema_output=False, media={}),
        _row("classic", r"(?:chat)?gpt-?4o\S*|gpt-?4\.5\S*|gpt-5-chat\S*|chatgpt\S*", **classic, max_output=16384),
        _row("classic", r"gpt-?4\.1\S*", **classic, max_output=32768),
        _row("classic", r"gpt-?4-turbo\S*", **classic, max_output=4096, schema_output=False),
        _row("classic", r"gpt-?4(?!\.\d)", **classic, max_output=8192, schema_output=False),
        _row("o1-mini", r"o1-(?:mini|preview)", **reasoning | _O_SERIES | {"reasoning": "none"}, system_role=False),
        _row("o-series", r"o[134]", **reasoning | _O_SERIES),
        _row("gpt-5.1+", r"gpt-?5\.(?:[6-9]|\d\d)|gpt-?(?:[6-9]|\d\d)(?:\.\d)?", **reasoning | _GPT_5_6),
        _row("gpt-5.1+", r"gpt-?5\.[45]", **reasoning | _GPT_5_4),
        _row("gpt-5.1+", r"gpt-?5\.[23]", **reasoning | _GPT_5_2),
        _row("gpt-5.1+", r"gpt-?5\.\d|(?:gpt-?5-)?codex", **reasoning | _GPT_5_1),
        _row("gpt-5", r"gpt-?5(?!\.\d)", **reasoning | _GPT_5),
    )


_OPENAI_ON_CHAT: dict[str, Any] = {
    "cache_key": True,
    "choices": _ALL_CHOICES,
    "refuses_thoughts": True,
    "object_output": True,
}
_GROK_SAMPLING = frozenset({"temperature", "top_p", "seed", "n", "logprobs", "top_logprobs"})

_GLM: dict[str, Any] = {
    "reasoning": "thinking_switch",
    "reasoning_field": "reasoning_content",
    "sampling": frozenset({"temperature", "top_p", "stop"}),
    "temperature_max": 1.0,
    "max_stops": 1,
    "choices": frozenset({"auto"}),
    "many_choices": False,
    "parallel_switch": False,
    "media": _IMAGE,
    "schema_output": False,
}
_KIMI: dict[str, Any] = {
    "reasoning": "thinking_switch",
    "reasoning_field": "reasoning_content",
    "echoes_thoughts": True,
    "sampling": frozenset({"temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"}),
    "temperature_max": 1.0,
    "max_stops": 5,
    "media": _IMAGE,
    "forced_with_thinking": False,
}
_MISTRAL: dict[str, Any] = {
    "sampling": frozenset({"temperature", "top_p", "stop", "seed", "n", "frequency_penalty", "presence_penalty"}),
    "temperature_max": 1.5,
    "prefill": "prefix",
    "call_id_length": (9, 9),
    "user_limit": 0,
    "media": {**_IMAGE, "document": frozenset({"base64", "url"}), "audio": frozenset({"base64", "url"})},
}

_OPEN_MODELS: tuple[Row, ...] = (
    _row(
        "gpt-oss",
        r"gpt-oss\S*",
        reasoning="effort",
        efforts=("low", "medium", "high"),
        reasoning_field="reasoning",
        media={},
    ),
    _row(
        "deepseek",
        r"deepseek\S*",
        reasoning="thinking_switch",
        reasoning_field="reasoning_content",
        echoes_thoughts=True,
        efforts=("low", "medium", "high", "max"),
        sampling=frozenset("temperature top_p stop frequency_penalty presence_penalty logprobs top_logprobs".split()),
        max_stops=16,
        forced_with_thinking=False,
        many_choices=False,
        media={},
        schema_output=False,
    ),
    _row("glm-5.2+", r"glm-?(?:5\.[2-9]|[6-9])\S*", **_GLM, efforts=("low", "high", "max")),
    _row("glm", r"glm\S*", **_GLM),
    _row(
        "moonshot-v1",
        r"moonshot-v1\S*",
        **_KIMI | {"reasoning": "none", "reasoning_field": "", "echoes_thoughts": False},
    ),
    _row(
        "kimi-k3",
        r"kimi-?k[3-9]\S*",
        **_KIMI | {"reasoning": "effort", "forced_with_thinking": True},
        efforts=("low", "high", "max"),
        always_thinks=True,
    ),
    _row("kimi-thinking", r"kimi-\S*(?:thinking|k2\.7-code)\S*", **_KIMI, always_thinks=True),
    _row("kimi", r"kimi\S*|moonshot\S*", **_KIMI),
    _row(
        "qwen",
        r"(?:qwen|qwq|qvq)\S*",
        reasoning="thinking_switch",
        thinking_switch="enable_thinking",
        reasoning_field="reasoning_content",
        media=_IMAGE,
        forced_with_thinking=False,
    ),
    _row(
        "grok-3-mini",
        r"grok-3-mini\S*",
        reasoning="effort",
        efforts=("low", "high"),
        reasoning_field="reasoning_content",
        sampling=_GROK_SAMPLING,
    ),
    _row(
        "grok-4.3+",
        r"grok-(?:4\.[3-9]|[5-9])\S*",
        reasoning="effort",
        efforts=("none", "low", "medium", "high"),
        sampling=_GROK_SAMPLING,
        media=_IMAGE,
    ),
    # Grok 4 thinks by itself, knows no effort, and refuses stop and the penalties.
    _row("grok", r"grok\S*", sampling=_GROK_SAMPLING, media=_IMAGE),
    # The hybrid ones think when told to; their thoughts stand among the text parts.
    _row(
        "mistral-hybrid",
        r"mistral-(?:small-(?:latest|4\S*|2[6-9]\d\d)|medium-(?:latest|3[.-]5\S*|2[6-9]\d\d))",
        **_MISTRAL,
        reasoning="effort",
        efforts=("none", "high"),
    ),
    _row("mistral", r"(?:mi[sx]tral|magistral|ministral|codestral|devstral|pixtral|voxtral)\S*", **_MISTRAL),
    _row(
        "claude",
        r"claude\S*",
        temperature_max=1.0,
        media={**_IMAGE, "document": frozenset({"base64"})},
    ),
    _row("gemini", r"gemini\S*", media=DEFAULTS["openai_chat"].media),
)

_GEMINI_BUDGET: dict[str, Any] = {"reasoning": "budget", "max_output": 65536, "schema_with_tools": False}
_GEMINI_3: dict[str, Any] = {
    "reasoning": "effort",
    "always_thinks": True,
    "max_output": 65536,
    "result_media": True,
    "needs_call_signature": True,
}

_GEMINI: tuple[Row, ...] = (
    _row("gemma", r"gemma\S*", system_role=False, schema_output=False, json_output=False),
    _row("gemini-2.5-pro", r"gemini-2\.5-pro", **_GEMINI_BUDGET, budget_range=(128, 32768), always_thinks=True),
    _row("gemini-2.5-flash-lite", r"gemini-2\.5-flash-lite", **_GEMINI_BUDGET, budget_range=(512, 24576)),
    _row("gemini-2.5", r"gemini-2\.5", **_GEMINI_BUDGET, budget_range=(0, 24576)),
    _row(
        "gemini-2",
        r"gemini-[12](?:\.\d)?",
        sampling=DEFAULTS["gemini"].sampling | {"frequency_penalty", "presence_penalty"},
        max_output=8192,
        schema_with_tools=False,
    ),
    _row("gemini-3", r"gemini-3-pro", **_GEMINI_3, efforts=("low", "high")),
    _row("gemini-3", r"gemini-(?:[3-9]|\d\d)(?:\.\d+)?-pro", **_GEMINI_3, efforts=("low", "medium", "high")),
    _row("gemini-3", r"gemini\S*", **_GEMINI_3, efforts=("minimal", "low", "medium", "high")),
    # Both thinking generations take a budget, so a name nobody knows is asked for thoughts in tokens.
    _row("other", r".*", **_GEMINI_BUDGET, budget_range=(0, 24576)),
)

FAMILIES: dict[str, tuple[Row, ...]] = {
    "anthropic": _CLAUDE,
    "openai_chat": (
        *_OPEN_MODELS,
        *_openai(_REASONING_CHAT | _OPENAI_ON_CHAT, _OPENAI_ON_CHAT),
    ),
    "openai_responses": (
        *_openai(_REASONING_RESPONSES, {}),
        _row("grok-3-mini", r"grok-3-mini\S*", reasoning="effort", efforts=("low", "high")),
        _row("grok", r"grok-(?:[1-3]|4(?!\.[3-9]))\S*"),
        _row("grok-4.3+", r"grok\S*", reasoning="effort", efforts=("none", "low", "medium", "high")),
        # This wire came with the reasoning models; a name nobody knows is taken for one.
        _row("other", r".*", reasoning="effort", efforts=("low", "medium", "high")),
    ),
    "gemini": _GEMINI,
}
