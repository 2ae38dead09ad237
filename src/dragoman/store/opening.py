"""Opens the store at a start: finds it, claims it, brings it to the present schema, and has the secret ready.

It must not know what the tables mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.settings import ConfigError, Settings
from dragoman.settings.parts import revealed
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

    Raises ConfigError, StoreUnavailable, SchemaUnusable and SecretUnusable, each with one line for whoever
    starts it.
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


def place_of(settings: Settings, *, lasting: bool = False) -> Place:
    """Where the settings put the database. ``lasting`` refuses memory, for commands that would work on it in vain.

    Raises ConfigError, StoreUnavailable.
    """
    place = find_place(revealed(settings.database) or "", settings.database_folder)
    if lasting and place.warning:
        raise ConfigError(place.warning)
    return place


async def open_store_of(settings: Settings) -> Store:
    """The store of the whole settings. Raises as ``open_store``."""
    said = settings.secrets
    return await open_store(
        revealed(settings.database) or "",
        settings.database_folder,
        secret=revealed(said.key),
        previous=revealed(said.previous) or "",
    )
