"""Google's error object, both ways.

Wire: https://cloud.google.com/apis/design/errors and https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from dragoman.language.dialects.gemini.spelling import NAME, as_list, ours
from dragoman.language.failures import Failure, FailureKind, in_known_words
from dragoman.language.ir import Json
from dragoman.language.sniffing import sniff_error, sniff_failure
from dragoman.language.wire import decode

_STATUS_WORDS: dict[FailureKind, str] = {
    "invalid_request": "INVALID_ARGUMENT",
    "context_length": "INVALID_ARGUMENT",
    "authentication": "UNAUTHENTICATED",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "too_large": "INVALID_ARGUMENT",
    "rate_limit": "RESOURCE_EXHAUSTED",
    "quota": "RESOURCE_EXHAUSTED",
    "overloaded": "UNAVAILABLE",
    "credential": "INTERNAL",
    "timeout": "DEADLINE_EXCEEDED",
    "server": "INTERNAL",
}
_TOO_LONG = "The input token count exceeds the maximum number of tokens allowed"
_TOO_LONG_WORDS = ("exceeds the maximum number of tokens allowed",)
"""What clients that read the message take as a reason to shorten the conversation (E05)."""
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_REQUEST_INFO = "type.googleapis.com/google.rpc.RequestInfo"
_BAD_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read a failed HTTP answer."""
    failure = sniff_failure(status, headers, body, NAME)
    try:
        value = decode(body)
    except ValueError:
        return failure
    # A streaming call without alt=sse fails with a list of one error.
    value = value[0] if isinstance(value, list) and value else value
    return _with_details(failure, value)


def read_error(payload: dict[str, Json]) -> Failure:
    """Read an error that came inside an answer (E03)."""
    return _with_details(sniff_error(payload, owner=NAME), payload)


def _with_details(failure: Failure, value: Json) -> Failure:
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return failure
    kept = {key: error[key] for key in ("status", "details") if error.get(key)}
    if kept:
        failure.extras = {**failure.extras, NAME: {**ours(failure.extras), **kept}}
    reasons = {detail.get("reason") for detail in as_list(error.get("details")) if isinstance(detail, dict)}
    if reasons & _BAD_KEY_REASONS:
        failure.kind, failure.status = "credential", None
    return failure


def write_failure(failure: Failure, request_id: str = "") -> tuple[int, dict[str, Json]]:
    """Status and body for a client."""
    status = failure.http_status
    fields = ours(failure.extras)
    word = fields.get("status") if failure.kind != "credential" else None
    error: dict[str, Json] = {
        "code": status,
        "message": in_known_words(failure, _TOO_LONG, _TOO_LONG_WORDS),
        "status": word if isinstance(word, str) else _STATUS_WORDS[failure.kind],
    }
    details = [dict(detail) for detail in as_list(fields.get("details")) if isinstance(detail, dict)]
    if failure.kind == "credential":
        details = []
    if failure.retry_after is not None and not any(detail.get("@type") == _RETRY_INFO for detail in details):
        details.append({"@type": _RETRY_INFO, "retryDelay": f"{math.ceil(failure.retry_after)}s"})
    if request_id:
        details.append({"@type": _REQUEST_INFO, "requestId": request_id})
    if details:
        error["details"] = details
    return status, {"error": error}
