"""Users. A manager makes and changes plain users of the own group; nobody changes the own role, group or rules."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from dragoman.store import schema
from dragoman.store.accounts import people
from dragoman.store.accounts.model import Caller, Person, Role
from dragoman.web.api.desk import Asking, Working
from dragoman.web.api.errors import ApiError, forbidden, not_found
from dragoman.web.api.grants import RESTRICTED, may_grant, own_bounds, restricted
from dragoman.web.api.lists import Format, Listed, listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit, after_id
from dragoman.web.api.permissions import sight_of
from dragoman.web.api.repeats import RepeatKey, create
from dragoman.web.api.rules import RulesBody, granted
from dragoman.web.api.sights import seen_user, users_in
from dragoman.web.api.views import UserView, shown_user
from dragoman.web.api.words import Body, Id, Name, PathId, QueryId, QueryText

router = APIRouter(tags=["users"])

Email = Annotated[str, Field(max_length=320)]


class NewUser(Body):
    """A user to be made. A manager's are plain users of the own group."""

    name: Name
    email: Email | None = None
    role: Role = "user"
    active: bool = True
    group_id: Id | None = None
    rules: RulesBody | None = None


class UserChange(Body):
    """What is to be different; what is left out stays. ``rules`` replace the old ones whole."""

    name: Name | None = None
    email: Email | None = None
    role: Role | None = None
    active: bool | None = None
    group_id: Id | None = None
    rules: RulesBody | None = None


@router.get("/users", response_model=Listed[UserView])
async def list_users(
    request: Request,
    desk: Working,
    caller: Asking,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    name: QueryText = None,
    role: Annotated[Role | None, Query()] = None,
    active: Annotated[bool | None, Query()] = None,
    group_id: QueryId = None,
    format: Format = None,
) -> Response:
    """Users, newest first. `name` matches by its beginning."""
    table = schema.users
    wanted = users_in(sight_of(caller))
    if name is not None:
        wanted.append(table.c.name.startswith(name, autoescape=True))
    for column, value in ((table.c.role, role), (table.c.active, active), (table.c.group_id, group_id)):
        if value is not None:
            wanted.append(column == value)

    def work(connection: Connection) -> list[Person]:
        return people.listed(connection, *wanted, after=after_id(cursor), limit=limit + 1, newest=True)

    return listed(request, await desk.read(work), limit, shown_user, lambda person: person.id, "users", UserView)


@router.post("/users", status_code=201, response_model=UserView)
async def create_user(
    request: Request, desk: Working, caller: Asking, body: NewUser, repeat: RepeatKey = None
) -> Response:
    """A new user, without a key."""
    refuse_restricted(caller)
    if not may_grant(caller, body.role):
        raise forbidden(f"a {caller.role} cannot make a user of role {body.role}", "grant_exceeds_granter")

    def make(connection: Connection) -> UserView:
        person = people.create(
            connection,
            body.name,
            now=desk.clock(),
            email=body.email,
            role=body.role,
            active=body.active,
            group_id=_group_for(caller, body.group_id),
            rules=granted(body.rules, own_bounds(caller)),
        )
        desk.note(connection, caller, "user.create", f"user:{person.id}", **body.model_dump(exclude_unset=True))
        return shown_user(person)

    return await create(request, desk, repeat, make)


@router.get("/users/{user_id}", response_model=UserView)
async def get_user(desk: Working, caller: Asking, user_id: PathId) -> UserView:
    """One user."""
    return shown_user(await desk.read(lambda connection: seen_user(connection, caller, user_id)))


@router.patch("/users/{user_id}", response_model=UserView)
async def change_user(desk: Working, caller: Asking, user_id: PathId, body: UserChange) -> UserView:
    """Change a user; disabling ends all the user's keys within a second."""
    refuse_restricted(caller)

    def work(connection: Connection) -> UserView:
        old = own_user(connection, caller, user_id)
        _refuse_widening(caller, old, body)
        said = body.model_dump(exclude_unset=True, exclude={"rules"})
        changes: dict[str, Any] = {field: value for field, value in said.items() if _says(field, value)}
        if body.rules is not None:
            changes["rules"] = granted(body.rules, own_bounds(caller))
        made = people.replace(connection, dataclasses.replace(old, **changes))
        _keep_an_admin(connection, old)
        desk.note(connection, caller, "user.change", f"user:{user_id}", **body.model_dump(exclude_unset=True))
        return shown_user(made)

    return await desk.write(work)


@router.delete("/users/{user_id}", status_code=204)
async def remove_user(desk: Working, caller: Asking, user_id: PathId) -> Response:
    """Remove a user with all keys; what they used stays in the ledger."""
    refuse_restricted(caller)

    def work(connection: Connection) -> None:
        old = own_user(connection, caller, user_id)
        if old.id == caller.user_id:
            raise forbidden("nobody removes oneself")
        people.remove(connection, user_id, now=desk.clock())
        _keep_an_admin(connection, old)
        desk.note(connection, caller, "user.remove", f"user:{user_id}", name=old.name)

    await desk.write(work)
    return Response(status_code=204)


# ---------------------------------------------------------------- who may change whom


def refuse_restricted(caller: Caller) -> None:
    """Raises ApiError 403 for a credential that is narrower than its owner: it may look, not change."""
    if restricted(caller):
        raise forbidden(RESTRICTED, "restricted_key")


def own_user(connection: Connection, caller: Caller, user_id: int) -> Person:
    """A user whom the caller may change. Raises ApiError: 404 for one not seen, 403 for one seen and not lower."""
    person = seen_user(connection, caller, user_id)
    if person.id != caller.user_id and not may_grant(caller, person.role):
        raise forbidden(f"a {caller.role} cannot change a user of role {person.role}")
    return person


def _refuse_widening(caller: Caller, old: Person, change: UserChange) -> None:
    said = change.model_fields_set
    if old.id == caller.user_id and said & {"role", "active", "group_id", "rules"}:
        raise forbidden("nobody changes the own role, group, rules or activity", "self_grant")
    if change.role is not None and not may_grant(caller, change.role):
        raise forbidden(f"a {caller.role} cannot give the role {change.role}", "grant_exceeds_granter")
    if "group_id" in said and change.group_id != old.group_id and caller.role != "admin":
        raise forbidden("only an admin moves users between groups")


def _group_for(caller: Caller, group_id: int | None) -> int | None:
    if caller.role == "admin":
        return group_id
    if caller.group_id is None:
        raise forbidden("you lead no group")
    if group_id not in (None, caller.group_id):
        raise not_found("group")
    return caller.group_id


def _says(field: str, value: object) -> bool:
    """Whether a field that was sent says something; null empties only what can be empty."""
    return value is not None or field in ("email", "group_id")


def _keep_an_admin(connection: Connection, old: Person) -> None:
    if old.role == "admin" and old.active and people.count_admins(connection) == 0:
        raise ApiError(409, "last_admin", "this is the last active admin")
