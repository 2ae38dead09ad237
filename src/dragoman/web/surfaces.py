"""The paths clients may ask for. To add one: a row in SURFACES.

A row's pattern may hold one ``{name}``, which matches anything, slashes included, so that model names
such as ``openai/gpt-oss-120b`` may stand in a path. Decisions fall on the decoded path alone: query
strings are ignored, repeated slashes are one, one trailing slash is none. It must not know what
the operations do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

ANTHROPIC = "anthropic"
CHAT = "openai_chat"
RESPONSES = "openai_responses"
GEMINI = "gemini"
CURSOR, RESPONDING, COMPACTION = "cursor", "responses", "compact"
"""Names of surfaces that have a carrier of their own."""


@dataclass(frozen=True, slots=True)
class Surface:
    """One client path.

    ``operation`` names what it does (``web.asgi`` has a table of them); ``dialect`` is what its
    clients speak, also in errors; ``open`` surfaces ask no credential. Where a model call's pattern
    holds a ``{model}``, the path says which model is asked for, whatever the body says.
    """

    method: str
    pattern: str
    name: str
    dialect: str
    operation: str
    open: bool = False


def _responses(root: str) -> tuple[Surface, ...]:
    """The Responses API below a root."""
    return (
        Surface("POST", f"{root}/responses", RESPONDING, RESPONSES, "generate"),
        Surface("GET", f"{root}/responses", RESPONDING, RESPONSES, "websocket", open=True),
        Surface("POST", f"{root}/responses/compact", COMPACTION, RESPONSES, "generate"),
        Surface("POST", f"{root}/responses/input_tokens", "input_tokens", RESPONSES, "count_tokens"),
        Surface("GET", f"{root}/responses/{{id}}", RESPONDING, RESPONSES, "stored_response"),
        Surface("DELETE", f"{root}/responses/{{id}}", RESPONDING, RESPONSES, "forget_response"),
    )


SURFACES: tuple[Surface, ...] = (
    Surface("POST", "/v1/messages", "messages", ANTHROPIC, "generate"),
    Surface("POST", "/v1/messages/count_tokens", "count_tokens", ANTHROPIC, "count_tokens"),
    Surface("POST", "/v1/chat/completions", "chat", CHAT, "generate"),
    Surface("POST", "/v1/completions", "completions", CHAT, "complete"),
    *_responses("/v1"),
    Surface("POST", "/v1beta/models/{model}:generateContent", "gemini", GEMINI, "generate"),
    Surface("POST", "/v1beta/models/{model}:streamGenerateContent", "gemini", GEMINI, "stream"),
    Surface("POST", "/v1beta/models/{model}:countTokens", "gemini_count", GEMINI, "count_tokens"),
    Surface("POST", "/v1/models/{model}:generateContent", "gemini", GEMINI, "generate"),
    Surface("POST", "/v1/models/{model}:streamGenerateContent", "gemini", GEMINI, "stream"),
    Surface("POST", "/v1/models/{model}:countTokens", "gemini_count", GEMINI, "count_tokens"),
    Surface("GET", "/v1/models", "models", CHAT, "models"),
    Surface("GET", "/v1/models/{model}", "models", CHAT, "model"),
    Surface("GET", "/v1beta/models", "models", GEMINI, "models"),
    Surface("GET", "/v1beta/models/{model}", "models", GEMINI, "model"),
    Surface("POST", "/cursor/v1/chat/completions", CURSOR, CHAT, "generate"),
    Surface("POST", "/cursor/chat/completions", CURSOR, CHAT, "generate"),
    Surface("GET", "/cursor/v1/models", "cursor_models", CHAT, "cursor_models"),
    Surface("GET", "/cursor/models", "cursor_models", CHAT, "cursor_models"),
    Surface("GET", "/cursor/health", "health", CHAT, "ok", open=True),
    # As Azure's SDKs ask: by deployment, or on the v1 API. Versions in the query mean nothing here.
    Surface("POST", "/openai/deployments/{model}/chat/completions", "azure_chat", CHAT, "generate"),
    Surface("POST", "/openai/deployments/{model}/completions", "azure_completions", CHAT, "complete"),
    Surface("POST", "/openai/v1/chat/completions", "azure_chat", CHAT, "generate"),
    Surface("POST", "/openai/v1/completions", "azure_completions", CHAT, "complete"),
    Surface("GET", "/openai/v1/models", "models", CHAT, "models"),
    Surface("GET", "/openai/v1/models/{model}", "models", CHAT, "model"),
    Surface("GET", "/openai/models", "models", CHAT, "models"),
    Surface("GET", "/openai/models/{model}", "models", CHAT, "model"),
    *(row for root in ("/openai/v1", "/openai") for row in _responses(root)),
    Surface("GET", "/", "info", CHAT, "info", open=True),
    Surface("GET", "/health", "health", CHAT, "health", open=True),
    Surface("GET", "/healthz", "healthz", CHAT, "nothing", open=True),
    Surface("GET", "/readyz", "readyz", CHAT, "ready", open=True),
    Surface("GET", "/api/hello", "hello", ANTHROPIC, "hello", open=True),
)

_SLASHES = re.compile("/{2,}")


class Match(NamedTuple):
    """A row and what its ``{name}`` stands for, empty when it has none."""

    surface: Surface
    value: str


class Unmatched(NamedTuple):
    """No row: the methods that the path knows (none for an unknown path) and the dialect to say so in."""

    allowed: tuple[str, ...]
    dialect: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    head: str
    tail: str
    surface: Surface

    def value(self, path: str) -> str | None:
        if not path.startswith(self.head) or not path.endswith(self.tail):
            return None
        return path[len(self.head) : len(path) - len(self.tail)] or None


class Surfaces:
    """Finds the row for a method and a path."""

    def __init__(self, rows: Iterable[Surface] = SURFACES) -> None:
        self._exact: dict[str, dict[str, Surface]] = {}
        self._patterns: list[_Pattern] = []
        for row in rows:
            head, brace, rest = row.pattern.partition("{")
            if brace:
                self._patterns.append(_Pattern(head, rest.partition("}")[2], row))
            else:
                self._exact.setdefault(row.pattern, {})[row.method] = row
        # The longest spelling first, so that /models/{model} does not swallow what ends in a verb.
        self._patterns.sort(key=lambda pattern: -len(pattern.tail))

    def find(self, method: str, path: str) -> Match | Unmatched:
        """The row, or what is known of the path. HEAD is asked like GET."""
        path = tidy(path)
        method = "GET" if method == "HEAD" else method
        exact = self._exact.get(path)
        if exact is not None and method in exact:
            return Match(exact[method], "")
        found = [] if exact is not None else self._matching(path)
        for match in found:
            if match.surface.method == method:
                return match
        rows = list(exact.values()) if exact is not None else [match.surface for match in found]
        return Unmatched(tuple(dict.fromkeys(row.method for row in rows)), rows[0].dialect if rows else "")

    def _matching(self, path: str) -> list[Match]:
        matches = []
        for pattern in self._patterns:
            value = pattern.value(path)
            if value is not None:
                matches.append(Match(pattern.surface, value))
        # What ends in a verb is that verb's, and no model's name for a shorter row.
        longest = len(matches[0].surface.pattern.partition("}")[2]) if matches else 0
        return [match for match in matches if len(match.surface.pattern.partition("}")[2]) == longest or not longest]


def tidy(path: str) -> str:
    """The path with repeated slashes as one and one trailing slash as none."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path[:-1] if path.endswith("/") and len(path) > 1 else path
