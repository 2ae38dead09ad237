"""Routes: public model names and the ordered targets that may serve each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import ValidationError
from sqlalchemy import Connection

from dragoman.settings.routes import RouteSettings, problems
from dragoman.store import objects
from dragoman.store.objects import Stored
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import ApiError, invalid
from dragoman.web.api.lists import Format, Listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit
from dragoman.web.api.resources.users import refuse_restricted
from dragoman.web.api.things import Fixed, Kind, ThingView, checked, get_thing, list_things, put_thing, remove_thing
from dragoman.web.api.things import storable as check_storable
from dragoman.web.api.words import PathName

router = APIRouter(tags=["routes"])

RouteBody = Annotated[
    dict[str, Any],
    Body(
        description="Fields as below `routes:` in the configuration file, without `headers`.",
        examples=[{"targets": [{"provider": "openai", "model": "gpt-5.2"}], "aliases": ["sonnet"]}],
    ),
]


def _fixed(desk: Desk) -> Mapping[str, Fixed]:
    return {name: _shown(settings) for name, settings in desk.settings.routes.items()}


def _shown(settings: RouteSettings) -> Fixed:
    hidden: Any = {"headers": True, "targets": {"__all__": {"headers"}}}
    return Fixed(settings.model_dump(mode="json", exclude=hidden, exclude_defaults=True), "the configuration")


KIND = Kind("route", _fixed)


@router.get("/routes", response_model=Listed[ThingView])
async def list_routes(
    request: Request, desk: Working, limit: Limit = LIMIT, cursor: Cursor = None, format: Format = None
) -> Response:
    """Routes by name, those of the configuration file included."""
    return await list_things(request, desk, KIND, limit, cursor)


@router.get("/routes/{name:path}", response_model=ThingView)
async def get_route(desk: Working, name: PathName) -> ThingView:
    """One route."""
    return await get_thing(desk, KIND, name)


@router.put("/routes/{name:path}", response_model=ThingView)
async def put_route(desk: Working, caller: Asking, name: PathName, body: RouteBody) -> ThingView:
    """Make or replace a route. Its providers must be there."""
    refuse_restricted(caller)
    check_storable(body)
    if not name.strip():
        raise invalid("name", "is empty")
    route = _checked(body)

    def keep(connection: Connection, old: Stored | None) -> dict[str, Any]:
        _refuse_problems(connection, desk, name, route)
        objects.put(connection, "route", name, body, at=desk.clock())
        return {"fields": body}

    return await put_thing(desk, caller, KIND, name, keep)


@router.delete("/routes/{name:path}", status_code=204)
async def remove_route(desk: Working, caller: Asking, name: PathName) -> Response:
    """Forget a route of the database."""
    refuse_restricted(caller)
    return await remove_thing(desk, caller, KIND, name)


def _checked(body: Mapping[str, Any]) -> RouteSettings:
    route: RouteSettings = checked(RouteSettings, body)
    if route.headers or any(target.headers for target in route.targets):
        raise invalid("headers", "may hold secrets: they belong to the provider")
    return route


def _refuse_problems(connection: Connection, desk: Desk, name: str, route: RouteSettings) -> None:
    kept = {one.name: read for one in objects.listed(connection, "route") if (read := _readable(one)) is not None}
    providers = {*desk.settings.providers, *(one.name for one in objects.listed(connection, "provider"))}
    others = {**kept, **desk.settings.routes}
    others.pop(name, None)
    every = {**others, name: route}
    # Last, so that of two that claim one name it is to blame. What others have been guilty of before is not told here.
    for place, problem in problems(every, providers):
        if place[1] == name:
            field = ".".join(place[2:])
            told = {"field": field, "problem": problem}
            raise ApiError(400, "invalid_request", f"{field}: {problem}", [told])


def _readable(stored: Stored) -> RouteSettings | None:
    """A kept route; None for one that a later release wrote in words of its own."""
    try:
        return RouteSettings.model_validate(stored.data)
    except ValidationError:
        return None
