"""Types of fields: texts that every database can hold, ids in range, moments as ISO 8601 or microseconds.

It must not know resources.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
LARGEST = 2**63 - 1


def clean(text: str) -> str:
    """The text, if it can be stored: no control characters (PostgreSQL has no NUL), no lone surrogates."""
    if any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds a control character or half a character")
    return text


def _named(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError("is empty or has blanks around it")
    return clean(text)


def read_moment(value: Any) -> int:
    """Microseconds since 1970 of an ISO date or date-time (no zone means UTC) or of such a number itself."""
    if isinstance(value, bool) or value is None:
        raise ValueError("is no time: give ISO 8601")
    if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) > 8):
        found = int(value)
    else:
        found = _read_iso(str(value))
    if not 0 <= found <= _LAST:
        raise ValueError("is out of range")
    return found


def _read_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError("is no time: give ISO 8601") from None


def write_moment(moment: int | None) -> str | None:
    """ISO 8601 in UTC with ``Z``; all of one length, so that they sort as texts."""
    return None if moment is None else _told(moment, "microseconds")


def write_hour(moment: int) -> str:
    """The beginning of an hour or a day."""
    return _told(moment, "seconds")


def _told(moment: int, precision: str) -> str:
    return (_EPOCH + timedelta(microseconds=moment)).isoformat(timespec=precision).removesuffix("+00:00") + "Z"


_AS_TEXT = WithJsonSchema({"type": "string", "format": "date-time", "description": "ISO 8601; no zone means UTC."})

# Lengths stand before what they guard, or they are told as those of anything.
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_named)]
Pattern = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_named)]
Id = Annotated[int, Field(ge=1, le=LARGEST, strict=True)]
PathId = Annotated[int, Path(ge=1, le=LARGEST)]
PathName = Annotated[str, Path(max_length=200), AfterValidator(clean)]
QueryId = Annotated[int | None, Query(ge=1, le=LARGEST)]
QueryText = Annotated[
    str | None, Query(max_length=512), AfterValidator(lambda text: None if text is None else clean(text))
]
Moment = Annotated[int, BeforeValidator(read_moment), _AS_TEXT]
"""What a client writes as ISO 8601 and we keep as microseconds."""
QueryMoment = Annotated[Moment | None, Query()]
Shown = Annotated[int | None, PlainSerializer(write_moment, return_type=str | None)]
"""What we keep as microseconds and show as ISO 8601."""


class Body(BaseModel):
    """What clients send: strict types, unknown fields refused, never echoed in errors."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class View(BaseModel):
    """What clients are shown."""

    model_config = ConfigDict(extra="forbid")
