"""Mixed calls against running replicas, and the provider's own book beside their ledger, to the token.

``python -m tests.fault.exactness [--calls 10000] [--parallel 200] [--postgres] [--replicas 3]``. All surfaces,
four dialects behind them, streams and whole answers, with usage and without; breaks, refusals,
fallbacks, clients that leave before the first byte or in the middle. Exits with 1 when anything differs.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count

from tests.fault.load import Load, session
from tests.fault.stage import Options, Stage, arguments, options_of, staged
from tests.fault.verdict import Verdict, judged, told


async def run(options: Options, calls: int, parallel: int) -> tuple[Verdict, list[str]]:
    """One run; the verdict and the report."""
    async with staged(options) as stage:
        return await _measured(stage, options, calls, parallel)


async def _measured(stage: Stage, options: Options, calls: int, parallel: int) -> tuple[Verdict, list[str]]:
    began = time.monotonic()
    async with session(parallel) as client:
        load = Load(client, stage, options.seed)
        numbers = count()

        async def worker() -> None:
            while (number := next(numbers)) < calls:
                await load.call(number)

        await asyncio.gather(*(worker() for _ in range(parallel)))
    took = time.monotonic() - began
    verdict = await judged(stage)
    verdict.wrong += [f"a replica ended with {code}" for code in await stage.stop() if code != 0]
    head = f"{calls} calls, {parallel} at once, {options.replicas} replicas, {took:.1f} s ({calls / took:.0f}/s)"
    return verdict, [head, *told(verdict, load)]


def main() -> int:
    """The command."""
    given = arguments("mixed calls, compared with the provider's own book", calls=10_000, parallel=200).parse_args()
    verdict, lines = asyncio.run(run(options_of(given), given.calls, given.parallel))
    print("\n".join(lines))
    return 0 if verdict.exact else 1


if __name__ == "__main__":
    sys.exit(main())
