"""A log file that is closed at local midnight, or when it grows too large, and of which only the newest stay.

Several processes may write one file: whoever comes first closes it, the others see that it is no longer
theirs and open the new one. Writing never raises. It must not know what a line holds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dragoman.observe.log_names import Names, expanded

if sys.platform != "win32":
    import fcntl

Day = time.struct_time
_APPEND = os.O_APPEND | os.O_CREAT | os.O_WRONLY


class DatedFile:
    """One file to append lines to.

    ``name`` may hold strftime codes, expanded now. ``pattern`` (strftime) names closed files, else they
    are called ``<file>.YYYY-MM-DD``; ``backup_count`` of them stay, 0 keeps all; ``max_bytes`` closes
    early. ``on_trouble`` is told, once, why a line could not be written. Raises OSError when the file
    cannot be opened.
    """

    def __init__(
        self,
        name: str,
        *,
        pattern: str = "",
        backup_count: int = 7,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        on_trouble: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._backup_count = backup_count
        self._on_trouble: Callable[[str], None] | None = on_trouble
        self._lock = threading.Lock()
        today = time.localtime(clock())
        template = Path(name).expanduser()
        self.path = Path(expanded(str(template), today))
        self._names = Names(self.path.name, template.name, pattern)
        self._folder = self.path.parent
        self._folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, _APPEND, 0o640)
        self._day = self._day_of_content(today)
        self._ends = 0.0 if _date(self._day) < _date(today) else _midnight_after(today)
        with contextlib.suppress(OSError):
            self._prune()

    def write(self, line: str) -> None:
        """Append one line, which brings its own line break."""
        data = line.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._fd < 0:
                return
            try:
                now = self._clock()
                if now >= self._ends or self._too_large(len(data)):
                    self._turn(now)
                os.write(self._fd, data)
            except OSError as error:
                self._tell(error)

    def close(self) -> None:
        """Write nothing any more."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    # ------------------------------------------------------------ closing and opening

    def _too_large(self, more: int) -> bool:
        if not self._max_bytes:
            return False
        size = os.fstat(self._fd).st_size
        return size > 0 and size + more > self._max_bytes

    def _day_of_content(self, today: Day) -> Day:
        """The day of what stands in the file already: it may have been left by a process that is gone."""
        found = os.fstat(self._fd)
        return time.localtime(found.st_mtime) if found.st_size else today

    def _turn(self, now: float) -> None:
        today = time.localtime(now)
        self._ends = _midnight_after(today)
        try:
            with self._alone():
                if self._is_ours():
                    self._close_day(today)
            self._open()
        finally:
            self._day = today
        self._prune()

    def _close_day(self, today: Day) -> None:
        name = self._names.closed(self._day)
        if name != self.path.name:
            self._move(name)
        elif _date(self._day) == _date(today):
            self._move(name, taken=True)
        else:
            # The file bears its day's name already, so it keeps it and the next day's is opened.
            self.path = self._folder / self._names.closed(today)
            self._names.active = self.path.name

    def _move(self, name: str, *, taken: bool = False) -> None:
        numbers = [number for base, number in map(_numbered, os.listdir(self._folder)) if base == name]
        number = max(numbers, default=-1 if not taken else 0) + 1
        while True:
            target = self._folder / (f"{name}.{number}" if number else name)
            number += 1
            try:
                _move_unless_taken(self.path, target)
                return
            except FileExistsError:
                continue

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process closes the file meanwhile."""
        if sys.platform == "win32":  # which has no such locks, and renames no file that is open
            os.close(self._fd)
            self._fd = -1
            yield
            return
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _is_ours(self) -> bool:
        """Whether the file of this name is the one that is open, and no other process closed it before."""
        if self._fd < 0:
            return self.path.exists()
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        fresh = os.open(self.path, _APPEND, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fresh

    def _prune(self) -> None:
        """Delete all but the newest of our closed files; what is not ours is left alone."""
        if not self._backup_count:
            return
        closed = []
        for entry in os.scandir(self._folder):
            base, number = _numbered(entry.name)
            for name, rank in ((entry.name, 0), (base, number)):
                day = self._names.day_of(name, numbered=rank > 0)
                if day is not None and entry.is_file(follow_symlinks=False):
                    closed.append((day, rank, entry.path))
                    break
        for _, _, path in sorted(closed)[: -self._backup_count]:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _tell(self, error: OSError) -> None:
        if self._on_trouble is not None:
            tell, self._on_trouble = self._on_trouble, None
            tell(error.strerror or type(error).__name__)


def _date(day: Day) -> tuple[int, int, int]:
    return day.tm_year, day.tm_mon, day.tm_mday


def _midnight_after(day: Day) -> float:
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday + 1, 0, 0, 0, 0, 0, -1))


def _numbered(name: str) -> tuple[str, int]:
    """A name without its number, and the number; 0 for none."""
    base, dot, number = name.rpartition(".")
    return (base, int(number)) if dot and number.isdecimal() and len(number) < 7 else (name, 0)


def _move_unless_taken(path: Path, target: Path) -> None:
    """Rename without ever overwriting. Raises FileExistsError."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # a file system without links
        if target.exists():
            raise FileExistsError(str(target)) from None
        path.rename(target)
        return
    path.unlink()
