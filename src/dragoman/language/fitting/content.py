"""The parts of the conversation, one by one: kept, put into the target's terms, or dropped and noted.

Only parts that change are copied, with the messages that hold them. This module must not know any
wire; what the kinds of parts need is in ``foreign``, ``media`` and ``names``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dragoman.language.fitting.draft import GONE, Draft
from dragoman.language.fitting.foreign import keeps_thought, readable
from dragoman.language.fitting.media import fit_media_once_seen
from dragoman.language.ir import Media, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult
from dragoman.language.wire import encode

_PLACES = frozenset({"additional_tools"})
"""Blocks that only mark where something stood that has been read, and is carried, elsewhere."""

_BILLING = "x-anthropic-billing-header"


def fit_content(draft: Draft) -> None:
    """Fit every part; messages and parts keep their places, dropped parts leave ``GONE``."""
    messages = draft.request.messages
    fitted: list[Message] | None = None
    renamed: dict[str, str] = {}
    for place, message in enumerate(messages):
        parts = _fit_parts(draft, message, place, renamed)
        if parts is not None:
            if fitted is None:
                fitted = list(messages)
            fitted[place] = replace(message, parts=parts)
    if fitted is not None:
        draft.request.messages = fitted


def _fit_parts(draft: Draft, message: Message, place: int, renamed: dict[str, str]) -> list[Part] | None:
    """The message's parts after fitting, ``None`` when nothing changes."""
    fitted: list[Part] | None = None
    role = message.role
    for number, part in enumerate(message.parts):
        kind = type(part)
        if kind is Text and role != "system" and not part.citations:  # type: ignore[union-attr]
            continue
        fitter = _FITTERS.get(kind)
        if fitter is None:
            continue
        new = fitter(draft, part, role, (place, number), renamed)
        if new is not part:
            if fitted is None:
                fitted = list(message.parts)
            fitted[number] = new
    return fitted


_Place = tuple[int, int]


def _path(place: _Place) -> str:
    return f"messages[{place[0]}].parts[{place[1]}]"


def _fit_text(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, Text)
    if role == "system" and part.text.startswith(_BILLING) and not draft.profile.family.startswith("claude"):
        return _without_attribution(draft, part, place)
    if part.citations:
        draft.receipt.note(f"{_path(place)}.citations", "dropped", "sources of an earlier answer are not sent back")
        return replace(part, citations=[])
    return part


def _without_attribution(draft: Draft, part: Text, place: _Place) -> Part:
    """The line changes with every call, so a prefix that begins with it is never found in a cache (T13)."""
    line, _, rest = part.text.partition("\n")
    why = "the attribution line means nothing to the target"
    if not rest.strip():
        return draft.drop(_path(place), why)
    draft.receipt.note(_path(place), "approximated", f"{line[:26]}: {why}")
    return replace(part, text=rest.lstrip("\n"))


def fit_attribution(draft: Draft) -> None:
    """Take the attribution line out of the system blocks, for targets other than Claude that speak its dialect."""
    if draft.profile.family.startswith("claude"):
        return
    for place, message in enumerate(draft.request.messages):
        if message.role != "system":
            return
        for number, part in enumerate(message.parts):
            if isinstance(part, Text) and part.text.startswith(_BILLING):
                new = _without_attribution(draft, part, (place, number))
                parts = [*message.parts[:number], *([] if new is GONE else [new]), *message.parts[number + 1 :]]
                draft.request.messages = list(draft.request.messages)
                draft.request.messages[place] = replace(message, parts=parts)
                break


def _fit_thought(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, Reasoning)
    if keeps_thought(part, draft.profile):
        return part
    return draft.drop(_path(place), "a thought goes back only to the model that issued it")


def _fit_call(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, ToolCall)
    wire = draft.names.wire(part.name, part.namespace)
    flattened = bool(part.namespace) and not draft.profile.namespaces
    unwrapped = part.kind == "custom" and not draft.profile.custom_tools
    if wire == part.name and not flattened and not unwrapped:
        return part
    renamed[part.id] = wire
    call = replace(part, name=wire, namespace="" if flattened else part.namespace)
    if unwrapped:
        call.kind = "function"
        call.arguments = encode({"input": part.arguments}).decode()
    return call


def _fit_result(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, ToolResult)
    content: list[Part] | None = None
    for number, inner in enumerate(part.content):
        if type(inner) is Text:
            continue
        new = _fit_inner(draft, inner, f"{_path(place)}.content[{number}]", place[0])
        if new is not inner:
            content = list(part.content) if content is None else content
            content[number] = new
    if content is not None:
        part = replace(part, content=[inner for inner in content if inner is not GONE])
    if part.name and part.call_id in renamed:
        part = replace(part, name=renamed[part.call_id])
    if part.kind == "custom" and not draft.profile.custom_tools:
        part = replace(part, kind="function")
    return part


def _fit_inner(draft: Draft, inner: Part, path: str, place: int) -> Part:
    """One part inside a tool result."""
    if isinstance(inner, Opaque):
        return _fit_block(draft, inner, path)
    if not isinstance(inner, Media):
        return inner
    new = fit_media_once_seen(draft, inner, "tool", path, place)
    if isinstance(new, Media) and not draft.profile.result_media:
        draft.result_media = True
        draft.receipt.note(path, "moved", "stands right behind the tool results, which take only text here")
    return new


def _fit_opaque(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, Opaque)
    return _fit_block(draft, part, _path(place))


def _fit_block(draft: Draft, block: Opaque, path: str) -> Part:
    if block.dialect == draft.profile.dialect:
        return block
    text = readable(block, draft.names.wire)
    kind = block.data.get("type")
    if isinstance(kind, str) and kind in _PLACES:
        draft.gone = True
        return GONE
    name = kind if isinstance(kind, str) and kind else next(iter(block.data), "block")
    if text is None:
        return draft.drop(path, f"{name} is understood only by {block.dialect}")
    draft.receipt.note(path, "approximated", f"{name} goes out as text")
    return Text(text)


def _fit_media(draft: Draft, part: Part, role: Role, place: _Place, renamed: dict[str, str]) -> Part:
    assert isinstance(part, Media)
    return fit_media_once_seen(draft, part, role, _path(place), place[0])


_FITTERS: dict[type, Callable[[Draft, Part, Role, _Place, dict[str, str]], Part]] = {
    Text: _fit_text,
    Reasoning: _fit_thought,
    ToolCall: _fit_call,
    ToolResult: _fit_result,
    Opaque: _fit_opaque,
    Media: _fit_media,
}
