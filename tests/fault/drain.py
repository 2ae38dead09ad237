"""Stopping while answers run: once, twice, and one replica after another.

``python -m tests.fault.drain [--streams 60] [--parallel 30] [--postgres] [--replicas 3]``:

``once``     SIGTERM: no stream is cut, nobody new is let in, exit code 0
``twice``    SIGTERM again: every stream ends at once, with an error in its client's words
``rolling``  every replica is stopped and started again under load; its clients try another replica when a
             connection is refused, and only then: no call fails (three replicas on PostgreSQL, always)

Nothing is left to recover in any of them. Exits with 1 otherwise.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import replace
from itertools import count

import aiohttp

from tests.fault.gateway import Gateway
from tests.fault.load import GOOD, Load, session
from tests.fault.stage import Options, Stage, arguments, options_of, staged
from tests.fault.verdict import Verdict, judged, told

RUNNING = 2.0
"""Seconds that answers run before the signal."""


async def once(options: Options, streams: int, *, running: float = RUNNING) -> tuple[Verdict, list[str]]:
    """One signal; the verdict and the report."""
    async with staged(replace(options, replicas=1)) as stage, session(streams) as client:
        load, calls = await _running(stage, client, options, streams, running)
        one = stage.gateways[0]
        one.send(signal.SIGTERM)
        closed = await _until_refused(one)
        await asyncio.gather(*calls)
        began = time.monotonic()
        code = await asyncio.to_thread(one.stop)
        last = time.monotonic() - began
        verdict = await _after(stage, load, code)
        verdict.wrong += [f"a client heard: {what}" for what in load.answers if what != "answered"]
        head = f"SIGTERM with {streams} answers under way: refuses new ones after {closed:.2f} s,"
        return verdict, [f"{head} ends {last:.2f} s after the last answer with code {code}", *told(verdict, load)]


async def twice(options: Options, streams: int, *, running: float = RUNNING) -> tuple[Verdict, list[str]]:
    """Two signals; the verdict and the report."""
    async with staged(replace(options, replicas=1)) as stage, session(streams) as client:
        load, calls = await _running(stage, client, options, streams, running)
        one = stage.gateways[0]
        one.send(signal.SIGTERM)
        await asyncio.sleep(0.5)
        began = time.monotonic()
        code = await asyncio.to_thread(one.stop)
        took = time.monotonic() - began
        await asyncio.gather(*calls)
        verdict = await _after(stage, load, code)
        polite = {"failed in the stream", "status 503", "status 529"}
        verdict.wrong += [f"a client heard: {what}" for what in load.answers if what not in polite]
        if took > 5:
            verdict.wrong.append(f"it took {took:.1f} s to end")
        head = f"SIGTERM twice with {streams} answers under way: ends after {took:.2f} s with code {code}"
        return verdict, [head, *told(verdict, load)]


async def _running(
    stage: Stage, client: aiohttp.ClientSession, options: Options, streams: int, seconds: float
) -> tuple[Load, list[asyncio.Task[str]]]:
    load = Load(client, stage, options.seed, modes=("long",))
    calls = [asyncio.create_task(load.call(number)) for number in range(streams)]
    async with asyncio.timeout(30):
        while len(stage.truth.log) < streams:
            await asyncio.sleep(0.05)
    await asyncio.sleep(seconds)
    return load, calls


async def _until_refused(one: Gateway) -> float:
    began = time.monotonic()
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", one.port)
            except ConnectionRefusedError:
                return time.monotonic() - began
            writer.close()
            await asyncio.sleep(0.01)


async def _after(stage: Stage, load: Load, code: int | None) -> Verdict:
    """Start it again, which would recover what was left open, and look."""
    await asyncio.to_thread(stage.gateways[0].start)
    verdict = await judged(stage)
    await stage.stop()
    if code != 0:
        verdict.wrong.append(f"it ended with {code}")
    verdict.wrong += _nothing_recovered(verdict)
    return verdict


def _nothing_recovered(verdict: Verdict) -> list[str]:
    found = sum(count for kind, count in verdict.kinds.items() if kind.startswith(("recovered", "reversal")))
    return [f"{found} attempts had to be recovered"] if found else []


async def rolling(options: Options, parallel: int, rounds: int = 1) -> tuple[Verdict, list[str]]:
    """One restart after another under load; the verdict and the report."""
    async with staged(replace(options, replicas=3, postgres=not options.database)) as stage:
        over = asyncio.Event()
        async with session(parallel, fresh=True) as client:
            load = Load(client, stage, options.seed, modes=GOOD, refused_again=True)
            numbers = count()

            async def worker() -> None:
                while not over.is_set():
                    await load.call(next(numbers))

            workers = [asyncio.create_task(worker()) for _ in range(parallel)]
            codes = []
            for one in stage.gateways * rounds:
                await asyncio.sleep(2.0)
                codes.append(await asyncio.to_thread(one.stop))
                await asyncio.to_thread(one.start)
            over.set()
            await asyncio.wait(workers, timeout=60)
        verdict = await judged(stage)
        codes += await stage.stop()
    verdict.wrong += [f"a replica ended with {code}" for code in codes if code != 0]
    verdict.wrong += [f"a client heard: {what} ({n})" for what, n in load.answers.items() if what != "answered"]
    verdict.wrong += _nothing_recovered(verdict)
    head = f"{len(codes)} stops of 3 replicas one after another, {parallel} calls at once: codes {set(codes)}"
    return verdict, [head, *told(verdict, load)]


def main() -> int:
    """The command."""
    given = arguments("stopping while answers run", streams=60, parallel=30, rounds=2).parse_args()
    options, good = options_of(given), True
    for work in (once(options, given.streams), twice(options, given.streams)):
        verdict, lines = asyncio.run(work)
        print("\n".join(lines), end="\n\n", flush=True)
        good = good and verdict.exact
    verdict, lines = asyncio.run(rolling(options, given.parallel, given.rounds))
    print("\n".join(lines))
    return 0 if good and verdict.exact else 1


if __name__ == "__main__":
    sys.exit(main())
