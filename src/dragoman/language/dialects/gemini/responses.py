"""Function responses, both ways: an object on the wire, content with an error flag in the model.

This module must not know turns or how calls are paired.

Wire: https://ai.google.dev/api/caching#FunctionResponse
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.language.dialects.gemini.parts import read_part, write_media
from dragoman.language.dialects.gemini.spelling import NAME, as_list, extras, ours, wire_fields
from dragoman.language.ir import Json, Media, Opaque, Part, Refusal, Text, ToolResult
from dragoman.language.wire import encode

_WRAPPERS = frozenset("output result return_value content response".split())
"""Keys that clients put around plain text, because the wire demands an object."""


def read_result(part: dict[str, Json], pair: Callable[[str, str], str]) -> ToolResult:
    """Read a function response; ``pair`` finds the call it answers from its own id and name."""
    rest = dict(part)
    wire = dict(rest.pop("functionResponse"))
    id_, name = str(wire.pop("id", None) or ""), str(wire.pop("name", None) or "")
    response = wire.pop("response", None)
    media = wire.pop("parts", None)
    text, is_error = _read_response(response)
    content: list[Part] = [Text(text)] if text else []
    content += [read_part(item) for item in as_list(media) if isinstance(item, dict)]
    if wire:
        rest["functionResponse"] = wire
    rest["~response"] = response
    if media == []:
        rest["~no_media"] = media
    call_id = pair(id_, name)
    if call_id != id_ or not id_:
        rest["~id"] = id_
    return ToolResult(call_id, content, is_error, name, extras=extras(rest))


def _read_response(response: Json) -> tuple[str, bool]:
    """The text of a response, and whether it reports a failure (R26)."""
    if response is None:
        return "", False
    if isinstance(response, dict) and len(response) == 1:
        [(key, value)] = response.items()
        if key == "error" and value:
            return (value if isinstance(value, str) else encode(value).decode()), True
        if key in _WRAPPERS and isinstance(value, str):
            return value, False
    return (response if isinstance(response, str) else encode(response).decode()), False


def write_result(part: ToolResult, *, own: bool) -> dict[str, Json]:
    """Spell a tool result. ``own``: it was read from this dialect, so its form counts."""
    fields = ours(part.extras)
    rest = wire_fields(fields)
    id_ = fields["~id"] if own and "~id" in fields else part.call_id
    written: dict[str, Json] = {"id": id_} if id_ else {}
    written["name"] = part.name
    text = "\n".join(item.text for item in part.content if isinstance(item, Text | Refusal))
    spelt = fields.get("~response") if own else None
    if spelt is not None and _read_response(spelt) == (text, part.is_error):
        written["response"] = spelt
    elif not (own and "~response" in fields and not text):
        written["response"] = {"error" if part.is_error else "output": text}
    media = [item for item in (_write_media(piece, own) for piece in part.content) if item is not None]
    if media or (own and "~no_media" in fields):
        written["parts"] = media
    written.update(rest.pop("functionResponse", None) or {})
    return {"functionResponse": written, **rest}


def _write_media(part: Part, own: bool) -> dict[str, Json] | None:
    if isinstance(part, Media):
        return write_media(part, own=own)
    if isinstance(part, Opaque) and part.dialect == NAME:
        return dict(part.data)
    return None
