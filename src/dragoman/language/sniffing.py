"""What went wrong, read from whatever a provider answered: any dialect, any shape, any wording.

Errors are the part of every wire that nobody follows: an ``error`` object, an ``error`` string,
``detail``, a bare ``message``, a list, a page of HTML, plain text. One reader sniffs them all into
the kinds of ``dragoman.language.failures`` and keeps the provider's words. Dialects call it and add
their own specifics. This module must not know who asked nor what is done about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.language.failures import Failure, FailureKind
from dragoman.language.ir import Json
from dragoman.language.waits import wait_from_details, wait_from_headers, wait_from_limits, wait_from_words
from dragoman.language.wire import decode

MAX_WORDS = 8000
"""Characters kept of a body that is plain text."""

_BY_STATUS: dict[int, FailureKind] = {
    401: "credential", 402: "quota", 403: "permission", 404: "not_found", 408: "timeout", 413: "too_large",
    425: "overloaded", 429: "rate_limit", 498: "overloaded", 499: "server",
    503: "overloaded", 504: "timeout", 524: "timeout", 529: "overloaded",
}  # fmt: skip

_WORDS: dict[FailureKind, str] = {
    "context_length": "context_length_exceeded exceed_context_size_error model_context_window_exceeded "
    "context_window_exceeded string_above_max_length input_too_long prompt_too_long",
    "quota": "insufficient_quota billing_hard_limit_reached billing_not_active billing_error insufficient_balance "
    "insufficient_credits insufficient_funds usage_limit_reached usage_limit_exceeded quota_exceeded "
    "insufficient_user_quota payment_required account_deactivated usage_not_included arrearage",
    "credential": "invalid_api_key authentication_error api_key_invalid unauthenticated unauthorized "
    "invalid_authentication invalid_authentication_error missing_api_key api_key_expired incorrect_api_key_error "
    "api_key_service_blocked unrecognizedclientexception expiredtokenexception invalidsignatureexception invalidapikey",
    "rate_limit": "rate_limit_exceeded rate_limit_error rate_limited ratelimitreached too_many_requests "
    "toomanyrequests throttlingexception throttling resource_exhausted rate_limit_reached_error rate_limit_reached",
    "overloaded": "overloaded_error overloaded unavailable engine_overloaded engine_overloaded_error slow_down "
    "service_unavailable service_unavailable_error serviceunavailableexception capacity_exceeded server_overloaded "
    "modelnotreadyexception no_capacity",
    "too_large": "request_too_large request_entity_too_large payload_too_large",
    "not_found": "not_found_error model_not_found not_found deploymentnotfound invalid_model model_not_available "
    "resourcenotfoundexception modelnotfound unknown_model",
    "permission": "permission_error permission_denied insufficient_permissions accessdeniedexception access_denied "
    "unsupported_country_region_territory",
    "timeout": "timeout_error deadline_exceeded upstream_timeout request_timeout gateway_timeout modeltimeoutexception",
    "server": "server_error internal_server_error internal internalserverexception internal_error",
    "invalid_request": "invalid_request_error invalid_argument invalid-argument failed_precondition content_filter "
    "unsupported_parameter invalid_value invalid_type bad_request validationexception unprocessable_entity_error "
    "previous_response_not_found out_of_range tool_use_failed invalid_prompt",
}
_BY_WORD: dict[str, FailureKind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}

_TOO_LONG = re.compile(
    r"prompt (?:is )?too long|context[ _](?:length|limit)|context window|available context size|maximum context"
    r"|maximum prompt length|input token count|exceeds the maximum number of tokens|(?:input|prompt) is too long"
    r"|too many (?:input |prompt )?tokens|input tokens exceed|exceeded model token limit|longer than the model"
    r"|range of input length|`?inputs?`? tokens? \+ `?max_new_tokens|prompt exceeds max|number of input tokens"
    r"|reduce the length of the (?:messages|prompt|input)|tokens in the prompt exceeds"
)
_LIMIT_TOO_SMALL = re.compile(r"request too large for|larger than (?:the|your) .{0,40}limit")
_QUOTA = re.compile(
    r"insufficient (?:balance|credits?|funds|quota)|credit balance is too low|out of credits|requires more credits"
    r"|exceeded your current quota|billing (?:hard )?limit|spending limit|usage limit|plan and billing|payment required"
    r"|(?:monthly|weekly|daily) (?:limit|quota)|purchase (?:more )?credits|account is (?:not active|overdue|in arrears)"
)
_BAD_KEY = re.compile(
    r"(?:invalid|incorrect|missing|expired|no|revoked|wrong|bad|provide an?)"
    r" (?:x-)?(?:api[ _-]?key|auth|credential|bearer|token\b|subscription key)"
    r"|api[ _-]?key (?:is )?(?:not valid|invalid|expired|missing|not found|provided)|unregistered callers"
    r"|could not validate credentials|unauthorized|security token included in the request"
)
_CALLERS_FAULT = re.compile(
    r"requires? --\w+|cannot use both|cannot make get request|failed to parse (?:grammar|messages)"
    r"|unsupported (?:content|param)|json schema conversion failed|failed to (?:load|decode) image"
)
_NO_MODEL = re.compile(r"model not found|no such model|not a valid model id|model .{0,80}does not exist")
_BUSY = re.compile(r"overloaded|at capacity|over capacity|no healthy upstream|model is (?:currently )?(?:loading|busy)")
_HTML = re.compile(r"\s*(?:<!doctype html|<html|<head|<\?xml[^>]*>\s*<!doctype html)", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_KEPT = ("failed_generation", "innererror")


@dataclass(slots=True)
class _Found:
    """What an error said, before it is judged."""

    messages: list[str] = field(default_factory=list)
    code: str = ""
    type: str = ""
    status_word: str = ""
    param: str = ""
    status: int | None = None
    request_id: str = ""
    reasons: list[str] = field(default_factory=list)
    wait: float | None = None
    kept: dict[str, Json] = field(default_factory=dict)

    def say(self, words: Json) -> None:
        """Add the provider's words unless something said before holds them already."""
        if isinstance(words, str) and (words := words.strip()) and not any(words in said for said in self.messages):
            self.messages.append(words)


def sniff_failure(status: int, headers: Mapping[str, str], body: bytes, owner: str = "") -> Failure:
    """Read a failed HTTP answer (decoded, not compressed).

    ``owner`` names the dialect under which fields are kept that only its clients know
    (``failed_generation``, ``innererror``). A ``retry-after`` counts only when the status is an error.
    """
    text = body.decode("utf-8", "replace").strip("\ufeff \t\r\n")
    if _HTML.match(text):
        return _page(status, headers, text)
    value = _json_in(text)
    if value is None:
        value = {"message": text[:MAX_WORDS]} if text else {}
    return sniff_error(value, status, headers, owner)


def sniff_error(
    value: Json, status: int | None = None, headers: Mapping[str, str] | None = None, owner: str = ""
) -> Failure:
    """Read a decoded error: a whole body, an in-band chunk, or what stands under its ``error`` key.

    Without an error ``status`` the one that the error names itself is taken, if it names one.
    """
    found = _Found()
    _gather(value, found)
    if status is None or status < 400:
        status = found.status
        headers = {}
    message = found.messages[0] if found.messages else ""
    if len(found.messages) > 1:
        message += f" ({'; '.join(found.messages[1:])})"
    kind = _judge(found, status, message.lower())
    lower = {name.lower(): text for name, text in (headers or {}).items()}
    failure = Failure(
        kind,
        message or _silent(status),
        status=_true_status(kind, status),
        code=found.code,
        type=found.type or found.status_word,
        param=found.param,
        retry_after=_wait(found, lower, message, kind),
        request_id=found.request_id or lower.get("x-request-id", "") or lower.get("request-id", ""),
    )
    if lower.get("x-should-retry", "").lower() in ("true", "false"):
        failure.should_retry = lower["x-should-retry"].lower() == "true"
    if owner and found.kept:
        failure.extras = {owner: found.kept}
    return failure


def _true_status(kind: FailureKind, status: int | None) -> int | None:
    # A refused upstream key is never the client's 401 (E06); a 5xx for the caller's mistake invites retries (E08).
    if kind == "credential" or (kind in ("invalid_request", "context_length") and (status or 0) >= 500):
        return None
    return status


def _silent(status: int | None) -> str:
    return f"the provider answered with status {status} and no message" if status else "the provider reported an error"


def _wait(found: _Found, headers: Mapping[str, str], message: str, kind: FailureKind) -> float | None:
    wait = wait_from_headers(headers)
    if wait is None:
        wait = found.wait
    if wait is None and kind in ("rate_limit", "quota", "overloaded"):
        wait = wait_from_words(message)
        if wait is None:
            wait = wait_from_limits(headers)
    return wait


# ---------------------------------------------------------------- shapes


def _json_in(text: str) -> Json | None:
    """JSON that is the text, or stands in it behind SSE field names; ``None`` when there is none."""
    if text[:1] in ("{", "["):
        return _decoded(text)
    if text.startswith(("data:", "event:", "error:", "id:", ":")) and "{" in text:
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name.strip() in ("data", "error") and (value := _decoded(rest.strip())) is not None:
                return value
    return None


def _decoded(text: str) -> Json | None:
    try:
        value = decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and value else None


def _gather(value: Json, found: _Found, depth: int = 0) -> None:
    if depth > 6:
        return
    if isinstance(value, str):
        nested = _decoded(value.strip()) if value.lstrip()[:1] in ("{", "[") else None
        if isinstance(nested, dict):
            _gather(nested, found, depth + 1)
        else:
            found.say(value)
    elif isinstance(value, list):
        for item in value[:20]:
            _gather(item, found, depth + 1)
    elif isinstance(value, dict):
        _gather_object(value, found, depth)


def _gather_object(value: dict[str, Json], found: _Found, depth: int) -> None:
    # The innermost object names the fault; what stands around it only fills gaps.
    for key in ("error", "errors", "base_resp", "response"):
        inner = value.get(key)
        if inner and (key != "response" or isinstance(inner, dict)):
            _gather(inner, found, depth + 1)
    metadata = value.get("metadata")
    if isinstance(metadata, dict):  # OpenRouter puts the routed provider's own words here
        _gather(metadata.get("raw"), found, depth + 1)
    for key in ("message", "detail", "msg", "status_msg", "error_description", "title", "error_message", "Message"):
        _gather(value.get(key), found, depth + 1)
    _gather_names(value, found)
    _gather_details(value.get("details"), found)
    for key in _KEPT:
        if value.get(key) is not None:
            found.kept.setdefault(key, value[key])


def _gather_names(value: dict[str, Json], found: _Found) -> None:
    code = value.get("code", value.get("status_code"))
    for number in (value.get("status"), value.get("status_code"), value.get("raw_status_code"), code):
        if found.status is None and (status := _as_status(number)) is not None:
            found.status = status
    if isinstance(code, int | str) and not isinstance(code, bool) and not found.code and _as_status(code) is None:
        found.code = str(code)
    kind = value.get("type") or value.get("__type")
    if isinstance(kind, str) and not found.type and kind != "error":
        found.type = kind.rpartition("#")[2]
    if isinstance(status_word := value.get("status"), str) and not status_word.isdigit() and not found.status_word:
        found.status_word = status_word
    if isinstance(param := value.get("param"), str) and not found.param:
        found.param = param
    if isinstance(place := value.get("loc"), list) and not found.param:  # FastAPI's list of what is wrong
        found.param = ".".join(str(step) for step in place if step != "body")
    if isinstance(request_id := value.get("request_id"), str) and not found.request_id:
        found.request_id = request_id


def _as_status(number: Json) -> int | None:
    if isinstance(number, str) and number.isdigit():
        number = int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) and 400 <= number <= 599 else None


def _gather_details(details: Json, found: _Found) -> None:
    if isinstance(details, str):
        found.say(details)
        return
    if found.wait is None:
        found.wait = wait_from_details(details)
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        violations = detail.get("violations")
        for item in [detail, *(violations if isinstance(violations, list) else [])]:
            for key in ("reason", "quotaId"):
                if isinstance(item, dict) and isinstance(item.get(key), str):
                    found.reasons.append(item[key])


def _page(status: int, headers: Mapping[str, str], text: str) -> Failure:
    """A page of HTML comes from a proxy in between, not from the model's server."""
    title = _TITLE.search(text)
    words = " ".join(_TAG.sub(" ", title[2]).split())[:200] if title else ""
    message = "the provider answered with a web page instead of JSON" + (f": {words}" if words else "")
    failure = sniff_error({"message": message}, status, headers)
    if failure.kind in ("invalid_request", "permission", "not_found"):
        failure.kind = "server"
        failure.status = None
    return failure


# ---------------------------------------------------------------- judgement


def _judge(found: _Found, status: int | None, words: str) -> FailureKind:
    names = [name.lower() for name in (found.code, *found.reasons, found.type, found.status_word) if name]
    kinds = [kind for name in names if (kind := _BY_WORD.get(name))]
    if status not in (401, 403, 429) and ("context_length" in kinds or _TOO_LONG.search(words)):
        return "context_length"
    if status == 401:
        return "credential"
    if status in (None, 400, 403) and ("credential" in kinds or _BAD_KEY.search(words) or _bare_forbidden(found)):
        return "credential"
    if _LIMIT_TOO_SMALL.search(words):
        return "too_large"
    if "quota" in kinds or status == 402 or (status in (None, 400, 403, 429) and _QUOTA.search(words)):
        return "rate_limit" if _passes(found, words) else "quota"
    if (status or 0) >= 500 and _CALLERS_FAULT.search(words):
        return "invalid_request"
    return _by_names(kinds, status, words)


def _bare_forbidden(found: _Found) -> bool:
    return found.messages == ["Forbidden"] and found.status_word == ""


def _passes(found: _Found, words: str) -> bool:
    """Google says "quota" of per-minute limits too: a stated short wait cures those, except a limit per day (E07)."""
    if any("perday" in reason.lower() for reason in found.reasons) or "limit: 0," in words:
        return False
    return "RESOURCE_EXHAUSTED" in (found.status_word, found.code) and (
        found.wait is not None or any("perminute" in reason.lower() for reason in found.reasons)
    )


def _by_names(kinds: list[FailureKind], status: int | None, words: str) -> FailureKind:
    by_status = _BY_STATUS.get(status or 0)
    specific = [kind for kind in kinds if kind not in ("server", "invalid_request")]
    if status == 429:  # a throttle by its status, whatever it is called
        return "overloaded" if specific[:1] == ["overloaded"] else "rate_limit"
    if specific:
        return specific[0]
    if by_status:
        return by_status
    if _BUSY.search(words):
        return "overloaded"
    if status in (None, 400) and _NO_MODEL.search(words):
        return "not_found"
    if status is None:
        return kinds[0] if kinds else "server"
    return "invalid_request" if status < 500 else "server"
