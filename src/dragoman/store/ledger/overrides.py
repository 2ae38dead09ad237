"""Prices that the configuration gives: read strictly, in decimals, once.

::

    prices:
      openai/gpt-5.2: {in: 1.75, cache_read: 0.175, out: 14.00, unit: usd_per_million, from: 2026-10-01}
      "local/*":      {in: 0, out: 0}
      azure-prod/x:   [{in: 2, out: 8}, {in: 1, out: 4, from: 2026-11-01, above: {200000: {in: 2, out: 8}}}]

A name is ``account/model``, ``vendor/model``, ``kind/model`` or a model alone; ``*`` at its end stands for
anything. It must not know the price data of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dragoman.settings.errors import ConfigError
from dragoman.store.ledger.bills import MILLION, THOUSAND, Price, Rate
from dragoman.store.moments import moment_of

_PER_MILLION = {
    "in": "input",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "cache_write_1h": "cache_write_1h",
    "out": "output",
    "reasoning": "reasoning",
    "audio_in": "audio_in",
    "audio_out": "audio_out",
    "image_in": "image_in",
    "image_out": "image_out",
}
_PER_THOUSAND = {"web_search": "web_search", "file_search": "file_search", "code_execution": "code_execution"}
_UNIT = "usd_per_million"
_OTHERS = ("unit", "from", "above")
_MOST = Decimal(1_000_000)
_NANO = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Override:
    """One price that holds from ``start`` on, in microseconds since 1970."""

    start: int
    price: Price


def read_overrides(prices: Mapping[str, Any]) -> dict[str, tuple[Override, ...]]:
    """Prices by name in lower case, the newest first. Raises ConfigError with the name of what is wrong."""
    found: dict[str, tuple[Override, ...]] = {}
    for name, given in prices.items():
        where = f"prices.{name}"
        if not isinstance(name, str) or not name.strip("*/ "):
            raise ConfigError("a price needs the name of a model", where)
        rows = given if isinstance(given, list) else [given]
        if not rows:
            raise ConfigError("should be a price", where)
        read = [_override(row, name, where) for row in rows]
        if len({one.start for one in read}) < len(read):
            raise ConfigError("two prices begin on the same day", where)
        found[name.lower()] = tuple(sorted(read, key=lambda one: -one.start))
    return found


def read_fallback(given: Mapping[str, Any]) -> Price:
    """``limits.fallback_price``: rows charged at it say ``fallback``. Raises ConfigError."""
    return replace(_override(given, "", "limits.fallback_price").price, version="fallback")


def _override(row: Any, name: str, where: str) -> Override:
    if not isinstance(row, Mapping):
        raise ConfigError("should look like {in: 1.25, out: 10, unit: usd_per_million}", where)
    for key in row:
        if key not in _PER_MILLION and key not in _PER_THOUSAND and key not in _OTHERS:
            raise ConfigError(f"{key!r} is unknown here", where)
    if row.get("unit", _UNIT) != _UNIT:
        raise ConfigError(f"unit must be {_UNIT}", where)
    for key in ("in", "out"):
        if key not in row:
            raise ConfigError(f"{key} is needed", where)
    start, day = _start(row.get("from"), where)
    tiers = _tiers(row.get("above", {}), where)
    rates = {}
    for key, unit in _PER_MILLION.items():
        if key in row:
            steps = tuple((above, rate[key]) for above, rate in tiers if key in rate)
            rates[unit] = Rate(_nano(row[key], f"{where}.{key}"), MILLION, steps)
    for key, unit in _PER_THOUSAND.items():
        if key in row:
            rates[unit] = Rate(_nano(row[key], f"{where}.{key}"), THOUSAND)
    version = f"config:{name}"[:50] + (f"@{day}" if day else "")
    return Override(start, Price(version, rates))


def _tiers(above: Any, where: str) -> list[tuple[int, dict[str, int]]]:
    """``{200000: {in: 2, out: 8}}``: what holds for the whole request when its prompt has more tokens."""
    if not isinstance(above, Mapping):
        raise ConfigError("above should look like {200000: {in: 2, out: 8}}", where)
    tiers = []
    for start, row in above.items():
        place = f"{where}.above.{start}"
        if not isinstance(start, int) or isinstance(start, bool) or start < 1 or not isinstance(row, Mapping):
            raise ConfigError("should look like {200000: {in: 2, out: 8}}", place)
        for key in row:
            if key not in _PER_MILLION:
                raise ConfigError(f"{key!r} is unknown here", place)
        tiers.append((start, {key: _nano(value, f"{place}.{key}") for key, value in row.items()}))
    return sorted(tiers, key=lambda tier: tier[0])


def _start(given: Any, where: str) -> tuple[int, str]:
    if given is None:
        return 0, ""
    try:
        # YAML makes a date of it, JSON and variables do not.
        day = given if type(given) is date else date.fromisoformat(given)
    except (TypeError, ValueError):
        raise ConfigError("from should be a day like 2026-10-01", where) from None
    return moment_of(datetime(day.year, day.month, day.day)), day.isoformat()  # noqa: DTZ001 - UTC


def _nano(value: Any, where: str) -> int:
    """Nano-USD of a price in USD. A float of YAML is read as it was written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ConfigError("should be a number", where)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ConfigError("should be a number", where) from None
    if not number.is_finite() or number < 0 or number > _MOST:
        raise ConfigError(f"should be between 0 and {_MOST}", where)
    nano = number * _NANO
    if nano != nano.to_integral_value():
        raise ConfigError("has more than nine decimals", where)
    return int(nano)
