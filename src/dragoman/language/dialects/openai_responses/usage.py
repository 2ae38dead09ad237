"""Token counts of the Responses wire. This module must not know items.

On the wire ``input_tokens`` holds the cached and the newly cached tokens, ``output_tokens`` the
reasoning; both have detail objects that strict clients demand (U05).

Wire: https://platform.openai.com/docs/api-reference/responses/object#responses-object-usage
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.fields import NAME, Object, own, plain
from dragoman.language.ir import Json, Usage

_INPUT = "input_tokens_details"
_OUTPUT = "output_tokens_details"
_TOTALS = ("input_tokens", "output_tokens", "total_tokens")


def read_usage(wire: Object) -> Usage:
    """Read a usage object. Shares are clamped at zero; numbers that do not add up are kept in the form (U04)."""
    rest = dict(wire)
    form: Object = {"~keys": [name for name in (*_TOTALS, _INPUT, _OUTPUT) if name in wire]}
    read, said_in = _details(rest.pop(_INPUT, None), ("cached_tokens", "cache_write_tokens"), form, _INPUT)
    thought, said_out = _details(rest.pop(_OUTPUT, None), ("reasoning_tokens",), form, _OUTPUT)
    prompt, answer, total = (_count(rest.pop(name, None)) for name in _TOTALS)
    cached, stored, reasoning = read[0], read[1], thought[0]
    if answer is not None and reasoning and total == (prompt or 0) + answer + reasoning:
        answer += reasoning  # some providers count reasoning beside the output
    usage = Usage(
        input=None if prompt is None else max(0, prompt - (cached or 0) - (stored or 0)),
        cache_read=cached,
        cache_write=stored,
        output=answer,
        reasoning=reasoning,
    )
    if any(name in wire and wire[name] != _number(usage, name) for name in _TOTALS):
        form["~numbers"] = {name: wire[name] for name in _TOTALS if name in wire}
    usage.extras = {NAME: {**form, **said_in, **said_out, **rest}}
    return usage


def _details(wire: Json, names: tuple[str, ...], form: Object, key: str) -> tuple[list[int | None], Object]:
    if not isinstance(wire, dict):
        form[f"~{key}"] = wire
        return [None] * len(names), {}
    rest = dict(wire)
    form[f"~{key}"] = [name for name in names if name in rest]
    counts = [_count(rest.pop(name, None)) for name in names]
    return counts, {key: rest} if rest else {}


def _count(value: Json) -> int | None:
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _number(usage: Usage, name: str) -> int:
    output = usage.output or 0
    return {"input_tokens": usage.prompt, "output_tokens": output, "total_tokens": usage.prompt + output}[name]


def is_known(usage: Usage) -> bool:
    """Whether anything was reported."""
    return usage.input is not None or usage.output is not None


def write_usage(usage: Usage, complete: bool) -> Object:
    """Write a usage object: as the owner spelt it, or ``complete`` as strict clients want it."""
    fields = own(usage.extras)
    numbers = {name: _number(usage, name) for name in _TOTALS}
    inputs: Object = {"cached_tokens": usage.cache_read or 0, "cache_write_tokens": usage.cache_write or 0}
    outputs: Object = {"reasoning_tokens": usage.reasoning or 0}
    keys = fields.get("~keys")
    if complete or keys is None:
        written: Object = {**numbers, _INPUT: inputs, _OUTPUT: outputs}
    else:
        numbers |= fields.get("~numbers", {})
        written = {name: numbers[name] for name in _TOTALS if name in keys}
        for key, counts in ((_INPUT, inputs), (_OUTPUT, outputs)):
            if key in keys:
                written[key] = _as_named(fields.get(f"~{key}"), counts)
    for name, value in plain(usage.extras).items():
        base = written.get(name) if name in (_INPUT, _OUTPUT) else None
        written[name] = {**base, **value} if isinstance(base, dict) and isinstance(value, dict) else value
    return written


def _as_named(said: Json, counts: Object) -> Json:
    """The counts an owner's detail object named, or what stood in its place."""
    if not isinstance(said, list):
        return said
    return {name: counts[name] for name in said if isinstance(name, str) and name in counts}
