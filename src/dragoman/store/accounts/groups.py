"""Groups of people: plain functions of a connection, in the transaction of whoever calls.

It must not know what rules mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from dragoman.store import schema
from dragoman.store.accounts.errors import Missing, Taken
from dragoman.store.accounts.model import Group, Rules
from dragoman.store.accounts.rules import check_rules, kept_rules, readable_rules, write_rules
from dragoman.store.accounts.words import changed, checked_name

_TABLE = schema.groups


def create(connection: Connection, name: str, *, now: int, rules: Rules | None = None) -> Group:
    """A new group. Raises Invalid, Taken."""
    name, rules = checked_name(name), check_rules(rules or Rules())
    if named(connection, name) is not None:
        raise Taken("name", f"there is a group {name!r}")
    values = {"name": name, "rules": write_rules(rules), "created_at": now}
    try:
        with connection.begin_nested():
            made = connection.execute(insert(_TABLE).values(values).returning(_TABLE.c.id)).scalar_one()
    except IntegrityError:
        raise Taken("name", f"there is a group {name!r}") from None
    changed(connection)
    return Group(made, name, rules, now)


def find(connection: Connection, group_id: int) -> Group | None:
    """The group with the id."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.id == group_id)).one_or_none()
    return None if row is None else _group(row)


def named(connection: Connection, name: str) -> Group | None:
    """The group of the name."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.name == name)).one_or_none()
    return None if row is None else _group(row)


def listed(
    connection: Connection, *conditions: ColumnElement[bool], after: int | None = None, limit: int | None = None
) -> list[Group]:
    """Groups by id, those behind ``after``; ``conditions`` are of ``schema.groups``."""
    statement = select(_TABLE).where(*conditions).order_by(_TABLE.c.id).limit(limit)
    if after is not None:
        statement = statement.where(_TABLE.c.id > after)
    return [_group(row) for row in connection.execute(statement)]


def replace(connection: Connection, group: Group) -> Group:
    """Keep the group's name and rules as they are given. Raises Invalid, Missing, Taken."""
    name, rules = checked_name(group.name), kept_rules(group.rules)
    other = named(connection, name)
    if other is not None and other.id != group.id:
        raise Taken("name", f"there is a group {name!r}")
    statement = update(_TABLE).where(_TABLE.c.id == group.id).values(name=name, **rules)
    if connection.execute(statement).rowcount != 1:
        raise Missing("group", f"there is no group {group.id}")
    changed(connection)
    return Group(group.id, name, group.rules, group.created_at)


def remove(connection: Connection, group_id: int) -> None:
    """Its people stay, in no group. Raises Missing."""
    connection.execute(update(schema.users).where(schema.users.c.group_id == group_id).values(group_id=None))
    if connection.execute(delete(_TABLE).where(_TABLE.c.id == group_id)).rowcount != 1:
        raise Missing("group", f"there is no group {group_id}")
    changed(connection)


def ensure(connection: Connection, names: Iterable[str], *, now: int) -> None:
    """Make those of the configuration file that are not there yet, so that people can be in them."""
    for name in names:
        if named(connection, name) is None:
            with suppress(Taken):  # by another replica that starts at the same time
                create(connection, name, now=now)


def _group(row: Row[Any]) -> Group:
    return Group(row.id, row.name, readable_rules(row.rules), row.created_at)
