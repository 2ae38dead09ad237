"""JSON on the wire: decoding that survives what providers really send, encoding that never raises.

orjson does the work; the standard library reads the one thing orjson refuses, a lone surrogate
written as an escape. This module must not know any dialect.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from dragoman.language.ir import Json

MAX_DEPTH = 128
"""Deeper nesting than this in a request is refused: recursion over it would not be safe."""


def decode(data: bytes | str) -> Json:
    """Decode JSON text, lone surrogate escapes included. Raises ValueError on anything else that is wrong."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode("utf-8", "strict") if isinstance(data, bytes) else data
        return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def encode(value: Json) -> bytes:
    """Encode as compact UTF-8 JSON. A lone surrogate becomes U+FFFD; integers of any size are kept."""
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(whole_characters(value), ensure_ascii=False, separators=(",", ":")).encode()


def whole_characters(value: Any) -> Any:
    """Replace surrogates: pairs become the character they mean, lone halves U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_characters(item) for item in value]
    return value
