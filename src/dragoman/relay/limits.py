"""Rate-limit and retry headers of an answer, told in the client's words (traps E09, E10).

https://docs.anthropic.com/en/api/rate-limits#response-headers
https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers

It must not know any body.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from dragoman.language.failures import Failure
from dragoman.relay.calls import Headers

DEFAULT_WAIT = 5
"""Seconds told with a throttle that names no wait: without a number some clients give up at once."""

_ANTHROPIC = "anthropic-ratelimit-"
_OPENAI = "x-ratelimit-"
_OPENAI_CLIENTS = ("openai_chat", "openai_responses")
_MEASURES = ("requests", "tokens")
_VALUES = ("limit", "remaining", "reset")
_KEPT_OF_ANTHROPIC = ("x-should-retry",)
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([0-9.]+)(ms|us|µs|ns|h|m|s)")


def limit_headers(upstream: Mapping[str, str], client_dialect: str, now: datetime | None = None) -> Headers:
    """What the upstream's limit headers become for a client of the dialect.

    Anthropic's own ``x-should-retry`` and ``anthropic-ratelimit-unified-*`` go to every client unchanged.
    """
    if not any("ratelimit" in name or name in _KEPT_OF_ANTHROPIC for name in upstream):
        return []
    from_anthropic = any(name.startswith(_ANTHROPIC) for name in upstream)
    headers: Headers = [(name, value) for name, value in upstream.items() if _passes(name, client_dialect, upstream)]
    if from_anthropic and client_dialect in _OPENAI_CLIENTS:
        headers += _renamed(upstream, _anthropic_name, _openai_name, lambda text: _as_duration(text, now))
    elif not from_anthropic and client_dialect == "anthropic":
        headers += _renamed(upstream, _openai_name, _anthropic_name, lambda text: _as_time(text, now))
    return headers


def own_limit_headers(told: Headers, client_dialect: str, now: datetime | None = None) -> Headers:
    """Limits of ours, given as ``x-ratelimit-*`` (see ``relay.admission``), in the client's words."""
    if client_dialect != "anthropic":
        return list(told)
    renamed = _renamed(dict(told), _openai_name, _anthropic_name, lambda text: _as_time(text, now))
    return renamed + [(name, value) for name, value in told if not name.startswith(_OPENAI)]


def with_own_limits(own: Headers, others: Headers) -> Headers:
    """Headers of an answer with ours among them. Where a provider tells a limit of the same name, ours is nearer."""
    names = {name for name, _ in own}
    return [header for header in others if header[0] not in names] + own


def _passes(name: str, client_dialect: str, upstream: Mapping[str, str]) -> bool:
    """Whether a header goes to the client under its own name."""
    if name.startswith(_ANTHROPIC):
        return client_dialect == "anthropic" or name.startswith(_ANTHROPIC + "unified-")
    if name.startswith(_OPENAI):
        return client_dialect in _OPENAI_CLIENTS
    return name in _KEPT_OF_ANTHROPIC and _asked_anthropic(upstream)


def _asked_anthropic(upstream: Mapping[str, str]) -> bool:
    marked = "anthropic-organization-id" in upstream or upstream.get("request-id", "").startswith("req_")
    return marked or any(name.startswith(_ANTHROPIC) for name in upstream)


def _anthropic_name(measure: str, value: str) -> str:
    return f"{_ANTHROPIC}{measure}-{value}"


def _openai_name(measure: str, value: str) -> str:
    return f"{_OPENAI}{value}-{measure}"


def _renamed(
    upstream: Mapping[str, str],
    source: Callable[[str, str], str],
    target: Callable[[str, str], str],
    reset: Callable[[str], str],
) -> Headers:
    headers: Headers = []
    for measure in _MEASURES:
        for value in _VALUES:
            text = upstream.get(source(measure, value))
            if text and value == "reset":
                text = reset(text)
            if text:
                headers.append((target(measure, value), text))
    return headers


def seconds_of(text: str) -> float | None:
    """Seconds meant by ``12ms``, ``6m0s`` or a bare number; None for anything else."""
    try:
        return float(text)
    except ValueError:
        pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        return None
    try:
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)
    except ValueError:
        return None


def _as_time(text: str, now: datetime | None) -> str:
    """A duration as the RFC 3339 time at which it ends."""
    seconds = seconds_of(text)
    if seconds is None or not 0 <= seconds < 1e8:
        return ""
    moment = (now or datetime.now(UTC)) + timedelta(seconds=math.ceil(seconds))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_duration(text: str, now: datetime | None) -> str:
    """An RFC 3339 time as the duration until then, in whole seconds."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return f"{max(0, math.ceil((moment - (now or datetime.now(UTC))).total_seconds()))}s"


def retry_headers(failure: Failure, upstream: Mapping[str, str]) -> Headers:
    """When, and whether, to ask again. Whole seconds, rounded up; never a date."""
    headers: Headers = []
    wait = failure.retry_after
    if wait is None and failure.kind in ("rate_limit", "overloaded"):
        wait = DEFAULT_WAIT
    if wait is not None and (failure.retryable or failure.retry_after is not None):
        headers.append(("retry-after", str(max(1, math.ceil(wait)))))
    milliseconds = upstream.get("retry-after-ms", "")
    if milliseconds.replace(".", "", 1).isdigit():
        headers.append(("retry-after-ms", milliseconds))
    if not ("x-should-retry" in upstream and _asked_anthropic(upstream)):
        headers.append(("x-should-retry", "true" if failure.retryable else "false"))
    return headers
