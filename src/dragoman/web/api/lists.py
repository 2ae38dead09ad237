"""One way to answer every list: a page of JSON with the cursor of the next, or the page as CSV.

It must not know resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from dragoman.web.api.paging import page
from dragoman.web.sheets import write_csv

Row = TypeVar("Row")
ShownRow = TypeVar("ShownRow", bound=BaseModel)

Format = Annotated[str | None, Query(alias="format", pattern="^(json|csv)$", description="`csv` for spreadsheets.")]


class Listed(BaseModel, Generic[ShownRow]):
    """A page. ``next_cursor`` is null on the last."""

    items: list[ShownRow]
    next_cursor: str | None = None


def listed(
    request: Request,
    rows: Sequence[Row],
    limit: int,
    show: Callable[[Row], BaseModel],
    last: Callable[[Row], int | str],
    name: str,
    view: type[BaseModel],
) -> Response:
    """Answer with the page that one row more than ``limit`` of ``rows`` makes. ``view`` is what ``show`` returns."""
    shown, following = page(rows, limit, last)
    items = [show(row) for row in shown]
    if wants_csv(request):
        more = {"x_next_cursor": following} if following else {}
        return csv_answer([item.model_dump(mode="json") for item in items], list(view.model_fields), name, **more)
    body: dict[str, Any] = {"items": [item.model_dump(mode="json") for item in items], "next_cursor": following}
    return JSONResponse(body)


def wants_csv(request: Request) -> bool:
    """Whether the client asked for CSV, by ``?format=csv`` or by its ``Accept``."""
    asked = request.query_params.get("format")
    if asked is not None:
        return asked.lower() == "csv"
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    if "text/csv" not in accepted:
        return False
    return "application/json" not in accepted or accepted.index("text/csv") < accepted.index("application/json")


def csv_answer(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], name: str, **headers: str) -> Response:
    """The rows as a file; values that are lists or objects are JSON."""
    told = {"content-disposition": f'attachment; filename="{name}.csv"', "x-content-type-options": "nosniff"}
    told |= {header.replace("_", "-"): value for header, value in headers.items()}
    return Response(write_csv(rows, columns), media_type="text/csv; charset=utf-8", headers=told)
