"""Refusals in words and headers: which limit, whose, and when it opens again.

A limit that opens by itself is a 429 with a wait in whole seconds: without one some clients give up at once.
A spent budget is a 429 without a wait that says not to ask again, which stops Claude Code, Codex and
the SDKs after one request; Google's own clients stop at a quota counted by the day. It must not know
how any of it is counted.

https://docs.anthropic.com/en/api/errors
https://ai.google.dev/gemini-api/docs/rate-limits
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from dragoman.language.failures import Failure
from dragoman.language.ir import Extras
from dragoman.relay.admission import gcra
from dragoman.relay.admission.model import Denied
from dragoman.relay.admission.rules import CALLS, MONEY, PLACES, TOKENS, Line, Verdict, shared
from dragoman.relay.calls import Headers
from dragoman.store.accounts.model import NANO

_TICKS = 1_000
_WHOSE = {"global": "this gateway", "group": "your group", "user": "your account", "key": "this key"}
_WINDOWS = {"day": "daily", "week": "weekly", "month": "monthly", "total": "total"}
_QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"


def limits_told(lines: Sequence[Line], verdict: Verdict) -> Headers:
    """The tightest limits, as ``x-ratelimit-*``: the very numbers by which calls are refused."""
    tightest: dict[int, tuple[int, int, int]] = {}
    rates = (line for line in lines if line.kind <= TOKENS)
    for line, level in zip(rates, verdict.levels, strict=True):
        limit = shared(line.limit, verdict.share)
        told = gcra.remaining(level, limit), limit, gcra.emptied(level, limit)
        if line.kind not in tightest or told < tightest[line.kind]:
            tightest[line.kind] = told
    headers: Headers = []
    for kind, (remaining, limit, ticks) in sorted(tightest.items()):
        measure = "requests" if kind == CALLS else "tokens"
        headers.append((f"x-ratelimit-limit-{measure}", str(limit)))
        headers.append((f"x-ratelimit-remaining-{measure}", str(remaining)))
        headers.append((f"x-ratelimit-reset-{measure}", f"{-(-ticks // _TICKS)}s"))
    return headers


def refusal(lines: Sequence[Line], verdict: Verdict) -> Denied:
    """The line that was refused, as a failure, and the limits as headers."""
    line = lines[verdict.refused]
    headers = limits_told(lines, verdict) if verdict.levels else []
    if line.kind >= MONEY:
        if line.end is not None:
            headers.append(("x-dragoman-budget-reset", f"{_moment(line.end):%Y-%m-%dT%H:%M:%SZ}"))
        return Denied(_spent(line, verdict), headers)
    return Denied(_throttled(line, verdict), headers)


def _throttled(line: Line, verdict: Verdict) -> Failure:
    seconds = max(1, math.ceil(verdict.wait / _TICKS))
    limit = shared(line.limit, verdict.share)
    model = f" of {line.rule.model}" if line.rule.model else ""
    if line.kind == PLACES:
        what = f"{_some(limit, 'call')} at once{model}, and {verdict.held} are running"
    else:
        what = f"{_some(limit, 'call' if line.kind == CALLS else 'token')} a minute{model}"
    message = f"Rate limit reached: {whose(line.rule.scope)} may use {what}. Try again in {seconds} s."
    return Failure("rate_limit", message, code="rate_limit_exceeded", retry_after=seconds, should_retry=True)


def _spent(line: Line, verdict: Verdict) -> Failure:
    budget = line.rule.budget
    assert budget is not None
    model = f" for {budget.model}" if budget.model else ""
    name = f"The {_WINDOWS[budget.window]} budget of {whose(line.rule.scope)}{model}"
    held = f" and {_told(line, verdict.held)} reserved by running calls" if verdict.held > 0 else ""
    so_far = f"{_told(line, verdict.spent)} of {_told(line, line.limit)} used{held}"
    if verdict.spent >= line.limit:
        state = f"{name} is spent: {so_far}."
    else:
        state = f"{name} does not cover this call: {so_far}, and it may come to {_told(line, line.amount)}."
    return Failure("quota", f"{state} {_anew(line)}", code="budget_spent", should_retry=False, extras=_by_the_day(line))


def _by_the_day(line: Line) -> Extras:
    """Gemini CLI asks again after every 429 but one whose quota is counted by the day."""
    violation = {"subject": line.rule.scope, "quotaId": "DragomanBudgetPerDay", "description": "budget"}
    return {"gemini": {"details": [{"@type": _QUOTA, "violations": [violation]}]}}


def _anew(line: Line) -> str:
    if line.end is None:
        return "It does not start anew; whoever runs this gateway can raise it."
    return f"It starts anew at {_moment(line.end):%Y-%m-%d %H:%M} UTC."


def whose(scope: str) -> str:
    """A scope in words."""
    return _WHOSE.get(scope.partition(":")[0], scope)


def _told(line: Line, amount: int) -> str:
    return dollars(amount) if line.kind == MONEY else f"{amount:,} tokens"


def dollars(nano: int) -> str:
    """An amount of money: cents, and as many digits more as small sums need (at most six)."""
    whole, rest = divmod(abs(nano), NANO)
    digits = f"{rest:09d}"[:6].rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{digits}"


def _some(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC)


def unpriced(model: str) -> Failure:
    """No price, no call, where money is limited (K02). Clients stop at a 400: asking again changes nothing."""
    message = (
        f"No price is known for the model {model}, so it cannot be used under a budget in money. "
        "Whoever runs this gateway can give it a price."
    )
    return Failure("invalid_request", message, code="model_without_price", param="model", should_retry=False)


def unread() -> Failure:
    """A budget whose sum cannot be read: the database is away. New calls wait for it (never treated as unspent)."""
    return Failure(
        "overloaded", "The gateway cannot read budgets at the moment.", retry_after=2, code="store_unavailable"
    )
