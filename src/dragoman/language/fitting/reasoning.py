"""How much to think, from any client's words to any target's (R15).

Clients say an effort, a token budget, or only that they want thoughts; targets are told in one of
the ways ``Profile.reasoning`` lists. An unsupported effort goes to the nearest lower one that still
thinks, else to the nearest higher. This module must not know any wire's fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Reasoning as Thought
from dragoman.language.ir import ReasoningMode, ReasoningSetting, ToolCall
from dragoman.language.profiles import EFFORTS

BUDGETS: dict[str, int] = {
    "minimal": 1024,
    "low": 4096,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32000,
    "max": 64000,
}
"""Thinking tokens an effort stands for where a target counts tokens, and the other way about."""


_OPENAI = frozenset({"openai_chat", "openai_responses"})


@dataclass(slots=True)
class _Wish:
    """What the client wants. ``mode`` is ``None`` when it says nothing about whether to think."""

    mode: ReasoningMode | None
    effort: str | None
    budget: int | None
    summary: str | None


def fit_reasoning(draft: Draft) -> None:
    """Replace the reasoning setting by one the target can be told."""
    setting = draft.source.reasoning
    if setting is None:
        return
    wish = _read_wish(setting, draft)
    draft.request.reasoning = _FITTERS[draft.profile.reasoning](draft, wish)


def fit_tools_with_reasoning(draft: Draft) -> None:
    """Where function tools are refused while the model thinks, it thinks not, and the receipt says so (R14)."""
    if draft.profile.tools_with_reasoning or draft.profile.dialect != "openai_chat" or not draft.request.tools:
        return
    setting = draft.request.reasoning
    if setting is None or setting.effort != "none":
        switch_off(draft, "this surface refuses function tools while the model thinks")


def fit_signed_turn(draft: Draft) -> None:
    """Claude with a thinking budget refuses a tool turn that does not begin with its own thought (T03).

    Adaptive thinking has no such demand:
    https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
    """
    profile = draft.profile
    if profile.dialect != "anthropic" or profile.reasoning != "budget" or not thinks(draft.request.reasoning):
        return
    calls = False
    first = None
    for message in reversed(draft.request.messages):
        if message.role == "assistant":
            calls = calls or any(isinstance(part, ToolCall) for part in message.parts)
            first = message.parts[0] if message.parts else first
        elif first is not None:
            break
    if calls and not isinstance(first, Thought):
        switch_off(draft, "the last tool turn has no thought that Claude signed")


def thinks(setting: ReasoningSetting | None) -> bool:
    """Whether a fitted setting switches thinking on."""
    return setting is not None and setting.mode in ("on", "adaptive")


def may_think(draft: Draft) -> bool:
    """Whether the target will think, or may because nobody told it not to."""
    setting = draft.request.reasoning
    if setting is None:
        return draft.profile.reasoning == "thinking_switch" or draft.profile.always_thinks
    return thinks(setting) or draft.profile.always_thinks


def switch_off(draft: Draft, why: str) -> None:
    """Switch thinking off for this call, noted."""
    draft.receipt.note("reasoning", "dropped", f"thinking is off for this call: {why}")
    effort = "none" if "none" in draft.profile.efforts else None
    draft.request.reasoning = ReasoningSetting("off", effort=effort)


def nearest_effort(effort: str, known: tuple[str, ...]) -> str | None:
    """The word to say instead: itself, the nearest lower one that still thinks, the nearest higher one.

    ``None`` when the word is not one of EFFORTS or the target knows none.
    """
    if effort in known:
        return effort
    if effort not in EFFORTS or not known:
        return None
    rank = EFFORTS.index(effort)
    lower = [word for word in EFFORTS[1:rank] if word in known]
    higher = [word for word in EFFORTS[rank + 1 :] if word in known]
    return lower[-1] if lower else higher[0] if higher else None


def _read_wish(setting: ReasoningSetting, draft: Draft) -> _Wish:
    mode, effort, budget = setting.mode, setting.effort, setting.budget
    anthropic = draft.source.dialect == "anthropic"
    if anthropic and mode is None and effort:
        # There an effort alone governs how much is said, not whether to think.
        draft.receipt.note("reasoning.effort", "dropped", "thinking was not asked for")
        return _Wish(None, None, None, None)
    if budget is not None and budget < 0:  # Gemini's word for "as much as you see fit"
        mode, budget = mode or "adaptive", None
    if effort == "none" or (budget == 0 and mode is None):
        mode = "off"
    elif mode is None and (effort or budget):
        mode = "on"
    summary = setting.summary
    if summary is None and mode in ("on", "adaptive") and anthropic:
        summary = "auto"  # this wire shows thoughts whenever thinking is on, without a wish for them
    return _Wish(mode, effort, budget, summary)


def _effort_of(draft: Draft, wish: _Wish) -> str | None:
    """The client's effort in a word the target knows; a budget becomes a word, noted."""
    word = wish.effort
    if word is None and draft.source.dialect == "anthropic" and draft.profile.dialect in _OPENAI:
        word = "medium" if draft.profile.reasoning == "effort" else None  # whatever the budget
    elif word is None and wish.budget:
        word = next((name for name, tokens in BUDGETS.items() if wish.budget <= tokens), "max")
    if word is None:
        return None
    said = nearest_effort(word, draft.profile.efforts)
    if said is None:
        draft.receipt.note("reasoning.effort", "dropped", f"the target does not know the effort {word}")
    elif wish.effort is None and wish.budget:
        draft.receipt.note("reasoning.budget", "approximated", f"{wish.budget} tokens became effort {said}")
    elif said != word:
        draft.receipt.note("reasoning.effort", "approximated", f"effort {word} became {said}")
    return said


def _fit_effort(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    profile = draft.profile
    if wish.mode == "off":
        return _effort_off(draft, wish)
    summary = wish.summary
    if summary and profile.dialect == "openai_chat":
        if draft.source.dialect == "openai_responses":
            draft.receipt.note("reasoning.summary", "dropped", "the target has no such wish")
        summary = None
    if wish.mode is None:
        return ReasoningSetting(summary=summary) if summary else None
    return ReasoningSetting("on", effort=_effort_of(draft, wish), summary=summary)


def _effort_off(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    if draft.source.dialect == "anthropic":
        # Claude Code says an effort even when it switches thinking off; absent is how it is said elsewhere.
        if wish.effort and wish.effort != "none":
            draft.receipt.note("reasoning.effort", "dropped", "thinking is off")
        return None
    said = nearest_effort("none", draft.profile.efforts)
    if said == "none":
        return ReasoningSetting("off", effort="none")
    draft.receipt.note("reasoning", "approximated", "the target cannot stop thinking")
    return ReasoningSetting("on", effort=said) if said else None


def _fit_budget(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    profile, note = draft.profile, draft.receipt.note
    low, high = profile.budget_range
    if wish.mode == "off":
        if not profile.always_thinks:
            return ReasoningSetting("off")
        note("reasoning", "approximated", f"the target cannot stop thinking; it gets {low} tokens")
        return ReasoningSetting("on", budget=low)
    if wish.mode is None:
        return _only_summary(draft, wish)
    if wish.budget is None and wish.effort is None and profile.dialect == "gemini":
        return ReasoningSetting("adaptive", summary=wish.summary)
    if wish.budget and wish.budget > 0:
        budget = min(max(wish.budget, low), high)
        if budget != wish.budget:
            note("reasoning.budget", "approximated", f"{wish.budget} tokens became {budget}")
    else:
        budget = min(max(BUDGETS.get(wish.effort or "medium", BUDGETS["medium"]), low), high)
        note("reasoning.effort", "approximated", f"effort {wish.effort or 'medium'} became {budget} tokens")
    return ReasoningSetting("on", budget=budget, summary=wish.summary)


def _fit_adaptive(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    if wish.mode == "off":
        if not draft.profile.always_thinks:
            return ReasoningSetting("off")
        weakest = draft.profile.efforts[0]
        draft.receipt.note("reasoning", "approximated", f"the target cannot stop thinking; it gets effort {weakest}")
        return ReasoningSetting("adaptive", effort=weakest)
    if wish.mode is None:
        return _only_summary(draft, wish)
    return ReasoningSetting("adaptive", effort=_effort_of(draft, wish), summary=wish.summary)


def _fit_switch(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    if wish.mode == "off":
        return ReasoningSetting("off")
    if wish.mode is None:
        return _only_summary(draft, wish)
    if draft.profile.efforts:
        return ReasoningSetting("on", effort=_effort_of(draft, wish))
    for name in ("effort", "budget"):
        if getattr(wish, name):
            draft.receipt.note(f"reasoning.{name}", "dropped", "the target only knows thinking on and off")
    return ReasoningSetting("on")


def _fit_none(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    if wish.mode in ("on", "adaptive"):
        draft.receipt.note("reasoning", "dropped", "the target does not think on demand")
    elif wish.mode is None:
        _only_summary(draft, wish)
    return None


def _only_summary(draft: Draft, wish: _Wish) -> ReasoningSetting | None:
    """The client wants to see thoughts if there are any, and does not ask for thinking."""
    if wish.summary and draft.profile.dialect == "gemini" and draft.profile.reasoning != "none":
        return ReasoningSetting(summary=wish.summary)
    if wish.summary:
        draft.receipt.note("reasoning.summary", "dropped", "the target has no such wish")
    return None


_FITTERS = {
    "none": _fit_none,
    "effort": _fit_effort,
    "budget": _fit_budget,
    "adaptive": _fit_adaptive,
    "thinking_switch": _fit_switch,
}
