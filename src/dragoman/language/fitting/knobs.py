"""Sampling knobs and limits, as far as the target takes them (R13, R21).

What a target refuses is dropped, what is out of range clamped, both noted; several answers where
only one is given are refused; stop sequences a target does not take are cut by the gateway itself
(``fitting.stops``). This module must not know any wire's fields.
"""

from __future__ import annotations

import hashlib
from copy import copy

from dragoman.language.failures import Refused
from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.reasoning import thinks
from dragoman.language.ir import Sampling

_PLAIN_KNOBS = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
)


def fit_sampling(draft: Draft) -> None:
    """Fit every knob; reasoning has been fitted before."""
    sampling = copy(draft.source.sampling)
    draft.request.sampling = sampling
    for name in _PLAIN_KNOBS:
        if getattr(sampling, name) is not None and name not in draft.profile.sampling:
            draft.receipt.note(name, "dropped", "the target does not take it")
            setattr(sampling, name, None)
    _fit_n(draft, sampling)
    _fit_beside_thinking(draft, sampling)
    _fit_temperature(draft, sampling)
    _fit_max_tokens(draft, sampling)
    if sampling.stop:
        _fit_stop(draft, sampling)


def fit_user(draft: Draft) -> None:
    """The end user's id and the cache key, each where the target has a place for it (R20).

    Anthropic's ``metadata.user_id`` names a session, so it becomes the cache key where one is taken
    and the client gave none.
    """
    request, profile, note = draft.request, draft.profile, draft.receipt.note
    if request.user and draft.source.dialect == "anthropic" and profile.cache_key:
        if request.cache_key:
            note("user", "dropped", "the request has a cache key of its own")
        else:
            request.cache_key = request.user
            note("user", "moved", "serves as the prompt cache key")
        request.user = ""
    if request.user and not profile.user_limit:
        note("user", "dropped", "the target has no place for an end user's id")
        request.user = ""
    elif len(request.user) > profile.user_limit:
        note("user", "approximated", f"longer than {profile.user_limit} characters, so its SHA-256 goes out")
        request.user = _digest(request.user)
    if request.cache_key and not profile.cache_key:
        note("cache_key", "dropped", "the target takes no prompt cache key")
        request.cache_key = ""
    elif len(request.cache_key) > 64:
        note("cache_key", "approximated", "longer than 64 characters, so its SHA-256 goes out")
        request.cache_key = _digest(request.cache_key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _fit_n(draft: Draft, sampling: Sampling) -> None:
    if sampling.n is None:
        return
    many = draft.profile.many_choices and "n" in draft.profile.sampling
    if sampling.n > 1 and not many:
        raise Refused("n", f"the target gives one answer, not {sampling.n}")
    if not many:
        draft.receipt.note("n", "dropped", "one answer is what the target gives anyway")
        sampling.n = None


def _fit_temperature(draft: Draft, sampling: Sampling) -> None:
    if sampling.temperature is None:
        return
    fitted = min(max(sampling.temperature, 0.0), draft.profile.temperature_max)
    if fitted != sampling.temperature:
        draft.receipt.note("temperature", "approximated", f"{sampling.temperature} became {fitted}")
        sampling.temperature = fitted
    if sampling.top_p is not None and draft.profile.one_of_temperature_top_p:
        draft.receipt.note("top_p", "dropped", "the target takes it only without temperature")
        sampling.top_p = None


def _fit_beside_thinking(draft: Draft, sampling: Sampling) -> None:
    """https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility"""
    if not draft.profile.thinking_fixes_sampling or not thinks(draft.request.reasoning):
        return
    why = "the target refuses it while it thinks"
    if sampling.temperature is not None and sampling.temperature != 1:
        draft.receipt.note("temperature", "dropped", why)
        sampling.temperature = None
    if sampling.top_k is not None:
        draft.receipt.note("top_k", "dropped", why)
        sampling.top_k = None
    if sampling.top_p is not None and sampling.top_p < 0.95:
        draft.receipt.note("top_p", "dropped", why)
        sampling.top_p = None


def _fit_max_tokens(draft: Draft, sampling: Sampling) -> None:
    profile = draft.profile
    asked = sampling.max_tokens
    limit = profile.default_max if asked is None else max(asked, profile.min_output)
    if limit is not None and profile.max_output is not None:
        limit = min(limit, profile.max_output)
    if limit is not None and profile.dialect == "anthropic":
        limit = _above_budget(draft, limit)
    if asked is not None and limit != asked:
        draft.receipt.note("max_tokens", "approximated", f"{asked} became {limit}")
    sampling.max_tokens = limit


def _above_budget(draft: Draft, limit: int) -> int:
    """Anthropic's limit must be above the thinking budget: the budget gives way, down to its minimum."""
    setting = draft.request.reasoning
    if setting is None or setting.budget is None or setting.budget < limit:
        return limit
    smallest = draft.profile.budget_range[0]
    budget = max(smallest, limit * 3 // 4)
    if budget != setting.budget:
        why = f"{setting.budget} tokens became {budget}, below the output limit of {limit}"
        draft.receipt.note("reasoning.budget", "approximated", why)
        setting = copy(setting)
        setting.budget = budget
        draft.request.reasoning = setting
    return limit if limit > budget else budget + limit


def _fit_stop(draft: Draft, sampling: Sampling) -> None:
    profile, note = draft.profile, draft.receipt.note
    stops = [stop for stop in dict.fromkeys(sampling.stop) if stop]
    if len(stops) != len(sampling.stop):
        note("stop", "dropped", "empty and repeated stop sequences mean nothing")
    native = stops if "stop" in profile.sampling else []
    if profile.dialect == "anthropic":  # blank ones are answered with 400
        native = [stop for stop in native if stop.strip()]
    if profile.max_stops is not None:
        native = native[: profile.max_stops]
    draft.cut_stops = [stop for stop in stops if stop not in native]
    if draft.cut_stops:
        why = f"the target does not take {len(draft.cut_stops)} of them; the gateway cuts the text itself"
        note("stop", "approximated", why)
    sampling.stop = native
