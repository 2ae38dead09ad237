"""Token counts of Chat: one prompt number that includes the cache, and vendors' many places for the rest.

``prompt_tokens`` includes cache reads and writes, ``completion_tokens`` includes reasoning, except
where it does not (U04). Cached tokens stand in five places (U05).

Wire: https://platform.openai.com/docs/api-reference/chat/object#chat/object-usage
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, own
from dragoman.language.ir import Json, Usage

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_CACHE_READ = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")


def read_usage(raw: Json) -> Usage | None:
    """Usage of an answer; ``None`` when nothing was reported."""
    if not isinstance(raw, dict) or not any(_count(raw, key) is not None for key in _COUNTS):
        return None
    prompt, output, total = (_count(raw, key) for key in _COUNTS)
    inside = _details(raw, "prompt_tokens_details")
    reasoning = _first((_details(raw, "completion_tokens_details"), raw), ("reasoning_tokens",))
    read = _first((inside, raw), _CACHE_READ)
    write = _first((inside, raw), _CACHE_WRITE)
    form: Fields = {}
    if prompt is not None and output is not None and total is not None:
        rest = total - prompt - output
        if rest > 0 and reasoning and rest == reasoning:  # xAI counts reasoning outside the completion
            output += reasoning
        elif rest > 0 and isinstance(raw.get("prompt_audio_seconds"), int):  # Mistral leaves audio out of the prompt
            prompt += rest
        elif rest:
            form["~unexplained"] = rest
    if reasoning is not None and output is not None and reasoning > output:
        form["~unexplained"] = reasoning - output
        reasoning = output
    extras = {NAME: {**{key: value for key, value in raw.items() if key not in _COUNTS}, **form}}
    return _disjoint(prompt, read, write, Usage(output=output, reasoning=reasoning, extras=extras))


def _disjoint(prompt: int | None, read: int | None, write: int | None, usage: Usage) -> Usage:
    """Split the prompt into its disjoint shares, none below zero; the shares always add up to it."""
    usage.cache_read, usage.cache_write = read, write
    if prompt is None:
        return usage
    if read is not None and read > prompt:
        own(usage.extras)["~unexplained"] = read - prompt
        usage.cache_read = read = prompt
    if write is not None and write > prompt - (read or 0):
        usage.cache_write = write = prompt - (read or 0)
    usage.input = prompt - (read or 0) - (write or 0)
    return usage


def _count(fields: Fields, key: str) -> int | None:
    value = fields.get(key)
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else None


def _details(raw: Fields, key: str) -> Fields:
    details = raw.get(key)
    return details if isinstance(details, dict) else {}


def _first(places: tuple[Fields, ...], keys: tuple[str, ...]) -> int | None:
    """The first number that is not zero, else the first number."""
    found = [count for fields in places for key in keys if (count := _count(fields, key)) is not None]
    return next((count for count in found if count), found[0] if found else None)


def summed(reports: list[Usage]) -> Usage:
    """One report of several that each counted their own choice: prompt once, outputs added (U07)."""
    last = reports[-1]
    output = sum(report.output or 0 for report in reports)
    reasoning = _added([report.reasoning for report in reports])
    return Usage(last.input, last.cache_read, last.cache_write, output, reasoning, extras=last.extras)


def _added(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def write_usage(usage: Usage) -> Fields:
    """The usage object: the owner's other fields, true sums, and integers wherever clients look (U05)."""
    kept = {key: value for key, value in own(usage.extras).items() if key[:1] != "~"}
    output = usage.output or 0
    inside = {**_details(kept, "prompt_tokens_details"), "cached_tokens": usage.cache_read or 0}
    details = {**_details(kept, "completion_tokens_details"), "reasoning_tokens": usage.reasoning or 0}
    if usage.cache_write and not any(name in inside or name in kept for name in _CACHE_WRITE):
        inside["cache_write_tokens"] = usage.cache_write
    return {
        **kept,
        "prompt_tokens": usage.prompt,
        "completion_tokens": output,
        "total_tokens": usage.prompt + output,
        "prompt_tokens_details": inside,
        "completion_tokens_details": details,
    }
