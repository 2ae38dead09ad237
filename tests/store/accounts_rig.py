"""What the tests of accounts share: a clock that stands still, a hasher, and people with keys."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from dragoman.store.accounts import keys, people
from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.accounts.keys import NewKey
from dragoman.store.accounts.model import Rules
from dragoman.store.database import Database

SECOND = 1_000_000
NOW = 1_790_000_000 * SECOND
SECRET = b"an installation's own secret"


def keyed(token: str) -> str:
    return hmac.new(SECRET, token.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


HASHER = Hasher(keyed)


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def ring_of(database: Database, clock: Clock | None = None, **more: Any) -> KeyRing:
    return KeyRing(database, HASHER, clock=clock or Clock(), **more)


def add_person(connection: Connection, name: str, **more: Any) -> NewKey:
    """A user with one generated key; ``key`` holds what goes to the key."""
    key = more.pop("key", {})
    person = people.create(connection, name, now=NOW, **more)
    return keys.create(connection, HASHER, person.id, "default", now=NOW, **key)


def only(*models: str) -> Rules:
    return Rules(models=models)


# ---------------------------------------------------------------- databases of the earlier proxies

CHAT_USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE, token TEXT UNIQUE,"
    " count INTEGER, status INTEGER, create_time TEXT, update_time TEXT)"
)
INFINI_USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT UNIQUE, email TEXT, created_at TIMESTAMP,"
    " is_active INTEGER DEFAULT 1)"
)
INFINI_KEYS = (
    "CREATE TABLE api_keys (id INTEGER PRIMARY KEY, user_id INTEGER, key_hash TEXT UNIQUE, key_prefix TEXT,"
    " name TEXT, created_at TIMESTAMP, last_used_at TIMESTAMP, is_active INTEGER DEFAULT 1{later})"
)
INFINI_USAGE = (
    "CREATE TABLE usage_records (id INTEGER PRIMARY KEY, api_key_id INTEGER, endpoint TEXT, model TEXT,"
    " input_tokens INTEGER, output_tokens INTEGER, total_tokens INTEGER, request_id TEXT, timestamp TIMESTAMP{later})"
)


def chat_db(path: Path, users: Iterable[tuple[Any, ...]], *, table: str = CHAT_USERS) -> Path:
    """A ``chat.db``; ``users`` are whole rows."""
    with sqlite3.connect(path) as connection:
        connection.execute(table)
        connection.executemany("INSERT INTO users VALUES (?,?,?,?,?,?,?)", users)
    connection.close()
    return path


def infini_key(number: int) -> str:
    return f"sk-{number:064x}"


def infini_db(
    path: Path,
    users: Iterable[tuple[Any, ...]],
    api_keys: Iterable[tuple[Any, ...]],
    usage: Iterable[tuple[Any, ...]] = (),
    *,
    later: bool = True,
) -> Path:
    """A ``proxy_users.db``, with the columns that came later or without."""
    with sqlite3.connect(path) as connection:
        connection.execute(INFINI_USERS)
        connection.execute(INFINI_KEYS.format(later=", model_name TEXT, backend_id INTEGER" if later else ""))
        connection.execute(INFINI_USAGE.format(later=", backend_url TEXT" if later else ""))
        connection.executemany("INSERT INTO users VALUES (?,?,?,?,?)", users)
        marks = "?,?,?,?,?,?,?,?" + (",?,?" if later else "")
        connection.executemany(f"INSERT INTO api_keys VALUES ({marks})", api_keys)  # noqa: S608
        marks = "?,?,?,?,?,?,?,?,?" + (",?" if later else "")
        connection.executemany(f"INSERT INTO usage_records VALUES ({marks})", usage)  # noqa: S608
    connection.close()
    return path


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
