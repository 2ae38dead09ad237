"""The event loop and the little HTTP that the bench's own server and driver share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def run(main: Coroutine[None, None, T]) -> T:
    """Run a coroutine on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def content_length(head: bytes) -> int | None:
    """Return the length a head announces, or nothing when the body is chunked."""
    found = _LENGTH.search(head)
    return int(found[1]) if found else None
