"""Directives a prompt may carry for the simulated provider: ``[[sim key=value ...]]``.

======================  ==========================================================================
``words=N``             answer with N numbered words
``think=0|1``           leave thoughts out, or give some although nobody asked
``tool=NAME``           call this tool; ``args={...}`` (JSON without blanks) are its arguments
``status=N``            answer with this HTTP status; ``retry_after=S`` adds the header
``delay=S``             wait before the first byte
``pace=S``              wait between events
``cut=N``               close the connection without an end after N events
``error=N``             send an error inside the stream after N events
``stall=N``             send nothing more after N events, until the caller leaves
======================  ==========================================================================

Pure: reads a request, knows no socket and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.language.ir import Message, Request, Text

_DIRECTIVE = re.compile(r"\[\[sim ([^\]]*(?:\][^\]]+)*?)\]\]")
LONGEST_WAIT = 600.0


@dataclass(frozen=True, slots=True)
class Script:
    """What the prompt told the simulated provider to do. ``None`` and 0 mean: as usual."""

    words: int = 0
    think: bool | None = None
    tool: str = ""
    args: str = "{}"
    status: int = 0
    retry_after: int | None = None
    delay: float = 0.0
    pace: float = 0.0
    cut: int | None = None
    error: int | None = None
    stall: int | None = None


def read_script(request: Request) -> Script:
    """The directive in the last user message that has one; unknown or malformed words are ignored."""
    for text in _user_texts(request.messages):
        match = _DIRECTIVE.search(text)
        if match:
            return _script(dict(_pairs(match[1])))
    return Script()


def _user_texts(messages: list[Message]) -> Iterator[str]:
    for message in reversed(messages):
        if message.role == "user":
            yield "".join(part.text for part in message.parts if isinstance(part, Text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for word in text.split():
        key, equals, value = word.partition("=")
        if equals:
            yield key, value


def _script(words: dict[str, str]) -> Script:
    return Script(
        words=_whole(words.get("words")) or 0,
        think=None if "think" not in words else words["think"] != "0",
        tool=words.get("tool", ""),
        args=words.get("args", "{}"),
        status=_whole(words.get("status")) or 0,
        retry_after=_whole(words.get("retry_after")),
        delay=_seconds(words.get("delay")),
        pace=_seconds(words.get("pace")),
        cut=_whole(words.get("cut")),
        error=_whole(words.get("error")),
        stall=_whole(words.get("stall")),
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 9 else None


def _seconds(text: str | None) -> float:
    try:
        return min(max(float(text or 0), 0.0), LONGEST_WAIT)
    except ValueError:
        return 0.0
