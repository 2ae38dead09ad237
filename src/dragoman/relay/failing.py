"""Answers of calls that fail: a failure as status, headers and body in the client's dialect.

An error of a provider that speaks the client's dialect passes as it came, apart from secrets; every
other is read and written anew, with the provider's words kept. It must not know any error's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dragoman.language.failures import Failure
from dragoman.language.registry import DIALECTS
from dragoman.language.wire import encode
from dragoman.relay.calls import Headers
from dragoman.relay.cleaning import Secrets, clean_error_body, clean_failure
from dragoman.relay.limits import limit_headers, retry_headers

JSON_TYPE = ("content-type", "application/json")


@dataclass(slots=True)
class Answer:
    """A whole answer, ready to send."""

    status: int
    headers: Headers
    body: bytes


class UpstreamRefused(Exception):
    """The provider answered with an error status. ``failure`` is cleaned; ``body`` is its own, when it may pass."""

    def __init__(self, failure: Failure, headers: Mapping[str, str], body: bytes | None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.headers = headers
        self.body = body


def read_upstream_failure(
    dialect: str, client_dialect: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Secrets
) -> UpstreamRefused:
    """Read a provider's error answer."""
    failure = DIALECTS[dialect].read_failure(status, headers, body)
    failure = own_credential(clean_failure(failure, secrets))
    if failure.kind == "credential":
        return UpstreamRefused(failure, headers, None)
    if not 400 <= status <= 599:
        return UpstreamRefused(replace(failure, status=502), headers, None)
    passing = clean_error_body(body, secrets) if dialect == client_dialect else None
    return UpstreamRefused(replace(failure, status=status), headers, passing)


def own_credential(failure: Failure) -> Failure:
    """A provider that refuses a credential refuses ours, never the client's (trap E06)."""
    if failure.kind not in ("authentication", "credential"):
        return failure
    return replace(failure, kind="credential", status=502, code="upstream_credential", type="")


def failure_answer(
    client_dialect: str, failure: Failure, request_id: str, upstream: Mapping[str, str] | None = None
) -> Answer:
    """A failure in the client's dialect."""
    status, body = DIALECTS[client_dialect].write_failure(failure, request_id)
    return Answer(_possible(status), failure_headers(client_dialect, failure, upstream), encode(body))


def refused_answer(client_dialect: str, refused: UpstreamRefused, request_id: str) -> Answer:
    """A provider's refusal in the client's dialect, in its own bytes where they may pass."""
    if refused.body is None:
        return failure_answer(client_dialect, refused.failure, request_id, refused.headers)
    headers = failure_headers(client_dialect, refused.failure, refused.headers)
    return Answer(_possible(refused.failure.http_status), headers, refused.body)


def failure_headers(client_dialect: str, failure: Failure, upstream: Mapping[str, str] | None) -> Headers:
    """Headers of an error: type, limits, and when to ask again."""
    headers = [JSON_TYPE]
    if upstream is not None:
        headers += limit_headers(upstream, client_dialect)
        headers += retry_headers(failure, upstream)
    elif failure.retryable or failure.kind == "quota":
        headers += retry_headers(failure, {})
    if failure.kind == "authentication":
        headers.append(("www-authenticate", "Bearer"))
    return headers


def _possible(status: int) -> int:
    return status if 400 <= status <= 599 else 502
