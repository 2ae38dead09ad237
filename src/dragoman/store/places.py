"""Where the database is. It must not know what is in it.

A place that was named has to work. A place that was merely found and cannot be written, on a read-only
container for one, is replaced by memory with a warning, because all five earlier proxies start there. A
database that already lies there and cannot be written is a refusal all the same: to go on without its
keys would let in whoever they keep out.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from dragoman.store.database import is_postgres, sqlite_path
from dragoman.store.errors import StoreUnavailable

FILE = "dragoman.db"
FOUND_FOLDERS = (Path("/app/data"), Path("/data"))
MEMORY = "sqlite://"


@dataclass(frozen=True, slots=True)
class Place:
    """``url`` may hold a password; ``shown`` does not. ``folder`` is for what lies beside the database.

    ``folder`` is None where nothing can be kept; ``warning`` is for the start, empty when all is well.
    """

    url: str
    folder: Path | None
    warning: str = ""

    @property
    def shown(self) -> str:
        """For people and logs."""
        if is_postgres(self.url):
            return make_url(self.url.replace("postgres://", "postgresql://", 1)).render_as_string(hide_password=True)
        return str(sqlite_path(self.url) or "memory")


def find_place(
    database: str = "", folder: str = "", *, here: Path | None = None, found: tuple[Path, ...] | None = None
) -> Place:
    """``DRAGOMAN_DB``, else ``$DB_ROOT``, else the first of ``found`` that exists, else the working directory.

    ``database`` is a file, a folder, or a URL. ``here`` is the working directory and ``found`` the folders
    of containers when not said. Raises ConfigError for an address that is none, StoreUnavailable for a place
    that must not be replaced.
    """
    here = here or Path.cwd()
    found = FOUND_FOLDERS if found is None else found
    if is_postgres(database):
        beside = _home(folder, here, found)
        return Place(database, beside if is_writable(beside) else None)
    if database:
        return _named(sqlite_path(database), here)
    file = _home(folder, here, found) / FILE
    if folder or is_writable(file.parent):
        return _named(file, here)
    if file.exists():
        raise StoreUnavailable(
            f"the database {file} is there but its folder cannot be written;"
            " allow it, or name another place with DRAGOMAN_DB",
            reason="read_only",
        )
    return Place(
        MEMORY,
        None,
        f"{file.parent} cannot be written: users, keys and the ledger are kept in memory and lost at the end;"
        " name a place with DRAGOMAN_DB",
    )


def is_writable(folder: Path) -> bool:
    """Whether files can be made there. Asking for permissions would not tell of a read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _home(folder: str, here: Path, found: tuple[Path, ...]) -> Path:
    if folder:
        return here / Path(folder).expanduser()
    return next((one for one in found if one.is_dir()), here)


def _named(file: Path | None, here: Path) -> Place:
    if file is None:
        return Place(MEMORY, None)
    file = here / file
    if file.is_dir():
        file /= FILE
    return Place(f"sqlite:///{file}", file.parent)
