"""Databases of earlier proxies as files: found, copied, and read from the copy, so that they stay as they are.

What still lies in a write-ahead log beside a file belongs to it and is read too.

https://www.sqlite.org/wal.html

It must not know tables.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BESIDE = ("", "-wal", "-journal")
PAGE = 2000
MOST = 2**40
"""More tokens than anybody has used: beyond it a count is a mistake, and would burst the sums of all others."""

_TRIES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SourceUnusable(Exception):
    """The file cannot be imported; nothing was changed."""


class Source:
    """One opened copy. Columns that an earlier version did not have read as None."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._columns: dict[str, list[str]] = {}

    def has(self, table: str, *columns: str) -> bool:
        """Whether there is such a table with at least these columns."""
        return bool(self._of(table)) and set(columns) <= set(self._of(table))

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The table's rows by id, a page at a time. The table and its ``id`` must be there."""
        there = [name for name in columns if name in self._of(table)]
        # Names are our own words; values are bound.
        statement = f"SELECT {', '.join(there)} FROM {table} WHERE id > ? ORDER BY id LIMIT {PAGE}"  # noqa: S608
        last: Any = -(2**63)
        while page := self._connection.execute(statement, (last,)).fetchall():
            for row in page:
                if not isinstance(row["id"], int):
                    raise SourceUnusable(f"an id in its table {table} is no number")
                yield {name: row[name] if name in there else None for name in columns}
            last = page[-1]["id"]

    def _of(self, table: str) -> list[str]:
        if table not in self._columns:
            found = self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
            self._columns[table] = [row["name"] for row in found]
        return self._columns[table]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A copy of a database, for reading. Raises SourceUnusable; the copy is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dragoman-import-") as folder:
        copy = _copied(path, Path(folder))
        try:
            with contextlib.closing(sqlite3.connect(copy, check_same_thread=False)) as connection:
                connection.execute("PRAGMA trusted_schema=OFF")
                yield Source(connection)
        except sqlite3.Error as error:
            raise SourceUnusable(f"{path.name} cannot be read: {error}") from error


def _copied(path: Path, folder: Path) -> Path:
    """The copy of a moment in which nobody was writing."""
    copy = folder / "source.db"
    for _ in range(_TRIES):
        before = _stamps(path)
        try:
            for suffix in BESIDE:
                beside = path.with_name(path.name + suffix)
                if beside.exists():
                    shutil.copyfile(beside, copy.with_name(copy.name + suffix))
        except OSError as error:
            raise SourceUnusable(f"{path.name} cannot be read: {error.strerror}") from None
        if _stamps(path) == before:
            return copy
    raise SourceUnusable(f"{path.name} is being written all the time: stop its program first")


def _stamps(path: Path) -> list[tuple[int, int] | None]:
    stamps: list[tuple[int, int] | None] = []
    for suffix in BESIDE:
        try:
            found = path.with_name(path.name + suffix).stat()
            stamps.append((found.st_size, found.st_mtime_ns))
        except FileNotFoundError:
            stamps.append(None)
        except OSError as error:
            raise SourceUnusable(f"{path.name} cannot be read: {error.strerror}") from None
    return stamps


# ---------------------------------------------------------------- values


def read_time(value: Any) -> int | None:
    """Microseconds since 1970 of a time text without zone, which is UTC, or of seconds; None for anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Finer units, where seconds would lie thousands of years ahead.
            unit = 1 if value > 10**14 else 1_000 if value > 10**11 else 1_000_000
            return int(value * unit) if value > 0 else None
        moment = datetime.fromisoformat(str(value).strip())
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        found = (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None
    return found if found >= 0 else None


def read_text(value: Any, length: int) -> str:
    """A text that every database holds; empty for none."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    kept = "".join(one for one in text if one >= " " and one != "\x7f" and not "\ud800" <= one <= "\udfff")
    return kept.strip()[:length]


def read_count(value: Any) -> int | None:
    """A count that is not below 0 and not out of all reason; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if 0 <= found <= MOST else None
