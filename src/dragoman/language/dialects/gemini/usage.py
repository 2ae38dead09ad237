"""``usageMetadata`` and finish reasons, both ways.

``promptTokenCount`` includes what came from the cache and leaves out what hosted tools put in;
``candidatesTokenCount`` leaves out thoughts. This module must not know parts or streams.

Wire: https://ai.google.dev/api/generate-content#UsageMetadata and
https://ai.google.dev/api/generate-content#FinishReason
"""

from __future__ import annotations

from typing import TypeGuard

from dragoman.language.dialects.gemini.spelling import extras, ours, wire_fields
from dragoman.language.ir import FinishReason, Json, Usage

_COUNTS = frozenset(
    """promptTokenCount cachedContentTokenCount candidatesTokenCount thoughtsTokenCount toolUsePromptTokenCount
    totalTokenCount""".split()
)

REASON_NUMBERS = (
    "FINISH_REASON_UNSPECIFIED STOP MAX_TOKENS SAFETY RECITATION OTHER BLOCKLIST PROHIBITED_CONTENT SPII "
    "MALFORMED_FUNCTION_CALL IMAGE_SAFETY"
).split()
"""Finish reasons in the order of their numbers, where AI Studio and Vertex agree."""

_REASONS: dict[str, FinishReason] = {
    "STOP": "end",
    "MAX_TOKENS": "length",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "LANGUAGE": "refusal",
    "BLOCKLIST": "refusal",
    "PROHIBITED_CONTENT": "refusal",
    "SPII": "refusal",
    "MODEL_ARMOR": "refusal",
    "IMAGE_SAFETY": "refusal",
    "IMAGE_PROHIBITED_CONTENT": "refusal",
    "IMAGE_RECITATION": "refusal",
}
BROKEN = frozenset(
    """MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE
    MALFORMED_RESPONSE""".split()
)
"""Reasons that mean the model broke its own answer: the user is to see an error, not an empty end (V06)."""

KNOWN_REASONS = frozenset(_REASONS) | {"OTHER", "NO_IMAGE", "IMAGE_OTHER"}


def reason_word(value: Json) -> str:
    """The word for a finish reason, which may be spelt as a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return REASON_NUMBERS[value] if 0 <= value < len(REASON_NUMBERS) else str(value)
    return value if isinstance(value, str) else ""


def read_reason(word: str) -> FinishReason:
    """What a finish reason means; words nobody knows stay unknown."""
    return _REASONS.get(word, "unknown")


def write_reason(reason: FinishReason, raw: str) -> str:
    """The word for a reason: the owner's own where it is one of Gemini's."""
    if raw in KNOWN_REASONS and read_reason(raw) == reason:
        return raw
    return {"length": "MAX_TOKENS", "refusal": "SAFETY"}.get(reason, "STOP")


def read_counts(wire: dict[str, Json]) -> Usage:
    """The numbers alone. What is missing is unreported, not zero (U03)."""

    def get(name: str) -> int | None:
        value = wire.get(name)
        return value if _is_count(value) else None

    prompt, cached, tools = get("promptTokenCount"), get("cachedContentTokenCount"), get("toolUsePromptTokenCount")
    said, thought = get("candidatesTokenCount"), get("thoughtsTokenCount")
    fresh = None
    if prompt is not None or tools is not None:
        fresh = max(0, (prompt or 0) + (tools or 0) - (cached or 0))
    output = None
    if said is not None or thought is not None:
        output = (said or 0) + (thought or 0)
    return Usage(fresh, cached, None, output, thought)


def read_usage(wire: dict[str, Json]) -> Usage:
    """The numbers with their wire form, so that the same report can be written again."""
    wire = {key: value for key, value in wire.items() if key not in _COUNTS or _is_count(value)}
    usage = read_counts(wire)
    fields = {key: value for key, value in wire.items() if key not in _COUNTS}
    fields["~counts"] = {key: wire[key] for key in wire if key in _COUNTS}
    usage.extras = extras(fields)
    return usage


def _is_count(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def write_usage(usage: Usage) -> dict[str, Json]:
    """Spell a report. Counts that came from this wire and still hold are written as they came."""
    fields = ours(usage.extras)
    spelt = fields.get("~counts")
    if spelt is not None and _same(usage, read_counts(spelt)):
        return {**spelt, **wire_fields(fields)}
    written: dict[str, Json] = {}
    # Nothing reported is nothing written: a zero would be a statement.
    if usage.input is not None or usage.cache_read is not None:
        written["promptTokenCount"] = usage.prompt
    if usage.cache_read is not None:
        written["cachedContentTokenCount"] = usage.cache_read
    reasoning = min(usage.reasoning or 0, usage.output or 0)
    if usage.output is not None:
        written["candidatesTokenCount"] = usage.output - reasoning
        if usage.reasoning is not None:
            written["thoughtsTokenCount"] = reasoning
    if written:
        written["totalTokenCount"] = usage.prompt + (usage.output or 0)
    return {**written, **wire_fields(fields)}


def _same(one: Usage, other: Usage) -> bool:
    return (one.input, one.cache_read, one.output, one.reasoning) == (
        other.input,
        other.cache_read,
        other.output,
        other.reasoning,
    )
