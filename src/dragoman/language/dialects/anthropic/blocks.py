"""Content blocks read into parts, in requests and in answers alike.

Wire: https://platform.claude.com/docs/en/api/messages. New block types appear at any time, so what
is not known here is Opaque. This module must not know where a block stands.
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.language.dialects.anthropic.fields import NAME, Fields, expect, owned, rest, take, take_as, take_words
from dragoman.language.envelope import unseal
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Citation,
    Extras,
    Json,
    Media,
    MediaKind,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.language.wire import encode

_SOURCE_FIELD = {"base64": "data", "url": "url", "file": "file_id", "text": "data"}


def read_blocks(blocks: list[Json], path: str) -> list[Part]:
    """Parts of a list of blocks; raises Refused."""
    return [read_block(block, f"{path}[{at}]") for at, block in enumerate(blocks)]


def read_block(block: Json, path: str) -> Part:
    """The part a block means; raises Refused at the block's path."""
    expect(block, dict, path)
    kind = block.get("type")
    if not isinstance(kind, str) or not kind:
        raise Refused(f"{path}.type", "is required")
    reader = _READERS.get(kind)
    return Opaque(NAME, dict(block)) if reader is None else reader(dict(block), path)


def read_answer_block(block: Json) -> Part | None:
    """The part of an answer's block. What a client would be refused for is kept Opaque; no object is no part."""
    if not isinstance(block, dict):
        return None
    try:
        return read_block(block, "content")
    except Refused:
        return Opaque(NAME, dict(block))


def read_citation(wire: Fields, start: int | None = None, end: int | None = None) -> Citation:
    """One citation. ``start`` and ``end`` delimit the text it backs: always the whole block."""
    url = wire.get("url") or wire.get("source") or ""
    title = wire.get("title") or wire.get("document_title") or ""
    return Citation(
        url=url if isinstance(url, str) and "://" in url else "",
        title=title if isinstance(title, str) else "",
        cited_text=str(wire.get("cited_text") or ""),
        start=start,
        end=end,
        extras={NAME: dict(wire)},
    )


def read_thought(text: str, fields: Fields) -> Reasoning:
    """A thinking block. A signature that is our envelope gives its extras back to their owners (T02)."""
    sealed = unseal(fields.get("signature"))
    if sealed is None:
        return Reasoning(text, owned(fields))
    del fields["signature"]
    return Reasoning(text, _others(sealed) | rest(fields))


def read_redacted(fields: Fields) -> Reasoning:
    """A redacted_thinking block: no text, only what its owner can read."""
    data = take(fields, "data")
    sealed = unseal(data)
    if sealed is None:
        return Reasoning("", owned({"redacted": data, **fields}))
    return Reasoning("", _others(sealed) | rest(fields))


def _others(sealed: Extras) -> Extras:
    return {owner: fields for owner, fields in sealed.items() if owner != NAME}


def _text(block: Fields, path: str) -> Part:
    del block["type"]
    text = take_as(block, "text", str, path)
    if text is None:
        raise Refused(f"{path}.text", "is required")
    citations: list[Citation] = []
    form: Fields = {}
    listed = block.get("citations")
    if isinstance(listed, list) and all(isinstance(item, dict) for item in listed):
        del block["citations"]
        citations = [read_citation(item, 0, len(text)) for item in listed]
        if not listed:
            form["~citations"] = []
    return Text(text, citations, extras=owned(block, form))


def _media(kind: MediaKind) -> Callable[[Fields, str], Part]:
    def read(block: Fields, path: str) -> Part:
        whole = dict(block)
        del block["type"]
        source = dict(expect(take(block, "source"), dict, f"{path}.source"))
        how = source.pop("type", None)
        name = take(block, "title") if kind == "document" and isinstance(block.get("title"), str) else ""
        if how == "content" and kind == "document":
            return _quoted_document(source, name, block)
        field = _SOURCE_FIELD.get(how) if isinstance(how, str) else None
        if field is None:
            return Opaque(NAME, whole)
        value = take_words(source, field, f"{path}.source")
        media_type = source.get("media_type") or ""
        if how in ("base64", "text"):
            media_type = take_as(source, "media_type", str, f"{path}.source") or ""
        if source:
            block["source"] = source
        return Media(kind, how, value, media_type, name, rest(block))

    return read


def _quoted_document(source: Fields, name: str, block: Fields) -> Part:
    """A document given as blocks: its words for everybody, its blocks for the owner."""
    content = source.get("content")
    blocks = content if isinstance(content, list) else []
    text = content if isinstance(content, str) else _words(blocks)
    only_words = all(isinstance(item, dict) and item.get("type") == "text" for item in blocks)
    block["~source" if only_words else "source"] = {"type": "content", **source}
    return Media("document", "text", text, "text/plain", name, {NAME: block})


def _words(blocks: list[Json]) -> str:
    return "\n".join(str(item["text"]) for item in blocks if isinstance(item, dict) and item.get("text"))


def _tool_use(block: Fields, path: str) -> Part:
    del block["type"]
    call_id, name = take_words(block, "id", path), take_words(block, "name", path)
    value = take(block, "input")
    form = {} if value is None or isinstance(value, dict) else {"~input": value}
    return ToolCall(call_id, name, encode({} if value is None else value).decode(), extras=rest(block, form))


def _tool_result(block: Fields, path: str) -> Part:
    del block["type"]
    call_id = take_words(block, "tool_use_id", path)
    failed = take_as(block, "is_error", bool, path)
    form: Fields = {"~is_error": False} if failed is False else {}
    content = take(block, "content")
    parts: list[Part] = []
    if isinstance(content, str):
        form["~string"] = True
        parts = [Text(content)] if content else []
    elif isinstance(content, list):
        parts = read_blocks(content, f"{path}.content")
        form |= {} if content else {"~content": []}
    elif content is not None:
        # Seen from clients: one bare object instead of a list of blocks.
        form["~content"] = content
        parts = [Text(encode(content).decode())]
    return ToolResult(call_id, parts, bool(failed), extras=rest(block, form))


def _thinking(block: Fields, path: str) -> Part:
    del block["type"]
    return read_thought(take_as(block, "thinking", str, path) or "", block)


def _redacted(block: Fields, path: str) -> Part:
    del block["type"]
    return read_redacted(block)


_READERS: dict[str, Callable[[Fields, str], Part]] = {
    "text": _text,
    "image": _media("image"),
    "document": _media("document"),
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
