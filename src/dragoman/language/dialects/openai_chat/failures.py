"""Errors of Chat: ``{"error": {"message", "type", "param", "code"}}`` out, anything at all in.

Wire: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, plain
from dragoman.language.failures import Failure, FailureKind, in_known_words
from dragoman.language.ir import Json
from dragoman.language.sniffing import sniff_failure

_TYPES: dict[FailureKind, str] = {
    "authentication": "authentication_error",
    "permission": "permission_error",
    "rate_limit": "rate_limit_error",
    "quota": "insufficient_quota",
    "overloaded": "server_error",
    "credential": "server_error",
    "timeout": "timeout_error",
    "server": "server_error",
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
"""Kinds whose code clients act on, whatever word the provider had for it (E05)."""
_TOO_LONG = "This model's maximum context length is exceeded"
_TOO_LONG_WORDS = ("maximum context length", "context window", "available context size")
"""What clients that read the message take as a reason to shorten the conversation (E05)."""


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read a provider's failed answer; never loses its words."""
    return sniff_failure(status, headers, body, NAME)


def write_failure(failure: Failure, request_id: str = "") -> tuple[int, Fields]:
    """Status and body for a Chat client. The request id has its place in a header only."""
    return failure.http_status, {"error": write_error(failure)}


def write_error(failure: Failure) -> Fields:
    """What stands under ``error``, in a body and inside a stream alike."""
    code: Json = _CODES[failure.kind]
    if failure.code and failure.kind not in _FIXED:
        code = failure.code
    return {
        "message": in_known_words(failure, _TOO_LONG, _TOO_LONG_WORDS),
        "type": _TYPES.get(failure.kind, "invalid_request_error"),
        "param": failure.param or None,
        "code": code,
        **plain(failure.extras),
    }
