"""Prices of our own: they hold before those that everybody knows. Dated, so that what was booked keeps its price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field
from sqlalchemy import Connection

from dragoman.settings import ConfigError
from dragoman.store import objects
from dragoman.store.accounts.words import NAME_LENGTH
from dragoman.store.ledger.overrides import read_overrides
from dragoman.store.objects import Stored
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import ApiError
from dragoman.web.api.lists import Format, Listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit
from dragoman.web.api.resources.users import refuse_restricted
from dragoman.web.api.things import Fixed, Kind, ThingView, get_thing, list_things, put_thing, remove_thing
from dragoman.web.api.things import storable as check_storable
from dragoman.web.api.words import Body, PathName

router = APIRouter(tags=["prices"])

ROWS = "rows"
"""Where a stored price keeps its dated rows."""


_EXAMPLE = {"in": 1.75, "cache_read": 0.175, "out": 14, "from": "2026-10-01"}


def _lower(name: str) -> str:
    """As it is kept. Some letters are longer then."""
    if len(name.lower()) > NAME_LENGTH:
        raise ValueError("is too long")
    return name.lower()


PriceName = Annotated[PathName, AfterValidator(_lower)]


class PriceBody(Body):
    """Dated prices in USD for a million tokens, as below `prices:` in the configuration file."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100, examples=[[_EXAMPLE]])]


def _fixed(desk: Desk) -> Mapping[str, Fixed]:
    said = desk.settings.prices.items()
    return {name.lower(): Fixed({ROWS: _plain(given)}, "the configuration") for name, given in said}


def _plain(given: Any) -> list[Any]:
    """YAML makes dates of days; JSON has none."""
    rows = given if isinstance(given, list) else [given]
    return [
        {str(name): str(value) if name == "from" else value for name, value in row.items()}
        for row in rows
        if isinstance(row, Mapping)
    ]


KIND = Kind("price", _fixed)


@router.get("/prices", response_model=Listed[ThingView])
async def list_prices(
    request: Request, desk: Working, limit: Limit = LIMIT, cursor: Cursor = None, format: Format = None
) -> Response:
    """Our own prices by name, those of the configuration file included."""
    return await list_things(request, desk, KIND, limit, cursor)


@router.get("/prices/{name:path}", response_model=ThingView)
async def get_price(desk: Working, name: PriceName) -> ThingView:
    """One price, by `account/model`, `vendor/model`, `kind/model` or a model alone."""
    return await get_thing(desk, KIND, name)


@router.put("/prices/{name:path}", response_model=ThingView)
async def put_price(desk: Working, caller: Asking, name: PriceName, body: PriceBody) -> ThingView:
    """Make or replace a price. What was booked before keeps the price it was charged at."""
    refuse_restricted(caller)
    check_storable(body.rows)
    try:
        read_overrides({name: body.rows})
    except ConfigError as error:
        told = {"field": error.where.removeprefix(f"prices.{name}").lstrip(".") or ROWS, "problem": error.message}
        raise ApiError(400, "invalid_request", error.message, [told]) from None

    def keep(connection: Connection, old: Stored | None) -> dict[str, Any]:
        objects.put(connection, KIND.word, name, {ROWS: body.rows}, at=desk.clock())
        return {ROWS: body.rows}

    return await put_thing(desk, caller, KIND, name, keep)


@router.delete("/prices/{name:path}", status_code=204)
async def remove_price(desk: Working, caller: Asking, name: PriceName) -> Response:
    """Forget a price of the database."""
    refuse_restricted(caller)
    return await remove_thing(desk, caller, KIND, name)
