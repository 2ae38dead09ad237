"""People: plain functions of a connection, in the transaction of whoever calls.

Whoever is removed keeps an id, because the ledger names it, and loses name and keys. It must not know
credentials.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from dragoman.store import schema
from dragoman.store.accounts.errors import Invalid, Missing, Taken
from dragoman.store.accounts.model import Person, Role, Rules
from dragoman.store.accounts.rules import check_rules, kept_rules, readable_rules
from dragoman.store.accounts.words import NAME_LENGTH, RESERVED, changed, checked_name, checked_text

_TABLE = schema.users
_PRESENT = _TABLE.c.deleted_at.is_(None)
_ROLES: tuple[str, ...] = get_args(Role)


def create(
    connection: Connection,
    name: str,
    *,
    now: int,
    email: str | None = None,
    role: Role = "user",
    active: bool = True,
    group_id: int | None = None,
    rules: Rules | None = None,
    opening_balance: int = 0,
    origin: str = "",
    created_at: int | Literal["now"] | None = "now",
    id: int | None = None,
) -> Person:
    """A new user. Raises Invalid, Missing, Taken.

    ``created_at`` and ``id`` are given only by imports: None for a time nobody knows, an id into a table without it.
    """
    made = _checked(
        connection,
        Person(
            0, name, email, role, active, group_id, rules or Rules(), opening_balance, origin,
            now if created_at == "now" else created_at,
        ),
    )  # fmt: skip
    check_rules(made.rules)
    values = _values(made) | {"opening_balance": opening_balance, "origin": origin, "created_at": made.created_at}
    if id is not None:
        values["id"] = id
    try:
        with connection.begin_nested():
            given = connection.execute(insert(_TABLE).values(values).returning(_TABLE.c.id)).scalar_one()
    except IntegrityError:
        raise _taken(made.name) from None
    changed(connection)
    return dataclasses.replace(made, id=given)


def find(connection: Connection, user_id: int) -> Person | None:
    """Who has the id, unless removed."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.id == user_id, _PRESENT)).one_or_none()
    return None if row is None else person_of(row)


def named(connection: Connection, name: str) -> Person | None:
    """Who has the name."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.name == name, _PRESENT)).one_or_none()
    return None if row is None else person_of(row)


def listed(
    connection: Connection,
    *conditions: ColumnElement[bool],
    after: int | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[Person]:
    """People by id, or ``newest`` first, those behind ``after``; ``conditions`` are of ``schema.users``."""
    order = _TABLE.c.id.desc() if newest else _TABLE.c.id
    statement = select(_TABLE).where(_PRESENT, *conditions).order_by(order).limit(limit)
    if after is not None:
        statement = statement.where(_TABLE.c.id < after if newest else _TABLE.c.id > after)
    return [person_of(row) for row in connection.execute(statement)]


def replace(connection: Connection, person: Person) -> Person:
    """Keep name, email, role, activity, group and rules as they are given. Raises Invalid, Missing, Taken."""
    made = _checked(connection, person)
    try:
        with connection.begin_nested():
            found = connection.execute(update(_TABLE).where(_TABLE.c.id == person.id, _PRESENT).values(_values(made)))
    except IntegrityError:
        raise _taken(made.name) from None
    if found.rowcount != 1:
        raise Missing("user", f"there is no user {person.id}")
    changed(connection)
    return made


def add_balance(connection: Connection, user_id: int, tokens: int) -> None:
    """Add tokens that were used elsewhere before."""
    more = _TABLE.c.opening_balance + tokens
    connection.execute(update(_TABLE).where(_TABLE.c.id == user_id).values(opening_balance=more))


def remove(connection: Connection, user_id: int, *, now: int) -> None:
    """Take them away with all keys; what they used stays in the ledger, and the name is free. Raises Missing."""
    person = find(connection, user_id)
    if person is None:
        raise Missing("user", f"there is no user {user_id}")
    suffix = f"~{user_id}"
    freed = f"{person.name[: NAME_LENGTH - len(suffix)]}{suffix}"
    gone = update(_TABLE).where(_TABLE.c.id == user_id).values(name=freed, active=False, deleted_at=now)
    connection.execute(gone)
    keys = schema.keys
    connection.execute(update(keys).where(keys.c.user_id == user_id).values(active=False))
    changed(connection)


def count_admins(connection: Connection) -> int:
    """How many active ones there are."""
    statement = select(func.count()).where(_TABLE.c.role == "admin", _TABLE.c.active.is_(True), _PRESENT)
    return connection.execute(statement).scalar_one()


def is_empty(connection: Connection) -> bool:
    """Whether there was never anybody."""
    return connection.execute(select(_TABLE.c.id).limit(1)).first() is None


def person_of(row: Row[Any]) -> Person:
    """A row of ``schema.users`` as a value."""
    return Person(
        id=row.id,
        name=row.name,
        email=row.email,
        role=row.role,
        active=row.active,
        group_id=row.group_id,
        rules=readable_rules(row.rules),
        opening_balance=row.opening_balance,
        origin=row.origin,
        created_at=row.created_at,
    )


def _values(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "email": person.email,
        "role": person.role,
        "active": person.active,
        "group_id": person.group_id,
        **kept_rules(person.rules),
    }


def _checked(connection: Connection, person: Person) -> Person:
    name = checked_name(person.name)
    if name.lower() in RESERVED:
        raise Taken("name", f"{name!r} is the name of no user")
    other = connection.execute(select(_TABLE.c.id).where(_TABLE.c.name == name)).scalar_one_or_none()
    if other is not None and other != person.id:
        raise _taken(name)
    email = checked_text(person.email.strip(), "email", 320) if person.email else None
    if person.role not in _ROLES:
        raise Invalid("role", f"must be one of {', '.join(_ROLES)}")
    groups = schema.groups
    if person.group_id is not None and not connection.scalar(select(groups.c.id).where(groups.c.id == person.group_id)):
        raise Missing("group_id", f"there is no group {person.group_id}")
    return dataclasses.replace(person, name=name, email=email or None)


def _taken(name: str) -> Taken:
    return Taken("name", f"there is a user {name!r}")
