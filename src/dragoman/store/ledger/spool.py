"""What the database cannot take now, kept in files until it can: append-only, on the disk when it returns.

A file holds one JSON value in a line. Replaying takes whole files, oldest first, while new lines go into
a new one. A line cut short by a crash was never promised to anybody, so it is left out. Blocking: call it
in a thread. It must not know what a line means.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.language.ir import Json
from dragoman.language.wire import decode, encode
from dragoman.store.errors import DatabaseInUse
from dragoman.store.locks import LockFile

CAP = 256 * 1024 * 1024
"""Bytes after which no new call is taken in."""

RESERVE = 16 * 1024 * 1024
"""Bytes beyond the cap for the ends of calls that were; also the size of the ballast."""

_FILE = 8 * 1024 * 1024
"""Bytes after which another file is begun: one is replayed in memory."""

_MOST_FOLDERS = 64

_BALLAST = "ballast"
_SUFFIX = ".jsonl"


class SpoolFull(Exception):
    """There is no room, or no folder, for more."""


class Spool:
    """The folder of one process. ``cap`` is in bytes; a ``folder`` of None keeps nothing.

    A process that finds the folder in use takes ``folder-2`` and so on, and takes over what dead ones
    left in theirs. The ballast is a file that is given up when the disk is full, so that what has
    happened can still be written down.
    """

    def __init__(self, folder: Path | None, *, cap: int = CAP, reserve: int = RESERVE) -> None:
        self.folder = folder
        self._cap = cap
        self._reserve = reserve
        self._file: BinaryIO | None = None
        self._size = 0
        self._number = 0
        self._lock: LockFile | None = None

    def open(self) -> None:
        """Make the folder, and see what processes before us left there. Raises OSError."""
        if self.folder is None:
            return
        for folder in self._folders():
            with contextlib.suppress(DatabaseInUse):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock = LockFile(folder / "lock")
                if self._lock is None:
                    self.folder, self._lock = folder, lock
                else:
                    self._take_over(folder)
                    lock.free()
        files = self._files()
        self._size = sum(path.stat().st_size for path in files)
        self._number = int(files[-1].stem) if files else 0

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._size == 0

    def append(self, values: Sequence[Json], *, urgent: bool = False) -> None:
        """Put them down, all or none. ``urgent`` ones may use the reserve. Raises SpoolFull."""
        data = b"".join(encode(value) + b"\n" for value in values)
        room = self._cap + (self._reserve if urgent else 0)
        if self.folder is None or self._size + len(data) > room:
            raise SpoolFull
        try:
            self._write(data)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._drop_ballast():
                raise SpoolFull from error
            try:
                self._write(data)
            except OSError as again:
                raise SpoolFull from again

    def take(self) -> Path | None:
        """The oldest file, to be replayed; new lines go elsewhere from now on. None: nothing waits."""
        self._end_file()
        files = self._files()
        return files[0] if files else None

    def read(self, path: Path) -> Iterator[Json | None]:
        """The values of a file; None for a whole line that is no JSON."""
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    yield decode(line)
                except ValueError:
                    yield None

    def done(self, path: Path) -> None:
        """A file was replayed."""
        self._size = max(0, self._size - path.stat().st_size)
        path.unlink()
        if not self._files():
            self._size = 0

    def close(self) -> None:
        """Close the file that is open; what waits stays. Others may have the folder."""
        self._end_file()
        if self._lock is not None:
            self._lock.free()

    def _folders(self) -> Iterator[Path]:
        """Our folder until we have one; then those of others that are there."""
        assert self.folder is not None
        first = self.folder
        for number in range(1, _MOST_FOLDERS):
            folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
            if self._lock is None or folder.is_dir():
                yield folder

    def _take_over(self, folder: Path) -> None:
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            files = self._files()
            number = int(files[-1].stem) + 1 if files else 1
            path.rename(self._path(number))

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:08}{_SUFFIX}"

    def _files(self) -> list[Path]:
        if self.folder is None:
            return []
        return sorted(path for path in self.folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())

    def _write(self, data: bytes) -> None:
        file = self._file or self._begin_file()
        before = file.tell()
        try:
            left = memoryview(data)
            while left:  # a disk that is nearly full takes a part, and tells it by a number alone
                left = left[file.write(left) :]
            _sync(file)
        except OSError:
            # Half a line would spoil the one behind it.
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), before)
                file.seek(before)
            raise
        self._size += len(data)
        if before + len(data) > _FILE:
            self._end_file()

    def _begin_file(self) -> BinaryIO:
        assert self.folder is not None
        self._number += 1
        descriptor = os.open(self._path(self._number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        _sync_folder(self.folder)
        return self._file

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def load_ballast(self) -> None:
        """See that there is some. A full disk has no room for it either, which is no error."""
        if self.folder is not None and self.empty:
            with contextlib.suppress(OSError):
                self._load_ballast(self.folder / _BALLAST)

    def _load_ballast(self, path: Path) -> None:
        if path.exists() and path.stat().st_size >= self._reserve:
            return
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, self._reserve)
            else:
                file.write(bytes(self._reserve))

    def _drop_ballast(self) -> bool:
        assert self.folder is not None
        with contextlib.suppress(OSError):
            (self.folder / _BALLAST).unlink()
            return True
        return False


def _sync(file: BinaryIO) -> None:
    sync: Any = getattr(os, "fdatasync", os.fsync)
    sync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A new file's name is durable only when its folder is."""
    with contextlib.suppress(OSError):  # a system that cannot open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
