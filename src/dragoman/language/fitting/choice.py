"""Which tool may or must be called, as the target can be told (R12).

A choice that names a tool the target does not see is dropped; a list of allowed tools becomes the
list of offered ones where the target knows no such list; a forced call switches thinking off where
the two exclude each other. This module must not know any wire's words.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.reasoning import may_think, switch_off
from dragoman.language.ir import Tool, ToolChoice


def fit_choice(draft: Draft) -> None:
    """Fit tool_choice and parallel_tools; tools and reasoning have been fitted before."""
    request = draft.request
    if request.tool_choice is None and request.parallel_tools is None:
        return
    if not request.tools:
        _drop_both(draft)
        return
    if request.parallel_tools is not None and not draft.profile.parallel_switch:
        draft.receipt.note("parallel_tools", "dropped", "the target has no switch for parallel calls")
        request.parallel_tools = None
    if request.tool_choice is None:
        return
    request.tool_choice = _named(draft, request.tool_choice)
    if request.tool_choice is not None:
        request.tool_choice = _known(draft, request.tool_choice)
    if request.tool_choice is not None and _forced(request.tool_choice):
        _settle_thinking(draft, request.tool_choice)


def _drop_both(draft: Draft) -> None:
    request = draft.request
    for name in ("tool_choice", "parallel_tools"):
        if getattr(request, name) is not None:
            draft.receipt.note(name, "dropped", "no tools are offered to the target")
            setattr(request, name, None)


def _named(draft: Draft, choice: ToolChoice) -> ToolChoice | None:
    """The choice in the target's names; ``None`` when nothing it names is offered."""
    if choice.mode not in ("named", "subset"):
        return choice
    offered = {tool.name for tool in draft.request.tools if isinstance(tool, Tool)}
    names: list[str] = []
    for name in choice.names:
        wire = name if name in offered else draft.names.chosen(name)
        if wire is None or wire not in offered:
            draft.receipt.note("tool_choice", "dropped", f"{name} is not offered to the target")
        elif wire not in names:
            names.append(wire)
    if not names:
        return None
    return choice if names == choice.names else replace(choice, names=names)


def _known(draft: Draft, choice: ToolChoice) -> ToolChoice | None:
    """The choice in a mode the target knows."""
    request, note = draft.request, draft.receipt.note
    if choice.mode in draft.profile.choices:
        return choice
    if choice.mode == "subset":
        note("tool_choice", "approximated", "only the allowed tools are offered, as the target takes no list of them")
        request.tools = [tool for tool in request.tools if not isinstance(tool, Tool) or tool.name in choice.names]
        return _known(draft, ToolChoice("any" if choice.required else "auto"))
    if choice.mode == "none":
        note("tool_choice", "approximated", "no tools are offered, as the target cannot be told to call none")
        request.tools, request.parallel_tools = [], None
        return None
    if choice.mode == "named":
        request.tools = [tool for tool in request.tools if not isinstance(tool, Tool) or tool.name in choice.names]
    note("tool_choice", "approximated", "the target cannot be made to call a tool; it is left to decide")
    return ToolChoice("auto") if "auto" in draft.profile.choices else None


def _forced(choice: ToolChoice) -> bool:
    return choice.mode in ("any", "named") or (choice.mode == "subset" and choice.required)


def _settle_thinking(draft: Draft, choice: ToolChoice) -> None:
    """A forced choice and thinking exclude each other on some targets: thinking gives way if it can."""
    if draft.profile.forced_with_thinking or not may_think(draft):
        return
    if not draft.profile.always_thinks:
        switch_off(draft, "the target refuses a forced tool choice while it thinks")
        return
    draft.receipt.note("tool_choice", "approximated", "the target always thinks and then cannot be made to call a tool")
    draft.request.tool_choice = replace(choice, required=False) if choice.mode == "subset" else ToolChoice("auto")
