"""JSON on the wire: decoding that survives what providers really send, encoding that never raises.

orjson does the work; the standard library reads what orjson does not: a lone surrogate written as an
escape, and integers beyond 64 bits. This module must not know any dialect.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from dragoman.language.ir import Json

MAX_DEPTH = 128
"""Deeper nesting than this in a request is refused: recursion over it would not be safe."""

_DIGITS = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_LONG = b"0" * 19
"""The fewest digits of an integer that 64 bits do not hold."""


def decode(data: bytes | str) -> Json:
    """Decode JSON text, lone surrogate escapes included. Raises ValueError on anything else that is wrong."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _decode_slowly(data)


def decode_exactly(data: bytes | str) -> Json:
    """Decode JSON text with integers of any size kept, which orjson would turn into floats. Raises as ``decode``.

    For what is written anew from what was read; it costs a second look at every byte.
    """
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return _decode_slowly(data) if _LONG in raw.translate(_DIGITS) else decode(data)


def _decode_slowly(data: bytes | str) -> Json:
    text = data.decode("utf-8", "strict") if isinstance(data, bytes) else data
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """A number too large for a float would come out again as null."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


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
