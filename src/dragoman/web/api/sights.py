"""What a caller may see, as conditions of queries: what is not theirs is not found (SR4).

It must not know routes.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, false, or_, select

from dragoman.store import schema
from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.model import Caller, Group, Key, Person
from dragoman.web.api.errors import not_found
from dragoman.web.api.permissions import Sight, sight_of

Conditions = list[ColumnElement[bool]]


def users_in(sight: Sight) -> Conditions:
    """Conditions of ``schema.users``."""
    table = schema.users
    return _either(sight, table.c.id, table.c.group_id)


def keys_in(sight: Sight) -> Conditions:
    """Conditions of ``schema.keys``."""
    if sight.everything:
        return []
    return [schema.keys.c.user_id.in_(select(schema.users.c.id).where(*users_in(sight)))]


def groups_in(sight: Sight) -> Conditions:
    """Conditions of ``schema.groups``."""
    return [] if sight.everything else [schema.groups.c.id == sight.group_id]


def _either(sight: Sight, user: ColumnElement[int], group: ColumnElement[int]) -> Conditions:
    if sight.everything:
        return []
    either = [user == sight.user_id] if sight.user_id is not None else []
    either += [group == sight.group_id] if sight.group_id is not None else []
    return [or_(false(), *either)]


def seen_user(connection: Connection, caller: Caller, user_id: int) -> Person:
    """A user whom the caller may see. Raises ApiError 404."""
    found = people.listed(connection, schema.users.c.id == user_id, *users_in(sight_of(caller)))
    if not found:
        raise not_found("user")
    return found[0]


def seen_key(connection: Connection, caller: Caller, key_id: int) -> Key:
    """A key that the caller may see. Raises ApiError 404."""
    found = keys.listed(connection, schema.keys.c.id == key_id, *keys_in(sight_of(caller)))
    if not found:
        raise not_found("key")
    return found[0]


def seen_group(connection: Connection, caller: Caller, group_id: int) -> Group:
    """A group that the caller may see. Raises ApiError 404."""
    found = groups.listed(connection, schema.groups.c.id == group_id, *groups_in(sight_of(caller)))
    if not found:
        raise not_found("group")
    return found[0]
