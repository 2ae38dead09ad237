"""kill -9 of the gateway at random moments under load, and the truth afterwards.

``python -m tests.fault.kill [--kills 20] [--parallel 40] [--seed 1] [--database URL]``. After the last kill it is
started once more, so that what was open is booked. An attempt may be booked that was never sent (it was
announced when the process died), and never the other way round. Exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from itertools import count

import aiohttp

from tests.fault.gateway import Gateway, Load, Verdict, gateway, judged, told, wait_quiet
from tests.fault.truth import Truth


async def run(kills: int, parallel: int, seed: int, database: str = "") -> tuple[Verdict, list[str]]:
    """One run; the verdict and the report."""
    truth = Truth()
    await truth.start()
    try:
        with gateway(truth.port, database) as one:
            return await _killed(one, truth, kills, parallel, seed)
    finally:
        await truth.stop()


async def _killed(one: Gateway, truth: Truth, kills: int, parallel: int, seed: int) -> tuple[Verdict, list[str]]:
    dice = random.Random(seed)
    over = asyncio.Event()
    up = asyncio.Event()
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=parallel * 2, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        load = Load(client, lambda: one.url, seed)
        numbers = count()

        async def worker() -> None:
            while not over.is_set():
                await up.wait()
                await load.call(next(numbers))

        await asyncio.to_thread(one.start)
        up.set()
        workers = [asyncio.create_task(worker()) for _ in range(parallel)]
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.3, 1.5))
            up.clear()
            one.kill()
            await asyncio.to_thread(one.start)
            up.set()
        await asyncio.sleep(0.5)
        over.set()
        await asyncio.wait(workers, timeout=60)
    # Leases of PostgreSQL have to run out first: one of the dead, one of patience.
    await wait_quiet(one.store, 40)
    await asyncio.to_thread(one.stop)
    verdict = await judged(one.store, truth)
    lines = [
        f"{kills} kills in {time.monotonic() - began:.1f} s, {parallel} calls at once",
        *told(verdict, truth, load),
    ]
    return verdict, lines


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="kill -9 under load, compared with the provider's own book")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--parallel", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="a PostgreSQL URL instead of a SQLite file")
    given = parser.parse_args()
    verdict, lines = asyncio.run(run(given.kills, given.parallel, given.seed, given.database))
    print("\n".join(lines))
    return 1 if verdict.wrong or verdict.open or verdict.quarantined else 0


if __name__ == "__main__":
    sys.exit(main())
