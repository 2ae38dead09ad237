"""kill -9 of a gateway at random moments under load, and the truth afterwards.

``python -m tests.fault.kill [--kills 50] [--parallel 40] [--postgres] [--replicas 3]``. Each time one replica is killed
and started again, while the others go on. In the end, after recovery: every request that was sent is
booked once. An attempt may be booked that was never sent (it was announced when its process died),
and never the other way round. Exits with 1 when anything differs.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count

from tests.fault.load import Load, session
from tests.fault.stage import Options, Stage, arguments, dice_of, options_of, staged
from tests.fault.verdict import Verdict, judged, told


async def run(options: Options, kills: int, parallel: int) -> tuple[Verdict, list[str]]:
    """One run; the verdict and the report."""
    async with staged(options) as stage:
        return await _killed(stage, options, kills, parallel)


async def _killed(stage: Stage, options: Options, kills: int, parallel: int) -> tuple[Verdict, list[str]]:
    dice, over, began = dice_of(options), asyncio.Event(), time.monotonic()
    async with session(parallel, 60, fresh=True) as client:
        load = Load(client, stage, options.seed)
        numbers = count()

        async def worker() -> None:
            while not over.is_set():
                if await load.call(next(numbers)) == "refused":
                    await asyncio.sleep(0.1)

        workers = [asyncio.create_task(worker()) for _ in range(parallel)]
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.3, 1.5))
            victim = dice.choice(stage.gateways)
            victim.kill()
            await asyncio.to_thread(victim.start)
        await asyncio.sleep(0.5)
        over.set()
        await asyncio.wait(workers, timeout=60)
    took = time.monotonic() - began
    # Leases of PostgreSQL have to run out first: one of the dead, one of patience.
    verdict = await judged(stage, seconds=60)
    verdict.wrong += [f"a replica ended with {code}" for code in await stage.stop() if code != 0]
    head = f"{kills} kills in {took:.1f} s, {parallel} calls at once, {options.replicas} replicas"
    return verdict, [head, *told(verdict, load)]


def main() -> int:
    """The command."""
    given = arguments("kill -9 under load, compared with the provider's own book", kills=50, parallel=40).parse_args()
    verdict, lines = asyncio.run(run(options_of(given), given.kills, given.parallel))
    print("\n".join(lines))
    return 0 if verdict.exact else 1


if __name__ == "__main__":
    sys.exit(main())
