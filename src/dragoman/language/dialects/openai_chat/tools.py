"""Tools, tool choice and tool calls of Chat, in all the shapes clients mix in one body (C11).

A tool is a function (nested as Chat wants it, flat as Responses has it, or Anthropic's bare
``input_schema``), a custom tool with a grammar (nested or flat), or something hosted that stays
Opaque. What is written follows Chat's nested spelling.

Wire: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, expect, own, packed, plain, said, take
from dragoman.language.dialects.openai_chat.parts import cache_hint
from dragoman.language.failures import Refused
from dragoman.language.ir import Extras, Json, Opaque, Tool, ToolCall, ToolChoice
from dragoman.language.wire import encode

_EMPTY_SCHEMA: Fields = {"type": "object", "properties": {}}


def read_tools(tools: list[Json], path: str = "tools") -> list[Tool | Opaque]:
    """The tools of a request, each entry read by its own shape. Raises Refused."""
    return [_read_tool(dict(expect(tool, dict, f"{path}[{at}]")), f"{path}[{at}]") for at, tool in enumerate(tools)]


def _read_tool(tool: Fields, path: str) -> Tool | Opaque:
    kind = tool.get("type")
    if "input_schema" in tool and kind in (None, "custom", "function"):
        return _read_anthropic(tool, path)
    if kind not in (None, "function", "custom"):
        owner = "anthropic" if isinstance(kind, str) and kind[-8:].isdigit() and "name" in tool else NAME
        return Opaque(owner, tool)
    kind = kind or ("custom" if "custom" in tool else "function")
    form: Fields = {}
    tool.pop("type", None)
    inner = tool.pop(kind, None)
    if isinstance(inner, dict):
        inner, path = dict(inner), f"{path}.{kind}"
    elif inner is None and "name" in tool:
        inner, tool, form = tool, {}, {"~flat": True}
    else:
        raise Refused(f"{path}.{kind}", "must be an object")
    return _read_custom(inner, tool, form, path) if kind == "custom" else read_function(inner, tool, form, path)


def read_function(inner: Fields, outer: Fields, form: Fields, path: str) -> Tool:
    """A function tool; empty and null fields keep their spelling."""
    name = _read_name(inner, path)
    description = take(inner, "description", str, path) if inner.get("description") else ""
    parameters = take(inner, "parameters", dict, path)
    strict = take(inner, "strict", bool, path)
    deferred = (inner if form.get("~flat") else outer).pop("defer_loading", None) is True
    if parameters is None:
        form = {**form, "~bare": True}
    kept = {**outer, **form, **({"function": inner} if inner else {})}
    hint = cache_hint(outer) or cache_hint(inner)
    return Tool(name, description, parameters, strict=strict, deferred=deferred, extras={**packed(kept), **hint})


def _read_custom(inner: Fields, outer: Fields, form: Fields, path: str) -> Tool:
    name = _read_name(inner, path)
    description = take(inner, "description", str, path) if inner.get("description") else ""
    grammar = take(inner, "format", dict, path)
    if grammar is not None and isinstance(nested := grammar.get("grammar"), dict):
        grammar = {"type": "grammar", **nested}
    kept = {**outer, **form, **({"custom": inner} if inner else {})}
    return Tool(name, description, kind="custom", grammar=grammar, extras=packed(kept))


def _read_anthropic(tool: Fields, path: str) -> Tool:
    name = _read_name(tool, path)
    schema = take(tool, "input_schema", dict, path)
    description = said(tool.get("description"))
    return Tool(name, description, schema, strict=take(tool, "strict", bool, path), extras=cache_hint(tool))


def _read_name(fields: Fields, path: str) -> str:
    name = fields.pop("name", None)
    if not isinstance(name, str) or not name:
        raise Refused(f"{path}.name", "is required")
    return name


def write_tools(tools: Sequence[Tool | Opaque], hints: bool = False) -> list[Json]:
    """The tools as Chat spells them; foreign hosted tools are left out (fitting noted them)."""
    written: list[Json] = []
    for tool in tools:
        if isinstance(tool, Opaque):
            if tool.dialect == NAME:
                written.append(tool.data)
            continue
        one = _write_custom(tool) if tool.kind == "custom" else _write_function(tool)
        if hints and (hint := tool.extras.get("anthropic", {}).get("cache_control")):
            one["cache_control"] = hint
        written.append(one)
    return written


def function_fields(tool: Tool) -> Fields:
    """What stands under ``function``, and in an entry of the legacy ``functions``."""
    kept = own(tool.extras)
    written: Fields = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.parameters is not None:
        written["parameters"] = tool.parameters
    elif "~bare" not in kept:
        written["parameters"] = _EMPTY_SCHEMA
    if tool.strict is not None:
        written["strict"] = tool.strict
    return {**kept.get("function", {}), **written}


def _write_function(tool: Tool) -> Fields:
    rest = {key: value for key, value in plain(tool.extras).items() if key != "function"}
    return {"type": "function", "function": function_fields(tool), **rest}


def _write_custom(tool: Tool) -> Fields:
    rest = plain(tool.extras)
    written: Fields = {**rest.pop("custom", {}), "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    if tool.grammar is not None:
        written["format"] = _nested_grammar(tool.grammar)
    return {"type": "custom", "custom": written, **rest}


def _nested_grammar(grammar: Fields) -> Fields:
    if grammar.get("type") != "grammar" or "grammar" in grammar:
        return grammar
    return {"type": "grammar", "grammar": {key: value for key, value in grammar.items() if key != "type"}}


# ---------------------------------------------------------------- tool choice


def read_choice(choice: Json, path: str = "tool_choice") -> ToolChoice:
    """A tool choice in any of its forms; an unknown form is kept for its owner and means ``auto``."""
    if isinstance(choice, str):
        words = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
        if choice not in words:
            raise Refused(path, f"'{choice}' is not one of none, auto, required")
        return ToolChoice(words[choice], extras=packed({"~word": choice} if choice == "any" else {}))  # type: ignore[arg-type]
    fields = dict(expect(choice, dict, path))
    kind = fields.get("type")
    inner = fields.get(kind) if isinstance(kind, str) else None
    if kind == "allowed_tools":
        return _read_subset(inner if isinstance(inner, dict) else fields, path)
    if kind is None and isinstance(fields.get("name"), str):  # the legacy function_call
        return ToolChoice("named", [fields["name"]])
    if kind in ("function", "custom"):
        name = (inner if isinstance(inner, dict) else fields).get("name")
        if not isinstance(name, str) or not name:
            raise Refused(f"{path}.{kind}.name", "is required")
        return ToolChoice("named", [name], extras=packed({"~custom": True} if kind == "custom" else {}))
    if kind in ("auto", "any", "none"):  # Anthropic's
        return ToolChoice(kind)
    if kind == "tool" and isinstance(fields.get("name"), str):
        return ToolChoice("named", [fields["name"]])
    return ToolChoice("auto", extras=packed({"~choice": choice}))


def _read_subset(fields: Fields, path: str) -> ToolChoice:
    tools = expect(fields.get("tools"), list, f"{path}.allowed_tools.tools")
    names = []
    for tool in tools:
        inner = tool.get(tool.get("type"), tool) if isinstance(tool, dict) else {}
        if isinstance(inner, dict) and isinstance(name := inner.get("name"), str):
            names.append(name)
    return ToolChoice("subset", names, fields.get("mode") == "required", packed({"~tools": tools}))


def write_choice(choice: ToolChoice, tools: Sequence[Tool | Opaque], any_word: str = "required") -> Json:
    """The tool choice in Chat's nested spelling; ``any_word`` is the target's for "call some tool"."""
    kept = own(choice.extras)
    if "~choice" in kept:
        return kept["~choice"]
    if choice.mode == "subset":
        entries = kept.get("~tools")
        if entries is None or any("name" in entry for entry in entries):
            entries = [_named(name, tools) for name in choice.names]
        mode = "required" if choice.required else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": entries}}
    if choice.mode == "named":
        return _named(choice.names[0], tools, kept.get("~custom") is True)
    return {"auto": "auto", "none": "none", "any": kept.get("~word", any_word)}[choice.mode]


def _named(name: str, tools: Sequence[Tool | Opaque], custom: bool = False) -> Fields:
    custom = custom or any(isinstance(tool, Tool) and tool.name == name and tool.kind == "custom" for tool in tools)
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": name}}


# ---------------------------------------------------------------- tool calls


def read_call(call: Fields) -> ToolCall | None:
    """A whole tool call; ``None`` for an empty placeholder (V04). ``id`` may be empty."""
    fields = dict(call)
    kind = fields.pop("type", "function")
    name = "custom" if kind == "custom" and isinstance(fields.get("custom"), dict) else "function"
    inner = dict(fields.pop(name)) if isinstance(fields.get(name), dict) else {}
    if name == "function" and isinstance(spare := fields.get("custom"), dict) and not any(spare.values()):
        del fields["custom"]
    called = said(inner.pop("name", None))
    raw = inner.pop("input" if name == "custom" else "arguments", None)
    if not called and not raw:
        return None
    identifier = said(fields.pop("id", None))
    if inner:
        fields[name] = inner
    extras: Extras = {**packed(fields), **_signature(fields)}
    return ToolCall(identifier, called, words_of(raw), kind="custom" if name == "custom" else "function", extras=extras)


def words_of(arguments: Json) -> str:
    """Arguments as text: vendors send null, or the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else encode(arguments).decode()


def _signature(fields: Fields) -> Extras:
    """Gemini's signature, in the place where its Chat surface puts it (T05)."""
    content = fields.get("extra_content")
    google = content.get("google") if isinstance(content, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return {"gemini": {"thoughtSignature": signature}} if isinstance(signature, str) else {}


def write_call(call: ToolCall, custom: bool) -> Fields:
    """A whole tool call. ``custom``: a custom tool's call is written in that form, else as a function (C11)."""
    rest = call_extras(call.extras)
    kind = "custom" if call.kind == "custom" and custom else "function"
    inner = rest.pop(kind, {})
    if kind == "custom":
        inner = {**inner, "name": call.name, "input": call.arguments}
    else:
        empty = "{}" if call.kind == "function" else ""
        inner = {**inner, "name": call.name, "arguments": call.arguments or empty}
    return {"id": call.id, "type": kind, kind: inner, **rest}


def call_extras(extras: Extras) -> Fields:
    """The owner's other fields of a call, and a Gemini signature where Chat clients of Gemini echo it."""
    rest = plain(extras)
    signature = extras.get("gemini", {}).get("thoughtSignature")
    if signature and "extra_content" not in rest:
        rest["extra_content"] = {"google": {"thought_signature": signature}}
    return rest
