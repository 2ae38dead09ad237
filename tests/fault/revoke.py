"""How long a key goes on after it was deactivated elsewhere.

``python -m tests.fault.revoke [--tries 20] [--replicas 3]``: keys are made and deactivated through the API of one
replica, and tried at all others every few milliseconds; with Redis, then with Redis killed. The time counts
from when the API said that it is done. Exits with 1 when the worst is more than ``MOST`` seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from typing import Any

import aiohttp

from tests.fault.gateway import ADMIN_KEY
from tests.fault.stage import Options, Stage, arguments, asked, options_of, staged, until_known

MOST = 1.0


async def run(options: Options, tries: int) -> tuple[bool, list[str]]:
    """Whether all was well, and the report."""
    lines, good = [], True
    async with staged(replace(options, postgres=True)) as stage:
        for name in ("with Redis", "with Redis killed"):
            if name == "with Redis killed":
                assert stage.redis is not None
                stage.redis.stop()
                await asyncio.sleep(1.0)
            delays = [delay for number in range(tries) for delay in await _once(stage, f"{name} {number}")]
            worst, middle = max(delays), sorted(delays)[len(delays) // 2]
            lines.append(
                f"{name}: {tries} keys refused by {len(stage.gateways) - 1} other replicas,"
                f" median {middle:.3f} s, worst {worst:.3f} s"
            )
            good = good and worst <= MOST
    return good, [*lines, f"within {MOST:g} s everywhere" if good else "TOO LATE"]


async def _once(stage: Stage, name: str) -> list[float]:
    """Make a key and end it; the delays at the other replicas, in seconds."""
    first, *others = stage.gateways
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {ADMIN_KEY}"}) as admin:
        people: Any = await asked(admin, "GET", f"{first.url}/api/v1/users?limit=1")
        made = await asked(admin, "POST", f"{first.url}/api/v1/keys", name=name, user_id=people["items"][0]["id"])
        for other in others:
            await until_known(admin, other, made["secret"])
        await asked(admin, "POST", f"{first.url}/api/v1/keys/{made['id']}/deactivate")
        ended = time.monotonic()
        return list(await asyncio.gather(*(_until_refused(one.url, made["secret"], ended) for one in others)))


async def _until_refused(url: str, key: str, since: float) -> float:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}) as client, asyncio.timeout(30):
        while True:
            async with client.get(f"{url}/v1/models") as answer:
                if answer.status == 401:
                    return time.monotonic() - since
            await asyncio.sleep(0.005)


def main() -> int:
    """The command."""
    parser = arguments("how long a deactivated key goes on", tries=20)
    parser.set_defaults(replicas=3)
    given = parser.parse_args()
    good, lines = asyncio.run(run(options_of(given), given.tries))
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
