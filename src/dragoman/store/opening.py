"""Opens the store at a start: finds it, claims it, brings it to the present schema, and has the secret ready.

It must not know what the tables mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.store.database import Database, open_database
from dragoman.store.migrate import Migrated, migrate
from dragoman.store.places import Place, find_place
from dragoman.store.secrets import Secrets, load_secrets


@dataclass(frozen=True, slots=True)
class Store:
    """An open database, its secret, where it is, and what was done to its schema."""

    database: Database
    secrets: Secrets
    place: Place
    migrated: Migrated


async def open_store(database: str = "", folder: str = "", *, secret: str | None = None, previous: str = "") -> Store:
    """The store of the settings ``database``, ``database_folder`` and ``secrets`` (key, previous).

    Raises StoreUnavailable, SchemaUnusable and SecretUnusable, each with one line for whoever starts it.
    """
    place = find_place(database, folder)
    opened = open_database(place.url)
    try:
        done = await migrate(opened)
        secrets = await load_secrets(opened, configured=secret, previous=previous, folder=place.folder)
    except BaseException:
        await opened.close()
        raise
    return Store(opened, secrets, place, done)
