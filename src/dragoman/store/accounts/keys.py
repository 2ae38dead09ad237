"""Keys of people: plain functions of a connection, in the transaction of whoever calls.

A credential is shown once, by the function that made it, and kept as a hash. Several keys of one user may
have one name: the earlier proxies allowed it, and a rotated key keeps its name. It must not know who asks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from dragoman.store import schema
from dragoman.store.accounts.errors import Invalid, Missing, Taken
from dragoman.store.accounts.hashing import Hasher, new_key, shown_prefix
from dragoman.store.accounts.model import Key, Person, Rules
from dragoman.store.accounts.people import person_of
from dragoman.store.accounts.rules import check_rules, kept_rules, readable_rules
from dragoman.store.accounts.words import changed, checked_name, checked_text

SHORTEST_TOKEN = 8
_TABLE = schema.keys


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now. ``credential`` is to be shown once and then forgotten."""

    key: Key
    credential: str = field(repr=False)


def create(
    connection: Connection,
    hasher: Hasher,
    user_id: int,
    name: str,
    *,
    now: int,
    token: str | None = None,
    rules: Rules | None = None,
    default_model: str | None = None,
    expires_at: int | None = None,
    origin: str = "",
    shortest: int = SHORTEST_TOKEN,
) -> NewKey:
    """A new key of a user: generated, or a ``token`` of at least ``shortest`` characters that somebody chose.

    Raises Invalid, Missing, Taken.
    """
    credential = new_key() if token is None else checked_token(token, shortest)
    hashed = hasher.generated(credential) if token is None else hasher.chosen(credential)
    if token is not None and owner_of(connection, hasher, credential) is not None:
        raise Taken("token", "is in use")
    key = _checked(
        Key(
            0, user_id, name, shown_prefix(credential), True, check_rules(rules or Rules()), default_model, expires_at,
            origin=origin, created_at=now,
        )
    )  # fmt: skip
    _check_owner(connection, user_id)
    return NewKey(insert_hashed(connection, key, hashed), credential)


def insert_hashed(connection: Connection, key: Key, hashed: str, *, id: int | None = None) -> Key:
    """Put down a key whose hash is known; ``id`` is given only by imports. Raises Taken."""
    values = _values(key) | {
        "user_id": key.user_id,
        "hash": hashed,
        "prefix": key.prefix,
        "last_used_at": key.last_used_at,
        "origin": key.origin,
        "created_at": key.created_at,
    }
    if id is not None:
        values["id"] = id
    try:
        with connection.begin_nested():
            given = connection.execute(insert(_TABLE).values(values).returning(_TABLE.c.id)).scalar_one()
    except IntegrityError:
        raise Taken("token", "is in use") from None
    changed(connection)
    return dataclasses.replace(key, id=given)


def find(connection: Connection, key_id: int) -> Key | None:
    """The key with the id."""
    row = connection.execute(select(_TABLE).where(_TABLE.c.id == key_id)).one_or_none()
    return None if row is None else key_of(row)


def listed(
    connection: Connection,
    *conditions: ColumnElement[bool],
    user_id: int | None = None,
    after: int | None = None,
    limit: int | None = None,
    newest: bool = False,
) -> list[Key]:
    """Keys by id, or ``newest`` first, those behind ``after``; ``conditions`` are of ``schema.keys``."""
    order = _TABLE.c.id.desc() if newest else _TABLE.c.id
    statement = select(_TABLE).where(*conditions).order_by(order).limit(limit)
    if user_id is not None:
        statement = statement.where(_TABLE.c.user_id == user_id)
    if after is not None:
        statement = statement.where(_TABLE.c.id < after if newest else _TABLE.c.id > after)
    return [key_of(row) for row in connection.execute(statement)]


def owner_of(connection: Connection, hasher: Hasher, credential: str) -> tuple[Person, Key] | None:
    """Whose credential this is, active or not; None for nobody's."""
    users = schema.users
    hashes = hasher.both(credential.strip())
    key = connection.execute(select(_TABLE).where(_TABLE.c.hash.in_(hashes))).first()
    if key is None:
        return None
    owner = connection.execute(select(users).where(users.c.id == key.user_id)).one()
    return person_of(owner), key_of(key)


def replace(connection: Connection, key: Key) -> Key:
    """Keep name, activity, rules, default model and expiry as they are given. Raises Invalid, Missing."""
    made = _checked(key)
    found = connection.execute(update(_TABLE).where(_TABLE.c.id == key.id).values(_values(made)))
    if found.rowcount != 1:
        raise _missing(key.id)
    changed(connection)
    return made


def deactivate(connection: Connection, key_id: int) -> None:
    """It opens nothing any more, and stays listed. Raises Missing."""
    if connection.execute(update(_TABLE).where(_TABLE.c.id == key_id).values(active=False)).rowcount != 1:
        raise _missing(key_id)
    changed(connection)


def remove(connection: Connection, key_id: int) -> None:
    """Forget it; the ledger still names its id. Raises Missing."""
    connection.execute(update(_TABLE).where(_TABLE.c.replaced_by == key_id).values(replaced_by=None))
    if connection.execute(delete(_TABLE).where(_TABLE.c.id == key_id)).rowcount != 1:
        raise _missing(key_id)
    changed(connection)


def rotate(connection: Connection, hasher: Hasher, key_id: int, *, now: int, overlap: int = 0) -> NewKey:
    """A new key with everything of the old one, which lives ``overlap`` microseconds longer at most.

    Raises Missing for a key that is not there, Invalid for one that opens nothing or was rotated already.
    """
    old = find(connection, key_id)
    if old is None:
        raise _missing(key_id)
    if not old.active or (old.expires_at is not None and old.expires_at <= now):
        raise Invalid("key", "is not active")
    if old.replaced_by is not None:
        raise Invalid("key", f"was replaced by key {old.replaced_by}")
    made = create(
        connection, hasher, old.user_id, old.name, now=now, rules=old.rules, default_model=old.default_model,
        expires_at=old.expires_at, origin=old.origin,
    )  # fmt: skip
    end = now + max(0, overlap)
    end = end if old.expires_at is None else min(end, old.expires_at)
    connection.execute(update(_TABLE).where(_TABLE.c.id == key_id).values(replaced_by=made.key.id, expires_at=end))
    return made


def change_token(
    connection: Connection, hasher: Hasher, key_id: int, token: str, *, shortest: int = SHORTEST_TOKEN
) -> None:
    """Give a key another chosen credential. Raises Invalid, Missing, Taken."""
    credential = checked_token(token, shortest)
    known = owner_of(connection, hasher, credential)
    if known is not None and known[1].id != key_id:
        raise Taken("token", "is in use")
    values = {"hash": hasher.chosen(credential), "prefix": shown_prefix(credential)}
    try:
        with connection.begin_nested():
            found = connection.execute(update(_TABLE).where(_TABLE.c.id == key_id).values(values))
    except IntegrityError:
        raise Taken("token", "is in use") from None
    if found.rowcount != 1:
        raise _missing(key_id)
    changed(connection)


def note_uses(connection: Connection, uses: Mapping[int, int]) -> None:
    """When keys were used last, in microseconds by id. Later news stay; nobody needs to hear of it."""
    at: BindParameter[int] = bindparam("used_at")
    older = or_(_TABLE.c.last_used_at.is_(None), _TABLE.c.last_used_at < at)
    statement = update(_TABLE).where(_TABLE.c.id == bindparam("key_id"), older).values(last_used_at=at)
    # In one order everywhere, so that two replicas never wait for each other.
    rows = [{"key_id": key_id, "used_at": uses[key_id]} for key_id in sorted(uses)]
    if rows:
        connection.execute(statement, rows)


def checked_token(token: str, shortest: int = SHORTEST_TOKEN) -> str:
    """A token that somebody chose, without blanks around it. Raises Invalid."""
    credential = token.strip()
    if len(credential) < shortest:
        raise Invalid("token", f"must have {shortest} characters or more")
    return checked_text(credential, "token", 1000)


def key_of(row: Row[Any]) -> Key:
    """A row of ``schema.keys`` as a value, without its hash."""
    return Key(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        prefix=row.prefix,
        active=row.active,
        rules=readable_rules(row.rules),
        default_model=row.default_model,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
        origin=row.origin,
        created_at=row.created_at,
    )


def _values(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "active": key.active,
        **kept_rules(key.rules),
        "default_model": key.default_model,
        "expires_at": key.expires_at,
    }


def _checked(key: Key) -> Key:
    model = checked_text(key.default_model.strip(), "default_model", 512) if key.default_model else None
    return dataclasses.replace(key, name=checked_name(key.name), default_model=model or None)


def _check_owner(connection: Connection, user_id: int) -> None:
    users = schema.users
    there = select(users.c.id).where(users.c.id == user_id, users.c.deleted_at.is_(None))
    if connection.execute(there).first() is None:
        raise Missing("user_id", f"there is no user {user_id}")


def _missing(key_id: int) -> Missing:
    return Missing("key", f"there is no key {key_id}")
