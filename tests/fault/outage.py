"""PostgreSQL and Redis taken away under load, and who noticed.

``python -m tests.fault.outage [--parallel 30] [--replicas 3] [--only WORD]`` starts both itself, for each fault anew:

==================  ============================================================================
``postgres-3``      PostgreSQL falls over and is back after 3 s: no client may notice
``postgres-60``     for 60 s: running answers finish; new calls wait 5 s, then 503 with retry-after
``redis-flush``     FLUSHALL: no client may notice any of these
``redis-scripts``   SCRIPT FLUSH
``redis-kill``      killed, and started again empty after 5 s
``redis-stall``     stopped for 5 s, then goes on
==================  ============================================================================

All calls of the load are of kinds that have no reason to fail, so every failure was the fault's. Afterwards the
ledger has to be exact. Exits with 1 when it is not, or a client heard what it should not.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from tests.fault.load import GOOD, Ended, Load, session
from tests.fault.stage import Options, Stage, arguments, options_of, staged
from tests.fault.verdict import Verdict, judged, told

BEFORE, AFTER = 4.0, 8.0
"""Seconds of load before the fault begins and after it is over."""

PATIENCE = 6.5
"""Seconds within which a call that cannot be booked is refused: five, and the slowness of a busy machine."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``begin`` and ``end`` are done to the stage, ``seconds`` apart. ``refuses``: 503 may be heard meanwhile."""

    begin: Callable[[Stage], None]
    end: Callable[[Stage], None] | None = None
    seconds: float = 0.0
    refuses: bool = False


def _halt(stage: Stage) -> None:
    assert stage.postgres is not None
    stage.postgres.halt()


def _resume(stage: Stage) -> None:
    assert stage.postgres is not None
    stage.postgres.resume()


def _redis(name: str) -> Callable[[Stage], None]:
    def work(stage: Stage) -> None:
        assert stage.redis is not None
        getattr(stage.redis, name)()

    return work


def _flush(stage: Stage) -> None:
    assert stage.redis is not None
    stage.redis.client.flushall()


def _forget_scripts(stage: Stage) -> None:
    assert stage.redis is not None
    stage.redis.client.script_flush()


FAULTS = {
    "postgres-3": Fault(_halt, _resume, 3.0),
    "postgres-60": Fault(_halt, _resume, 60.0, refuses=True),
    "redis-flush": Fault(_flush),
    "redis-scripts": Fault(_forget_scripts),
    "redis-kill": Fault(_redis("stop"), _redis("start"), 5.0),
    "redis-stall": Fault(_redis("stall"), _redis("go_on"), 5.0),
}


async def run(
    options: Options, name: str, parallel: int, fault: Fault, *, before: float = BEFORE, after: float = AFTER
) -> tuple[Verdict, list[str]]:
    """One run, with so many seconds of load around the fault; the verdict and the report."""
    async with staged(replace(options, postgres=True)) as stage:
        async with session(parallel) as client:
            load = Load(client, stage, options.seed, modes=GOOD)
            begun, ended = await _suffered(stage, load, parallel, fault, before, after)
        verdict = await judged(stage, seconds=60)
        verdict.wrong += _unavoidable(load, fault, begun, ended)
        verdict.wrong += [f"a replica ended with {code}" for code in await stage.stop() if code != 0]
    head = f"{name}: away for {ended - begun:.1f} s, {parallel} calls at once, {options.replicas} replicas"
    return verdict, [head, *_heard(load, begun, ended), *told(verdict, load)]


async def _suffered(
    stage: Stage, load: Load, parallel: int, fault: Fault, before: float, after: float
) -> tuple[float, float]:
    """Load, and the fault in its middle: when that began and ended."""
    over, numbers = asyncio.Event(), count()

    async def worker() -> None:
        while not over.is_set():
            if await load.call(next(numbers)) != "answered":
                await asyncio.sleep(0.5)

    workers = [asyncio.create_task(worker()) for _ in range(parallel)]
    await asyncio.sleep(before)
    begun = time.monotonic()
    await asyncio.to_thread(fault.begin, stage)
    await asyncio.sleep(fault.seconds)
    if fault.end is not None:
        await asyncio.to_thread(fault.end, stage)
    ended = time.monotonic()
    await asyncio.sleep(after)
    over.set()
    await asyncio.wait(workers, timeout=60)
    return begun, ended


def _unavoidable(load: Load, fault: Fault, begun: float, ended: float) -> list[str]:
    """What clients heard and should not have."""
    wrong: Counter[str] = Counter()
    for call in load.ended:
        if call.what == "answered":
            continue
        if not fault.refuses or call.what != "status 503":
            wrong[f"a client heard: {call.what}"] += 1
            continue
        if call.began < begun - PATIENCE or call.began > ended + PATIENCE:
            wrong["a client heard 503 when all was well"] += 1
        if not call.retry_after:
            wrong["503 without retry-after"] += 1
        if call.seconds > PATIENCE:
            wrong[f"503 only after {call.seconds:.1f} s"] += 1
    return [f"{what} ({times} times)" for what, times in wrong.items()]


def _heard(load: Load, begun: float, ended: float) -> list[str]:
    """What clients heard, by when their calls began."""
    phases: dict[str, Counter[str]] = {"before": Counter(), "meanwhile": Counter(), "after": Counter()}
    for call in load.ended:
        phases[_phase(call, begun, ended)][call.what] += 1
    lines = [f"calls begun {phase}: {dict(sorted(found.items()))}" for phase, found in phases.items() if found]
    through = [call for call in load.ended if call.began < begun < call.began + call.seconds]
    told = Counter(call.what for call in through)
    waits = [call.seconds for call in load.ended if call.what == "status 503"]
    lines.append(f"answers that were under way when it began: {dict(told)}")
    if waits:
        lines.append(f"503 after {min(waits):.2f} to {max(waits):.2f} s")
    slow = max((c.seconds for c in load.ended if c.what == "answered" and c.mode != "long"), default=0.0)
    return [*lines, f"slowest answer, but for the long ones, {slow:.2f} s"]


def _phase(call: Ended, begun: float, ended: float) -> str:
    return "before" if call.began < begun else "meanwhile" if call.began < ended else "after"


def main() -> int:
    """The command."""
    parser = arguments("PostgreSQL and Redis taken away under load", parallel=30)
    parser.set_defaults(replicas=3)
    parser.add_argument("--only", default="", help=f"one of {', '.join(FAULTS)}")
    given = parser.parse_args()
    good = True
    for name in [given.only] if given.only else FAULTS:
        verdict, lines = asyncio.run(run(options_of(given), name, given.parallel, FAULTS[name]))
        print("\n".join(lines), end="\n\n", flush=True)
        good = good and verdict.exact
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
