"""``dragoman backup``, ``restore`` and ``db``: what is done with the database as a whole."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from dragoman.cli.exits import DONE, tell
from dragoman.settings import ConfigError, load_settings
from dragoman.store.backups import back_up, copy_database, is_running, restore
from dragoman.store.copying import CopyFailed, Sums
from dragoman.store.database import is_postgres, open_database
from dragoman.store.errors import StoreUnavailable
from dragoman.store.migrate import SchemaUnusable, migrate
from dragoman.store.opening import place_of
from dragoman.store.places import Place
from dragoman.store.secrets import FILE as SECRET_FILE


def run_backup(*, config: str | None, file: str) -> int:
    """Write a backup; the exit code."""

    async def work() -> None:
        place = _place(config)
        manifest = await back_up(place.url, Path(file))
        _tell(manifest.tables)
        print(f"ok: {file} holds schema {manifest.schema} of {place.shown}")
        print(_secret_hint(place), file=sys.stderr)

    return _told(work)


def run_restore(*, config: str | None, file: str, dry_run: bool) -> int:
    """Put a backup in place, or only check that it could be; the exit code."""

    async def work() -> None:
        place = _place(config)
        done = await restore(Path(file), place.url, dry_run=dry_run)
        _tell(done.manifest.tables)
        if dry_run:
            print(f"ok: {file} of {done.manifest.made_at} could be restored to {place.shown}; nothing was changed")
            return
        if done.kept is not None:
            print(f"what was there is kept in {done.kept}", file=sys.stderr)
        print(f"ok: {place.shown} is as {file} was at {done.manifest.made_at}")
        print(_secret_hint(place), file=sys.stderr)

    return _told(work)


def run_copy(*, source: str, target: str) -> int:
    """Copy one database into another, empty one; the exit code."""

    async def work() -> None:
        if is_running(source):
            print("warning: a server works on the source; what it books from now on is not copied", file=sys.stderr)
        sums = await copy_database(source, target)
        _tell(sums)
        print(f"ok: {sum(table.rows for table in sums.values())} rows, every sum the same on both sides")
        print(f"the secret is not in a database: take {SECRET_FILE} or DRAGOMAN_SECRET along", file=sys.stderr)

    return _told(work)


def run_migrate(*, config: str | None) -> int:
    """Bring the database to the present schema, as a start would; the exit code."""

    async def work() -> None:
        database = open_database(_place(config).url)
        try:
            done = await migrate(database)
        finally:
            await database.close()
        if done.copy is not None:
            print(f"the database as it was is kept in {done.copy}", file=sys.stderr)
        print(f"ok: schema {done.after}" + (f", was {done.before or 'empty'}" if done.changed else ", nothing to do"))

    return _told(work)


def _place(config: str | None) -> Place:
    return place_of(load_settings(config=config), lasting=True)


def _secret_hint(place: Place) -> str:
    where = f"{place.folder / SECRET_FILE}" if place.folder is not None and not is_postgres(place.url) else SECRET_FILE
    return f"the installation's secret is not part of it: keep {where} or DRAGOMAN_SECRET with it"


def _tell(sums: Sums) -> None:
    width = max(map(len, sums), default=0)
    for name, table in sums.items():
        mended = f"  ({table.mended} mended: NUL became �)" if table.mended else ""
        print(f"  {name:<{width}}  {table.rows:>9} rows  {table.digest[:16]}{mended}")


def _told(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run it; what went wrong is one line."""
    try:
        asyncio.run(work())
    except (ConfigError, CopyFailed, SchemaUnusable, StoreUnavailable, KeyboardInterrupt) as error:
        return tell(error)
    return DONE
