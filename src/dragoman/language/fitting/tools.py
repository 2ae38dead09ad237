"""Tools on the way to a target: hosted ones stay behind, the others are named, flattened and unwrapped.

A tool that its provider runs is never offered to the client's side as a function (C09, C16); a
grammar tool becomes a function with one string where the target has none (C14); a tool that is to
be loaded when searched for is loaded at once (C08). This module must not know any wire's fields.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dragoman.language.fitting.compiled import MOST_TOOLS, compiled, within_limits
from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.names import ToolNames, is_plain
from dragoman.language.ir import Json, Opaque, Tool, ToolCall, ToolChoice

_INPUT_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


def fit_tools(draft: Draft) -> None:
    """Replace the tools of the draft by those the target takes, and learn their names.

    Raises Refused when two tools would meet under one name.
    """
    tools = draft.source.tools
    if _all_plain(tools, draft):
        return
    draft.names = ToolNames(draft.profile)
    kept = _offered(draft)
    draft.names.define([(place, tool) for place, tool in kept if isinstance(tool, Tool)])
    draft.request.tools = [_fitted(tool, draft) if isinstance(tool, Tool) else tool for _, tool in kept]
    if draft.profile.compiled_schemas:
        _loosen(draft)
    _note_changes(draft, [(place, tool) for place, tool in kept if isinstance(tool, Tool)])


def fit_remembered_tools(draft: Draft) -> None:
    """Anthropic has refused calls in history whose tools are not defined: they are, and none may be called.

    Codex, for one, asks for a summary of a tool conversation without offering any tool.
    """
    request = draft.request
    if draft.profile.dialect != "anthropic" or request.tools:
        return
    names = dict.fromkeys(
        part.name for message in request.messages for part in message.parts if isinstance(part, ToolCall)
    )
    if names:
        draft.receipt.note("tools", "repaired", "the tools called in history are defined, and none may be called")
        request.tools = [Tool(name) for name in names]
        request.tool_choice = ToolChoice("none")


def hosted_name(tool: Opaque) -> str:
    """What a hosted tool is called, for the receipt."""
    name = tool.data.get("type") or tool.data.get("name") or next(iter(tool.data), "")
    return str(name)


def _all_plain(tools: list[Tool | Opaque], draft: Draft) -> bool:
    """Whether nothing is to be done, history included: odd names there come with odd names here."""
    profile = draft.profile
    seen: set[str] = set()
    for tool in tools:
        if (
            isinstance(tool, Opaque)
            or tool.namespace
            or tool.kind == "custom"
            or tool.deferred
            or tool.name in seen
            or (tool.strict and (profile.compiled_schemas or not profile.strict_tools))
            or not is_plain(tool.name, profile)
            or _lacks_type(tool, draft)
        ):
            return False
        seen.add(tool.name)
    draft.names = ToolNames(profile)
    return True


def _offered(draft: Draft) -> list[tuple[int, Tool | Opaque]]:
    """The tools that go out, each with its place in the client's list."""
    kept: list[tuple[int, Tool | Opaque]] = []
    seen: set[tuple[str, str]] = set()
    for place, tool in enumerate(draft.source.tools):
        path = f"tools[{place}]"
        if isinstance(tool, Opaque):
            if tool.dialect != draft.profile.dialect:
                why = f"{hosted_name(tool)} is run by the provider of {tool.dialect}, which is not called here"
                draft.receipt.note(path, "dropped", why)
                continue
        elif (tool.namespace, tool.name) in seen:
            draft.receipt.note(path, "repaired", f"the tool {tool.name} is defined twice; the first definition stands")
            continue
        else:
            seen.add((tool.namespace, tool.name))
        kept.append((place, tool))
    return kept


def _fitted(tool: Tool, draft: Draft) -> Tool:
    """The tool as the target takes it; the same object when it takes it as it is."""
    profile = draft.profile
    changes: dict[str, Any] = {}
    wire = draft.names.wire(tool.name, tool.namespace)
    if wire != tool.name:
        changes["name"] = wire
    if tool.namespace and not profile.namespaces:
        changes["namespace"] = ""
    if tool.deferred:
        changes["deferred"] = False
    if tool.strict is not None and not profile.strict_tools:
        changes["strict"] = None
    if _lacks_type(tool, draft):
        changes["parameters"] = {"type": "object", **(tool.parameters or {"properties": {}})}
    if tool.kind == "custom" and not profile.custom_tools:
        changes.update(kind="function", parameters=_INPUT_SCHEMA, grammar=None, description=_described(tool))
    return replace(tool, **changes) if changes else tool


def _lacks_type(tool: Tool, draft: Draft) -> bool:
    """Whether the root of the parameters does not say that it is an object, as all but Gemini demand (R08)."""
    return tool.parameters is not None and "type" not in tool.parameters and draft.profile.dialect != "gemini"


def _loosen(draft: Draft) -> None:
    """Drop ``strict`` where its compiler would refuse the call: its schema is not rewritten (R11)."""
    tools = draft.request.tools
    strict = [tool for tool in tools if isinstance(tool, Tool) and tool.strict]
    schemas = [tool.parameters for tool in strict if tool.parameters and compiled(tool.parameters) == tool.parameters]
    few = len(schemas) <= MOST_TOOLS and within_limits(schemas)
    loose = [tool for tool in strict if not (few and any(tool.parameters is schema for schema in schemas))]
    if loose:
        names = ", ".join(tool.name for tool in loose[:3]) + (", ..." if len(loose) > 3 else "")
        draft.receipt.note("tools[*].strict", "dropped", f"the target cannot compile the schemas of {names}")
        gone = {id(tool) for tool in loose}
        draft.request.tools = [
            replace(tool, strict=None) if isinstance(tool, Tool) and id(tool) in gone else tool for tool in tools
        ]


def _described(tool: Tool) -> str:
    """The description with the grammar in it, as the schema has no place for one."""
    grammar = tool.grammar or {}
    if isinstance(grammar.get("grammar"), dict):  # Chat's nested form
        grammar = grammar["grammar"]
    definition = grammar.get("definition")
    if not isinstance(definition, str):
        return tool.description
    syntax = grammar.get("syntax") or "given"
    return f"{tool.description}\n\nThe input must follow this {syntax} grammar:\n{definition}".lstrip()


def _note_changes(draft: Draft, placed: list[tuple[int, Tool]]) -> None:
    """What befell the tools: one line for what befell several alike."""
    profile, note = draft.profile, draft.receipt.note
    tools = [tool for _, tool in placed]
    if any(tool.namespace for tool in tools) and not profile.namespaces:
        why = "tools of a namespace go out as namespace__name and come back under their own names"
        note("tools[*].namespace", "approximated", why)
    if any(tool.deferred for tool in tools):
        note("tools[*].deferred", "approximated", "tools that wait to be searched for are loaded at once")
    if any(tool.strict for tool in tools) and not profile.strict_tools:
        note("tools[*].strict", "dropped", "the target has no strict tools")
    for place, tool in placed:
        wire = draft.names.wire(tool.name, tool.namespace)
        if tool.kind == "custom" and not profile.custom_tools:
            why = "a free-form tool goes out as a function with one string, its grammar as description"
            note(f"tools[{place}]", "approximated", why)
        if wire not in (tool.name, f"{tool.namespace}__{tool.name}"):
            note(f"tools[{place}].name", "approximated", f"goes out as {wire} and comes back under its own name")
