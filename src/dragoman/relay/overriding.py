"""What a route says over the client's own words: the effort and the length of the answer.

It must not know wires.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.reasoning import fit_reasoning
from dragoman.language.ir import ReasoningSetting, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.upstream.plans import Overriding


def overridden(request: Request, overriding: Overriding, profile: Profile, receipt: Receipt) -> Request:
    """The request as the route wants it; the same one when it already is."""
    wanted = _with_effort(_with_limit(request, overriding, receipt), overriding, receipt)
    if wanted.reasoning is not request.reasoning and request.dialect == profile.dialect:
        # Between two dialects fitting comes later; within one nobody else looks.
        draft = Draft(wanted, profile, receipt)
        fit_reasoning(draft)
        return draft.request
    return wanted


def _with_limit(request: Request, overriding: Overriding, receipt: Receipt) -> Request:
    limit, given = overriding.max_output, request.sampling.max_tokens
    if limit is None or (given is not None and given <= limit):
        return request
    if given is not None:
        receipt.note("max_tokens", "approximated", f"the route's limit is {limit}")
    return replace(request, sampling=replace(request.sampling, max_tokens=limit))


def _with_effort(request: Request, overriding: Overriding, receipt: Receipt) -> Request:
    """A client that wants no thoughts gets none: it may rely on that, by forcing a tool for example."""
    effort, given = overriding.effort, request.reasoning
    if not effort or (given is not None and (given.mode == "off" or given.effort == effort)):
        return request
    if given is not None and (given.effort or given.budget is not None):
        receipt.note("reasoning", "approximated", f"the route asks for effort {effort}")
    summary = given.summary if given is not None else None
    if effort == "none":
        return replace(request, reasoning=ReasoningSetting("off", summary=summary))
    return replace(request, reasoning=ReasoningSetting("on", effort=effort, summary=summary))
