"""Function declarations, hosted tools and the choice among them, both ways.

This module must not know turns or answers.

Wire: https://ai.google.dev/api/caching#Tool
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.spelling import NAME, as_list, extras, mapping, ours, wire_fields
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Opaque, Request, Tool, ToolChoice
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.schemas import lowered, reduced

_MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")


def read_tools(value: Json) -> list[Tool | Opaque]:
    """Read the list of tools. ``~entry`` keeps which entry of the list each one stood in."""
    tools: list[Tool | Opaque] = []
    for at, entry in enumerate(as_list(value)):
        path = f"tools[{at}]"
        for key, item in mapping(entry, path).items():
            if key == "functionDeclarations":
                for number, declaration in enumerate(as_list(item)):
                    tools.append(_read_declaration(declaration, f"{path}.{key}[{number}]", at))
            else:
                tools.append(Opaque(NAME, {key: item}, extras({"~entry": at})))
    return tools


def _read_declaration(declaration: Json, path: str, entry: int) -> Tool:
    rest = dict(mapping(declaration, path))
    name = rest.pop("name", None)
    if not isinstance(name, str) or not name:
        raise Refused(f"{path}.name", "a function needs a name")
    description = rest.pop("description", None)
    rest["~entry"] = entry
    if description == "":
        rest["~description"] = description
    parameters = None
    for key in ("parametersJsonSchema", "parameters"):
        if isinstance(rest.get(key), dict):
            rest["~schema"] = [key, rest[key]]
            parameters = lowered(rest.pop(key))
            break
    return Tool(name, str(description or ""), parameters, extras=extras(rest))


def write_tools(request: Request, profile: Profile, receipt: Receipt) -> list[dict[str, Json]]:
    """Spell the tools, in the entries they were read from, or all functions in one entry."""
    own = request.dialect == NAME
    entries: list[dict[str, Json]] = []
    number: Json = None
    for at, tool in enumerate(request.tools):
        if isinstance(tool, Opaque) and tool.dialect != NAME:
            continue
        place = ours(tool.extras).get("~entry") if own else None
        if isinstance(tool, Tool):
            written: dict[str, Json] = _write_declaration(tool, own, f"tools[{at}].parameters", profile, receipt)
            same = bool(entries) and place == number and (own or "functionDeclarations" in entries[-1])
            if not same:
                entries.append({})
            entries[-1].setdefault("functionDeclarations", []).append(written)
        elif entries and place is not None and place == number:
            entries[-1].update(tool.data)
        else:
            entries.append(dict(tool.data))
        number = place
    return entries


def _write_declaration(tool: Tool, own: bool, path: str, profile: Profile, receipt: Receipt) -> dict[str, Json]:
    fields = ours(tool.extras)
    written: dict[str, Json] = {"name": tool.name}
    if tool.description or "~description" in fields:
        written["description"] = tool.description
    spelt = fields.get("~schema") if own else None
    if spelt and lowered(spelt[1]) == tool.parameters:
        written[spelt[0]] = spelt[1]
    elif tool.parameters is not None:
        if profile.json_schema_tools:
            written["parametersJsonSchema"] = tool.parameters
        else:
            schema = reduced(tool.parameters, path, receipt)
            # An object without properties is refused; a function without parameters is not.
            if schema != {"type": "OBJECT"}:
                written["parameters"] = schema
    written.update(wire_fields(fields))
    return written


def read_choice(config: Json) -> tuple[ToolChoice | None, dict[str, Json]]:
    """Read ``toolConfig``: the choice, and what else it holds."""
    rest = dict(mapping(config, "toolConfig"))
    calling = rest.get("functionCallingConfig")
    if not isinstance(calling, dict):
        return None, rest
    mode = _mode(calling.get("mode"))
    names = [str(name) for name in as_list(calling.get("allowedFunctionNames"))]
    if mode not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        return None, rest
    del rest["functionCallingConfig"]
    unknown = {key: value for key, value in calling.items() if key not in ("mode", "allowedFunctionNames")}
    choice = ToolChoice("auto", extras=extras({**unknown, "~config": calling}))
    if mode == "NONE":
        choice.mode = "none"
    elif names:
        required = mode == "ANY"
        choice.mode = "named" if required and len(names) == 1 else "subset"
        choice.names, choice.required = names, required
    elif mode == "ANY":
        choice.mode = "any"
    return choice, rest


def _mode(value: Json) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return _MODES[value] if 0 <= value < len(_MODES) else ""
    return value.upper() if isinstance(value, str) else ""


def write_choice(choice: ToolChoice, *, own: bool) -> dict[str, Json]:
    """Spell the choice as ``functionCallingConfig``."""
    fields = ours(choice.extras)
    spelt = fields.get("~config") if own else None
    if spelt is not None:
        again, _ = read_choice({"functionCallingConfig": spelt})
        if again == choice:
            return dict(spelt)
    config: dict[str, Json] = {"mode": {"none": "NONE", "auto": "AUTO"}.get(choice.mode, "ANY")}
    if choice.mode in ("named", "subset"):
        config["allowedFunctionNames"] = list(choice.names)
        if choice.mode == "subset" and not choice.required:
            # AUTO takes no list of names.
            config["mode"] = "VALIDATED"
    config.update(wire_fields(fields))
    return config
