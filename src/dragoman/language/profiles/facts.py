"""The shape of a profile: every fact a target can differ in, with the plainest value as default.

It must not know any family nor any vendor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dragoman.language.ir import ChoiceMode, MediaKind, MediaSource

EFFORTS: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All effort words, weakest first."""

ReasoningControl = Literal["none", "effort", "budget", "adaptive", "thinking_switch"]

ThinkingSwitch = Literal["thinking", "enable_thinking", "reasoning", "chat_template_kwargs"]
"""``{"thinking": {"type": ...}}``, ``{"enable_thinking": true}``, ``{"reasoning": {"enabled": true}}``, or
``{"chat_template_kwargs": {"enable_thinking": true}}`` for servers that hand it to the model's template."""


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
    ``effort_field``      Chat: where an effort is said; ``reasoning`` is an object that also holds a switch
    ``reasoning_field``   Chat: field in which reasoning goes back, ``think_tags`` at the head of the text, empty
                          when it never goes back
    ``echoes_thoughts``   Chat: while it thinks, a call in the history without its thought is answered with an error
    ``refuses_thoughts``  Chat: any field of a thought in the history is answered with an error
    ``developer_role``    Chat: spell system as developer
    ``system_role``       a system message is accepted at all (else it becomes marked user text)
    ``system_in_place``   a system message may stand in mid-conversation
    ``system_before_answer`` ... but only behind a user turn, and before an assistant turn or at the end
    ``custom_tools``      grammar tools are native
    ``namespaces``        tool namespaces are native
    ``tools_with_reasoning`` Chat: function tools are accepted while reasoning is on
    ``forced_with_thinking`` a forced tool choice is accepted while thinking is on
    ``any_choice``        Chat: the word for "call some tool"
    ``choices``           tool choices that are native; ``subset`` is a list of allowed tools
    ``strict_tools``      a tool may be marked strict
    ``parallel_switch``   ``parallel_tool_calls`` or its like is known
    ``result_media``      media may stand inside a tool result
    ``media``             which sources are taken for which kind
    ``schema_output``     structured output with a schema is native
    ``schema_with_tools`` ... also beside function tools
    ``compiled_schemas``  ... and, like strict tools, compiled to a grammar that takes closed objects without bounds
    ``object_output``     ... and has to be that of an object
    ``json_output``       free JSON mode is native
    ``json_word``         ... where the conversation says JSON, too
    ``json_schema_tools`` Gemini: ``parametersJsonSchema`` is taken (else schemas are reduced)
    ``many_choices``      ``n > 1`` is taken
    ``prefill``           how an assistant prefill goes out: as it is, marked ``prefix``, as plain history
                          (``none``), or not at all because it is answered with an error (``refused``)
    ``tool_name_limit``   longest tool name
    ``call_id_length``    shortest and longest call id; equal numbers mean letters and digits only
    ``user_limit``        longest end-user id, 0 when there is no place for one
    ``cache_key``         ``prompt_cache_key`` is taken
    ``cache_hints``       Anthropic's ``cache_control`` is taken
    ``cache_breakpoints`` ``prompt_cache_breakpoint`` is taken on texts
    ``needs_call_signature`` Gemini: calls in history without a ``thoughtSignature`` are refused
    ``stream_usage``      Chat: ``stream_options.include_usage`` is accepted
    ``api``               surface an OpenAI-like provider should use for this family
    ``betas``             Anthropic: words of ``anthropic-beta`` the target takes, ``None`` all
    ``retry_once_codes``  error codes of 4xx answers that are the model's mistake: worth one more try (E08)
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
    thinking_switch: ThinkingSwitch = "thinking"
    effort_field: Literal["reasoning_effort", "reasoning"] = "reasoning_effort"
    reasoning_field: str = ""
    echoes_thoughts: bool = False
    refuses_thoughts: bool = False
    developer_role: bool = False
    system_role: bool = True
    system_in_place: bool = True
    system_before_answer: bool = False
    custom_tools: bool = False
    namespaces: bool = False
    tools_with_reasoning: bool = True
    forced_with_thinking: bool = True
    any_choice: str = "required"
    choices: frozenset[ChoiceMode] = frozenset({"auto", "any", "none", "named"})
    strict_tools: bool = True
    parallel_switch: bool = True
    result_media: bool = False
    media: dict[MediaKind, frozenset[MediaSource]] = field(default_factory=dict)
    schema_output: bool = True
    schema_with_tools: bool = True
    compiled_schemas: bool = False
    object_output: bool = False
    json_output: bool = True
    json_word: bool = False
    json_schema_tools: bool = True
    many_choices: bool = True
    prefill: Literal["native", "prefix", "none", "refused"] = "none"
    tool_name_limit: int = 64
    call_id_length: tuple[int, int] = (1, 64)
    user_limit: int = 64
    cache_key: bool = False
    cache_hints: bool = False
    cache_breakpoints: bool = False
    needs_call_signature: bool = False
    stream_usage: bool = True
    api: Literal["chat", "responses"] = "chat"
    betas: frozenset[str] | None = None
    retry_once_codes: frozenset[str] = frozenset()
