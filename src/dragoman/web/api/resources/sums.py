"""Sums of what was used, told apart by whatever is asked: user, key, model, day, session and more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from dragoman.store.ledger.sums import FOR_EVER, By, Filters, Sum, as_row, sums
from dragoman.web.api.desk import Asking, Working
from dragoman.web.api.errors import forbidden, invalid
from dragoman.web.api.filters import Asked
from dragoman.web.api.lists import Format, csv_answer, wants_csv
from dragoman.web.api.words import QueryMoment, View, write_hour

router = APIRouter(tags=["usage"])

_TIMES = frozenset({"hour", "day"})


class SumView(View):
    """One line. Its keys stand first (``user``, ``day`` …), then these sums; money is nano-USD.

    ``unpriced`` and ``estimated`` count attempts, ``calls`` and ``failed`` calls; ``tokens`` are input, both
    kinds of cache and output together.
    """

    calls: int
    failed: int
    attempts: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    cost: int
    unpriced: int
    estimated: int
    milliseconds: int
    tokens: int


class SumLineView(SumView):
    """A line with its keys; those that were not asked for are left out."""

    user: int = 0
    key: int = 0
    group: int = 0
    route: str = ""
    model: str = ""
    provider: str = ""
    surface: str = ""
    hour: str = ""
    day: str = ""
    session: str = ""
    agent: str = ""
    parent_agent: str = ""
    prompt: str = ""


class SumsView(View):
    """A report. ``truncated``: there are more lines than ``limit``; ``total`` is of all of them."""

    by: list[By]
    items: list[SumLineView]
    total: SumView
    truncated: bool


ByQuery = Annotated[list[By], Query(max_length=4, description="Keys of the lines; times ascend, else dearest first.")]


@router.get("/sums", response_model=SumsView)
async def get_sums(
    request: Request,
    desk: Working,
    filters: Asked,
    by: ByQuery = [],  # noqa: B006 - copied by the framework
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    format: Format = None,
) -> Response:
    """Sums of calls, tokens, cost and time. CSV holds all lines, whatever the limit."""
    if len(set(by)) < len(by):
        raise invalid("by", "names a key twice")
    lines = await desk.report(lambda connection: sums(connection, by, filters))
    if wants_csv(request):
        return csv_answer([_row(line, by) for line in lines], [*by, *SumView.model_fields], "usage")
    rows = [_row(line, by) for line in lines[:limit]]
    total = as_row(_added(lines), ())
    return JSONResponse({"by": by, "items": rows, "total": total, "truncated": len(lines) > limit})


class OwnUsageView(View):
    """What the caller used: everything, and by model."""

    total: SumView
    by_model: list[SumLineView]


@router.get("/whoami/usage", response_model=OwnUsageView)
async def own_usage(desk: Working, caller: Asking, since: QueryMoment = None, until: QueryMoment = None) -> Response:
    """What the caller used, whatever the role."""
    if caller.user_id is None:
        raise forbidden("this credential is no user's", "not_a_user")
    last = FOR_EVER if until is None else until
    mine = Filters(since=0 if since is None else since, until=last, users=(caller.user_id,))
    lines = await desk.report(lambda connection: sums(connection, ("model",), mine))
    return JSONResponse({"total": as_row(_added(lines), ()), "by_model": [_row(line, ("model",)) for line in lines]})


def _row(line: Sum, by: Any) -> dict[str, Any]:
    row = as_row(line, by)
    return {name: write_hour(value) if name in _TIMES else value for name, value in row.items()}


def _added(lines: list[Sum]) -> Sum:
    names = [name for name in SumView.model_fields if name != "tokens"]
    return Sum((), **{name: sum(getattr(line, name) for line in lines) for name in names})
