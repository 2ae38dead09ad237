"""Attempts and their ends as rows of the tables, as JSON, and back. It must not know statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from dragoman.language.wire import encode
from dragoman.store.ledger.model import Attempted, Final, Step, Tokens, Who

Row = dict[str, Any]

LARGEST = 1024 * 1024
"""Bytes of receipt and details of one entry; more is no entry of ours."""

_NEGATED = ("input", "cache_read", "cache_write", "output", "reasoning", "cost", "stated_cost", "milliseconds")
_BORN = frozenset(field.name for field in fields(Attempted)) - {"who"}
_ENDED = frozenset(field.name for field in fields(Final)) - {"attempted", "tokens"}
_WHO = frozenset(field.name for field in fields(Who))
_TOKENS = frozenset(field.name for field in fields(Tokens))


class Unbookable(ValueError):
    """A row that no database should hold."""


def intent_row(attempted: Attempted, replica: str) -> Row:
    """The row of an open attempt."""
    return {
        "call_id": attempted.call_id,
        "attempt": attempted.attempt,
        "replica": replica,
        "at": attempted.at,
        "facts": attempted_data(attempted),
        "output_so_far": 0,
    }


def final_row(final: Final) -> Row:
    """The row of an attempt that ended. Raises Unbookable."""
    attempted, who, tokens = final.attempted, final.attempted.who, final.tokens
    if final.receipt or final.details:
        _check_size(final)
    return {
        "call_id": attempted.call_id,
        "attempt": attempted.attempt,
        "kind": "final",
        "closes": final.closes,
        "at": attempted.at,
        "request_id": attempted.request_id,
        "user_id": who.user_id,
        "key_id": who.key_id,
        "group_id": who.group_id,
        "route": attempted.route,
        "provider": attempted.provider,
        "asked_model": attempted.asked_model,
        "model": attempted.model,
        "surface": attempted.surface,
        "session": who.session,
        "agent": who.agent,
        "parent_agent": who.parent_agent,
        "prompt": who.prompt,
        "status": final.status,
        "outcome": final.outcome,
        "failure": final.failure,
        "stream": attempted.stream,
        "input": tokens.input,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
        "output": tokens.output,
        "reasoning": tokens.reasoning,
        "usage_source": final.source,
        "partial": final.partial,
        "cost": final.cost,
        "price": final.price or attempted.price,
        "stated_cost": final.stated_cost,
        "milliseconds": final.milliseconds,
        "first_byte_milliseconds": final.first_byte_milliseconds,
        "attempts": final.attempts,
        "receipt": final.receipt,
        "details": final.details,
    }


def _check_size(final: Final) -> None:
    size = len(encode(final.receipt)) + len(encode(final.details))
    if size > LARGEST:
        raise Unbookable(f"receipt and details have {size} bytes")


def recovered_row(attempted: Attempted, output_so_far: int) -> Row:
    """The row of an attempt of which nothing more was heard: the estimate, and the output last counted."""
    cost, details = _estimated_cost(attempted, output_so_far)
    final = Final(
        attempted=attempted,
        tokens=Tokens(input=attempted.input_estimate, output=output_so_far),
        source="recovered",
        outcome="failed",
        status=0,
        partial=True,
        failure="lost",
        cost=cost,
        attempts=max(attempted.attempt, 1),
        details=details,
    )
    return {**final_row(final), "kind": "recovered"}


def _estimated_cost(attempted: Attempted, output: int) -> tuple[int | None, dict[str, Any]]:
    if attempted.rate_in is None or attempted.rate_out is None:
        return None, {}
    lines = [
        ["input", attempted.input_estimate, attempted.rate_in, 1_000_000],
        ["output", output, attempted.rate_out, 1_000_000],
    ]
    nano = attempted.input_estimate * attempted.rate_in + output * attempted.rate_out
    return (nano + 500_000) // 1_000_000, {"bill": lines}


def reversal_row(recovered: Mapping[Any, Any]) -> Row:
    """The row that takes a recovered one back: the same, with every number turned around."""
    row = {name: value for name, value in recovered.items() if name != "id"}
    row["kind"] = "reversal"
    row["details"] = {}
    for name in _NEGATED:
        if row[name] is not None:
            row[name] = -row[name]
    return row


# ---------------------------------------------------------------- JSON


def attempted_data(attempted: Attempted) -> dict[str, Any]:
    """As JSON."""
    return asdict(attempted)


def read_attempted(data: Mapping[str, Any]) -> Attempted:
    """From JSON. Raises Unbookable; a field of a later release is left out."""
    try:
        return Attempted(who=Who(**_known(data["who"], _WHO)), **_known(data, _BORN))
    except (KeyError, TypeError, AttributeError) as error:
        raise Unbookable(f"not an attempt: {error}") from error


def step_data(step: Step) -> dict[str, Any]:
    """As JSON."""
    return {name: asdict(value) for name in ("final", "attempted") if (value := getattr(step, name)) is not None}


def read_step(data: Mapping[str, Any]) -> Step:
    """From JSON. Raises Unbookable."""
    try:
        final, attempted = data.get("final"), data.get("attempted")
        return Step(
            None if final is None else _read_final(final), None if attempted is None else read_attempted(attempted)
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Unbookable(f"not a step: {error}") from error


def _read_final(data: Mapping[str, Any]) -> Final:
    tokens = Tokens(**_known(data["tokens"], _TOKENS))
    return Final(attempted=read_attempted(data["attempted"]), tokens=tokens, **_known(data, _ENDED))


def _known(data: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Without what a later release says besides."""
    return {name: value for name, value in data.items() if name in names}
