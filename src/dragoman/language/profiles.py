"""What a model family accepts, as data: one row per family, defaults per dialect.

A profile belongs to a target (provider dialect + model name), never to a client. This module must
not know any wire's bytes nor any provider's address: rows are facts, fitting and writers act on them.

``find_profile`` lays three layers over each other: the dialect's default, the first family row whose
name test matches (or that was named by configuration, since a deployment's name need not reveal its
model), and the vendor's row. Later layers win. To add a quirk: one row, or one fact in a row.

Facts come from https://platform.claude.com/docs, https://platform.openai.com/docs,
https://ai.google.dev/api and the vendors' own references, and from recorded refusals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from dragoman.language.ir import ChoiceMode, MediaKind, MediaSource

EFFORTS: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All effort words, weakest first."""

ReasoningControl = Literal["none", "effort", "budget", "adaptive", "thinking_switch"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Facts about one target.

    ``dialect``           wire language of the target
    ``family``            name of the row, for logs
    ``token_field``       Chat: field for the output limit
    ``max_output``        highest output limit, ``None`` unknown
    ``default_max``       output limit sent when the client gave none and the wire demands one
    ``min_output``        smallest output limit the target takes
    ``sampling``          names of Sampling fields the target takes
    ``temperature_max``   clamp
    ``one_of_temperature_top_p`` only one of the two is taken
    ``thinking_fixes_sampling``  temperature, top_k and a low top_p are refused while thinking is on
    ``max_stops``         most stop sequences taken, ``None`` any number
    ``reasoning``         how thinking is asked for
    ``efforts``           effort words the target knows, weakest first
    ``budget_range``      smallest and largest thinking budget in tokens
    ``always_thinks``     thinking cannot be switched off
    ``thinking_switch``   Chat: spelling of the switch when ``reasoning`` is ``thinking_switch``
    ``reasoning_field``   Chat: field in which reasoning comes and goes back, empty when it never goes back
    ``developer_role``    Chat: spell system as developer
    ``system_role``       a system message is accepted at all (else it becomes marked user text)
    ``system_in_place``   a system message may stand in mid-conversation
    ``system_before_answer`` ... but only behind a user turn, and before an assistant turn or at the end
    ``custom_tools``      grammar tools are native
    ``namespaces``        tool namespaces are native
    ``tools_with_reasoning`` Chat: function tools are accepted while reasoning is on
    ``forced_with_thinking`` a forced tool choice is accepted while thinking is on
    ``choices``           tool choices that are native; ``subset`` is a list of allowed tools
    ``strict_tools``      a tool may be marked strict
    ``parallel_switch``   ``parallel_tool_calls`` or its like is known
    ``result_media``      media may stand inside a tool result
    ``media``             which sources are taken for which kind
    ``schema_output``     structured output with a schema is native
    ``schema_with_tools`` ... also beside function tools
    ``json_output``       free JSON mode is native
    ``json_schema_tools`` Gemini: ``parametersJsonSchema`` is taken (else schemas are reduced)
    ``many_choices``      ``n > 1`` is taken
    ``prefill``           how an assistant prefill goes out: as it is, marked ``prefix``, as plain history
                          (``none``), or not at all because it is answered with an error (``refused``)
    ``tool_name_limit``   longest tool name
    ``call_id_length``    shortest and longest call id; equal numbers mean letters and digits only
    ``user_limit``        longest end-user id, 0 when there is no place for one
    ``cache_key``         ``prompt_cache_key`` is taken
    ``cache_hints``       Anthropic's ``cache_control`` is taken
    ``needs_call_signature`` Gemini: calls in history without a ``thoughtSignature`` are refused
    ``stream_usage``      Chat: ``stream_options.include_usage`` is accepted
    ``api``               surface an OpenAI-like provider should use for this family
    """

    dialect: str
    family: str = "other"
    token_field: str = "max_tokens"
    max_output: int | None = None
    default_max: int | None = None
    min_output: int = 1
    sampling: frozenset[str] = frozenset(
        "temperature top_p stop seed n frequency_penalty presence_penalty logprobs top_logprobs".split()
    )
    temperature_max: float = 2.0
    one_of_temperature_top_p: bool = False
    thinking_fixes_sampling: bool = False
    max_stops: int | None = None
    reasoning: ReasoningControl = "none"
    efforts: tuple[str, ...] = ()
    budget_range: tuple[int, int] = (0, 32768)
    always_thinks: bool = False
    thinking_switch: Literal["thinking", "enable_thinking"] = "thinking"
    reasoning_field: str = ""
    developer_role: bool = False
    system_role: bool = True
    system_in_place: bool = True
    system_before_answer: bool = False
    custom_tools: bool = False
    namespaces: bool = False
    tools_with_reasoning: bool = True
    forced_with_thinking: bool = True
    choices: frozenset[ChoiceMode] = frozenset({"auto", "any", "none", "named"})
    strict_tools: bool = True
    parallel_switch: bool = True
    result_media: bool = False
    media: dict[MediaKind, frozenset[MediaSource]] = field(default_factory=dict)
    schema_output: bool = True
    schema_with_tools: bool = True
    json_output: bool = True
    json_schema_tools: bool = True
    many_choices: bool = True
    prefill: Literal["native", "prefix", "none", "refused"] = "none"
    tool_name_limit: int = 64
    call_id_length: tuple[int, int] = (1, 64)
    user_limit: int = 64
    cache_key: bool = False
    cache_hints: bool = False
    needs_call_signature: bool = False
    stream_usage: bool = True
    api: Literal["chat", "responses"] = "chat"


# ---------------------------------------------------------------- dialect defaults

_IMAGE: dict[MediaKind, frozenset[MediaSource]] = {"image": frozenset({"base64", "url"})}
_ALL_CHOICES: frozenset[ChoiceMode] = frozenset({"auto", "any", "none", "named", "subset"})

_DEFAULTS: dict[str, Profile] = {
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
class _Row:
    """One family: its name, the test on a model's name, and what differs from the dialect's default."""

    family: str
    test: re.Pattern[str]
    facts: dict[str, Any]


def _row(family: str, words: str, **facts: Any) -> _Row:
    """``words`` is an alternation; each must stand as a whole word in the lower-case model name."""
    return _Row(family, re.compile(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])"), facts)


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

_CLAUDE: tuple[_Row, ...] = (
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


def _openai(reasoning: dict[str, Any], classic: dict[str, Any]) -> tuple[_Row, ...]:
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
        _row("gpt-5.1+", r"gpt-?5\.(?:[4-9]|\d\d)|gpt-?(?:[6-9]|\d\d)(?:\.\d)?", **reasoning | _GPT_5_4),
        _row("gpt-5.1+", r"gpt-?5\.[23]", **reasoning | _GPT_5_2),
        _row("gpt-5.1+", r"gpt-?5\.\d|(?:gpt-?5-)?codex", **reasoning | _GPT_5_1),
        _row("gpt-5", r"gpt-?5(?!\.\d)", **reasoning | _GPT_5),
    )


_OPENAI_ON_CHAT: dict[str, Any] = {"cache_key": True, "choices": _ALL_CHOICES}
_GROK_SAMPLING = frozenset({"temperature", "top_p", "seed", "n", "logprobs", "top_logprobs"})

_OPEN_MODELS: tuple[_Row, ...] = (
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
        efforts=("low", "medium", "high", "max"),
        sampling=frozenset("temperature top_p stop frequency_penalty presence_penalty logprobs top_logprobs".split()),
        max_stops=16,
        forced_with_thinking=False,
        many_choices=False,
        media={},
        schema_output=False,
    ),
    _row(
        "glm",
        r"glm\S*",
        reasoning="thinking_switch",
        reasoning_field="reasoning_content",
        sampling=frozenset({"temperature", "top_p", "stop"}),
        temperature_max=1.0,
        max_stops=1,
        choices=frozenset({"auto"}),
        many_choices=False,
        parallel_switch=False,
        media=_IMAGE,
        schema_output=False,
    ),
    _row(
        "kimi",
        r"kimi\S*|moonshot\S*",
        reasoning="thinking_switch",
        reasoning_field="reasoning_content",
        sampling=frozenset({"temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"}),
        temperature_max=1.0,
        max_stops=5,
        media=_IMAGE,
        forced_with_thinking=False,
    ),
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
        "grok",
        r"grok-3-mini\S*",
        reasoning="effort",
        efforts=("low", "high"),
        reasoning_field="reasoning_content",
        sampling=_GROK_SAMPLING,
    ),
    # Grok 4 thinks by itself, knows no effort, and refuses stop and the penalties.
    _row("grok", r"grok\S*", sampling=_GROK_SAMPLING, media=_IMAGE),
    _row(
        "mistral",
        r"(?:mi[sx]tral|magistral|ministral|codestral|devstral|pixtral)\S*",
        sampling=frozenset({"temperature", "top_p", "stop", "seed", "n", "frequency_penalty", "presence_penalty"}),
        temperature_max=1.5,
        prefill="prefix",
        call_id_length=(9, 9),
        user_limit=0,
        media={**_IMAGE, "document": frozenset({"base64", "url"}), "audio": frozenset({"base64", "url"})},
    ),
    _row(
        "claude",
        r"claude\S*",
        temperature_max=1.0,
        media={**_IMAGE, "document": frozenset({"base64"})},
    ),
    _row("gemini", r"gemini\S*", media=_DEFAULTS["openai_chat"].media),
)

_GEMINI_BUDGET: dict[str, Any] = {"reasoning": "budget", "max_output": 65536, "schema_with_tools": False}
_GEMINI_3: dict[str, Any] = {
    "reasoning": "effort",
    "always_thinks": True,
    "max_output": 65536,
    "result_media": True,
    "needs_call_signature": True,
}

_GEMINI: tuple[_Row, ...] = (
    _row("gemma", r"gemma\S*", system_role=False, schema_output=False, json_output=False),
    _row("gemini-2.5-pro", r"gemini-2\.5-pro", **_GEMINI_BUDGET, budget_range=(128, 32768), always_thinks=True),
    _row("gemini-2.5-flash-lite", r"gemini-2\.5-flash-lite", **_GEMINI_BUDGET, budget_range=(512, 24576)),
    _row("gemini-2.5", r"gemini-2\.5", **_GEMINI_BUDGET, budget_range=(0, 24576)),
    _row(
        "gemini-2",
        r"gemini-[12](?:\.\d)?",
        sampling=_DEFAULTS["gemini"].sampling | {"frequency_penalty", "presence_penalty"},
        max_output=8192,
        schema_with_tools=False,
    ),
    _row("gemini-3", r"gemini-3-pro", **_GEMINI_3, efforts=("low", "high")),
    _row("gemini-3", r"gemini-(?:[3-9]|\d\d)(?:\.\d+)?-pro", **_GEMINI_3, efforts=("low", "medium", "high")),
    _row("gemini-3", r"gemini\S*", **_GEMINI_3, efforts=("minimal", "low", "medium", "high")),
    # Both thinking generations take a budget, so a name nobody knows is asked for thoughts in tokens.
    _row("other", r".*", **_GEMINI_BUDGET, budget_range=(0, 24576)),
)

_FAMILIES: dict[str, tuple[_Row, ...]] = {
    "anthropic": _CLAUDE,
    "openai_chat": (
        *_OPEN_MODELS,
        *_openai(_REASONING_CHAT | _OPENAI_ON_CHAT, _OPENAI_ON_CHAT),
    ),
    "openai_responses": (
        *_openai(_REASONING_RESPONSES, {}),
        # This wire came with the reasoning models; a name nobody knows is taken for one.
        _row("other", r".*", reasoning="effort", efforts=("low", "medium", "high")),
    ),
    "gemini": _GEMINI,
}


# ---------------------------------------------------------------- vendors

_PLAIN_SURFACE: dict[str, Any] = {"custom_tools": False, "namespaces": False, "cache_key": False}
"""What only OpenAI's own surfaces are known to take."""

_VENDORS: dict[str, dict[str, dict[str, Any]]] = {
    "openai_chat": {
        "openrouter": {
            "reasoning_field": "reasoning_details",
            "reasoning": "effort",
            "efforts": EFFORTS[:6],
            "cache_hints": True,
        },
        "groq": {
            "reasoning_field": "reasoning",
            "token_field": "max_completion_tokens",
            "sampling": frozenset({"temperature", "top_p", "stop", "seed"}),
            "many_choices": False,
        },
        "mistral": {"call_id_length": (9, 9), "user_limit": 0, "cache_key": False},
        "ollama": {"reasoning_field": "reasoning", "many_choices": False},
        "cerebras": {"reasoning_field": "reasoning"},
    },
    "openai_responses": {},
    "anthropic": {},
    "gemini": {},
}

_OPENAI_SURFACES = frozenset({"openai_chat", "openai_responses"})
_OPENAI_VENDORS = frozenset({"", "openai", "azure", "chatgpt", "codex"})


@lru_cache(maxsize=4096)
def find_profile(dialect: str, model: str, family: str | None = None, vendor: str = "") -> Profile:
    """The profile of a target.

    ``family`` is a family's name, or a well-known model name to be taken for, and overrules the name
    test. ``vendor`` is a lower-case word for who runs the model (``deepseek``, ``azure``, ...) or
    empty. An unknown dialect raises KeyError; an unknown model gets the family ``other``.
    """
    profile = _DEFAULTS[dialect]
    row = _find_row(_FAMILIES[dialect], model.lower(), (family or "").lower())
    if row is not None:
        profile = replace(profile, family=row.family, **row.facts)
    facts = dict(_VENDORS[dialect].get(vendor, {}))
    if dialect in _OPENAI_SURFACES and vendor not in _OPENAI_VENDORS:
        facts = _PLAIN_SURFACE | {"choices": profile.choices - {"subset"}} | facts
    return replace(profile, **facts) if facts else profile


def _find_row(rows: tuple[_Row, ...], model: str, family: str) -> _Row | None:
    for row in rows:
        if family and row.family == family:
            return row
    if family == "other":
        return None
    return next((row for row in rows if row.test.search(family or model)), None)
