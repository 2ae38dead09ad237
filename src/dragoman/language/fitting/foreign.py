"""What a target cannot take because another dialect owns it: found everywhere, so that no writer can forget it.

``foreign`` walks a whole request; the receipt gets one line per field, and one for all places of a
field that stands in several. This module must not know any wire beyond the names of blocks that
carry readable text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Citation, Extras, Json, Opaque, Part, Reasoning, Request, Text, ToolResult
from dragoman.language.profiles import Profile

_INDEX = re.compile(r"\[\d+\]")
_CACHE_HINT = "cache_control"
"""Anthropic's, but clients send it in Chat bodies, too."""

_OBEYED = frozenset({("openai_chat", "stream_options")})
"""Wishes about the answer's form, which the gateway obeys whatever the target."""


def foreign(request: Request, dialect: str) -> Iterator[tuple[str, str, str]]:
    """Every extra and Opaque whose owner is not the target: ``(path, owner, field or block type)``.

    *Form* (fields that begin with ``~``) and null, which says nothing, are no loss and passed over.
    """
    for path, owner, name, _ in _walk(request, dialect):
        yield path, owner, name


def note_foreign(draft: Draft) -> None:
    """Note what ``foreign`` finds in the client's request, save what other concerns have noted."""
    found: dict[tuple[str, str, str], list[str]] = {}
    hints = 0
    for path, owner, name, node in _walk(draft.source, draft.profile.dialect):
        if isinstance(node, Opaque | Reasoning | Citation) or (owner, name) in _OBEYED:
            continue
        if name == _CACHE_HINT:
            hints += 1
        else:
            found.setdefault((_INDEX.sub("[*]", path), owner, name), []).append(path)
    note = draft.receipt.note
    if hints and not (draft.profile.cache_hints or draft.profile.cache_breakpoints):
        note(_CACHE_HINT, "dropped", f"{hints} cache hints mean nothing to the target")
    for (everywhere, owner, name), paths in found.items():
        if len(paths) == 1:
            note(f"{paths[0]}{name}", "dropped", f"only {owner} knows it")
        else:
            note(f"{everywhere}{name}", "dropped", f"only {owner} knows it ({len(paths)} places)")


def keeps_thought(thought: Reasoning, profile: Profile) -> bool:
    """Whether a thought in history may go to the target: its own, signed, or on Chat one nobody signed (T02)."""
    own = thought.extras.get(profile.dialect) or {}
    if profile.dialect == "anthropic":
        return bool(own.get("signature") or own.get("redacted"))
    if profile.dialect == "gemini":
        return bool(own.get("thoughtSignature"))
    if profile.dialect == "openai_responses":
        return bool(own.get("encrypted_content"))
    if not profile.reasoning_field or not (thought.text or own):
        return False
    return not any(thought.extras[owner].get(name) for owner, name in _fields(thought.extras, profile.dialect))


def readable(opaque: Opaque, tool_name: Callable[[str], str]) -> str | None:
    """The text of a block any model can read, with its title and source; ``None`` for anything else."""
    data = opaque.data
    kind = data.get("type")
    if kind == "tool_reference":
        return f"The tool {tool_name(str(data.get('tool_name', '')))} is loaded."
    if kind == "search_result":
        return _document(data.get("title"), data.get("source"), data.get("content"))
    if kind == "document":
        source = data.get("source")
        body = source.get("content", source.get("data")) if isinstance(source, dict) else None
        text = _document(data.get("title"), data.get("context"), body)
        return text if body and isinstance(source, dict) and source.get("type") in ("content", "text") else None
    if kind == "compaction" and isinstance(data.get("content"), str):
        return str(data["content"])
    return None


def _document(title: Json, source: Json, content: Json) -> str:
    lines = [f"Title: {title}"] if title else []
    lines += [f"Source: {source}"] if isinstance(source, str) and source else []
    lines += [""] if lines else []
    blocks = content if isinstance(content, list) else [content]
    texts = [block.get("text") if isinstance(block, dict) else block for block in blocks]
    return "\n".join(lines + [text for text in texts if isinstance(text, str)])


_Found = tuple[str, str, str, Any]


def _fields(extras: Extras, dialect: str) -> Iterator[tuple[str, str]]:
    for owner, fields in extras.items():
        if owner != dialect:
            for name, value in fields.items():
                if name[:1] != "~" and value is not None:
                    yield owner, name


def _walk(request: Request, dialect: str) -> Iterator[_Found]:
    for owner, name in _fields(request.extras, dialect):
        yield "", owner, name, request
    for place, tool in enumerate(request.tools):
        if isinstance(tool, Opaque) and tool.dialect != dialect:
            yield f"tools[{place}]", tool.dialect, _block_type(tool), tool
        elif tool.extras:
            for owner, name in _fields(tool.extras, dialect):
                yield f"tools[{place}].", owner, name, tool
    for path, node in (
        ("tool_choice.", request.tool_choice),
        ("reasoning.", request.reasoning),
        ("output.", request.output),
    ):
        if node is not None and node.extras:
            for owner, name in _fields(node.extras, dialect):
                yield path, owner, name, node
    for place, message in enumerate(request.messages):
        if message.extras:
            for owner, name in _fields(message.extras, dialect):
                yield f"messages[{place}].", owner, name, message
        for number, part in enumerate(message.parts):
            if part.extras or type(part) in _INSIDE:
                yield from _walk_part(part, f"messages[{place}].parts[{number}]", dialect)


_INSIDE = frozenset({Text, ToolResult, Opaque})
"""Parts that hold more than their own extras."""


def _walk_part(part: Part, path: str, dialect: str) -> Iterator[_Found]:
    if isinstance(part, Opaque):
        if part.dialect != dialect:
            yield path, part.dialect, _block_type(part), part
        return
    if part.extras:
        for owner, name in _fields(part.extras, dialect):
            yield f"{path}.", owner, name, part
    if isinstance(part, ToolResult):
        for number, inner in enumerate(part.content):
            if inner.extras or type(inner) in _INSIDE:
                yield from _walk_part(inner, f"{path}.content[{number}]", dialect)
    elif isinstance(part, Text) and part.citations:
        for number, citation in enumerate(part.citations):
            for owner, name in _fields(citation.extras, dialect):
                yield f"{path}.citations[{number}].", owner, name, citation


def _block_type(opaque: Opaque) -> str:
    return str(opaque.data.get("type") or next(iter(opaque.data), ""))
