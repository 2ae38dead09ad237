"""How long a provider wants to be left alone, read from its headers, its error body or its words.

Waits are seconds as float, never dates. A date on the wire counts only beside the response's own
``date`` header, because the language has no clock. This module must not know any dialect.

Wire: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after, ``retry-after-ms`` of Azure,
``google.rpc.RetryInfo``, ``x-ratelimit-reset-*`` of OpenAI, ``anthropic-ratelimit-*-reset``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dragoman.language.ir import Json

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = r"\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_PIECES = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_WHOLE = re.compile(rf"\s*(?:{_PIECE}\s*)+\Z")
_COMPACT = re.compile(r"\s*(?:\d+(?:\.\d+)?(?:ms|[smhd]))+\s*\Z")
_ASKED = re.compile(
    rf"(?:(?:try|retry|retrying|again|wait|reset)\b[^.\d]{{0,40}}?)((?:{_PIECE}\s*)+|\d+(?:\.\d+)?[smhd\d.]*(?:ms|[smhd]))"
)
_HTTP_DATE = re.compile(r"\w{3,9}, (\d{1,2})[ -](\w{3})[ -](\d{4}) (\d\d):(\d\d):(\d\d)")
_ISO_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):?(\d\d))?\Z")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_EPOCH = 1e9
"""A bare number from here on is a date in Unix seconds (or milliseconds), not a wait."""


def duration(text: str) -> float | None:
    """Seconds in ``"12ms"``, ``"6m0s"``, ``"34.4s"``, ``"2 minutes"``; ``None`` for anything else."""
    text = text.strip().lower()
    if not (_COMPACT.match(text) or _WHOLE.match(text)):
        return None
    return sum(float(number) * _UNITS[_unit(word)] for number, word in _PIECES.findall(text))


def _unit(word: str) -> str:
    return "ms" if word.startswith(("ms", "milli")) else word[0]


def moment(text: str) -> float | None:
    """Unix seconds of an HTTP date, an RFC 3339 time, or a bare epoch; ``None`` for anything else."""
    text = text.strip()
    if match := _ISO_DATE.match(text):
        year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
        offset = 0
        if match[7]:
            offset = (int(match[8]) * 60 + int(match[9])) * (60 if match[7] == "+" else -60)
        return _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    if (match := _HTTP_DATE.match(text)) and match[2].lower() in _MONTHS:
        month = _MONTHS.index(match[2].lower()) + 1
        hours, minutes, seconds = int(match[4]), int(match[5]), int(match[6])
        return _days(int(match[3]), month, int(match[1])) * 86400 + hours * 3600 + minutes * 60 + seconds
    number = _number(text)
    if number is not None and number >= _EPOCH:
        return number / 1000 if number >= _EPOCH * 100 else number
    return None


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _wait(text: str, now: float | None) -> float | None:
    """One header value as a wait: bare seconds, a duration, or a date after the response's own."""
    at = moment(text)
    if at is not None:
        return max(0.0, at - now) if now is not None else None
    number = _number(text)
    return number if number is not None else duration(text)


def wait_from_headers(headers: Mapping[str, str]) -> float | None:
    """The wait that ``retry-after-ms`` or ``retry-after`` ask for. Header names in any case."""
    lower = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(lower.get("retry-after-ms", ""))
    if milliseconds:
        return milliseconds / 1000
    if "retry-after" in lower:
        return _wait(lower["retry-after"], moment(lower.get("date", "")))
    return None


def wait_from_limits(headers: Mapping[str, str]) -> float | None:
    """The longest reset among the limits that have nothing left; ``None`` when none is spent."""
    lower = {name.lower(): value for name, value in headers.items()}
    now = moment(lower.get("date", ""))
    waits = []
    for name, value in lower.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        left = lower.get(name.replace("reset", "remaining"), "")
        wait = _wait(value, now)
        if wait is not None and _number(left) == 0:
            waits.append(wait)
    return max(waits, default=None)


def wait_from_details(details: Json) -> float | None:
    """``retryDelay`` of a ``google.rpc.RetryInfo`` among an error's details."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return duration(delay)
    return None


def wait_from_words(message: str) -> float | None:
    """``Please try again in 6m0s``, ``retry after 20 seconds`` and their like."""
    match = _ASKED.search(message[:4000].lower())
    return duration(match[1]) if match else None
