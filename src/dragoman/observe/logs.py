"""Log lines: one format, one exit, and at that exit everything secret is masked.

Whatever a line holds (a message, a traceback, a library's words), it is rendered first and then
searched for credentials, so nothing can go around. Lines go to standard error: JSON, or for a terminal
readable text; and to files, when the settings name some. It must not know who logs.

https://www.structlog.org/en/stable/standard-library.html
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from dragoman.language.ir import Json
from dragoman.language.wire import encode
from dragoman.observe.log_files import DatedFile
from dragoman.observe.redaction import MASK, Redactor
from dragoman.settings.house import LogSettings

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
    files = _open_files(settings)
    final: list[Processor] = [
        structlog.processors.format_exc_info,
        *([files] if files else []),
        _as_json if as_json else _as_text(colors=out.isatty()),
        _redacted,
    ]
    global _short_way
    plain = as_json and not files and settings.level in ("DEBUG", "INFO")
    _short_way = _ShortWay(out) if plain else None
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lines(out))),
        cache_logger_on_first_use=False,
    )
    _take_over_standard(settings.level, shared, final, out)
    for name, why in files.troubles:
        get_logger("logs").warning("the log file cannot be written; lines go to the console only", file=name, why=why)


def get_logger(name: str) -> Any:
    """A logger whose lines name the room they come from: ``log.info("event", key=value)``."""
    return structlog.get_logger(room=name)


def log_plain(room: str, event: str, fields: dict[str, Json]) -> None:
    """One line at level info of plain JSON fields: what ``get_logger(room).info`` writes, for a fraction of the cost.

    For what is logged once per call.
    """
    if _short_way is None:
        get_logger(room).info(event, **fields)
    else:
        _short_way.info(room, event, fields)


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
    # On their lower levels these tell every request's URL, or what our own lines tell better.
    for name in ("urllib3", "google", "asyncio", "aiohttp", "uvicorn", "alembic"):
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


class _ShortWay:
    """JSON lines of plain fields, past the chain of processors but not past the redaction."""

    def __init__(self, out: TextIO) -> None:
        self._lines = _Lines(out)

    def info(self, room: str, event: str, fields: dict[str, Json]) -> None:
        moment = datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"
        line = encode({"room": room, **fields, "event": event, "level": "info", "timestamp": moment})
        self._lines.write(redact(line.decode()) + "\n")
        self._lines.flush()


_short_way: _ShortWay | None = None
"""None where a line is to be more than JSON on one stream, or is not to be at all."""


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


def _as_text(*, colors: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def _redacted(logger: WrappedLogger, method: str, line: Any) -> Any:
    return redact(line)


# ---------------------------------------------------------------- files


class _Files:
    """The files of this process, each with its own rendering: a processor that lets every line pass."""

    def __init__(self) -> None:
        self._open: list[tuple[Processor, DatedFile]] = []
        self.troubles: list[tuple[str, str]] = []

    def add(self, name: str, render: Processor, settings: LogSettings, pattern: str = "") -> None:
        """Open one, or remember why not."""
        try:
            file = DatedFile(
                name,
                pattern=pattern,
                backup_count=settings.backup_count,
                max_bytes=settings.max_bytes,
                on_trouble=lambda why: _say_on_console(f"{name} cannot be written ({why})"),
            )
        except (OSError, ValueError) as error:
            self.troubles.append((name, getattr(error, "strerror", None) or type(error).__name__))
            return
        self._open.append((render, file))

    def __bool__(self) -> bool:
        return bool(self._open)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        for render, file in self._open:
            file.write(redact(str(render(logger, method, dict(event)))) + "\n")
        return event

    def close(self) -> None:
        """Close them all."""
        for _, file in self._open:
            file.close()
        self._open.clear()


_files = _Files()


def _open_files(settings: LogSettings) -> _Files:
    global _files
    _files.close()
    _files = _Files()
    if settings.file:
        _files.add(settings.file, _as_text(colors=False), settings, settings.pattern)
    if settings.json_file:
        _files.add(settings.json_file, _as_json, settings)
    return _files


def _say_on_console(text: str) -> None:
    # Not through a logger: a line about a file that fails would go to that file.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{redact(text)}\n")


__all__ = ["MASK", "Redactor", "get_logger", "log_plain", "redact", "set_up_logging"]
