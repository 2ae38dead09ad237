"""Many calls at once against a budget that allows some of them.

``python -m tests.fault.budget [--calls 200] [--allows 100] [--postgres] [--replicas 3]``. Every call costs the
same, and the group has money for ``allows`` of them. What is spent may pass the budget by no more than what one
call was underestimated; who was refused never reached the provider; nothing stays held. Exits with 1 otherwise.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from tests.fault.gateway import NANO_CACHED, NANO_IN, NANO_OUT, TEAM
from tests.fault.load import Load, session
from tests.fault.stage import Options, Stage, arguments, options_of, staged
from tests.fault.verdict import Verdict, events_told, judged
from tests.fault.wires import SURFACES, cost_of

PROMPT, ANSWER = 1200, 300
_WAITS = 3
"""Times five seconds until what counts twice for a moment is put right: a lease, and a look at the ledger."""

_CHAT = next(surface for surface in SURFACES if surface.name == "chat")


def price_of_one() -> int:
    """Nano-USD of one call."""
    cost = cost_of("chat", PROMPT, ANSWER)
    return cost.input * NANO_IN + cost.cached * NANO_CACHED + cost.output * NANO_OUT


async def run(options: Options, calls: int, allows: int, wait: float = 0.0) -> tuple[Verdict, list[str]]:
    """One run, so many seconds after its stage is there; the verdict and the report."""
    limit = allows * price_of_one()
    rules = {**TEAM, "budget": [{"window": "month", "nano_usd": limit}]}
    async with staged(replace(options, rules=rules)) as stage:
        await asyncio.sleep(wait)
        return await _spent(stage, options, calls, limit)


async def _spent(stage: Stage, options: Options, calls: int, limit: int) -> tuple[Verdict, list[str]]:
    async with session(calls) as client:
        load = Load(client, stage, options.seed)
        answers = Counter(await asyncio.gather(*(_call(load, number) for number in range(calls))))
        first, waits = answers["answered"], 0
        while answers["answered"] < calls:
            # One by one, what parallel calls held for each other is spent in the end.
            what = await _call(load, calls + sum(answers.values()))
            answers[what] += 1
            if what != "answered":
                if waits == _WAITS or answers["answered"] * price_of_one() >= limit - _held_for_one():
                    break
                waits += 1
                await asyncio.sleep(5)
    verdict = await judged(stage)
    spent, one = verdict.money[0], price_of_one()
    if spent > limit + one:
        verdict.wrong.append(f"{spent} nano-USD are spent of {limit}")
    if verdict.sent != answers["answered"] or verdict.rows != answers["answered"]:
        verdict.wrong.append(f"{answers['answered']} were answered, {verdict.sent} sent, {verdict.rows} booked")
    if first < 1 or set(answers) - {"answered", "status 429"}:
        verdict.wrong.append(f"answers: {dict(answers)}")
    if spent < limit - _held_for_one():
        verdict.wrong.append(f"only {spent} nano-USD could be spent of {limit}")
    verdict.wrong += [f"a replica ended with {code}" for code in await stage.stop() if code != 0]
    one_by_one = f"one by one {answers['answered'] - first} (waited {5 * waits} s)"
    lines = [
        f"{calls} calls at once, a budget for {limit // one}, {options.replicas} replicas",
        f"answered at once {first}, {one_by_one}, refused with 429 {answers['status 429']}",
        f"spent {spent} of {limit} nano-USD, one call costs {one}: over by {max(0, spent - limit)}",
        f"upstream requests {verdict.sent}, attempts in the ledger {verdict.rows}, holds {sum(verdict.held.values())}",
        *events_told(verdict),
        *(f"WRONG {one}" for one in verdict.wrong[:10]),
        "within the budget" if verdict.exact else "NOT WITHIN THE BUDGET",
    ]
    return verdict, lines


def _held_for_one() -> int:
    """At most this is held for a call: its estimate, twice as much to be sure, and its limit of output."""
    return PROMPT * 2 * NANO_IN + ANSWER * NANO_OUT


async def _call(load: Load, number: int) -> str:
    text = f"tag=budget-{load.seed}-{number} in={PROMPT} out={ANSWER} mode=slow "
    # Four bytes are taken for a token: the estimate is right, but for what the provider had cached.
    body: dict[str, Any] = {**_CHAT.body("to-chat", text.ljust(PROMPT * 4 - 120, "."), False), "max_tokens": ANSWER}
    headers = {"x-request-id": f"budget-{load.seed}-{number}", **_CHAT.headers(load.stage.keys[0])}
    async with load.client.post(f"{load.stage.one().url}/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()
        return "answered" if answer.status == 200 else f"status {answer.status}"


def main() -> int:
    """The command."""
    parser = arguments("parallel calls against a budget", calls=200, allows=100)
    parser.add_argument("--cold", type=float, help="seconds after the start, with a Redis that was just begun")
    given = parser.parse_args()
    options = replace(options_of(given), cold=given.cold is not None)
    verdict, lines = asyncio.run(run(options, given.calls, given.allows, given.cold or 0.0))
    print("\n".join(lines))
    return 0 if verdict.exact else 1


if __name__ == "__main__":
    sys.exit(main())
