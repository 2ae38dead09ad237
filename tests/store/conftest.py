"""The databases of the store's tests."""

from __future__ import annotations

from tests.store.engines import database, database_url, postgres, sqlite_template

__all__ = ["database", "database_url", "postgres", "sqlite_template"]
