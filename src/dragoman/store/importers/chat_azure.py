"""chat_azure's ``chat.db``: users with one short token each, in clear, and what each has used.

::

    users(id, username, token, count, status, create_time, update_time)

``count`` becomes the opening balance; ``status`` is 0 disabled, 1 user, 2 admin. It must not know other sources.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection

from dragoman.store.accounts.hashing import Hasher, shown_prefix
from dragoman.store.accounts.model import Key, Role
from dragoman.store.importers.arrivals import Arrivals
from dragoman.store.importers.model import Imported
from dragoman.store.importers.sources import Source, read_count, read_text, read_time

KIND = "chat_azure"
FILE = "chat.db"
_COLUMNS = ("id", "username", "token", "count", "status", "create_time", "update_time")
_ADMIN = 2


def fits(source: Source) -> bool:
    """Whether the file is of this kind."""
    return source.has("users", "id", "username", "token")


def fingerprint(source: Source, hasher: Hasher) -> str:
    """Tells this source from others, whatever was added to it since: its first user. No token can be guessed of it."""
    first = next(iter(source.rows("users", _COLUMNS)), None)
    said = "" if first is None else "\0".join(str(first[name]) for name in ("id", "username", "token", "create_time"))
    return hashlib.sha256(hasher.chosen(said).encode()).hexdigest()[:24]


def bring(connection: Connection, source: Source, hasher: Hasher, told: Imported, *, merge: bool, now: int) -> None:
    """Import everything, in the transaction of whoever calls."""
    arrivals = Arrivals(connection, told, merge=merge, now=now, numbered=False)
    for row in source.rows("users", _COLUMNS):
        _bring_user(arrivals, row, hasher, told, now)
    arrivals.settle_ids()


def _bring_user(arrivals: Arrivals, row: dict[str, Any], hasher: Hasher, told: Imported, now: int) -> None:
    status = read_count(row["status"])
    role: Role = "admin" if status == _ADMIN else "user"
    created = read_time(row["create_time"])
    person = arrivals.person(
        row["id"],
        read_text(row["username"], 200),
        role=role,
        active=status != 0,
        opening_balance=read_count(row["count"]) or 0,
        created_at=created,
    )
    token = read_text(row["token"], 1000)
    if not token:
        told.notes.append(f"user {person.name!r} has no token")
        return
    made = created if created is not None else now
    key = Key(0, person.id, "token", shown_prefix(token), True, created_at=made)
    arrivals.key(row["id"], row["id"], key, hasher.chosen(token))
