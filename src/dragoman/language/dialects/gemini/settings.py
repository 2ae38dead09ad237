"""``generationConfig``, both ways: sampling, thinking, and the form of the output.

This module must not know messages, tools or answers.

Wire: https://ai.google.dev/api/generate-content#generationconfig and https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.spelling import (
    NAME,
    as_list,
    extras,
    integer,
    mapping,
    number,
    ours,
    wire_fields,
)
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, OutputFormat, ReasoningSetting, Request, Sampling
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.schemas import lowered, reduced

Fields = dict[str, Json]

_INTEGERS = {"max_tokens": "maxOutputTokens", "top_k": "topK", "seed": "seed", "n": "candidateCount"}
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_ENUM = "text/x.enum"
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}


def read_config(value: Json, request: Request) -> None:
    """Read the configuration into the request; what nobody took becomes its extras."""
    rest = dict(mapping(value, "generationConfig"))
    # Present but empty says nothing, yet it was said.
    empty = {key: item for key, item in rest.items() if item is None or item == []}
    for key in empty:
        del rest[key]
    request.sampling = _read_sampling(rest)
    request.reasoning = _read_reasoning(rest)
    request.output = _read_output(rest)
    fields = request.extras.setdefault(NAME, {})
    fields["~generationConfig"] = empty
    if rest:
        fields["generationConfig"] = rest


def _read_sampling(rest: Fields) -> Sampling:
    sampling = Sampling()
    for name, key in _INTEGERS.items():
        if key in rest:
            setattr(sampling, name, integer(rest.pop(key), f"generationConfig.{key}"))
    for name, key in _NUMBERS.items():
        if key in rest:
            setattr(sampling, name, number(rest.pop(key), f"generationConfig.{key}"))
    for stop in as_list(rest.pop("stopSequences", None)):
        if not isinstance(stop, str):
            raise Refused("generationConfig.stopSequences", "must be strings")
        sampling.stop.append(stop)
    if isinstance(rest.get("responseLogprobs"), bool):
        sampling.logprobs = rest.pop("responseLogprobs")
    if "logprobs" in rest:
        sampling.top_logprobs = integer(rest.pop("logprobs"), "generationConfig.logprobs")
    return sampling


def _read_reasoning(rest: Fields) -> ReasoningSetting | None:
    config = rest.pop("thinkingConfig", None)
    if config is None:
        return None
    unknown = dict(mapping(config, "generationConfig.thinkingConfig"))
    budget, level = unknown.pop("thinkingBudget", None), unknown.pop("thinkingLevel", None)
    shown = unknown.pop("includeThoughts", None)
    setting = ReasoningSetting(extras=extras({**unknown, "~config": config}))
    if budget is not None:
        tokens = integer(budget, "generationConfig.thinkingConfig.thinkingBudget")
        if tokens > 0:
            setting.mode, setting.budget = "on", tokens
        else:
            setting.mode = "off" if tokens == 0 else "adaptive"
    if isinstance(level, str) and level and level.upper() != "THINKING_LEVEL_UNSPECIFIED":
        setting.mode, setting.effort = "on", level.lower()
    if shown is True:
        setting.summary = "auto"
        # Thoughts are asked for and nothing is said about how many: the model decides.
        setting.mode = setting.mode or "adaptive"
    return setting


def _read_output(rest: Fields) -> OutputFormat | None:
    if rest.get("responseMimeType") == _ENUM:
        return _read_choices(rest)
    if rest.get("responseMimeType") != "application/json":
        return None
    spelt: list[Json] | None = None
    for key in ("responseJsonSchema", "_responseJsonSchema", "responseSchema"):
        if isinstance(rest.get(key), dict):
            spelt = [key, rest.pop(key)]
            break
    del rest["responseMimeType"]
    if spelt is None:
        return OutputFormat()
    return OutputFormat(lowered(spelt[1]), extras=extras({"~schema": spelt}))


def _read_choices(rest: Fields) -> OutputFormat | None:
    """An answer that is one word of a list."""
    schema = rest.get("responseSchema")
    words = schema.get("enum") if isinstance(schema, dict) else None
    if not words or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    spelt = ["responseSchema", rest.pop("responseSchema")]
    del rest["responseMimeType"]
    return OutputFormat(choices=list(words), extras=extras({"~schema": spelt}))


def write_config(request: Request, profile: Profile, receipt: Receipt) -> Fields | None:
    """Spell the configuration; ``None`` when there is nothing to say."""
    own = request.dialect == NAME
    fields = ours(request.extras) if own else {}
    config: Fields = dict(fields.get("~generationConfig") or {})
    _write_sampling(request.sampling, config)
    thinking = _write_reasoning(request.reasoning, profile, own)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    if request.output is not None:
        _write_output(request.output, config, own, profile, receipt)
    config.update(fields.get("generationConfig") or {})
    return config if config or "~generationConfig" in fields else None


def _write_sampling(sampling: Sampling, config: Fields) -> None:
    for name, key in (*_INTEGERS.items(), *_NUMBERS.items()):
        value = getattr(sampling, name)
        if value is not None:
            config[key] = value
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop)
    if sampling.logprobs is not None:
        config["responseLogprobs"] = sampling.logprobs
    if sampling.top_logprobs is not None:
        config["logprobs"] = sampling.top_logprobs


def _write_reasoning(setting: ReasoningSetting | None, profile: Profile, own: bool) -> Fields | None:
    if setting is None:
        return None
    fields = ours(setting.extras)
    spelt = fields.get("~config") if own else None
    if spelt is not None and _read_reasoning({"thinkingConfig": spelt}) == setting:
        return dict(spelt)
    config: Fields = {}
    off = setting.mode == "off" or setting.effort == "none"
    said = setting.mode or setting.effort or setting.budget is not None
    if not said:
        pass
    elif profile.reasoning == "budget":
        # A range may begin above zero although zero switches thinking off.
        least = profile.budget_range[0] if profile.always_thinks else 0
        config["thinkingBudget"] = least if off else _budget(setting, profile)
    elif profile.reasoning == "effort":
        level = _level(setting, profile, off)
        if level:
            config["thinkingLevel"] = level
    if profile.reasoning != "none" and not off and (setting.summary or setting.mode in ("on", "adaptive")):
        config["includeThoughts"] = True
    config.update(wire_fields(fields) if own else {})
    return config or None


def _budget(setting: ReasoningSetting, profile: Profile) -> int:
    low, high = profile.budget_range
    tokens = setting.budget
    if tokens is None and setting.effort in _BUDGETS:
        tokens = _BUDGETS[setting.effort]
    # -1: the model decides.
    return -1 if tokens is None else max(low, min(tokens, high))


def _level(setting: ReasoningSetting, profile: Profile, off: bool) -> str:
    known = [effort for effort in profile.efforts if effort in _LEVELS] or ["low", "high"]
    if off:
        return _LEVELS[known[0]]
    effort = setting.effort
    if effort is None and setting.budget is not None:
        effort = next((word for word in _LEVELS if setting.budget <= _BUDGETS[word]), "high")
    if effort in ("xhigh", "max"):
        effort = known[-1]
    if effort is None or effort in known:
        return _LEVELS[effort] if effort else ""
    if effort not in _LEVELS:
        return ""
    order = list(_LEVELS)
    weaker = [word for word in known if order.index(word) < order.index(effort)]
    return _LEVELS[weaker[-1] if weaker else known[0]]


def _write_output(output: OutputFormat, config: Fields, own: bool, profile: Profile, receipt: Receipt) -> None:
    spelt = ours(output.extras).get("~schema") if own else None
    config["responseMimeType"] = _ENUM if output.choices else "application/json"
    if output.choices and spelt:
        config[spelt[0]] = spelt[1]
    if output.schema is None:
        return
    if spelt and lowered(spelt[1]) == output.schema:
        config[spelt[0]] = spelt[1]
    elif profile.json_schema_tools:
        config["responseJsonSchema"] = output.schema
    else:
        config["responseSchema"] = reduced(output.schema, "output.schema", receipt)
