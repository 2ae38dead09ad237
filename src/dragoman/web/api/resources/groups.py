"""Groups: people who share rules and budgets. Managers see their own, admins change them."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from dragoman.store import schema
from dragoman.store.accounts import groups
from dragoman.store.accounts.model import Group
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import ApiError
from dragoman.web.api.lists import Format, Listed, listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit, after_id
from dragoman.web.api.permissions import sight_of
from dragoman.web.api.repeats import RepeatKey, create
from dragoman.web.api.resources.users import refuse_restricted
from dragoman.web.api.rules import RulesBody, granted
from dragoman.web.api.sights import groups_in, seen_group
from dragoman.web.api.views import GroupView, shown_group
from dragoman.web.api.words import Body, Name, PathId, QueryText

router = APIRouter(tags=["groups"])


class NewGroup(Body):
    """A group to be made."""

    name: Name
    rules: RulesBody | None = None


class GroupChange(Body):
    """What is to be different; what is left out stays. ``rules`` replace the old ones whole."""

    name: Name | None = None
    rules: RulesBody | None = None


@router.get("/groups", response_model=Listed[GroupView])
async def list_groups(
    request: Request,
    desk: Working,
    caller: Asking,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    name: QueryText = None,
    format: Format = None,
) -> Response:
    """Groups, oldest first. `name` matches by its beginning."""
    wanted = groups_in(sight_of(caller))
    if name is not None:
        wanted.append(schema.groups.c.name.startswith(name, autoescape=True))

    def work(connection: Connection) -> list[Group]:
        return groups.listed(connection, *wanted, after=after_id(cursor), limit=limit + 1)

    return listed(request, await desk.read(work), limit, shown_group, lambda group: group.id, "groups", GroupView)


@router.post("/groups", status_code=201, response_model=GroupView)
async def create_group(
    request: Request, desk: Working, caller: Asking, body: NewGroup, repeat: RepeatKey = None
) -> Response:
    """A new group, without people."""
    refuse_restricted(caller)

    def make(connection: Connection) -> GroupView:
        group = groups.create(connection, body.name, now=desk.clock(), rules=granted(body.rules, []))
        desk.note(connection, caller, "group.create", f"group:{group.id}", **body.model_dump(exclude_unset=True))
        return shown_group(group)

    return await create(request, desk, repeat, make)


@router.get("/groups/{group_id}", response_model=GroupView)
async def get_group(desk: Working, caller: Asking, group_id: PathId) -> GroupView:
    """One group."""
    return shown_group(await desk.read(lambda connection: seen_group(connection, caller, group_id)))


@router.patch("/groups/{group_id}", response_model=GroupView)
async def change_group(desk: Working, caller: Asking, group_id: PathId, body: GroupChange) -> GroupView:
    """Change a group. Rules of a group that the file names stay as the file says."""
    refuse_restricted(caller)

    def work(connection: Connection) -> GroupView:
        old = seen_group(connection, caller, group_id)
        _refuse_fixed(desk, old)
        changes: dict[str, Any] = {"name": body.name} if body.name is not None else {}
        if body.rules is not None:
            changes["rules"] = granted(body.rules, [])
        made = groups.replace(connection, dataclasses.replace(old, **changes))
        desk.note(connection, caller, "group.change", f"group:{group_id}", **body.model_dump(exclude_unset=True))
        return shown_group(made)

    return await desk.write(work)


@router.delete("/groups/{group_id}", status_code=204)
async def remove_group(desk: Working, caller: Asking, group_id: PathId) -> Response:
    """Remove a group; its people stay, in none."""
    refuse_restricted(caller)

    def work(connection: Connection) -> None:
        old = seen_group(connection, caller, group_id)
        _refuse_fixed(desk, old)
        groups.remove(connection, group_id)
        desk.note(connection, caller, "group.remove", f"group:{group_id}", name=old.name)

    await desk.write(work)
    return Response(status_code=204)


def _refuse_fixed(desk: Desk, group: Group) -> None:
    if group.name in desk.settings.groups:
        raise ApiError(409, "read_only", f"the group {group.name!r} is fixed by the configuration file")
