"""The ledger, entry by entry: what was called, when, by whom, how it ended and what it cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import computed_field
from sqlalchemy import Connection, select

from dragoman.store import schema
from dragoman.store.ledger.listing import COLUMNS, MOST, BadCursor, Page, page
from dragoman.store.ledger.sums import Filters, conditions
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import invalid, not_found
from dragoman.web.api.filters import Asked, within_sight
from dragoman.web.api.lists import Format, Listed, wants_csv
from dragoman.web.api.paging import LIMIT, Cursor, Limit
from dragoman.web.api.words import PathId, Shown, View
from dragoman.web.sheets import write_csv

router = APIRouter(tags=["ledger"])

CallId = Annotated[str, Path(pattern="^[0-9A-Za-z_-]{1,32}$")]


class EntryView(View):
    """One attempt of a call. Tokens that were not reported are null, money is nano-USD, null without a price.

    ``kind`` is ``final``, ``recovered`` (by estimate, after a crash) or ``reversal`` (takes a recovered one back:
    its numbers are negative). ``closes``: it ended its call.
    """

    id: int
    call_id: str
    attempt: int
    kind: str
    closes: bool
    at: Shown
    request_id: str
    user_id: int | None
    key_id: int | None
    group_id: int | None
    route: str
    provider: str
    asked_model: str
    model: str
    surface: str
    session: str
    agent: str
    parent_agent: str
    prompt: str
    status: int
    outcome: str
    failure: str
    stream: bool
    input: int | None
    cache_read: int | None
    cache_write: int | None
    output: int | None
    reasoning: int | None
    usage_source: str
    partial: bool
    cost: int | None
    price: str
    stated_cost: int | None
    milliseconds: int | None
    first_byte_milliseconds: int | None
    attempts: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def gap(self) -> int | None:
        """By how much the provider's own word on the cost exceeds ours; null unless both are known."""
        return None if self.cost is None or self.stated_cost is None else self.stated_cost - self.cost


class WholeEntryView(EntryView):
    """One attempt with everything. ``receipt`` is what translation changed; ``details`` hold bill and raw usage."""

    receipt: list[dict[str, Any]]
    details: dict[str, Any]


class ReceiptView(View):
    """What translation dropped, moved, repaired or approximated in one call, attempt by attempt."""

    call_id: str
    attempts: list[list[dict[str, Any]]]


@router.get("/entries", response_model=Listed[EntryView])
async def list_entries(
    request: Request, desk: Working, filters: Asked, limit: Limit = LIMIT, cursor: Cursor = None, format: Format = None
) -> Response:
    """Entries, newest first. CSV holds all that match, whatever the limit."""
    first = await _page(desk, filters, cursor, MOST if wants_csv(request) else limit)
    if not wants_csv(request):
        items = [_shown(row).model_dump(mode="json") for row in first.entries]
        return JSONResponse({"items": items, "next_cursor": first.cursor or None})
    headers = {"content-disposition": 'attachment; filename="entries.csv"'}
    return StreamingResponse(_lines(desk, filters, first), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/entries/{entry_id}", response_model=WholeEntryView)
async def get_entry(desk: Working, caller: Asking, entry_id: PathId) -> WholeEntryView:
    """One entry with its receipt and bill."""
    table = schema.entries
    wanted = conditions(table, within_sight(Filters(), caller))
    statement = select(table).where(table.c.id == entry_id, *wanted)

    def work(connection: Connection) -> WholeEntryView:
        row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise not_found("entry")
        return WholeEntryView(**row)

    return await desk.read(work)


@router.get("/requests/{call_id}/receipt", response_model=ReceiptView)
async def get_receipt(desk: Working, caller: Asking, call_id: CallId) -> ReceiptView:
    """What translation changed in one call."""
    table = schema.entries
    wanted = conditions(table, within_sight(Filters(call_ids=(call_id,)), caller))
    statement = select(table.c.receipt).where(*wanted, table.c.kind != "reversal").order_by(table.c.attempt, table.c.id)

    def work(connection: Connection) -> ReceiptView:
        found = list(connection.execute(statement).scalars())
        if not found:
            raise not_found("call")
        return ReceiptView(call_id=call_id, attempts=found)

    return await desk.read(work)


def _shown(row: dict[str, Any]) -> EntryView:
    return EntryView(**{name: value for name, value in row.items() if name in EntryView.model_fields})


async def _page(desk: Desk, filters: Filters, cursor: str | None, limit: int) -> Page:
    try:
        return await desk.report(lambda connection: page(connection, filters, cursor=cursor or "", limit=limit))
    except BadCursor:
        raise invalid("cursor", "is none of ours") from None


async def _lines(desk: Desk, filters: Filters, first: Page) -> AsyncIterator[str]:
    """Page by page, each in a transaction of its own, so that neither memory nor the database is held."""
    heading = True
    here = first
    while True:
        rows = [_shown(row).model_dump(mode="json") for row in here.entries]
        yield write_csv(rows, COLUMNS, heading=heading)
        heading = False
        if not here.cursor:
            return
        here = await _page(desk, filters, here.cursor, MOST)
