"""Tools and tool choice: functions, grammar tools, namespaces, hosted tools.

A namespace is flattened: each of its tools carries the namespace's name, the first also its form, by
which the writer folds them again. Hosted tools are Opaque. This module must not know messages.

Wire: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
"""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.language.dialects.openai_responses.fields import (
    NAME,
    Object,
    expect,
    nulls,
    own,
    packed,
    plain,
    split_nulls,
)
from dragoman.language.ir import ChoiceMode, Json, Opaque, Tool, ToolChoice

_MODES: dict[str, ChoiceMode] = {"auto": "auto", "none": "none", "required": "any"}
_WORDS = {"auto": "auto", "none": "none", "any": "required"}


def read_tools(tools: Json, path: str, mark: Object | None = None) -> list[Tool | Opaque]:
    """Read a list of tools; ``mark`` is form put on each."""
    found: list[Tool | Opaque] = []
    for number, tool in enumerate(expect(tools, list, path, "a list of tools")):
        where = f"{path}[{number}]"
        expect(tool, dict, where, "an object")
        found += _read_namespace(tool, where) if tool.get("type") == "namespace" else [_read_tool(tool, where)]
    for one in found if mark else ():
        one.extras = {NAME: {**own(one.extras), **(mark or {})}}
    return found


def _read_tool(tool: Object, path: str) -> Tool | Opaque:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        return Opaque(NAME, tool)
    nested = tool.get(kind)
    if isinstance(nested, dict) and "name" not in tool:
        # A hybrid client sends Chat's nested form; there an absent strict means not strict.
        tool = {"type": kind, **({"strict": False} if kind == "function" else {}), **nested}
    fields, form = split_nulls(tool)
    del fields["type"]
    name = expect(fields.pop("name", None), str, f"{path}.name", "a string")
    for key in ("description", "defer_loading"):
        if key in fields and not fields[key]:
            form.setdefault("~blank", {})[key] = fields.pop(key)
    return Tool(
        name=name,
        description=expect(fields.pop("description", ""), str, f"{path}.description", "a string"),
        parameters=expect(fields.pop("parameters", {}), dict, f"{path}.parameters", "a JSON schema object")
        if "parameters" in fields
        else None,
        kind="custom" if kind == "custom" else "function",
        grammar=expect(fields.pop("format"), dict, f"{path}.format", "an object") if "format" in fields else None,
        strict=expect(fields.pop("strict"), bool, f"{path}.strict", "a boolean") if "strict" in fields else None,
        deferred=bool(fields.pop("defer_loading", False)),
        extras=packed({**form, **fields}),
    )


def _read_namespace(tool: Object, path: str) -> list[Tool | Opaque]:
    inner = tool.get("tools")
    name = expect(tool.get("name"), str, f"{path}.name", "a string")
    found = read_tools(inner, f"{path}.tools") if inner else []
    if not found:
        return [Opaque(NAME, tool)]
    form = {key: value for key, value in tool.items() if key not in ("type", "name", "tools")}
    for number, one in enumerate(found):
        marks: Object = {"~namespace": form} if number == 0 else {}
        if isinstance(one, Tool):
            one.namespace = name
        else:
            marks["~inside"] = name
        one.extras = {NAME: {**own(one.extras), **marks}}
    return found


def write_tools(tools: Iterable[Tool | Opaque], native: bool) -> list[Object]:
    """Write the tools. ``native`` leaves what a Responses client did not say unsaid."""
    written: list[Object] = []
    folder: Object | None = None
    for tool in tools:
        if "~additional" in own(tool.extras) or (isinstance(tool, Opaque) and tool.dialect != NAME):
            continue
        one = _write_tool(tool, native) if isinstance(tool, Tool) else tool.data
        namespace = tool.namespace if isinstance(tool, Tool) else own(tool.extras).get("~inside", "")
        if not namespace:
            written.append(one)
            folder = None
            continue
        form = own(tool.extras).get("~namespace")
        if folder is None or folder["name"] != namespace or form is not None:
            description = f"Tools of {namespace}."  # the wire demands one
            folder = {"type": "namespace", "name": namespace, **(form or {"description": description}), "tools": []}
            written.append(folder)
        folder["tools"].append(one)
    return written


def _write_tool(tool: Tool, native: bool) -> Object:
    fields = own(tool.extras)
    written: Object = {"type": tool.kind, "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            written["format"] = _flat_grammar(tool.grammar)
    else:
        written |= _write_schema(tool, native)
    if tool.deferred and native:
        written["defer_loading"] = True
    return {**written, **fields.get("~blank", {}), **nulls(fields), **plain(tool.extras)}


def _write_schema(tool: Tool, native: bool) -> Object:
    if native:
        said = {"parameters": tool.parameters, "strict": tool.strict}
        return {name: value for name, value in said.items() if value is not None}
    # An absent strict makes the function strict, and its optional parameters required (R10).
    empty = {"type": "object", "properties": {}}
    return {"parameters": tool.parameters or empty, "strict": bool(tool.strict)}


def _flat_grammar(grammar: Object) -> Object:
    nested = grammar.get("grammar")
    return {"type": "grammar", **nested} if isinstance(nested, dict) else grammar


# ---------------------------------------------------------------- tool choice


def read_choice(choice: Json, path: str = "tool_choice") -> ToolChoice:
    """Read a tool choice. A hosted tool's is kept for its owner; for others the model is free."""
    if isinstance(choice, str):
        if choice not in _MODES:
            return ToolChoice("auto", extras=packed({"choice": choice}))
        return ToolChoice(_MODES[choice])
    expect(choice, dict, path, "a string or an object")
    kind = choice.get("type")
    if kind in ("function", "custom"):
        nested = choice.get(kind)
        name = choice.get("name", nested.get("name") if isinstance(nested, dict) else None)
        expect(name, str, f"{path}.name", "a string")
        rest = {key: value for key, value in choice.items() if key not in ("type", "name", kind)}
        return ToolChoice("named", [name], extras=packed({"~type": kind, **rest}))
    if kind == "allowed_tools":
        tools = expect(choice.get("tools"), list, f"{path}.tools", "a list")
        names = [tool["name"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        return ToolChoice("subset", names, choice.get("mode") == "required", packed({"~choice": choice}))
    return ToolChoice("auto", extras=packed({"choice": choice}))


def write_choice(choice: ToolChoice, tools: Iterable[Tool | Opaque]) -> Json:
    """Write a tool choice; names are those of the tools given."""
    fields = own(choice.extras)
    if "choice" in fields:
        return fields["choice"]
    if "~choice" in fields:
        return fields["~choice"]
    if choice.mode == "named" and choice.names:
        kind = fields.get("~type") or _kind_of(choice.names[0], tools)
        return {"type": kind, "name": choice.names[0], **plain(choice.extras)}
    if choice.mode == "subset":
        allowed = [{"type": _kind_of(name, tools), "name": name} for name in choice.names]
        return {"type": "allowed_tools", "mode": "required" if choice.required else "auto", "tools": allowed}
    return _WORDS.get(choice.mode, "auto")


def _kind_of(name: str, tools: Iterable[Tool | Opaque]) -> str:
    return next((tool.kind for tool in tools if isinstance(tool, Tool) and tool.name == name), "function")
