"""The databases of the tests of what was kept from the five."""

from __future__ import annotations

from tests.store.engines import database, database_url, postgres, sqlite_template

__all__ = ["database", "database_url", "postgres", "sqlite_template"]
