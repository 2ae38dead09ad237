"""Parts of a conversation written as content blocks, for a provider that speaks Anthropic.

Wire: https://platform.claude.com/docs/en/api/messages. A block that cannot be sent is left out with
a note. This module must not know the order of turns.
"""

from __future__ import annotations

import base64
import binascii

from dragoman.language.dialects.anthropic.fields import NAME, Fields, form, own, spell
from dragoman.language.ir import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolKind,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.wire import decode_exactly

_MAGIC = {
    "iVBOR": "image/png",
    "/9j/": "image/jpeg",
    "R0lG": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
}
_SOURCE_FIELD = {"base64": "data", "url": "url", "file": "file_id", "text": "data"}


def input_object(arguments: str, kind: ToolKind = "function") -> dict[str, Json]:
    """A call's arguments as the object this wire wants; ``raw`` and ``value`` hold what is none (S09)."""
    if kind == "custom":
        return {"input": arguments}
    if not arguments.strip():
        return {}
    try:
        value = decode_exactly(arguments)
    except (ValueError, RecursionError):
        return {"raw": arguments}
    if isinstance(value, dict):
        return value
    return {} if value is None else {"value": value}


def call_name(call: ToolCall) -> str:
    """The name of a call, its namespace in front when fitting left one."""
    return f"{call.namespace}__{call.name}" if call.namespace else call.name


class Blocks:
    """Writes parts; remembers whether a thought was left out.

    ``native`` says that the request was read from this dialect, so that nothing is repaired.
    """

    def __init__(self, receipt: Receipt, *, native: bool) -> None:
        self.receipt = receipt
        self.native = native
        self.thought_dropped = False

    def written(self, parts: list[Part], role: str, path: str) -> list[Fields]:
        """Blocks of the parts, without those that cannot stand in a turn of the role."""
        blocks = (self._block(part, role, path) for part in parts)
        return [block for block in blocks if block is not None]

    def _block(self, part: Part, role: str, path: str) -> Fields | None:
        match part:
            case Text() | Refusal():
                return self._text(part)
            case ToolCall() if role == "assistant":
                value = form(part.extras, "~input")
                given = input_object(part.arguments, part.kind) if value is None else value
                return spell({"type": "tool_use", "id": part.id, "name": call_name(part), "input": given}, part.extras)
            case ToolResult() if role == "user":
                return self._result(part, path)
            case Reasoning() if role == "assistant":
                return self._thought(part, path)
            case Media():
                return self._media(part, role, path)
            case Opaque(dialect=dialect, data=data):
                return dict(data) if dialect == NAME else None
        return None

    def _text(self, part: Text | Refusal) -> Fields | None:
        if not self.native and not part.text.strip():
            return None  # R06: Anthropic refuses blank text
        block: Fields = {"type": "text", "text": part.text}
        citations = part.citations if isinstance(part, Text) else []
        cited = [dict(citation.extras[NAME]) for citation in citations if NAME in citation.extras]
        if cited or form(part.extras, "~citations") is not None:
            block["citations"] = cited
        return spell(block, part.extras)

    def _thought(self, part: Reasoning, path: str) -> Fields | None:
        fields = own(part.extras)
        if "redacted" in fields:
            return {"type": "redacted_thinking", "data": fields.pop("redacted"), **fields}
        if fields.get("signature"):
            return {"type": "thinking", "thinking": part.text, **fields}
        self.thought_dropped = True
        self.receipt.note(path, "dropped", "a thought without an Anthropic signature is never sent to Anthropic")
        return None

    def _result(self, part: ToolResult, path: str) -> Fields:
        block: Fields = {"type": "tool_result", "tool_use_id": part.call_id}
        odd = form(part.extras, "~content")
        if odd is not None:
            block["content"] = odd
        elif form(part.extras, "~string"):
            block["content"] = "".join(item.text for item in part.content if isinstance(item, Text))
        else:
            content = self.written(part.content, "user", path)
            if content:
                block["content"] = content
            elif part.is_error and not self.native:
                # Anthropic refuses a failed result without content.
                block["content"] = "The tool failed without a message."
        if part.is_error:
            block["is_error"] = True
        elif form(part.extras, "~is_error") is False:
            block["is_error"] = False
        return spell(block, part.extras)

    def _media(self, part: Media, role: str, path: str) -> Fields | None:
        if part.kind not in ("image", "document"):
            self.receipt.note(path, "dropped", f"Anthropic takes no {part.kind}")
            return None
        if role != "user" and not self.native:
            self.receipt.note(path, "dropped", f"Anthropic takes no {part.kind} in a turn of the {role}")
            return None
        block: Fields = {"type": part.kind, "source": _source(part, self.native)}
        if part.name and part.kind == "document":
            block["title"] = part.name
        return spell(block, part.extras)


def _source(part: Media, native: bool) -> Fields:
    whole = form(part.extras, "~source") or own(part.extras).get("source")
    if isinstance(whole, dict) and "type" in whole:
        return dict(whole)
    how, value, media_type = part.source, part.value, part.media_type
    if how == "base64" and not native:
        media_type = media_type or next((kind for magic, kind in _MAGIC.items() if value.startswith(magic)), "")
        words = _decoded_text(value) if media_type.startswith("text/") and part.kind == "document" else None
        if words is not None:
            how, value, media_type = "text", words, "text/plain"
    elif how == "text":
        media_type = media_type or "text/plain"
    source: Fields = {"type": how, _SOURCE_FIELD[how]: value}
    if media_type and how in ("base64", "text"):
        source["media_type"] = media_type
    return source | (whole if isinstance(whole, dict) else {})


def _decoded_text(value: str) -> str | None:
    """The words of a base64 text document: this wire takes base64 for PDF only."""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
