"""Taking out of a provider's words what a client must never read: keys, addresses, paths, tracebacks.

The words themselves stay, because clients recover by them. It must not know any dialect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from dragoman.language.failures import Failure
from dragoman.language.ir import Json
from dragoman.language.wire import decode, encode
from dragoman.upstream.calls import UpstreamCall

MAX_MESSAGE = 4000
"""Characters of a provider's message that are passed on."""

_CREDENTIAL_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_TRACEBACK = re.compile(r"\s*Traceback \(most recent call last\):.*", re.DOTALL)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>)\]}\\]+", re.IGNORECASE)
_KEYS = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|hf|or|ak)[-_][A-Za-z0-9_*.…-]{6,}|\bAIza[A-Za-z0-9_*-]{6,}|\bya29\.[A-Za-z0-9_.-]+"
    r"|\bBearer\s+[A-Za-z0-9._~+/=*-]{6,}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+",
)
_HOSTS = re.compile(
    r"\b(?:[a-z0-9-]+\.)+(?:openai\.azure\.com|cognitiveservices\.azure\.com|services\.ai\.azure\.com|internal|local"
    r"|svc|cluster\.local|googleapis\.com)(?::\d+)?\b|\b(?:\d{1,3}\.){3}\d{1,3}:\d{2,5}\b|\blocalhost:\d{2,5}\b",
    re.IGNORECASE,
)
_PATHS = re.compile(
    r"(?<![\w:/.])/(?:home|usr|opt|var|etc|root|app|srv|tmp|mnt|workspace|Users|private)/[^\s\"'<>,;:)\]}]+"
    r"|\b[A-Za-z]:\\[^\s\"'<>,;)\]}]+",
)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not show of one call: credential texts and the host that was asked."""

    texts: tuple[str, ...] = ()
    host: str = ""


def secrets_of(call: UpstreamCall) -> Secrets:
    """The secrets of a signed call."""
    texts = [call.headers[name] for name in _CREDENTIAL_HEADERS if call.headers.get(name)]
    texts += [text.removeprefix("Bearer ") for text in texts]
    host = urlsplit(call.url).hostname or ""
    return Secrets(tuple(sorted({text for text in texts if len(text) >= 6}, key=len, reverse=True)), host)


def clean_text(text: str, secrets: Secrets = Secrets(), *, links: bool = False) -> str:
    """The text without credentials, hosts, paths and tracebacks; ``links`` keeps addresses that are not the host's."""
    for secret in secrets.texts:
        text = text.replace(secret, "[key]")
    text = _TRACEBACK.sub("", text)
    text = _URL.sub(lambda found: _link(found[0], secrets.host) if links else "[link]", text)
    if secrets.host:
        text = re.sub(re.escape(secrets.host) + r"(?::\d+)?", "[host]", text, flags=re.IGNORECASE)
    text = _KEYS.sub("[key]", text)
    text = _HOSTS.sub("[host]", text)
    return _PATHS.sub("[path]", text)


def _link(url: str, host: str) -> str:
    """A link that leads to the provider's documents stays; one that leads to the asked host goes."""
    found = urlsplit(url)
    private = not found.hostname or found.hostname == host or "." not in found.hostname or bool(found.query)
    return "[link]" if private or found.scheme not in ("http", "https") or _HOSTS.search(url) else url


def clean_failure(failure: Failure, secrets: Secrets = Secrets()) -> Failure:
    """The failure with a message fit for the client's eyes."""
    message = failure.message
    if "<" in message and "</" in message:
        message = " ".join(_TAGS.sub(" ", message).split())
    message = clean_text(message, secrets).strip()
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    cleaned = {owner: clean_json(fields, secrets) for owner, fields in failure.extras.items()}
    return replace(
        failure,
        message=message or "the provider gave no reason",
        extras=cleaned,
        code=clean_text(failure.code, secrets),
        type=clean_text(failure.type, secrets),
    )


def clean_json(value: Json, secrets: Secrets, *, links: bool = False) -> Json:
    """The same value with every text in it cleaned."""
    if isinstance(value, str):
        return clean_text(value, secrets, links=links)
    if isinstance(value, dict):
        return {key: clean_json(item, secrets, links=links) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_json(item, secrets, links=links) for item in value]
    return value


def clean_error_body(body: bytes, secrets: Secrets) -> bytes | None:
    """An error body in the client's own dialect, byte for byte unless a secret stood in it.

    ``None`` when it is no JSON object, or none that says ``error``.
    """
    try:
        value = decode(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        return None
    cleaned = clean_json(value, secrets, links=True)
    return body if cleaned == value else encode(cleaned)
