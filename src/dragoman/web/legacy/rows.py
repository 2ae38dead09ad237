"""The table of the calls: method, pattern, who may ask, and what answers. A row cannot be made without a level.

``open`` asks nothing, ``self`` looks for its credential in the body, ``user`` needs a user's key, ``any``
whatever credential is valid, ``admin`` an admin's. It must not know HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dragoman.web.legacy.answers import Answer
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import Office

ROOTS = ("/admin/", "/usage/", "/settings/")
"""Below these everything is ours, and what has no row is told in the shape of what has one."""

Level = Literal["open", "self", "any", "user", "admin"]
Call = Callable[[Office, Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Row:
    """One call. ``{id}`` in the pattern is a number. ``plain`` tells errors as a line of text."""

    method: str
    pattern: str
    level: Level
    call: Call
    plain: bool = False


class Found(NamedTuple):
    """The row of a request and the id in its path, or the methods that the path knows; ``plain`` as in rows."""

    row: Row | None
    id: str
    allowed: tuple[str, ...]
    plain: bool


class Rows:
    """Finds rows."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = [(re.compile(re.escape(row.pattern).replace(r"\{id\}", r"([^/]+)")), row) for row in rows]

    def find(self, method: str, path: str) -> Found:
        """The row for a (tidied) path; HEAD is asked like GET."""
        method = "GET" if method == "HEAD" else method
        matches = [(match, row) for pattern, row in self._rows if (match := pattern.fullmatch(path)) is not None]
        for match, row in matches:
            if row.method == method:
                return Found(row, match.group(1) if match.groups() else "", (), row.plain)
        rows = [row for _, row in matches]
        return Found(None, "", tuple(dict.fromkeys(row.method for row in rows)), any(row.plain for row in rows))

    def takes(self, path: str) -> bool:
        """Whether any row has the path, or the neighbours of one could."""
        return path.startswith(ROOTS) or any(pattern.fullmatch(path) for pattern, _ in self._rows)
