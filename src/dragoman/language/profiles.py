"""What a model family accepts, as data: one row per family, defaults per dialect.

A profile belongs to a target (provider dialect + model name), never to a client. This module must
not know any wire's bytes nor any provider's address: rows are facts, fitting and writers act on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dragoman.language.ir import MediaKind, MediaSource

ReasoningControl = Literal["none", "effort", "budget", "adaptive", "thinking_switch"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Facts about one target.

    ``dialect``           wire language of the target
    ``family``            name of the row, for logs
    ``token_field``       Chat: field for the output limit
    ``max_output``        highest output limit, ``None`` unknown
    ``default_max``       output limit sent when the client gave none and the wire demands one
    ``sampling``          names of Sampling fields the target takes
    ``temperature_max``   clamp
    ``reasoning``         how thinking is asked for
    ``efforts``           effort words the target knows, weakest first
    ``budget_range``      smallest and largest thinking budget in tokens
    ``reasoning_field``   Chat: field in which reasoning comes and goes back, empty when it never goes back
    ``developer_role``    Chat: spell system as developer
    ``system_role``       a system message is accepted at all (else it becomes marked user text)
    ``system_in_place``   a system message may stand in mid-conversation
    ``custom_tools``      grammar tools are native
    ``namespaces``        tool namespaces are native
    ``tools_with_reasoning`` Chat: function tools are accepted while reasoning is on
    ``forced_with_thinking`` a forced tool choice is accepted while thinking is on
    ``parallel_switch``   ``parallel_tool_calls`` or its like is known
    ``result_media``      media may stand inside a tool result
    ``media``             which sources are taken for which kind
    ``schema_output``     structured output with a schema is native
    ``json_output``       free JSON mode is native
    ``json_schema_tools`` Gemini: ``parametersJsonSchema`` is taken (else schemas are reduced)
    ``many_choices``      ``n > 1`` is taken
    ``prefill``           how an assistant prefill goes out
    ``tool_name_limit``   longest tool name
    ``stream_usage``      Chat: ``stream_options.include_usage`` is accepted
    ``api``               surface an OpenAI-like provider should use for this family
    """

    dialect: str
    family: str = "other"
    token_field: str = "max_tokens"
    max_output: int | None = None
    default_max: int | None = None
    sampling: frozenset[str] = frozenset(
        {"temperature", "top_p", "stop", "seed", "n", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs"}
    )
    temperature_max: float = 2.0
    reasoning: ReasoningControl = "none"
    efforts: tuple[str, ...] = ()
    budget_range: tuple[int, int] = (0, 32768)
    reasoning_field: str = ""
    developer_role: bool = False
    system_role: bool = True
    system_in_place: bool = True
    custom_tools: bool = False
    namespaces: bool = False
    tools_with_reasoning: bool = True
    forced_with_thinking: bool = True
    parallel_switch: bool = True
    result_media: bool = False
    media: dict[MediaKind, frozenset[MediaSource]] = field(default_factory=dict)
    schema_output: bool = True
    json_output: bool = True
    json_schema_tools: bool = True
    many_choices: bool = True
    prefill: Literal["native", "prefix", "none"] = "none"
    tool_name_limit: int = 64
    stream_usage: bool = True
    api: Literal["chat", "responses"] = "chat"
