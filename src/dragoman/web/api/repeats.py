"""Creation that may be asked for twice: ``Idempotency-Key`` with the same body gets the first answer again.

What is created, its audit line and the kept answer are one transaction. A secret is never kept: a
repeated answer says that it was shown. Keys are remembered for a day, for each caller apart.
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
It must not know resources.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import Connection, delete, select, tuple_, update

from dragoman.store import schema
from dragoman.store.facts import insert_into
from dragoman.web.api.desk import Desk
from dragoman.web.api.errors import ApiError, invalid
from dragoman.web.api.words import clean

DAY = 24 * 3600 * 1_000_000
"""How long a key is remembered, in microseconds."""

_PAGE = 500

RepeatKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="Repeating a creation with the same key and body gets the first answer again; for a day.",
    ),
]
Make = Callable[[Connection], BaseModel]
_table = schema.idempotency


async def create(request: Request, desk: Desk, key: str | None, make: Make, *, secret: str = "") -> JSONResponse:
    """Answer 201 with what ``make`` returns, or with what it returned before. Raises ApiError.

    ``secret`` names the field that is shown once; beside it stands ``<secret>_shown``.
    """
    if key is None:
        return JSONResponse((await desk.write(make)).model_dump(mode="json"), 201)
    actor = request.state.caller.owner[:200]
    fingerprint = _fingerprint(request, await request.body())
    _check(key)

    def work(connection: Connection) -> tuple[dict[str, Any], bool]:
        if not _claimed(connection, actor, key, fingerprint, desk.clock()):
            return _kept(connection, actor, key, fingerprint), True
        made = make(connection).model_dump(mode="json")
        _keep(connection, actor, key, made | ({secret: None, f"{secret}_shown": True} if secret else {}))
        return made, False

    made, repeated = await desk.write(work)
    return JSONResponse(made, 201, {"idempotency-replayed": "true"} if repeated else None)


def _check(key: str) -> None:
    try:
        clean(key)
    except ValueError as error:
        raise invalid("Idempotency-Key", str(error)) from None
    if not key.strip():
        raise invalid("Idempotency-Key", "is empty")


def _fingerprint(request: Request, body: bytes) -> str:
    said = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")) if body else ""
    return hashlib.sha256(f"{request.method} {request.scope['path']}\n{said}".encode()).hexdigest()


def _claimed(connection: Connection, actor: str, key: str, fingerprint: str, now: int) -> bool:
    """Whether the key is ours to answer. Of two at once the second waits here until the first is through."""
    _clean_up(connection, now - DAY)
    row = {"actor": actor, "key": key, "fingerprint": fingerprint, "status": 201, "answer": "", "at": now}
    statement = insert_into(connection, _table).values(**row).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def _clean_up(connection: Connection, before: int) -> None:
    """Forget some of the old ones: whoever creates something does not wait for all of them (K10)."""
    names = tuple_(_table.c.actor, _table.c.key)
    old = select(_table.c.actor, _table.c.key).where(_table.c.at < before).limit(_PAGE)
    old = old.with_for_update(skip_locked=True)
    connection.execute(delete(_table).where(names.in_(old)))


def _keep(connection: Connection, actor: str, key: str, answer: dict[str, Any]) -> None:
    mine = (_table.c.actor == actor) & (_table.c.key == key)
    connection.execute(update(_table).where(mine).values(answer=json.dumps(answer)))


def _kept(connection: Connection, actor: str, key: str, fingerprint: str) -> dict[str, Any]:
    mine = (_table.c.actor == actor) & (_table.c.key == key)
    row = connection.execute(select(_table.c.fingerprint, _table.c.answer).where(mine)).one()
    if row.fingerprint != fingerprint:
        raise ApiError(409, "idempotency_conflict", "this Idempotency-Key was used for another request")
    answer: dict[str, Any] = json.loads(row.answer)
    return answer
