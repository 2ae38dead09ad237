"""Writing down who changed what, in the transaction that changes it. It must not know what is changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from dragoman.store import schema
from dragoman.store.accounts.model import Caller


def actor_of(caller: Caller) -> str:
    """Who did it: a user by id and name, or the word for a key of the configuration."""
    return caller.name[:200] if caller.user_id is None else f"user:{caller.user_id} {caller.name}"[:200]


def note(connection: Connection, at: int, caller: Caller, action: str, target: str, **details: Any) -> None:
    """Add a line; ``at`` is in microseconds, ``target`` like ``user:7``. ``details`` hold no secrets."""
    connection.execute(
        insert(schema.audit).values(at=at, actor=actor_of(caller), action=action, object=target[:200], details=details)
    )
