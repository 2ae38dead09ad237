"""The audit log: who changed what, when. Lines are only ever added."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection, Row, select

from dragoman.store.schema import audit
from dragoman.web.api.desk import Working
from dragoman.web.api.lists import Format, Listed, listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit, after_id
from dragoman.web.api.words import QueryMoment, QueryText, Shown, View

router = APIRouter(tags=["audit"])


class AuditView(View):
    """One change. ``details`` holds what was changed, never a secret."""

    id: int
    at: Shown
    actor: str
    action: str
    object: str
    details: dict[str, Any]


@router.get("/audit", response_model=Listed[AuditView])
async def list_audit(
    request: Request,
    desk: Working,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
    actor: QueryText = None,
    action: QueryText = None,
    object: QueryText = None,
    since: QueryMoment = None,
    until: QueryMoment = None,
    format: Format = None,
) -> Response:
    """Changes, newest first. `actor`, `action` and `object` match by their beginning."""
    statement = select(audit).order_by(audit.c.id.desc()).limit(limit + 1)
    last = after_id(cursor)
    if last is not None:
        statement = statement.where(audit.c.id < last)
    for column, text in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.object, object)):
        if text is not None:
            statement = statement.where(column.startswith(text, autoescape=True))
    if since is not None:
        statement = statement.where(audit.c.at >= since)
    if until is not None:
        statement = statement.where(audit.c.at < until)

    def work(connection: Connection) -> list[Row[Any]]:
        return list(connection.execute(statement))

    return listed(request, await desk.read(work), limit, _shown, lambda row: int(row.id), "audit", AuditView)


def _shown(row: Row[Any]) -> AuditView:
    return AuditView(**row._mapping)
