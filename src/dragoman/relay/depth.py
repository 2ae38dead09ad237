"""How deep a JSON value is nested, found without walking it: recursion over a hostile body is not safe.

It must not know what the value means.
"""

from __future__ import annotations

from typing import Any

import orjson

_ENCODER_DEPTH = 254
"""orjson refuses to encode what is nested deeper."""

_COUNTED = (8 * 1024, 1024 * 1024)
"""Bytes up to which, and from which, counting brackets is cheaper than encoding: large bodies are mostly one text."""


def deeper_than(value: Any, data: bytes, limit: int) -> bool:
    """Whether the value, decoded from ``data``, is nested deeper than ``limit`` levels."""
    small, large = _COUNTED
    if not small < len(data) < large and data.count(b"[") + data.count(b"{") <= limit:
        return False
    wrapped = value
    for _ in range(_ENCODER_DEPTH - limit):
        wrapped = [wrapped]
    try:
        orjson.dumps(wrapped)
    except (TypeError, RecursionError):
        return _walked_deeper(value, limit)
    return False


def _walked_deeper(value: Any, limit: int) -> bool:
    """The same by walking, for the values orjson does not encode at all."""
    level = [value]
    for _ in range(limit):
        level = [item for parent in level for item in _children(parent) if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _children(parent: Any) -> Any:
    return parent.values() if isinstance(parent, dict) else parent
