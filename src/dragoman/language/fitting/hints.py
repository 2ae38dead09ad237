"""Cache hints where the target marks its prefixes in another way (T15).

Anthropic's ``cache_control`` on a text becomes a breakpoint of OpenAI's newest families, which know one
lifetime only. The breakpoint they set themselves at the end of a request stays as it is. This module
must not know any wire beyond the two names.

https://platform.openai.com/docs/guides/prompt-caching
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.fitting.draft import GONE, Draft
from dragoman.language.ir import Message, Part, Text

BREAKPOINT = "prompt_cache_breakpoint"


def fit_hints(draft: Draft) -> None:
    """Put a breakpoint behind every hinted text of a user or of the system."""
    if not draft.profile.cache_breakpoints:
        return
    messages = draft.request.messages
    fitted = [_marked(message, draft.profile.dialect) for message in messages]
    if any(new is not old for new, old in zip(fitted, messages, strict=True)):
        draft.request.messages = fitted
        draft.receipt.note("cache_control", "approximated", "hints on texts became breakpoints without a lifetime")


def _marked(message: Message, dialect: str) -> Message:
    if message.role not in ("user", "system") or not any(map(_hinted, message.parts)):
        return message
    return replace(message, parts=[_with_breakpoint(part, dialect) for part in message.parts])


def _hinted(part: Part) -> bool:
    return isinstance(part, Text) and part is not GONE and bool(part.extras.get("anthropic", {}).get("cache_control"))


def _with_breakpoint(part: Part, dialect: str) -> Part:
    if not _hinted(part):
        return part
    fields = {**part.extras.get(dialect, {}), BREAKPOINT: {"mode": "explicit"}}
    return replace(part, extras={**part.extras, dialect: fields})
