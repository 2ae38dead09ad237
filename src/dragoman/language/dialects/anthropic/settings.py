"""Tools, tool choice, thinking and output format, read and written.

Wire: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/extended-thinking.
Typed tools (``web_search_20250305``, ...) are run by the provider or defined by it, so they are Opaque.
This module must not know messages.
"""

from __future__ import annotations

from dragoman.language.dialects.anthropic.fields import (
    NAME,
    Fields,
    expect,
    form,
    own,
    rest,
    spell,
    take,
    take_as,
    take_words,
)
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Opaque, OutputFormat, ReasoningSetting, Request, Tool, ToolChoice
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

_CHOICE_READ = {"auto": "auto", "any": "any", "none": "none", "tool": "named"}
_CHOICE_WRITTEN = {"auto": "auto", "any": "any", "none": "none", "named": "tool"}
_THINKING_WRITTEN = {"on": "enabled", "off": "disabled", "adaptive": "adaptive"}
_SMALLEST_BUDGET = 1024

EMPTY_SCHEMA: dict[str, Json] = {"type": "object", "properties": {}}


# ---------------------------------------------------------------- tools


def read_tools(tools: list[Json]) -> list[Tool | Opaque]:
    """Definitions; raises Refused."""
    return [_read_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]


def _read_tool(wire: Json, path: str) -> Tool | Opaque:
    tool = dict(expect(wire, dict, path))
    kind = tool.get("type")
    if kind not in (None, "custom"):
        return Opaque(NAME, tool)
    marks: Fields = {"~type": take(tool, "type")} if kind else {}
    name = take_words(tool, "name", path)
    description = take_as(tool, "description", str, path)
    if description == "":
        marks["~description"] = ""
    schema = tool.get("input_schema")
    if isinstance(schema, dict):
        del tool["input_schema"]
    deferred = take_as(tool, "defer_loading", bool, path)
    if deferred is False:
        marks["~defer_loading"] = False
    return Tool(
        name,
        description or "",
        schema if isinstance(schema, dict) else None,
        strict=take_as(tool, "strict", bool, path),
        deferred=bool(deferred),
        extras=rest(tool, marks),
    )


def write_tools(request: Request, receipt: Receipt) -> list[Fields]:
    """Definitions of the request; a subset choice leaves only its tools."""
    native = request.dialect == NAME
    choice = request.tool_choice
    chosen = set(choice.names) if choice is not None and choice.mode == "subset" else None
    written: list[Fields] = []
    for at, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            if tool.dialect == NAME:
                written.append(dict(tool.data))
        elif chosen is None or tool.name in chosen:
            written.append(_write_tool(tool, native))
        else:
            receipt.note(f"tools[{at}]", "approximated", "tools outside the allowed subset are left out")
    return written


def _write_tool(tool: Tool, native: bool) -> Fields:
    fields: Fields = {"name": f"{tool.namespace}__{tool.name}" if tool.namespace else tool.name}
    kind = form(tool.extras, "~type")
    if kind is not None:
        fields["type"] = kind
    if tool.description or form(tool.extras, "~description") is not None:
        fields["description"] = tool.description
    fields["input_schema"] = own(tool.extras).get("input_schema") or _schema(tool, native)
    if tool.strict or (native and tool.strict is not None):
        fields["strict"] = tool.strict
    if native and (tool.deferred or form(tool.extras, "~defer_loading") is False):
        # C08: without Anthropic's own tool search nothing would ever load a deferred tool.
        fields["defer_loading"] = tool.deferred
    return spell(fields, tool.extras)


def _schema(tool: Tool, native: bool) -> dict[str, Json]:
    if tool.kind == "custom":
        return {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    if not tool.parameters:
        return dict(EMPTY_SCHEMA)
    if native or "type" in tool.parameters:
        return tool.parameters
    return {"type": "object", **tool.parameters}


# ---------------------------------------------------------------- tool choice


def read_tool_choice(wire: Json) -> tuple[ToolChoice | None, bool | None]:
    """The choice and whether calls may be parallel; raises Refused."""
    if wire is None:
        return None, None
    choice = dict(expect(wire, dict, "tool_choice"))
    kind = take_words(choice, "type", "tool_choice")
    serial = take_as(choice, "disable_parallel_tool_use", bool, "tool_choice")
    parallel = None if serial is None else not serial
    names = [take_words(choice, "name", "tool_choice")] if kind == "tool" else []
    mode = _CHOICE_READ.get(kind)
    if mode is None:
        choice["type"] = kind
    return ToolChoice(mode or "auto", names, extras=rest(choice)), parallel  # type: ignore[arg-type]


def write_tool_choice(request: Request) -> Fields | None:
    """``tool_choice`` of a request, which also says whether calls may be parallel."""
    choice, parallel, native = request.tool_choice, request.parallel_tools, request.dialect == NAME
    if not native and not request.tools:
        return None  # Anthropic refuses a choice without tools
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if parallel is False else None
    fields = _choice(choice)
    if fields["type"] == "none":
        parallel = None if not native else parallel
    if parallel is False or (native and parallel):
        fields["disable_parallel_tool_use"] = not parallel
    return spell(fields, choice.extras)


def _choice(choice: ToolChoice) -> Fields:
    if choice.mode == "subset":
        if choice.required and len(choice.names) == 1:
            return {"type": "tool", "name": choice.names[0]}
        return {"type": "any" if choice.required else "auto"}
    fields: Fields = {"type": own(choice.extras).get("type") or _CHOICE_WRITTEN[choice.mode]}
    if choice.mode == "named" and choice.names:
        fields["name"] = choice.names[0]
    return fields


# ---------------------------------------------------------------- thinking


def read_reasoning(thinking: Json, effort: str | None) -> ReasoningSetting | None:
    """``thinking`` and ``output_config.effort`` as one setting; raises Refused."""
    if thinking is None:
        return None if effort is None else ReasoningSetting(effort=effort)
    fields = dict(expect(thinking, dict, "thinking"))
    budget = take_as(fields, "budget_tokens", int, "thinking")
    kind = take_as(fields, "type", str, "thinking")
    if kind is None:
        # Seen from older clients: {"enabled": bool} without a type.
        enabled = take_as(fields, "enabled", bool, "thinking")
        if enabled is None:
            raise Refused("thinking.type", "is required")
        kind = "enabled" if enabled else "disabled"
    setting = ReasoningSetting("on", effort, budget)
    if kind == "disabled":
        setting.mode = "off"
    elif kind != "enabled":
        setting.mode = "adaptive"
        if kind != "adaptive":
            fields["type"] = kind
    if setting.mode != "off" and fields.get("display") != "omitted":
        setting.summary = "auto"
    setting.extras = rest(fields)
    return setting


def write_thinking(setting: ReasoningSetting | None, profile: Profile, *, native: bool) -> Fields | None:
    """``thinking`` for the target; ``None`` when nothing is said about it."""
    if setting is None or (native and setting.mode is None):
        return None
    if native:
        kind = own(setting.extras).get("type") or _THINKING_WRITTEN[setting.mode or "off"]
        fields: Fields = {"type": kind}
        if setting.budget is not None or kind == "enabled":
            fields["budget_tokens"] = _budget(setting, profile)
        return spell(fields, setting.extras)
    return _foreign_thinking(setting, profile)


def _foreign_thinking(setting: ReasoningSetting, profile: Profile) -> Fields | None:
    if profile.reasoning not in ("adaptive", "budget"):
        return None
    if setting.mode == "off" or setting.effort == "none":
        return None if profile.always_thinks else {"type": "disabled"}
    if setting.mode is None and setting.effort is None and setting.budget is None:
        return None
    shown: Fields = {"display": "summarized"} if setting.summary else {}
    if profile.reasoning == "adaptive":
        return {"type": "adaptive", **shown}
    return {"type": "enabled", "budget_tokens": _budget(setting, profile)}


def _budget(setting: ReasoningSetting, profile: Profile) -> int:
    if setting.budget is not None:
        return setting.budget
    low, high = profile.budget_range
    return max(_SMALLEST_BUDGET, min(max(low, 4 * _SMALLEST_BUDGET), high))


# ---------------------------------------------------------------- output


def read_output(config: Fields, legacy: Json) -> OutputFormat | None:
    """The schema in ``output_config.format`` (taken out of ``config``) or the older ``output_format``."""
    wire = config.get("format") if legacy is None else legacy
    if not isinstance(wire, dict) or wire.get("type") != "json_schema" or not isinstance(wire.get("schema"), dict):
        return None
    fields = dict(wire)
    del fields["type"]
    schema = take(fields, "schema")
    if legacy is None:
        del config["format"]
    return OutputFormat(schema, extras=rest(fields, {} if legacy is None else {"~legacy": True}))


def write_output_config(request: Request, profile: Profile, kept: Fields) -> tuple[Fields, Fields | None]:
    """``output_config`` (over what the owner kept of it) and the older ``output_format`` when it was spelt so."""
    native = request.dialect == NAME
    config, setting, output = dict(kept), request.reasoning, request.output
    if setting is not None and setting.effort is not None and (native or _takes_effort(setting.effort, profile)):
        config["effort"] = setting.effort
    if output is None or output.schema is None:
        return config, None
    wire = spell({"type": "json_schema", "schema": output.schema}, output.extras)
    if form(output.extras, "~legacy"):
        return config, wire
    config["format"] = wire
    return config, None


def _takes_effort(effort: str, profile: Profile) -> bool:
    return profile.reasoning in ("adaptive", "effort") and effort in profile.efforts
