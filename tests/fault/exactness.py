"""Mixed calls against a running gateway, and the provider's own book beside its ledger, to the token.

``python -m tests.fault.exactness [--calls 10000] [--parallel 200] [--seed 1] [--database URL]``. Streams and plain
calls of two dialects; answers with and without usage; breaks, refusals, fallbacks, hang-ups. Exits with 1 when
anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from itertools import count

import aiohttp

from tests.fault.gateway import Gateway, Load, Verdict, gateway, judged, told, wait_quiet
from tests.fault.truth import Truth


async def run(calls: int, parallel: int, seed: int, database: str = "") -> tuple[Verdict, list[str]]:
    """One run; the verdict and the report."""
    truth = Truth()
    await truth.start()
    try:
        with gateway(truth.port, database) as one:
            return await _measured(one, truth, calls, parallel, seed)
    finally:
        await truth.stop()


async def _measured(one: Gateway, truth: Truth, calls: int, parallel: int, seed: int) -> tuple[Verdict, list[str]]:
    await asyncio.to_thread(one.start)
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=parallel * 2)
    began = time.monotonic()
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        load = Load(client, lambda: one.url, seed)
        numbers = count()

        async def worker() -> None:
            while (number := next(numbers)) < calls:
                await load.call(number)

        await asyncio.gather(*(worker() for _ in range(parallel)))
    took = time.monotonic() - began
    await wait_quiet(one.store, 20)
    await asyncio.to_thread(one.stop)
    verdict = await judged(one.store, truth)
    lines = [f"{calls} calls, {parallel} at once, in {took:.1f} s ({calls / took:.0f}/s)", *told(verdict, truth, load)]
    return verdict, lines


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="mixed calls, compared with the provider's own book")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="a PostgreSQL URL instead of a SQLite file")
    given = parser.parse_args()
    verdict, lines = asyncio.run(run(given.calls, given.parallel, given.seed, given.database))
    print("\n".join(lines))
    return 1 if verdict.wrong or verdict.open or verdict.quarantined else 0


if __name__ == "__main__":
    sys.exit(main())
