"""Clients: calls of every surface that go to the replicas in turn, and what became of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.fault.gateway import ROUTES
from tests.fault.stage import Stage
from tests.fault.wires import SURFACES, Surface

ALL = (
    *("whole",) * 8, *("silent",) * 2, *("slow",) * 2, "cut", "fail", "fail", "busy", "mute", "broken", "refuse",
    "leave", "leave", "early", "early",
)  # fmt: skip
"""What clients and providers do in a run of everything. ``leave``: in the middle; ``early``: before the first byte."""

GOOD = (*("whole",) * 6, *("silent",) * 2, *("slow",) * 4, *("late",) * 2, "long")
"""Kinds of calls that have no reason to fail."""

_TOLD = {"leave": "slow", "early": "late"}


@dataclass(frozen=True, slots=True)
class Ended:
    """One call: what became of it, when it began (``time.monotonic``), and after how many seconds."""

    tag: str
    mode: str
    what: str
    began: float
    seconds: float
    retry_after: str = ""


@dataclass
class Load:
    """Calls, one after another by each of several workers. ``modes`` are what they may be."""

    client: aiohttp.ClientSession
    stage: Stage
    seed: int = 1
    modes: Sequence[str] = ALL
    refused_again: bool = False
    """Whether a connection that is refused is tried at the next replica, as a balancer would."""
    ended: list[Ended] = field(default_factory=list)
    inputs: tuple[int, int] = (10, 5000)
    outputs: tuple[int, int] = (1, 900)

    @property
    def answers(self) -> Counter[str]:
        """What became of the calls."""
        return Counter(one.what for one in self.ended)

    async def call(self, number: int) -> str:
        """One call of a random kind, which its number and the seed decide alone. Returns what became of it."""
        dice = random.Random(self.seed * 1_000_003 + number)
        mode, surface, route = dice.choice(self.modes), dice.choice(SURFACES), dice.choice(ROUTES)
        stream, key = dice.random() < 0.7, dice.choice(self.stage.keys)
        tag = f"call-{self.seed}-{number}"
        sizes = f"in={dice.randrange(*self.inputs)} out={dice.randrange(*self.outputs)}"
        order = f"tag={tag} {sizes} mode={_TOLD.get(mode, mode)}"
        began = time.monotonic()
        what, wait = await self._asked(surface, route, order, stream, key, tag, mode)
        self.ended.append(Ended(tag, mode, what, began, time.monotonic() - began, wait))
        return what

    async def _asked(
        self, surface: Surface, route: str, order: str, stream: bool, key: str, tag: str, mode: str
    ) -> tuple[str, str]:
        body = surface.body(route, order, stream)
        headers = {"x-request-id": tag, **surface.headers(key)}
        for _ in range(50):
            url = self.stage.one().url + surface.path(route, stream)
            try:
                return await self._carried(url, body, headers, surface, stream, mode)
            except aiohttp.ClientConnectorError:
                if not self.refused_again:
                    return "refused", ""
                await asyncio.sleep(0.01)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                return f"broken ({type(error).__name__})", ""
        return "refused by all", ""

    async def _carried(
        self, url: str, body: dict[str, Any], headers: dict[str, str], surface: Surface, stream: bool, mode: str
    ) -> tuple[str, str]:
        try:
            async with asyncio.timeout(0.1 if mode == "early" else None):
                async with self.client.post(url, json=body, headers=headers) as answer:
                    if mode == "leave":
                        await answer.content.readany()
                        answer.close()
                        return "left", ""
                    data = await answer.read()
        except TimeoutError:
            if mode == "early":
                return "left early", ""
            raise
        return _judged(answer.status, data, stream, surface), answer.headers.get("retry-after", "")


def _judged(status: int, data: bytes, stream: bool, surface: Surface) -> str:
    if status != 200:
        return f"status {status}"
    if not stream or surface.is_whole(data):
        return "answered"
    return "failed in the stream" if surface.failed(data) else "cut without a word"


def session(parallel: int, seconds: float = 120.0, *, fresh: bool = False) -> aiohttp.ClientSession:
    """A client for so many calls at once. ``fresh``: each on a connection of its own."""
    connector = aiohttp.TCPConnector(limit=parallel * 2, force_close=fresh)
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), connector=connector)
