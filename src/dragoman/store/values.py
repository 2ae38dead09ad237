"""How JSON columns are spelt on both engines. It must not know tables."""

from __future__ import annotations

import json
from typing import Any

import orjson


def write_json(value: Any) -> str:
    """JSON text; whole numbers of any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a number of more than 64 bits, or a key that is no text
        return json.dumps(value, ensure_ascii=False)


def read_json(text: str | bytes) -> Any:
    """The value of JSON text."""
    return orjson.loads(text)
