"""Bringing in what two earlier proxies kept: read-only, in one transaction, once.

To add a source: a module with ``KIND``, ``FILE``, ``fits``, ``fingerprint`` and ``bring``, and its line in
``KINDS``. It must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from sqlalchemy import Connection

from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.words import claimed
from dragoman.store.database import Database
from dragoman.store.facts import read_fact
from dragoman.store.importers import chat_azure, infiniproxy
from dragoman.store.importers.model import Imported, Wanted
from dragoman.store.importers.sources import Source, SourceUnusable, opened

KINDS: dict[str, ModuleType] = {module.KIND: module for module in (infiniproxy, chat_azure)}
"""In the order of a first start: ids of the first are in URLs, so they are kept."""


async def import_source(database: Database, hasher: Hasher, wanted: Wanted, *, now: int) -> Imported:
    """Import one file. Raises SourceUnusable and StoreUnavailable; then nothing was changed."""
    module = KINDS[wanted.kind]
    with opened(wanted.path) as source:
        if not module.fits(source):
            raise SourceUnusable(f"{wanted.path.name} is no database of {wanted.kind}")
        return await database.alter(lambda connection: _bring(connection, module, source, hasher, wanted, now))


def _bring(
    connection: Connection, module: ModuleType, source: Source, hasher: Hasher, wanted: Wanted, now: int
) -> Imported:
    told = Imported(wanted.kind, str(wanted.path))
    mark = f"import:{wanted.kind}:{module.fingerprint(source, hasher)}"
    when = datetime.fromtimestamp(now / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not claimed(connection, mark, when):
        told.already = read_fact(connection, mark) or "before"
        return told
    module.bring(connection, source, hasher, told, merge=wanted.merge, now=now)
    return told


def lying_about(here: Path, folder: str = "") -> Iterator[Wanted]:
    """Sources where the earlier proxies put them; ``folder`` is ``DB_ROOT``. The first of each kind counts."""
    places: dict[str, Iterable[Path]] = {
        infiniproxy.KIND: (here, Path("/app/data")),
        chat_azure.KIND: (*([here / Path(folder).expanduser()] if folder else []), here, Path("/data")),
    }
    for kind, module in KINDS.items():
        for place in places[kind]:
            if _is_file(place / module.FILE):
                yield Wanted(kind, place / module.FILE)
                break


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


__all__ = ["KINDS", "Imported", "SourceUnusable", "Wanted", "import_source", "lying_about"]
