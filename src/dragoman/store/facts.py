"""One-row truths: a name and a text. It must not know what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Table, Text, cast, select
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


def count_up(connection: Connection, name: str) -> int:
    """Add one to a number, which is 0 until somebody does: the new one."""
    more = cast(cast(facts.c.value, BigInteger) + 1, Text)
    statement = insert_into(connection, facts).values(name=name, value="1")
    counted = statement.on_conflict_do_update(index_elements=["name"], set_={"value": more}).returning(facts.c.value)
    return int(connection.execute(counted).scalar_one())


@cache
def insert_of(engine: str, table: Table) -> Any:
    """An insert of the engine's own kind, which knows conflicts. Making statements costs more than running them."""
    return sqlite.insert(table) if engine == "sqlite" else postgresql.insert(table)


def insert_into(connection: Connection, table: Table) -> Any:
    """An insert that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``, on either engine."""
    return insert_of(connection.dialect.name, table)


def put_row(connection: Connection, table: Table, row: Mapping[str, Any], *, keep: Sequence[str] = ()) -> None:
    """Insert it, or replace the row of the same primary key; columns of ``keep`` are not replaced."""
    statement = insert_into(connection, table).values(**row)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in row if name not in keys and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))
