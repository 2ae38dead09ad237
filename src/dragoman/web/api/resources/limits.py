"""What binds everybody: the widest step of the ladder of rules, named ``global``.

Rules of groups, users and keys stand with those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from dragoman.store import objects
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.keyring import LIMITS
from dragoman.store.accounts.rules import write_rules
from dragoman.store.objects import Stored
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import not_found
from dragoman.web.api.lists import Format, Listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit
from dragoman.web.api.resources.users import refuse_restricted
from dragoman.web.api.rules import RulesBody, granted
from dragoman.web.api.things import Fixed, Kind, ThingView, get_thing, list_things, put_thing, remove_thing
from dragoman.web.api.words import PathName

router = APIRouter(tags=["limits"])


def _fixed(desk: Desk) -> Mapping[str, Fixed]:
    rules = house_rules(desk.settings).everybody
    return {} if rules is None else {LIMITS: Fixed(write_rules(rules), "the configuration")}


KIND = Kind("limits", _fixed)


@router.get("/limits", response_model=Listed[ThingView])
async def list_limits(
    request: Request, desk: Working, limit: Limit = LIMIT, cursor: Cursor = None, format: Format = None
) -> Response:
    """What binds everybody."""
    return await list_things(request, desk, KIND, limit, cursor)


@router.get("/limits/{name}", response_model=ThingView)
async def get_limits(desk: Working, name: PathName) -> ThingView:
    """What binds everybody, by the name `global`."""
    return await get_thing(desk, KIND, name)


@router.put("/limits/{name}", response_model=ThingView)
async def put_limits(desk: Working, caller: Asking, name: PathName, body: RulesBody) -> ThingView:
    """Bind everybody. It holds from the next call on."""
    refuse_restricted(caller)
    if name != LIMITS:
        raise not_found("limits")
    rules = write_rules(granted(body, []))

    def keep(connection: Connection, old: Stored | None) -> dict[str, Any]:
        objects.put(connection, KIND.word, name, rules, at=desk.clock())
        return {"rules": rules}

    return await put_thing(desk, caller, KIND, name, keep)


@router.delete("/limits/{name}", status_code=204)
async def remove_limits(desk: Working, caller: Asking, name: PathName) -> Response:
    """Bind nobody any more."""
    refuse_restricted(caller)
    return await remove_thing(desk, caller, KIND, name)
