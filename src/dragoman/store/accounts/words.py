"""Checks of what accounts hold, and the version by which every replica hears that they changed.

It must not know who asks.
"""

from __future__ import annotations

from sqlalchemy import Connection

from dragoman.store.accounts.errors import Invalid
from dragoman.store.facts import count_up, insert_into, read_fact
from dragoman.store.schema import facts

NAME_LENGTH = 200
RESERVED = frozenset({"shared", "anonymous", "admin-key"})
"""Names on which usage is booked that belongs to nobody."""

_VERSION = "accounts.version"


def version(connection: Connection) -> int:
    """How often accounts were changed. What was read after it is at least as new."""
    return int(read_fact(connection, _VERSION) or 0)


def changed(connection: Connection) -> int:
    """Say that accounts were changed in this transaction: the new version."""
    return count_up(connection, _VERSION)


def claimed(connection: Connection, name: str, value: str) -> bool:
    """Whether it was us who made this fact. Waits for another transaction that is just making it."""
    statement = insert_into(connection, facts).values(name=name, value=value).on_conflict_do_nothing()
    return bool(connection.execute(statement.returning(facts.c.name)).all())


def checked_name(name: str, field: str = "name") -> str:
    """The name without blanks around it. Raises Invalid."""
    text = name.strip()
    if not text:
        raise Invalid(field, "must not be empty")
    return checked_text(text, field, NAME_LENGTH)


def checked_text(text: str, field: str, length: int) -> str:
    """The text. Raises Invalid for one that is too long, or that not every database and page can hold."""
    if len(text) > length:
        raise Invalid(field, f"must have at most {length} characters")
    if any(one < " " or one == "\x7f" or "\ud800" <= one <= "\udfff" for one in text):
        raise Invalid(field, "holds a control character or half a character")
    return text
