"""Failures on the Responses wire: HTTP error bodies, and errors inside a stream.

This module must not know items.

Wire: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dragoman.language.dialects.openai_responses.fields import NAME, Object, plain
from dragoman.language.failures import Failure, FailureKind, in_known_words
from dragoman.language.ir import Json
from dragoman.language.sniffing import sniff_error, sniff_failure

_TYPES: dict[FailureKind, str] = {
    "invalid_request": "invalid_request_error",
    "context_length": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "invalid_request_error",
    "too_large": "invalid_request_error",
    "rate_limit": "rate_limit_error",
    "quota": "insufficient_quota",
    "timeout": "timeout_error",
}
_CODES: dict[FailureKind, str] = {
    "invalid_request": "invalid_request",
    "context_length": "context_length_exceeded",
    "authentication": "invalid_api_key",
    "permission": "insufficient_permissions",
    "not_found": "model_not_found",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "overloaded": "overloaded",
    "credential": "upstream_credential",
    "timeout": "upstream_timeout",
    "server": "server_error",
}
_FIXED: frozenset[FailureKind] = frozenset(
    {"context_length", "authentication", "rate_limit", "quota", "credential", "overloaded"}
)
"""Kinds whose code clients act upon, whatever the provider called it (E05)."""
_TOO_LONG = "Your input exceeds the context window of this model"
_TOO_LONG_WORDS = ("context window", "maximum context length", "available context size")
"""What clients that read the message take as a reason to shorten the conversation (E05)."""

_STREAM_CODES: dict[FailureKind, str] = {
    "context_length": "context_length_exceeded",
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "overloaded": "server_error",
    "timeout": "server_error",
    "server": "server_error",
}


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read a failed HTTP answer."""
    return sniff_failure(status, headers, body, NAME)


def read_error(payload: Json) -> Failure:
    """Read an error that came inside an answer: an ``error`` event, or a failed response."""
    return sniff_error(payload, owner=NAME)


def write_failure(failure: Failure, request_id: str = "") -> tuple[int, dict[str, Json]]:
    """Status and body of a failed call."""
    code = _CODES[failure.kind] if failure.kind in _FIXED else failure.code or _CODES[failure.kind]
    error: Object = {
        "message": in_known_words(failure, _TOO_LONG, _TOO_LONG_WORDS),
        "type": _TYPES.get(failure.kind, "server_error"),
        "param": failure.param or None,
        "code": code,
        **plain(failure.extras),
    }
    return failure.http_status, {"error": error}


def stream_error(failure: Failure) -> tuple[str, str]:
    """Code and message of a failure inside a stream. Codex reads its wait from the message (C18)."""
    code = _STREAM_CODES.get(failure.kind, failure.code or "invalid_prompt")
    message = in_known_words(failure, _TOO_LONG, _TOO_LONG_WORDS) or "the answer failed"
    if failure.kind == "rate_limit" and failure.retry_after is not None and "try again in" not in message.lower():
        message = f"{message.rstrip('. ')}. Please try again in {math.ceil(failure.retry_after)}s."
    return code, message
