"""Sizes and durations as people write them: ``32MiB``, ``400k``, ``120s``, ``7d``.

It must not know what they are used for.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
"""How a variable says yes and no, in any case."""

_SIZE_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3}
_SIZE_UNITS |= {"kib": 1024, "mib": 1024**2, "gib": 1024**3}
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def _scaled(value: Any, units: dict[str, Any], example: str) -> Any:
    if not isinstance(value, str):
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    if match is None or match[2].lower() not in units:
        raise ValueError(f"should look like {example}")
    return float(match[1]) * units[match[2].lower()]


def read_size(value: Any) -> Any:
    """Bytes of ``32MiB``; anything but text is passed on."""
    scaled = _scaled(value, _SIZE_UNITS, "32MiB")
    return int(scaled) if isinstance(value, str) else scaled


def read_duration(value: Any) -> Any:
    """Seconds of ``120s``; anything but text is passed on."""
    return _scaled(value, _DURATION_UNITS, "120s")


def read_whole(value: Any) -> Any:
    """The number of ``"8080"``; anything but such a text is passed on. ``08`` stays text."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"0|[1-9]\d{0,15}", value, re.ASCII) else value


def read_flag(value: Any) -> Any:
    """The truth value of ``"true"`` and ``"false"``; anything else is passed on."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(read_whole)]
"""A whole number, also as digits from a variable."""

Flag = Annotated[bool, BeforeValidator(read_flag)]
"""True or false, also as the words from a variable."""

Size = Annotated[int, BeforeValidator(read_size), Field(ge=1)]
"""Bytes."""

Duration = Annotated[float, BeforeValidator(read_duration), Field(gt=0, allow_inf_nan=False)]
"""Seconds."""
