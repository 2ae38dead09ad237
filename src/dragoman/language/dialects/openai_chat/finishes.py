"""Why an answer ended: Chat's words and what vendors say instead (S14, S17, S18, S19).

This module knows the choice's own fields only, not whether they came whole or in a stream.
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.fields import Fields, packed
from dragoman.language.ir import Finish, FinishReason, Json, Part, Refusal, ToolCall

_REASONS: dict[str, FinishReason] = {
    "stop": "end",
    "end_turn": "end",
    "eos": "end",
    "eos_token": "end",
    "completed": "end",
    "complete": "end",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "max_output_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refusal",
    "refusal": "refusal",
    "safety": "refusal",
    "sensitive": "refusal",
    "stop_sequence": "stop_sequence",
}
_WORDS: dict[FinishReason, str] = {
    "end": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "stop_sequence": "stop",
    "refusal": "content_filter",
    "pause": "stop",
    "unknown": "stop",
}


def read_finish(said: Json, kept: Fields, parts: list[Part]) -> Finish:
    """The end of one choice from its reason (``""`` and null mean none was given) and its other fields."""
    word = said if isinstance(said, str) else ""
    reason: FinishReason = _REASONS.get(word.lower(), "unknown") if word else "end"
    calls = any(isinstance(part, ToolCall) for part in parts)
    if calls and reason in ("end", "unknown"):
        reason = "tool_calls"
    if reason == "end" and any(isinstance(part, Refusal) for part in parts):
        reason = "refusal"
    sequence = None
    for name in ("stop_reason", "matched_stop"):
        # vLLM and SGLang name the string that matched; a number is a token id and names nothing (S19).
        if reason == "end" and isinstance(kept.get(name), str) and kept[name]:
            reason, sequence = "stop_sequence", kept[name]
    known = word == _WORDS[reason] or word == ""
    return Finish(reason, sequence, "" if known else word, packed(kept))


def write_finish(finish: Finish, native: bool, legacy: bool = False) -> str:
    """Chat's word. ``native``: Chat's own raw word may stand. ``legacy``: the call was a ``function_call``.

    Only words the official clients know leave here; a vendor's own stays in ``native_finish_reason``.
    """
    if finish.reason == "tool_calls":
        return "function_call" if legacy else "tool_calls"
    if native and finish.raw in _WORDS.values():
        return finish.raw
    return _WORDS[finish.reason]
