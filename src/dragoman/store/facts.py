"""One-row truths: a name and a text. It must not know what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from dragoman.store.schema import facts


def read_fact(connection: Connection, name: str) -> str | None:
    """The text, or None."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar_one_or_none()


def write_fact(connection: Connection, name: str, value: str) -> None:
    """Say it, whatever was said before."""
    put_row(connection, facts, {"name": name, "value": value})


def keep_fact(connection: Connection, name: str, value: str) -> str:
    """Say it if nothing was said before; what holds now. Of many at once, one is heard."""
    statement = insert_into(connection, facts).values(name=name, value=value).on_conflict_do_nothing()
    connection.execute(statement)
    return read_fact(connection, name) or value


def forget_fact(connection: Connection, name: str) -> None:
    """Say nothing any more."""
    connection.execute(delete(facts).where(facts.c.name == name))


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``, on either engine."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def put_row(connection: Connection, table: Table, row: Mapping[str, Any], *, keep: Sequence[str] = ()) -> None:
    """Insert it, or replace the row of the same primary key; columns of ``keep`` are not replaced."""
    statement = insert_into(connection, table).values(**row)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in row if name not in keys and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))
