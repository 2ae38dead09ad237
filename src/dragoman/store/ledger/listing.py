"""Entries one by one: the log of calls, page by page. It must not know how they are shown."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from dragoman.store.ledger.sums import FOR_EVER, Filters, conditions
from dragoman.store.schema import entries

MOST = 500
"""Entries of one page."""

COLUMNS = tuple(column.name for column in entries.c if column.name not in ("receipt", "details"))
"""What a row of a spreadsheet has."""


class BadCursor(ValueError):
    """The text is no cursor of ours."""


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, the newest first; ``cursor`` asks for the next page, empty when there is none."""

    entries: list[dict[str, Any]]
    cursor: str = ""


def page(connection: Connection, filters: Filters | None = None, *, cursor: str = "", limit: int = 100) -> Page:
    """One page of entries. Raises BadCursor."""
    filters = filters or Filters()
    limit = max(1, min(limit, MOST))
    table = entries.c
    query = select(entries).where(*conditions(entries, filters))
    if filters.since > 0:
        query = query.where(table.at >= filters.since)
    if filters.until < FOR_EVER:
        query = query.where(table.at < filters.until)
    if cursor:
        at, number = _read_cursor(cursor)
        query = query.where(or_(table.at < at, and_(table.at == at, table.id < number)))
    query = query.order_by(table.at.desc(), table.id.desc()).limit(limit + 1)
    found = [dict(row) for row in connection.execute(query).mappings()]
    if len(found) <= limit:
        return Page(found)
    last = found[limit - 1]
    return Page(found[:limit], _write_cursor(last["at"], last["id"]))


def _write_cursor(at: int, number: int) -> str:
    return base64.urlsafe_b64encode(f"{at}:{number}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, int]:
    try:
        if len(cursor) > 64:
            raise ValueError
        at, _, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        found = int(at), int(number)
        if max(map(abs, found)) >= 2**63:
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise BadCursor("not a cursor of ours") from error
    return found
