"""Log lines: one format, one exit, and at that exit everything secret is masked.

Whatever a line holds (a message, a traceback, a library's words), it is rendered first and then
searched for credentials, so nothing can go around. Lines go to standard error: JSON, or for a terminal
readable text. It must not know who logs.

https://www.structlog.org/en/stable/standard-library.html
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dragoman.language.wire import encode
from dragoman.settings.model import LogSettings

MASK = "••••"
_SHORTEST_SECRET = 6
"""Shorter texts are words, and masking them everywhere would make lines unreadable."""

_CREDENTIALS = re.compile(
    r"""
      (?P<head>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}
    | (?P<query>[?&](?:key|api[-_]?key|access_token|token|sig)=)[^&\s"'<>\\]+
    | (?P<field>["']?\b(?:authorization|x-api-key|api-key|api_key|apikey|x-goog-api-key|cookie|set-cookie|password
        |client_secret|refresh_token|access_token|private_key)["']?\s*[:=]\s*["']?)(?!\s*(?:bearer|basic)\b)[^\s"',;&}\\]+
    | \b(?:sk|rk|pk|gsk|xai|r8|hf|nvapi|pplx|fw)[-_][A-Za-z0-9_*-]{8,}
    | \bAIza[A-Za-z0-9_-]{20,}
    | \bya29\.[A-Za-z0-9._-]{10,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.IGNORECASE | re.VERBOSE,
)


_HINTS = (
    *("bearer", "basic", "key", "token=", "_token", "sig=", "authorization", "cookie", "password", "_secret", "aiza"),
    *(prefix + mark for prefix in ("sk", "rk", "pk", "xai", "r8", "hf", "nvapi", "pplx", "fw") for mark in "-_"),
    *("ya29.", "eyj"),
)
"""Every match of _CREDENTIALS holds one of these; looking for them first is ten times cheaper ("sk" covers "gsk")."""


class Redactor:
    """Masks the secrets it was told and everything that looks like a credential."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def know(self, secrets: Iterable[str]) -> None:
        """Mask these texts from now on, wherever they stand."""
        texts = set(self._known)
        for secret in secrets:
            plain = secret.strip()
            if len(plain) >= _SHORTEST_SECRET:
                # As it stands, inside JSON, and inside a URL.
                texts |= {plain, encode(plain).decode()[1:-1], quote(plain, safe="")}
        self._known = tuple(sorted(texts, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, MASK)
        folded = text.lower()
        for hint in _HINTS:
            if hint in folded:
                return _CREDENTIALS.sub(_masked, text)
        return text

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} secrets)"


def _masked(match: re.Match[str]) -> str:
    return (match["head"] or match["query"] or match["field"] or "") + MASK


redact = Redactor()
"""The one redaction of this process."""


def set_up_logging(settings: LogSettings, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send every logger of this process, ours and the standard library's, through one format and one redaction.

    ``secrets`` are texts to mask wherever they appear; ``stream`` replaces standard error. May be
    called again; the last call holds.
    """
    redact.know(secrets)
    out = stream or sys.stderr
    as_json = settings.json_lines if settings.json_lines is not None else not out.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Processor] = [structlog.processors.format_exc_info, _as_json if as_json else _as_text(out), _redacted]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lines(out))),
        cache_logger_on_first_use=False,
    )
    _take_over_standard(settings.level, shared, final, out)


def get_logger(name: str) -> Any:
    """A logger whose lines name the room they come from: ``log.info("event", key=value)``."""
    return structlog.get_logger(room=name)


def _take_over_standard(level: str, shared: list[Processor], final: list[Processor], out: TextIO) -> None:
    sink = logging.StreamHandler(out)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [sink]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "aiohttp"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # On their lower levels these tell every request's URL, or what our own start lines tell better.
    for name in ("urllib3", "google", "asyncio", "aiohttp", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)


class _Lines:
    """A text stream that gets whole lines in one write, and survives a closed terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        try:
            return self._out.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            self._out.flush()
        except (OSError, ValueError):
            return


def _as_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return encode({key: _plain(value) for key, value in event.items()}).decode()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _as_text(out: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _redacted(logger: WrappedLogger, method: str, line: Any) -> Any:
    return redact(line)
