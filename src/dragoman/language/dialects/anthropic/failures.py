"""Failures, read from a provider and written for a client.

Wire: https://platform.claude.com/docs/en/api/errors. An error that Anthropic worded goes back to an
Anthropic client in the same body, because clients repair themselves by its words (C03). This module
must not know the relay.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.language.dialects.anthropic.fields import NAME
from dragoman.language.failures import STATUS, Failure, FailureKind
from dragoman.language.ir import Json
from dragoman.language.sniffing import sniff_error, sniff_failure
from dragoman.language.wire import decode

_TYPES: dict[FailureKind, str] = {
    "invalid_request": "invalid_request_error",
    "context_length": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "quota": "rate_limit_error",
    "overloaded": "overloaded_error",
    "credential": "api_error",
    "timeout": "timeout_error",
    "server": "api_error",
}
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TOO_LONG = "prompt is too long"
_TOO_LONG_WORDS = (_TOO_LONG, "exceed context limit")
"""What Claude Code takes as a reason to compact (E05)."""


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read a failed answer of a provider that speaks Anthropic, or of whatever stands before it."""
    failure = sniff_failure(status, headers, body)
    try:
        value = decode(body)
    except (ValueError, RecursionError):
        return failure
    return _with_words(failure, value)


def read_error(body: dict[str, Json]) -> Failure:
    """Read an error that came inside a 200: an ``error`` event, or a body (E03)."""
    failure = _with_words(sniff_error(body), body)
    if failure.status is None and failure.kind != "credential":
        failure.status = _STATUS_OF_TYPE.get(failure.type)
    return failure


def _with_words(failure: Failure, body: Json) -> Failure:
    """Keep an Anthropic body beside the failure, and its own message."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or body.get("type") != "error" or not isinstance(error.get("message"), str):
        return failure
    failure.message = error["message"] or failure.message
    failure.extras = {**failure.extras, NAME: dict(body)}
    return failure


def write_failure(failure: Failure, request_id: str = "") -> tuple[int, dict[str, Json]]:
    """Status and body for the client.

    The provider's own body goes out with the failure's message in it, which may have been cleaned.
    A refused upstream key is the gateway's matter and never sends the client to a login (E06).
    """
    status = _status(failure)
    body = failure.extras.get(NAME, {})
    error = body.get("error")
    if isinstance(error, dict) and failure.kind != "credential" and _understood(failure):
        return status, {**body, "error": {**error, "message": failure.message}}
    kind = "billing_error" if failure.kind == "quota" and status == 402 else _TYPES[failure.kind]
    written = {"type": kind, "message": _message(failure)}
    return status, {"type": "error", "error": written, "request_id": request_id or failure.request_id or None}


def _status(failure: Failure) -> int:
    if failure.kind in ("credential", "context_length"):
        return STATUS[failure.kind]
    if failure.status is not None and failure.status >= 400:
        return failure.status
    return 529 if failure.kind == "overloaded" else STATUS[failure.kind]


def _message(failure: Failure) -> str:
    message = failure.message or "the call failed"
    return message if _understood(failure) else f"{_TOO_LONG}: {message} (capability_rejected: prompt_too_long)"


def _understood(failure: Failure) -> bool:
    words = failure.message.lower()
    return failure.kind != "context_length" or any(known in words for known in _TOO_LONG_WORDS)
