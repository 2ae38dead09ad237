"""What a command ends with when it cannot be done: one line, and a code that scripts can rely on."""

from __future__ import annotations

import sys

from dragoman.settings import ConfigError
from dragoman.store.errors import DatabaseInUse, StoreUnavailable

DONE, REFUSED, WRONG, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""0 done, 1 the answer is no, 2 wrong use or configuration, 3 something cannot be reached."""


def exit_code(error: BaseException) -> int:
    """The code for what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, ConfigError):
        return WRONG
    unreachable = isinstance(error, StoreUnavailable | OSError) and not isinstance(error, DatabaseInUse)
    return UNREACHABLE if unreachable else REFUSED


def tell(error: BaseException, *, more: str = "") -> int:
    """Print it as one line, ``more`` after it; the code."""
    if not isinstance(error, KeyboardInterrupt):
        print(f"dragoman: {error}{more}", file=sys.stderr)
    return exit_code(error)
