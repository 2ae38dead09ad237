"""How long tests wait for what must come. A busy machine is slow, and only what never comes is a fault.

How fast things are is for the benchmark and the scripts of ``tests.fault`` to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

SOON = 10.0
"""Seconds that nothing which works needs, however busy the machine is."""


async def until(condition: Callable[[], object], seconds: float = SOON) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "too late"
        await asyncio.sleep(0.005)


async def until_asked(condition: Callable[[], Awaitable[object]], seconds: float = SOON) -> None:
    """As ``until``, for what has to be asked for."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "too late"
        await asyncio.sleep(0.02)
