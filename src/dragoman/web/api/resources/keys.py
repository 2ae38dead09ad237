"""Keys. Users have their own, managers those of the own group's plain users. The key itself is shown once."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy import ColumnElement, Connection, or_, select

from dragoman.store import schema
from dragoman.store.accounts import keys, people
from dragoman.store.accounts.model import Caller, Key, Rules
from dragoman.web.api.desk import Asking, Working
from dragoman.web.api.errors import forbidden, invalid
from dragoman.web.api.grants import own_bounds, within
from dragoman.web.api.lists import Format, Listed, listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit, after_id
from dragoman.web.api.permissions import sight_of
from dragoman.web.api.repeats import RepeatKey, create
from dragoman.web.api.resources.users import own_user, refuse_restricted
from dragoman.web.api.rules import RulesBody, granted
from dragoman.web.api.sights import keys_in, seen_key
from dragoman.web.api.views import KeyView, NewKeyView, new_key, shown_key
from dragoman.web.api.words import Body, Id, Moment, Name, PathId, QueryId, QueryText

router = APIRouter(tags=["keys"])

HOUR = 3600 * 1_000_000
ModelName = Annotated[str, Field(max_length=512)]


class NewKey(Body):
    """A key to be made; without ``user_id`` for whoever asks. What rules leave unsaid is inherited."""

    name: Name
    user_id: Id | None = None
    rules: RulesBody | None = None
    default_model: ModelName | None = None
    expires_at: Moment | None = None


class KeyChange(Body):
    """What is to be different; what is left out stays. ``rules`` replace the old ones whole."""

    name: Name | None = None
    active: bool | None = None
    rules: RulesBody | None = None
    default_model: ModelName | None = None
    expires_at: Moment | None = None


class Rotation(Body):
    """How long the old key goes on, in hours."""

    overlap_hours: Annotated[int, Field(ge=0, le=720)] = 0


@router.get("/keys", response_model=Listed[KeyView])
async def list_keys(
    request: Request,
    desk: Working,
    caller: Asking,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    name: QueryText = None,
    user_id: QueryId = None,
    group_id: QueryId = None,
    active: Annotated[bool | None, Query(description="Whether it opens anything now.")] = None,
    format: Format = None,
) -> Response:
    """Keys, newest first, ended ones included. `name` matches by its beginning."""
    table = schema.keys
    wanted = keys_in(sight_of(caller))
    if name is not None:
        wanted.append(table.c.name.startswith(name, autoescape=True))
    if user_id is not None:
        wanted.append(table.c.user_id == user_id)
    if group_id is not None:
        wanted.append(table.c.user_id.in_(select(schema.users.c.id).where(schema.users.c.group_id == group_id)))
    if active is not None:
        wanted.append(_opens(desk.clock()) if active else ~_opens(desk.clock()))

    def work(connection: Connection) -> list[Key]:
        return keys.listed(connection, *wanted, after=after_id(cursor), limit=limit + 1, newest=True)

    return listed(request, await desk.read(work), limit, shown_key, lambda key: key.id, "keys", KeyView)


def _opens(now: int) -> ColumnElement[bool]:
    table = schema.keys
    return table.c.active & or_(table.c.expires_at.is_(None), table.c.expires_at > now)


@router.post("/keys", status_code=201, response_model=NewKeyView)
async def create_key(
    request: Request, desk: Working, caller: Asking, body: NewKey, repeat: RepeatKey = None
) -> Response:
    """A new key: `secret` is in this answer and in no other."""
    refuse_restricted(caller)
    user_id = body.user_id if body.user_id is not None else caller.user_id
    if user_id is None:
        raise invalid("user_id", "say whose key it is to be")

    def make(connection: Connection) -> NewKeyView:
        person = own_user(connection, caller, user_id)
        made = keys.create(
            connection,
            desk.signin.ring.hasher,
            user_id,
            body.name,
            now=desk.clock(),
            rules=granted(body.rules, [] if person.id == caller.user_id else own_bounds(caller)),
            default_model=body.default_model,
            expires_at=_lasting(body.expires_at, expiry_of(connection, caller)),
        )
        said = body.model_dump(exclude_unset=True)
        desk.note(connection, caller, "key.create", f"key:{made.key.id}", **said | {"user_id": user_id})
        return new_key(made.key, made.credential)

    return await create(request, desk, repeat, make, secret="secret")


@router.get("/keys/{key_id}", response_model=KeyView)
async def get_key(desk: Working, caller: Asking, key_id: PathId) -> KeyView:
    """One key, without the key."""
    return shown_key(await desk.read(lambda connection: seen_key(connection, caller, key_id)))


@router.patch("/keys/{key_id}", response_model=KeyView)
async def change_key(desk: Working, caller: Asking, key_id: PathId, body: KeyChange) -> KeyView:
    """Change a key. Of their own keys users narrow the rules and shorten the life, never the reverse."""
    refuse_restricted(caller)

    def work(connection: Connection) -> KeyView:
        old = own_key(connection, caller, key_id)
        made = keys.replace(connection, dataclasses.replace(old, **_changes(connection, caller, old, body)))
        desk.note(connection, caller, "key.change", f"key:{key_id}", **body.model_dump(exclude_unset=True))
        return shown_key(made)

    return await desk.write(work)


@router.post("/keys/{key_id}/rotate", status_code=201, response_model=NewKeyView)
async def rotate_key(
    request: Request, desk: Working, caller: Asking, key_id: PathId, body: Rotation, repeat: RepeatKey = None
) -> Response:
    """A new key with everything of the old one, which lives on for the overlap."""
    refuse_restricted(caller)

    def make(connection: Connection) -> NewKeyView:
        old = own_key(connection, caller, key_id)
        _refuse_wider(connection, caller, old)
        overlap = body.overlap_hours * HOUR
        made = keys.rotate(connection, desk.signin.ring.hasher, key_id, now=desk.clock(), overlap=overlap)
        desk.note(connection, caller, "key.rotate", f"key:{key_id}", new=made.key.id, hours=body.overlap_hours)
        return new_key(made.key, made.credential)

    return await create(request, desk, repeat, make, secret="secret")


@router.post("/keys/{key_id}/deactivate", response_model=KeyView)
async def deactivate_key(desk: Working, caller: Asking, key_id: PathId) -> KeyView:
    """End a key: within a second it opens nothing any more, on every replica."""
    refuse_restricted(caller)

    def work(connection: Connection) -> KeyView:
        own_key(connection, caller, key_id)
        keys.deactivate(connection, key_id)
        desk.note(connection, caller, "key.deactivate", f"key:{key_id}")
        return shown_key(seen_key(connection, caller, key_id))

    return await desk.write(work)


# ---------------------------------------------------------------- what may be changed by whom


def own_key(connection: Connection, caller: Caller, key_id: int) -> Key:
    """A key that the caller may change. Raises ApiError."""
    key = seen_key(connection, caller, key_id)
    own_user(connection, caller, key.user_id)
    return key


def _changes(connection: Connection, caller: Caller, old: Key, change: KeyChange) -> dict[str, Any]:
    said = change.model_fields_set
    changes: dict[str, Any] = {name: getattr(change, name) for name in ("name", "active") if getattr(change, name)}
    if change.active is False:
        changes["active"] = False
    if "default_model" in said:
        changes["default_model"] = change.default_model
    free = caller.role == "admin"
    own = old.user_id == caller.user_id
    if change.active and not old.active and own and not free:
        raise forbidden("who ended a key has to bring it back", "self_grant")
    if change.rules is not None:
        changes["rules"] = granted(change.rules, _bounds(caller, old.rules, own=own))
    if "expires_at" in said:
        changes["expires_at"] = change.expires_at
        if not free:
            _refuse_outliving(change.expires_at, expiry_of(connection, caller))
            if own:
                _refuse_outliving(change.expires_at, old.expires_at)
    return changes


def _bounds(caller: Caller, old: Rules, *, own: bool) -> list[Rules]:
    if caller.role == "admin":
        return []
    return [old] if own else own_bounds(caller)


def expiry_of(connection: Connection, caller: Caller) -> int | None:
    """When the credential that was shown ends: what a plain user or manager makes with it does not live longer."""
    if caller.role == "admin" or caller.key_id is None:
        return None
    key = keys.find(connection, caller.key_id)
    return key.expires_at if key is not None else None


def _refuse_wider(connection: Connection, caller: Caller, old: Key) -> None:
    """Whoever rotates a key gets to see one that may do all that the old one may."""
    if caller.role == "admin":
        return
    _refuse_outliving(old.expires_at, expiry_of(connection, caller))
    owner = people.find(connection, old.user_id)
    ladder = [old.rules, *([owner.rules] if owner is not None else [])]
    if not within(ladder, own_bounds(caller)):
        raise forbidden("this key may do more than you", "grant_exceeds_granter")


def _lasting(asked: int | None, bound: int | None) -> int | None:
    if asked is None:
        return bound
    _refuse_outliving(asked, bound)
    return asked


def _refuse_outliving(asked: int | None, bound: int | None) -> None:
    if bound is not None and (asked is None or asked > bound):
        raise forbidden("expires_at: a key cannot outlive the one that makes it", "grant_exceeds_granter")
