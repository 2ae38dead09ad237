"""Which surfaces a caller may use: a rule names a surface of ``web.surfaces``, or one that it belongs to.

It must not know models.
"""

from __future__ import annotations

from dragoman.language.failures import Failure
from dragoman.store.accounts.model import Caller
from dragoman.store.accounts.rules import matches
from dragoman.web.surfaces import COMPACTION, GEMINI, RESPONDING, Surface

BELONGS_TO = {
    "count_tokens": "messages",
    "gemini_count": GEMINI,
    "input_tokens": RESPONDING,
    COMPACTION: RESPONDING,
    "azure_chat": "chat",
    "azure_completions": "completions",
}
"""Whoever may use the second may use the first."""

_LISTS = frozenset({"models", "model", "cursor_models"})
"""Operations that tell names and cost nothing."""


def surface_refusal(caller: Caller, surface: Surface) -> Failure | None:
    """Why the caller may not use the surface, or None."""
    if surface.open or surface.operation in _LISTS:
        return None
    names = (surface.name, BELONGS_TO.get(surface.name, surface.name))
    for scope in caller.scopes:
        rules = scope.rules.surfaces
        if rules and not any(matches(rule, name) for rule in rules for name in names):
            return Failure("permission", f"this key may not use {surface.name} here", code="insufficient_permissions")
    return None
