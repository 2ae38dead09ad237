"""Parameters as the earlier proxies took them: from the query, a form or JSON, whatever the content type says.

It must not know calls.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from dragoman.web.legacy.answers import Refused

_FORM = "application/x-www-form-urlencoded"
_MOST = 100
_HEAD = 4096
"""Bytes of the head of a form's part at most."""

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;",]{1,70}))', re.IGNORECASE)
_NAME = re.compile(
    rb'^content-disposition:[^\r\n]*[;\s]name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE | re.MULTILINE
)


def read_parameters(query: bytes, content_type: str, body: bytes) -> dict[str, Any]:
    """All parameters; what the body says wins over the query. Raises Refused for a body that cannot be read."""
    said: dict[str, Any] = _read_pairs(query.decode("latin-1"))
    if not body.strip():
        return said
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return said | _read_parts(content_type, body)
    if kind == _FORM and body.lstrip()[:1] not in (b"{", b"["):
        return said | _read_pairs(body.decode("utf-8", "replace"))
    return said | read_json(body)


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises Refused."""
    try:
        data = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON") from None
    if not isinstance(data, dict):
        raise Refused(400, "the body must be a JSON object")
    return data


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _read_pairs(text: str) -> dict[str, Any]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST))
    except ValueError:
        raise Refused(400, f"there are more than {_MOST} parameters") from None


def _read_parts(content_type: str, body: bytes) -> dict[str, Any]:
    """The parts of a form (RFC 7578) that have a name. Mail's own readers take minutes for a hostile head."""
    said = _BOUNDARY.search(content_type)
    if said is None:
        raise Refused(400, "the form cannot be read")
    mark = b"\r\n--" + (said[1] or said[2]).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(mark, _MOST + 1)[1:]
    if len(pieces) > _MOST:
        raise Refused(400, f"there are more than {_MOST} parameters")
    parts = {}
    for piece in pieces:
        head, _, content = piece.partition(b"\r\n\r\n")
        if (name := _NAME.search(head[:_HEAD])) is not None:
            parts[(name[1] or name[2] or b"").decode("utf-8", "replace")] = content.decode("utf-8-sig", "replace")
    return parts


def text_of(said: dict[str, Any], name: str, *, most: int = 200) -> str:
    """A text that must be there and hold something. Raises Refused."""
    value = said.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(400, f"{name} is missing")
    return storable(value.strip(), name, most=most)


def maybe_text(said: dict[str, Any], name: str, *, most: int = 320) -> str | None:
    """A text, or None where it is absent or blank. Raises Refused."""
    value = said.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text")
    return storable(value.strip(), name, most=most) or None


def storable(text: str, name: str, *, most: int) -> str:
    """The text, if a database can hold it. Raises Refused."""
    odd = any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text)
    if odd or len(text) > most:
        raise Refused(400, f"{name} cannot be stored: too long, or with control characters")
    return text


def number_of(said: dict[str, Any], name: str) -> int:
    """An id that must be there. Raises Refused."""
    found = maybe_number(said, name)
    if found is None:
        raise Refused(400, f"{name} is missing")
    return found


def maybe_number(said: dict[str, Any], name: str) -> int | None:
    """An id, or None where it is absent. Raises Refused."""
    value = said.get(name)
    if value is None or value == "":
        return None
    number = as_id(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if number is None:
        raise Refused(400, f"{name} must be a whole number")
    return number


def as_id(text: str) -> int | None:
    """A number that can be an id; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    number = int(text)
    return number if 0 < number < 2**63 else None
