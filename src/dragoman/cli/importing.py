"""``dragoman import``: users, keys and usage of an earlier proxy, from its file into our database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from dragoman.cli.exits import DONE, WRONG, tell
from dragoman.settings import ConfigError, Settings, load_settings
from dragoman.store.accounts.errors import AccountError
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.database import StoreUnavailable
from dragoman.store.importers import Imported, SourceUnusable, Wanted, import_source
from dragoman.store.migrate import SchemaUnusable
from dragoman.store.moments import wall_clock
from dragoman.store.opening import open_store_of, place_of
from dragoman.store.secrets import SecretUnusable


def run_import(*, config: str | None, chat_azure: Path | None, infiniproxy: Path | None, merge: bool) -> int:
    """Import and print counts; the exit code."""
    files = {"infiniproxy": infiniproxy, "chat_azure": chat_azure}
    wanted = [Wanted(kind, path, merge) for kind, path in files.items() if path is not None]
    if not wanted:
        print("dragoman: give --chat-azure FILE or --infiniproxy FILE", file=sys.stderr)
        return WRONG
    try:
        settings = load_settings(config=config)
        for told in asyncio.run(_import(settings, wanted)):
            print("\n".join(told.lines()))
    except (SourceUnusable, AccountError, SchemaUnusable, SecretUnusable) as error:
        return tell(error, more="; nothing was changed")
    except (ConfigError, StoreUnavailable, OSError, KeyboardInterrupt) as error:
        return tell(error)
    return DONE


async def _import(settings: Settings, wanted: Sequence[Wanted]) -> list[Imported]:
    place_of(settings, lasting=True)
    store = await open_store_of(settings)
    try:
        hasher = Hasher(store.secrets.hash_token)
        now = wall_clock()
        return [await import_source(store.database, hasher, one, now=now) for one in wanted]
    finally:
        await store.database.close()
