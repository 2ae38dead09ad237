"""What of the ledger is asked for, cut down to what the caller may see (SR4).

It must not know how it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from pydantic import AfterValidator

from dragoman.store.accounts.model import Caller
from dragoman.store.ledger.sums import FOR_EVER, Filters
from dragoman.web.api.desk import caller_of
from dragoman.web.api.permissions import Sight, sight_of
from dragoman.web.api.words import LARGEST, QueryMoment, clean

_NOBODY = (-1,)
"""No id: an empty list would mean everybody's."""

_MOST = 100


def _clean_all(texts: list[str]) -> list[str]:
    return [clean(text) for text in texts]


Ids = Annotated[list[Annotated[int, Query(ge=0, le=LARGEST)]], Query(max_length=_MOST)]
Texts = Annotated[list[str], Query(max_length=_MOST), AfterValidator(_clean_all)]
Outcomes = Annotated[list[Literal["answered", "failed", "refused", "left"]], Query(max_length=_MOST)]


def asked_filters(
    request: Request,
    since: QueryMoment = None,
    until: QueryMoment = None,
    user: Ids = [],  # noqa: B006 - copied by the framework
    key: Ids = [],  # noqa: B006
    group: Ids = [],  # noqa: B006
    route: Texts = [],  # noqa: B006
    model: Texts = [],  # noqa: B006
    provider: Texts = [],  # noqa: B006
    surface: Texts = [],  # noqa: B006
    session: Texts = [],  # noqa: B006
    agent: Texts = [],  # noqa: B006
    parent_agent: Texts = [],  # noqa: B006
    prompt: Texts = [],  # noqa: B006
    outcome: Outcomes = [],  # noqa: B006
    request_id: Texts = [],  # noqa: B006
) -> Filters:
    """Filters of the query, within the caller's sight. Ids of 0 stand for nobody; each may be given several times."""
    asked = Filters(
        since=0 if since is None else since,
        until=FOR_EVER if until is None else until,
        users=user,
        keys=key,
        groups=group,
        routes=route,
        models=model,
        providers=provider,
        surfaces=surface,
        sessions=session,
        agents=agent,
        parent_agents=parent_agent,
        prompts=prompt,
        outcomes=outcome,
        request_ids=request_id,
    )
    return within_sight(asked, caller_of(request))


Asked = Annotated[Filters, Depends(asked_filters)]


def within_sight(asked: Filters, caller: Caller) -> Filters:
    """The same, but only of what the caller may see: a manager the own group's, a user the own."""
    sight: Sight = sight_of(caller)
    if sight.everything:
        return asked
    if sight.group_id is not None:
        return replace(asked, groups=_only(asked.groups, sight.group_id))
    return replace(asked, users=_only(asked.users, sight.user_id))


def _only(asked: Sequence[int], mine: int | None) -> Sequence[int]:
    if mine is None or (asked and mine not in asked):
        return _NOBODY
    return (mine,)
