"""Settings within one dialect, when a route puts another family in the place of the model that was asked for.

A client words its thinking and its knobs for the model it named. Where that name stands for a target of
another family the target would refuse them, and the client cannot know (R13, R15). A client that named
the target itself is left to its own words. This module must not know any wire.
"""

from __future__ import annotations

from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.knobs import fit_sampling
from dragoman.language.fitting.reasoning import fit_reasoning
from dragoman.language.ir import Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile

_WORDED_FOR_A_MODEL = frozenset({"anthropic", "openai_chat"})


def suit_settings(request: Request, model: str, profile: Profile, receipt: Receipt) -> Request:
    """The request in the target's terms; the same object when nothing is to be changed. ``model`` is the target's."""
    if not _stands_in(request.model, model, profile):
        return request
    draft = Draft(request, profile, receipt)
    setting = request.reasoning
    if setting is not None and setting.mode is not None:
        fit_reasoning(draft)
    kept = request.sampling.max_tokens is None
    fit_sampling(draft)
    draft.request.sampling.stop = request.sampling.stop  # cut by nobody within one dialect
    if kept:
        draft.request.sampling.max_tokens = None
    same = draft.request.sampling == request.sampling and _says_the_same(draft.request, request)
    return request if same else draft.request


def _stands_in(asked: str, model: str, profile: Profile) -> bool:
    """Whether the target is of another known family than the name the client used."""
    if profile.dialect not in _WORDED_FOR_A_MODEL or profile.family == "other" or asked.endswith(model):
        return False
    return find_profile(profile.dialect, asked).family not in ("other", "claude-other", profile.family)


def _says_the_same(new: Request, old: Request) -> bool:
    if new.reasoning is None or old.reasoning is None:
        return new.reasoning is old.reasoning
    return all(getattr(new.reasoning, name) == getattr(old.reasoning, name) for name in ("mode", "effort", "budget"))
