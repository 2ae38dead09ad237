"""Objects that the configuration file and the database both may name: providers, routes, prices, limits.

One in the file wins whole and is read-only here; one of the same name in the database is kept, and shadowed.
It must not know what the objects mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from dragoman.store import objects
from dragoman.store.accounts.model import Caller
from dragoman.store.accounts.words import changed
from dragoman.store.objects import Stored
from dragoman.web.api.desk import Desk
from dragoman.web.api.errors import ApiError, not_found, plain
from dragoman.web.api.lists import listed
from dragoman.web.api.paging import after_name
from dragoman.web.api.words import LARGEST, Shown, View, clean


class ThingView(View):
    """One object. ``origin`` is ``database`` or where it is fixed; a ``shadowed`` one is in force only without that.

    ``secrets`` names the fields that hold a secret; what it is, nobody is told.
    """

    name: str
    origin: str
    read_only: bool
    shadowed: bool
    data: dict[str, Any]
    secrets: list[str]
    updated_at: Shown


@dataclass(frozen=True, slots=True)
class Fixed:
    """An object of the configuration: what may be shown of it, and where it stands."""

    data: dict[str, Any]
    origin: str
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: its word in the store, and what the configuration says of it."""

    word: str
    fixed: Callable[[Desk], Mapping[str, Fixed]]


async def list_things(request: Request, desk: Desk, kind: Kind, limit: int, cursor: str | None) -> Response:
    """A page of all of a kind, by name; of a name in both places both."""
    fixed = kind.fixed(desk)

    def work(connection: Connection) -> list[ThingView]:
        stored = objects.listed(connection, kind.word)
        return [_of_store(connection, desk, one, shadowed=one.name in fixed) for one in stored]

    views = [_of_file(name, one) for name, one in fixed.items()]
    views += await desk.read(work)
    views.sort(key=_place)
    after = after_name(cursor)
    rows = [view for view in views if _place(view) > after][: limit + 1]
    return listed(request, rows, limit, lambda view: view, _place, f"{kind.word}s", ThingView)


def _place(view: ThingView) -> str:
    return f"{view.name} {int(view.shadowed)}"


async def get_thing(desk: Desk, kind: Kind, name: str) -> ThingView:
    """The one that is in force. Raises ApiError 404."""
    fixed = kind.fixed(desk).get(name)
    if fixed is not None:
        return _of_file(name, fixed)
    return await desk.read(lambda connection: _kept(connection, desk, kind, name))


def _kept(connection: Connection, desk: Desk, kind: Kind, name: str) -> ThingView:
    stored = objects.get(connection, kind.word, name)
    if stored is None:
        raise not_found(kind.word)
    return _of_store(connection, desk, stored, shadowed=False)


async def put_thing(
    desk: Desk, caller: Caller, kind: Kind, name: str, keep: Callable[[Connection, Stored | None], dict[str, Any]]
) -> ThingView:
    """Keep one; ``keep`` stores it and returns what the audit log says. Raises ApiError 409 for one of the file."""
    refuse_fixed(desk, kind, name)

    def work(connection: Connection) -> ThingView:
        told = keep(connection, objects.get(connection, kind.word, name))
        changed(connection)
        desk.note(connection, caller, f"{kind.word}.put", f"{kind.word}:{name}", **told)
        return _kept(connection, desk, kind, name)

    return await desk.write(work)


async def remove_thing(
    desk: Desk, caller: Caller, kind: Kind, name: str, refuse: Callable[[Connection], None] = lambda connection: None
) -> Response:
    """Forget the database's one, also where the file shadows it; ``refuse`` may object. Raises ApiError."""

    def work(connection: Connection) -> None:
        refuse(connection)
        if not objects.remove(connection, kind.word, name):
            refuse_fixed(desk, kind, name)
            raise not_found(kind.word)
        changed(connection)
        desk.note(connection, caller, f"{kind.word}.remove", f"{kind.word}:{name}")

    await desk.write(work)
    return Response(status_code=204)


def refuse_fixed(desk: Desk, kind: Kind, name: str) -> None:
    """Raises ApiError 409 for a name that the configuration has."""
    fixed = kind.fixed(desk).get(name)
    if fixed is not None:
        raise ApiError(409, "read_only", f"the {kind.word} {name!r} is fixed by {fixed.origin}")


def checked(model: type[BaseModel], data: Mapping[str, Any]) -> Any:
    """The data as a branch of the configuration. Raises ApiError 400 that names the fields, not their values."""
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        details = [_detail(model, problem["loc"], plain(problem["msg"])) for problem in problems]
        first = f"{details[0]['field']}: {details[0]['problem']}".removeprefix(": ")
        raise ApiError(400, "invalid_request", first, details) from None


def _detail(model: type[BaseModel], place: Sequence[Any], problem: str) -> dict[str, str]:
    """One problem. What only the fields together tell begins with the one it is about."""
    field, _, rest = problem.partition(" ")
    if not place and field in model.model_fields:
        return {"field": field, "problem": rest}
    return {"field": ".".join(map(str, place)), "problem": problem}


def storable(data: Any, depth: int = 16) -> None:
    """Raises ApiError 400 for JSON that not every database can hold, or that is nested out of all reason."""
    if depth == 0:
        raise ApiError(400, "invalid_request", "the body is nested too deep")
    if isinstance(data, str):
        _check_text(data)
    elif isinstance(data, dict):
        for name, value in data.items():
            _check_text(name)
            storable(value, depth - 1)
    elif isinstance(data, list):
        for value in data:
            storable(value, depth - 1)
    elif (isinstance(data, int) and abs(data) > LARGEST) or (isinstance(data, float) and not math.isfinite(data)):
        raise ApiError(400, "invalid_request", "a number of the body is none, or too large")


def _check_text(text: str) -> None:
    try:
        clean(text)
    except ValueError as error:
        raise ApiError(400, "invalid_request", f"a text of the body {error}") from None


def _of_file(name: str, fixed: Fixed) -> ThingView:
    return ThingView(
        name=name,
        origin=fixed.origin,
        read_only=True,
        shadowed=False,
        data=fixed.data,
        secrets=list(fixed.secrets),
        updated_at=None,
    )


def _of_store(connection: Connection, desk: Desk, stored: Stored, *, shadowed: bool) -> ThingView:
    secret = objects.open_secret(connection, stored.kind, stored.name, desk.cipher) if stored.has_secret else {}
    return ThingView(
        name=stored.name,
        origin="database",
        read_only=False,
        shadowed=shadowed,
        data=stored.data,
        secrets=sorted(secret),
        updated_at=stored.updated_at,
    )
