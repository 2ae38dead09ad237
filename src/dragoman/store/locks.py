"""A lock file: at most one server works on a SQLite database. The system frees it when its owner dies.

The file stays behind; only the lock counts. It must not know databases.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from dragoman.store.errors import DatabaseInUse

_FAR = 1 << 30
"""Where Windows locks its byte: what it locks cannot be read, and the owner's number should be."""


class LockFile:
    """Held from its making until ``free``. Raises DatabaseInUse, or OSError where no file can be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            owner = _owner(self._file)
            os.close(self._file)
            by = f" (pid {owner})" if owner else ""
            raise DatabaseInUse(
                f"another dragoman{by} works on {path.with_suffix('')}: one SQLite file serves one server;"
                " stop the other one, choose another file with DRAGOMAN_DB, or use PostgreSQL for several"
            ) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def free(self) -> None:
        """Let others have it. May be called twice."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1


def _owner(file: int) -> str:
    with contextlib.suppress(OSError):
        os.lseek(file, 0, os.SEEK_SET)
        return os.read(file, 20).decode("ascii", "replace").strip()
    return ""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
