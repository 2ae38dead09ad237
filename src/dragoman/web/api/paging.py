"""Pages of lists by cursor. A cursor is opaque to clients and names the last row they have seen.

It must not know resources.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from dragoman.web.api.errors import invalid
from dragoman.web.api.words import LARGEST, clean

LIMIT = 50
MOST = 500

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")]


def write_cursor(*last: int | str) -> str:
    """The cursor that says: after this row."""
    said = json.dumps(last, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> list[Any] | None:
    """What the cursor names: numbers and texts. Raises ApiError for one that we did not write."""
    if cursor is None:
        return None
    try:
        last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(last, list) or not all(_fits(one) for one in last):
            raise ValueError
    except (ValueError, binascii.Error, RecursionError):
        raise invalid("cursor", "is none of ours") from None
    return last


def after_id(cursor: str | None) -> int | None:
    """The id of the last row seen, for lists by id. Raises ApiError."""
    last = read_cursor(cursor)
    if last is None:
        return None
    if len(last) != 1 or not isinstance(last[0], int):
        raise invalid("cursor", "is none of ours")
    return last[0]


def after_name(cursor: str | None) -> str:
    """The name of the last row seen, for lists by name. Raises ApiError."""
    last = read_cursor(cursor)
    if last is None:
        return ""
    if len(last) != 1 or not isinstance(last[0], str):
        raise invalid("cursor", "is none of ours")
    return last[0]


def _fits(one: Any) -> bool:
    if isinstance(one, str):
        return clean(one) == one
    return isinstance(one, int) and not isinstance(one, bool) and -LARGEST <= one <= LARGEST


def page(rows: Sequence[Item], limit: int, last: Callable[[Item], int | str]) -> tuple[Sequence[Item], str | None]:
    """Of one row more than asked for: the page, and the cursor of the next one if there is any."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], write_cursor(last(rows[limit - 1]))
