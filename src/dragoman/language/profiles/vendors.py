"""What differs by who runs a model: the same GLM takes other fields at Z.ai, Cerebras and on one's own vLLM.

A row is laid over the family's facts. ``facts`` replace them for every family, ``families`` for the
families whose name begins with theirs, and ``at_most`` bounds what is left: a set is cut to the bound,
a number lowered to it. It must not know addresses: who a host belongs to is decided elsewhere.

References stand above the rows; "recorded" means a provider's own answer shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dragoman.language.profiles.facts import EFFORTS


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's row; the keys are names of ``Profile`` fields."""

    facts: dict[str, Any] = field(default_factory=dict)
    families: dict[str, dict[str, Any]] = field(default_factory=dict)
    at_most: dict[str, Any] = field(default_factory=dict)


OPENAI_VENDORS = frozenset({"", "openai", "azure", "chatgpt", "chatgpt-codex", "codex"})
"""Who runs OpenAI's own surfaces, with all that only they take."""

_ALIASES = {
    "anthropic-openai": "anthropic",
    "bedrock-mantle": "bedrock",
    "bigmodel": "zai",
    "copilot": "github-copilot",
    "dashscope": "alibaba",
    "glm": "zai",
    "googleapis": "gemini-openai",
    "kimi": "moonshot",
    "llamacpp": "llama-cpp",
    "llama.cpp": "llama-cpp",
    "moonshotai": "moonshot",
    "ollama-cloud": "ollama",
    "qwen": "alibaba",
    "vercel-gateway": "vercel",
    "zhipu": "zai",
}


def named_vendor(word: str) -> str:
    """The row's name for a word people use."""
    word = word.strip().lower()
    return _ALIASES.get(word, word)


_THINKERS = ("qwen", "deepseek", "glm", "kimi")
"""Open families that can think or not."""


def _thinkers(**facts: Any) -> dict[str, dict[str, Any]]:
    """Facts of open thinkers away from home, where nobody demands that their thoughts come back."""
    return {name: {"echoes_thoughts": False, **facts} for name in _THINKERS}


_NO_CONTROL: dict[str, Any] = {"reasoning": "none", "efforts": ()}
_EFFORT: dict[str, Any] = {"reasoning": "effort", "efforts": ("low", "medium", "high")}
_EFFORT_OR_NONE: dict[str, Any] = {"reasoning": "effort", "efforts": ("none", "low", "medium", "high")}
_BASE64 = frozenset({"base64"})
_ANY_PLACE = frozenset({"base64", "url"})
_IMAGES = {"image": _ANY_PLACE}
_CLASSIC_SAMPLING = frozenset({"temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"})
_ALL_SAMPLING = _CLASSIC_SAMPLING | {"seed", "logprobs", "top_logprobs"}

# One reasoning object for every model behind them; models that do not think ignore it. Documents are
# read by the router itself. https://openrouter.ai/docs/api-reference/parameters
_ROUTER: dict[str, Any] = {
    "echoes_thoughts": False,
    "reasoning": "effort",
    "effort_field": "reasoning",
    "efforts": EFFORTS[:6],
    "reasoning_field": "reasoning_details",
    "cache_hints": True,
    "many_choices": False,
    "media": {**_IMAGES, "document": _ANY_PLACE, "audio": _BASE64},
}

_CEREBRAS_GLM: dict[str, Any] = {
    "reasoning": "effort",
    "efforts": ("none",),
    "reasoning_field": "think_tags",
    "choices": frozenset({"auto", "any", "none", "named"}),
    "parallel_switch": True,
    "schema_output": True,
    "max_stops": 4,
    "temperature_max": 1.5,
}

# Servers one runs oneself hand switches to the model's template and ignore fields they do not know.
# https://docs.vllm.ai/en/latest/features/reasoning_outputs.html, https://docs.sglang.ai
_OWN_SERVER = Vendor(
    families={
        **_thinkers(
            reasoning="thinking_switch",
            thinking_switch="chat_template_kwargs",
            forced_with_thinking=True,
            choices=frozenset({"auto", "any", "none", "named"}),
            schema_output=True,
            parallel_switch=True,
            max_stops=None,
            temperature_max=2.0,
            sampling=_ALL_SAMPLING | {"top_k"},
            many_choices=True,
        ),
        "other": {"sampling": _ALL_SAMPLING | {"top_k"}, "max_stops": None},
    },
)

_CHAT: dict[str, Vendor] = {
    # https://www.alibabacloud.com/help/en/model-studio/qwen-api-reference
    "alibaba": Vendor(
        facts={"choices": frozenset({"auto", "none", "named"}), "schema_output": False, "strict_tools": False},
        families=_thinkers(
            reasoning="thinking_switch",
            thinking_switch="enable_thinking",
            efforts=(),
            sampling=_ALL_SAMPLING | {"top_k"},
            parallel_switch=True,
            temperature_max=1.99,  # below 2
        ),
    ),
    # https://platform.claude.com/docs/en/api/openai-sdk
    "anthropic": Vendor(
        facts={
            "reasoning": "budget",
            "budget_range": (1024, 128000),
            "sampling": frozenset({"temperature", "top_p", "stop"}),
            "many_choices": False,
            "strict_tools": False,
            "schema_output": False,
            "json_output": False,
            "forced_with_thinking": False,
        }
    ),
    # Efforts are taken for every model of the catalogue (recorded); chat has no file parts.
    "azure": Vendor(
        families={"grok": _EFFORT, **_thinkers(**_NO_CONTROL), "kimi": {**_EFFORT, "echoes_thoughts": False}},
        at_most={"media": {**_IMAGES, "audio": _BASE64}},
    ),
    # https://inference-docs.cerebras.ai/resources/openai: GLM reads its thoughts in tags (recorded).
    "cerebras": Vendor(
        facts={
            "token_field": "max_completion_tokens",
            "sampling": frozenset({"temperature", "top_p", "stop", "seed", "logprobs", "top_logprobs"}),
            "many_choices": False,
            "reasoning_field": "reasoning",
            "media": {},
        },
        families={
            **_thinkers(**_NO_CONTROL),
            "glm": _CEREBRAS_GLM,
        },
    ),
    "crusoe": _OWN_SERVER,
    # https://api-docs.deepseek.com: what its family's row says.
    "deepseek": Vendor(),
    # https://docs.fireworks.ai/api-reference/post-chatcompletions: unknown fields are refused.
    "fireworks": Vendor(
        families=_thinkers(
            **_EFFORT_OR_NONE,
            sampling=_ALL_SAMPLING | {"top_k"},
            schema_output=True,
            forced_with_thinking=True,
            choices=frozenset({"auto", "any", "none", "named"}),
            temperature_max=2.0,
            max_stops=4,
            many_choices=True,
        ),
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    "gemini-openai": Vendor(
        facts={"sampling": _CLASSIC_SAMPLING | {"seed"}, "user_limit": 0},
        families={"gemini": {"reasoning": "effort", "efforts": ("minimal", "low", "medium", "high")}},
    ),
    "github-copilot": Vendor(facts={"user_limit": 0}, at_most={"media": _IMAGES}),
    # A server for one's own machines; its switch stands at the top (recorded).
    "gpustack": Vendor(families={"qwen": {"sampling": _ALL_SAMPLING | {"top_k"}, "many_choices": True}}),
    # https://console.groq.com/docs/openai, /docs/reasoning, /docs/structured-outputs
    "groq": Vendor(
        facts={
            "reasoning": "none",
            "reasoning_field": "reasoning",
            "token_field": "max_completion_tokens",
            "sampling": frozenset({"temperature", "top_p", "stop", "seed"}),
            "max_stops": 4,
            "many_choices": False,
            "schema_output": False,
            "schema_with_tools": False,
            "choices": frozenset({"auto", "any", "none", "named"}),
            "parallel_switch": True,
            "media": _IMAGES,
            "retry_once_codes": frozenset({"tool_use_failed"}),
        },
        families={
            "gpt-oss": {**_EFFORT, "schema_output": True, "media": {}},
            **_thinkers(efforts=()),
            "qwen": {"reasoning": "effort", "efforts": ("none",)},
            "kimi": {"efforts": (), "schema_output": True, "temperature_max": 2.0, "echoes_thoughts": False},
        },
    ),
    # Routes to services of every kind, so nobody knows how thinking is switched there.
    "huggingface": Vendor(families=_thinkers(**_NO_CONTROL, media=_IMAGES)),
    # https://github.com/ggml-org/llama.cpp/tree/master/tools/server: fetches images by itself (recorded).
    "llama-cpp": Vendor(
        facts={
            "reasoning": "thinking_switch",
            "thinking_switch": "chat_template_kwargs",
            "efforts": (),
            "reasoning_field": "reasoning_content",
            "echoes_thoughts": False,
            "sampling": _ALL_SAMPLING | {"top_k"},
            "max_stops": None,
            "forced_with_thinking": True,
            "choices": frozenset({"auto", "any", "none", "named"}),
            "parallel_switch": True,
            "schema_output": True,
            "temperature_max": 100.0,
            "many_choices": True,
            "media": {**_IMAGES, "audio": _BASE64},
        }
    ),
    "lmstudio": Vendor(families=_thinkers(**_NO_CONTROL), facts={"many_choices": False}),
    # https://platform.minimax.io/docs/api-reference/text-openai-api
    "minimax": Vendor(facts={"many_choices": False, "sampling": frozenset({"temperature", "top_p"})}),
    # https://docs.mistral.ai/api: unknown fields are refused, usage comes unasked (recorded).
    "mistral": Vendor(
        facts={
            "call_id_length": (9, 9),
            "user_limit": 0,
            "any_choice": "any",
            "stream_usage": False,
            "temperature_max": 1.5,
            "sampling": _CLASSIC_SAMPLING,
        }
    ),
    "mistralrs": _OWN_SERVER,
    # https://platform.kimi.ai/docs/api: its own models fix the sampling knobs; images must be inlined.
    "moonshot": Vendor(
        facts={"strict_tools": False, "token_field": "max_completion_tokens"},
        families={"moonshot-v1": {"token_field": "max_tokens"}, "kimi": {"sampling": frozenset({"stop"})}},
        at_most={"media": {"image": _BASE64}},
    ),
    # https://docs.ollama.com/api/openai-compatibility: efforts are refused by models that do not think.
    "ollama": Vendor(
        facts={
            "reasoning_field": "reasoning",
            "sampling": _ALL_SAMPLING - {"n"},
            "many_choices": False,
            "max_stops": None,
            "schema_output": True,
            "parallel_switch": True,
            "choices": frozenset({"auto", "any", "none", "named"}),
            "temperature_max": 2.0,
            "call_id_length": (1, 64),
            "forced_with_thinking": True,
            "prefill": "native",
        },
        families=_thinkers(**_EFFORT_OR_NONE, media=_IMAGES),
        at_most={"media": _IMAGES},
    ),
    "openrouter": Vendor(
        facts={**_ROUTER, "forced_with_thinking": True, "sampling": (_ALL_SAMPLING | {"top_k"}) - {"n"}},
        families={name: {"sampling": frozenset({"seed"})} for name in ("o-series", "o1-mini", "gpt-5", "gpt-5.1+")},
    ),
    # https://docs.perplexity.ai/api-reference/chat-completions-post: usage comes on every chunk (recorded).
    "perplexity": Vendor(
        facts={
            "sampling": frozenset({"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"}),
            "many_choices": False,
            "stream_usage": False,
            "json_output": False,
            "user_limit": 0,
        },
        at_most={"media": _IMAGES},
    ),
    "sglang": _OWN_SERVER,
    # https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions
    "siliconflow": Vendor(
        families=_thinkers(reasoning="thinking_switch", thinking_switch="enable_thinking", efforts=()),
    ),
    # https://docs.snowflake.com/en/user-guide/snowflake-cortex/cortex-rest-api: signed thoughts come back (recorded).
    "snowflake": Vendor(
        facts={
            **_EFFORT,
            "effort_field": "reasoning",
            "reasoning_field": "reasoning_details",
            "token_field": "max_completion_tokens",
            "many_choices": False,
        }
    ),
    # https://docs.together.ai/docs/reasoning-models-guide
    "together": Vendor(
        facts={"reasoning_field": "reasoning", "sampling": _ALL_SAMPLING | {"top_k"}},
        families=_thinkers(
            reasoning="thinking_switch",
            thinking_switch="reasoning",
            efforts=(),
            forced_with_thinking=True,
            choices=frozenset({"auto", "any", "none", "named"}),
            schema_output=True,
        ),
    ),
    # https://docs.venice.ai/api-reference/endpoint/chat/completions: unknown fields are refused.
    "venice": Vendor(families=_thinkers(**_NO_CONTROL, schema_output=True), facts={"reasoning_field": ""}),
    # https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions
    "vercel": Vendor(
        facts={**_ROUTER, "forced_with_thinking": True},
        families={name: {"sampling": frozenset({"seed"})} for name in ("o-series", "o1-mini", "gpt-5", "gpt-5.1+")},
    ),
    "vllm": _OWN_SERVER,
    # https://www.volcengine.com/docs/82379/1494384
    "volcengine": Vendor(
        facts={"reasoning": "thinking_switch", "thinking_switch": "thinking", "efforts": (), "echoes_thoughts": False},
        at_most={"media": _IMAGES},
    ),
    # https://docs.x.ai/docs/api-reference
    "xai": Vendor(at_most={"media": _IMAGES}),
    # https://docs.z.ai/api-reference/llm/chat-completion: what its family's row says.
    "zai": Vendor(facts={"strict_tools": False, "user_limit": 0}),
}

# https://docs.x.ai/developers/model-capabilities/text/best-practices: a cache key per conversation, no grammar tools.
_RESPONSES: dict[str, Vendor] = {
    "xai": Vendor(facts={"cache_key": True, "sampling": frozenset({"temperature", "top_p"})}),
    "openrouter": Vendor(facts={"cache_key": True}),
    "deepseek": Vendor(facts={"media": {}, "efforts": ("low", "medium", "high", "max")}),
}

_VERTEX_BETAS = frozenset(
    "compact-2026-01-12 computer-use-2025-01-24 computer-use-2025-11-24 context-1m-2025-08-07 "
    "context-management-2025-06-27 interleaved-thinking-2025-05-14 structured-outputs-2025-11-13 "
    "tool-search-tool-2025-10-19 web-search-2025-03-05".split()
)
_BEDROCK_BETAS = frozenset(
    "claude-code-20250219 compact-2026-01-12 computer-use-2025-01-24 computer-use-2025-11-24 context-1m-2025-08-07 "
    "context-management-2025-06-27 effort-2025-11-24 fine-grained-tool-streaming-2025-05-14 "
    "interleaved-thinking-2025-05-14 tool-examples-2025-10-29 tool-search-tool-2025-10-19".split()
)

_ANTHROPIC: dict[str, Vendor] = {
    # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude: other words are refused,
    # structured outputs only exist there since Claude 4.6.
    "vertex": Vendor(
        facts={"betas": _VERTEX_BETAS},
        families={name: {"schema_output": False} for name in ("claude-4.5", "claude-opus-4.1")},
    ),
    # https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html: refuses output_config.format.
    "bedrock": Vendor(facts={"betas": _BEDROCK_BETAS, "schema_output": False, "strict_tools": False}),
}

VENDORS: dict[str, dict[str, Vendor]] = {
    "openai_chat": _CHAT,
    "openai_responses": _RESPONSES,
    "anthropic": _ANTHROPIC,
}
"""Rows by dialect and vendor."""
