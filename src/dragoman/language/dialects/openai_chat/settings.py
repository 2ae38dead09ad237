"""The knobs of a request: sampling, thinking, output format. Spelling only; fitting decides.

Wire: https://platform.openai.com/docs/api-reference/chat/create,
https://openrouter.ai/docs/api-reference/parameters, https://api-docs.deepseek.com/guides/thinking_mode
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, expect, own, packed, plain, take
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, OutputFormat, ReasoningMode, ReasoningSetting, Request, Sampling
from dragoman.language.profiles import Profile

_NUMBERS: dict[str, type] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "seed": int,
    "n": int,
    "frequency_penalty": float,
    "presence_penalty": float,
    "logprobs": bool,
    "top_logprobs": int,
}
_LIMITS = ("max_completion_tokens", "max_tokens")
_THINKING = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget")


def read_sampling(body: Fields, form: Fields) -> Sampling:
    """Take the sampling knobs out of the body; spellings go to ``form``. Raises Refused."""
    sampling = Sampling(**{name: take(body, name, kind) for name, kind in _NUMBERS.items()})
    for name in _LIMITS:
        if body.get(name) is not None and sampling.max_tokens is None:
            sampling.max_tokens = take(body, name, int)
            form["~limit"] = name
    stop = body.get("stop")
    if isinstance(stop, str):
        sampling.stop = [body.pop("stop")]
        form["~stop"] = "string"
    elif stop:
        sampling.stop = [expect(word, str, f"stop[{at}]") for at, word in enumerate(take(body, "stop", list))]
    return sampling


def write_sampling(request: Request, profile: Profile) -> Fields:
    """The knobs that are set."""
    sampling, form = request.sampling, own(request.extras)
    written: Fields = {name: value for name in _NUMBERS if (value := getattr(sampling, name)) is not None}
    if sampling.max_tokens is not None:
        # A family nobody knows gets the client's own spelling, a known one its true field (R13).
        name = form.get("~limit") if profile.family == "other" or not _named_limit(profile) else None
        written[name or profile.token_field] = sampling.max_tokens
    if sampling.stop:
        written["stop"] = sampling.stop[0] if form.get("~stop") and len(sampling.stop) == 1 else sampling.stop
    return written


def _named_limit(profile: Profile) -> bool:
    # Families that demand max_completion_tokens refuse max_tokens; the others take either or only the old one.
    return profile.token_field == "max_completion_tokens"


def read_thinking(body: Fields) -> ReasoningSetting | None:
    """Take every vendor's words on thinking out of the body; they are kept as said for their owner."""
    wire = {name: body.pop(name) for name in _THINKING if body.get(name) is not None}
    if not wire:
        return None
    setting = ReasoningSetting(extras=packed({"~wire": wire}))
    _read_switches(wire, setting)
    nested = wire.get("reasoning")
    if isinstance(nested, dict):
        setting.effort = nested.get("effort") if isinstance(nested.get("effort"), str) else setting.effort
        setting.budget = _tokens(nested.get("max_tokens"))
        setting.summary = nested.get("summary") if isinstance(nested.get("summary"), str) else None
        if nested.get("enabled") is not None:
            setting.mode = "on" if nested["enabled"] else "off"
    if "reasoning_effort" in wire:
        setting.effort = expect(wire["reasoning_effort"], str, "reasoning_effort")
    if setting.budget is None:
        setting.budget = _tokens(wire.get("thinking_budget"))
    if setting.effort == "none":
        setting.mode = "off"
    elif setting.mode is None and (setting.effort or setting.budget):
        setting.mode = "on"
    return setting


def _read_switches(wire: Fields, setting: ReasoningSetting) -> None:
    thinking = wire.get("thinking")
    if isinstance(thinking, dict):
        modes: dict[Json, ReasoningMode] = {
            "enabled": "on",
            "disabled": "off",
            "adaptive": "adaptive",
            "auto": "adaptive",
        }
        kind = thinking.get("type")
        setting.mode = modes.get(kind) if isinstance(kind, str) else None
        setting.budget = _tokens(thinking.get("budget_tokens"))
    elif isinstance(thinking, bool):
        setting.mode = "on" if thinking else "off"
    if isinstance(wire.get("enable_thinking"), bool):
        setting.mode = "on" if wire["enable_thinking"] else "off"


def _tokens(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def write_thinking(setting: ReasoningSetting | None, profile: Profile) -> Fields:
    """How the target is asked to think: the client's own words, or the profile's control."""
    if setting is None:
        return {}
    if "~wire" in own(setting.extras):
        return dict(own(setting.extras)["~wire"])
    if profile.reasoning == "effort":
        return _write_effort(setting, profile)
    if profile.reasoning == "thinking_switch":
        return _write_switch(setting, profile)
    if profile.reasoning in ("budget", "adaptive"):
        return _write_budget(setting)
    return {}


def _write_effort(setting: ReasoningSetting, profile: Profile) -> Fields:
    if profile.effort_field == "reasoning_effort":
        return {"reasoning_effort": setting.effort} if setting.effort else {}
    if setting.effort:
        return {"reasoning": {"effort": setting.effort}}
    return {} if setting.mode is None else {"reasoning": {"enabled": setting.mode != "off"}}


def _write_switch(setting: ReasoningSetting, profile: Profile) -> Fields:
    written: Fields = {}
    if setting.mode is not None:
        on = setting.mode != "off"
        name = profile.thinking_switch
        spellings: dict[str, Json] = {
            "thinking": {"type": "enabled" if on else "disabled"},
            "enable_thinking": on,
            "reasoning": {"enabled": on},
            "chat_template_kwargs": {"enable_thinking": on, "thinking": on},  # templates know one or the other
        }
        written[name] = spellings[name]
        if on and setting.budget and name == "enable_thinking":
            written["thinking_budget"] = setting.budget
    if setting.effort and setting.effort in profile.efforts:
        written["reasoning_effort"] = setting.effort
    return written


def _write_budget(setting: ReasoningSetting) -> Fields:
    if setting.mode == "off":
        return {"thinking": {"type": "disabled"}}
    if setting.mode == "adaptive" or setting.budget is None:
        return {"thinking": {"type": "adaptive"}} if setting.mode == "adaptive" else {}
    return {"thinking": {"type": "enabled", "budget_tokens": setting.budget}}


def read_output(body: Fields, form: Fields) -> OutputFormat | None:
    """Take ``response_format``. Plain text is form; an unknown type stays in the body."""
    raw = body.get("response_format")
    if raw is None:
        return None
    fields = dict(expect(raw, dict, "response_format"))
    kind = fields.pop("type", None)
    if kind == "json_schema" and fields.get("json_schema") is not None:
        del body["response_format"]
        return _read_schema(dict(take(fields, "json_schema", dict, "response_format")), fields)
    if kind == "json_object":
        del body["response_format"]
        schema = take(fields, "schema", dict, "response_format")  # Together, Fireworks, llama.cpp
        return OutputFormat(schema, extras=packed({"~type": "json_object", **fields}))
    if kind == "json_schema":
        raise Refused("response_format.json_schema", "is required")
    if kind == "text":
        form["~format"] = body.pop("response_format")
    return None


def _read_schema(inner: Fields, outer: Fields) -> OutputFormat:
    path = "response_format.json_schema"
    schema = take(inner, "schema", dict, path)
    name, description = take(inner, "name", str, path), take(inner, "description", str, path)
    strict = take(inner, "strict", bool, path)
    kept = {**outer, **({"json_schema": inner} if inner else {})}
    if schema is None:
        kept["~type"] = "json_schema"
    return OutputFormat(schema, name or "", description or "", strict, packed(kept))


def write_output(output: OutputFormat | None, form: Fields) -> Fields:
    """``response_format``, when there is one to write."""
    if output is None:
        return {"response_format": form["~format"]} if "~format" in form else {}
    rest = plain(output.extras)
    kind = own(output.extras).get("~type", "json_schema" if output.schema is not None else "json_object")
    if kind == "json_object":
        schema = {"schema": output.schema} if output.schema is not None else {}
        return {"response_format": {"type": "json_object", **schema, **rest}}
    inner: Fields = {**rest.pop("json_schema", {}), "name": output.name or "response"}
    if not output.name and NAME in output.extras:
        del inner["name"]
    if output.description:
        inner["description"] = output.description
    if output.schema is not None:
        inner["schema"] = output.schema
    if output.strict is not None:
        inner["strict"] = output.strict
    return {"response_format": {"type": "json_schema", "json_schema": inner, **rest}}
