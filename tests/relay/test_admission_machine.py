"""Whatever happens in whatever order, budgets are exact: nothing leaks, nothing is stranded (B2).

The model knows no slices, leases or tables: only what each call holds, until when, and what it came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dragoman.relay.admission.budgets import REFILL, SLICE
from dragoman.relay.admission.model import Denied, Hold
from dragoman.store.accounts.model import Budget, Rules, Scope
from dragoman.store.ledger.settled import Settled, Span
from dragoman.store.ledger.windows import start_of
from tests.relay.admission_rig import SECOND, Books, Clock, let_in, memory, wish

pytestmark = pytest.mark.slow

Result = TypeVar("Result")
Window = tuple[str, str, int]
"""Scope, window, start."""

LEASE = 10_000
UNIT = 10
PLACES = 6


_LOOP = asyncio.new_event_loop()


def done(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end. Of a refusal nothing is kept alive: whose call is forgotten is not renewed."""
    try:
        return _LOOP.run_until_complete(work)
    except Denied as refused:
        raise refused.with_traceback(None) from None


@dataclass
class Running:
    """One call of the model: what it holds of which windows, and their limits when it began (K03).

    ``until`` is set when it dies.
    """

    hold: Hold | None
    windows: dict[Window, int]
    prompt: int
    granted: int
    limit: int | None
    output: int = 0
    until: int | None = None

    @property
    def amount(self) -> int:
        return (self.prompt + self.granted) * UNIT


@dataclass
class Model:
    """Exact arithmetic over calls. ``late`` is booked by others and not seen here yet; ``raises`` end at a time."""

    limits: dict[tuple[str, str], int] = field(default_factory=dict)
    raises: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    spent: dict[Window, int] = field(default_factory=dict)
    late: dict[Window, int] = field(default_factory=dict)
    calls: dict[str, Running] = field(default_factory=dict)

    def standing(self, window: Window) -> int:
        return sum(call.amount for call in self.calls.values() if window in call.windows)

    def fits(self, windows: dict[Window, int], amount: int) -> bool:
        return all(
            self.spent.get(window, 0) + self.standing(window) + amount <= limit for window, limit in windows.items()
        )

    def bury(self, now: int) -> None:
        for name, call in list(self.calls.items()):
            if call.until is not None and call.until <= now:
                del self.calls[name]


class Budgets(RuleBasedStateMachine):
    """Two scopes, two windows, and all that may happen to calls."""

    @initialize(day=st.integers(0, 60), month=st.integers(0, 200), of_all=st.integers(0, 300))
    def begin(self, day: int, month: int, of_all: int) -> None:
        self.clock, self.books, self.model, self.number = Clock(), Books(), Model(), 0
        self.admission = memory(self.clock, self.books, lease=LEASE)
        amounts = {("key:3", "day"): day, ("key:3", "month"): month, ("global", "day"): of_all}
        self.model.limits = {name: amount * 1_000 * UNIT for name, amount in amounts.items()}

    # ------------------------------------------------------------ what may happen

    @rule(prompt=st.integers(0, 3_000), limit=st.none() | st.integers(1, 12_000), stream=st.booleans())
    def admit(self, prompt: int, limit: int | None, stream: bool) -> None:
        self.settle_dust()
        self.number += 1
        name, windows = f"c{self.number}", self.windows()
        granted = (limit or 20_000) if not stream else min(SLICE, limit or SLICE)
        asked = wish(
            name, *self.scopes(), input_estimate=prompt, output_limit=limit, stream=stream, output_ceiling=20_000,
            unit_in=UNIT, unit_out=UNIT,
        )  # fmt: skip
        for window in windows:
            if window not in self.model.spent:
                # A window is read when it is first used: what others booked so far is in it.
                self.model.spent[window] = self.model.late.pop(window, 0)
        running = sum(1 for call in self.model.calls.values())
        expected = running < PLACES and self.model.fits(windows, (prompt + granted) * UNIT)
        hold = done(let_in(self.admission, asked))
        assert expected is (hold is not None)
        if hold is not None:
            self.model.calls[name] = Running(hold, windows, prompt, granted, limit)

    @rule(which=st.integers(0, 9), more=st.integers(0, 9_000))
    def grow(self, which: int, more: int) -> None:
        call = self.chosen(which)
        if call is None or call.hold is None:
            return
        self.settle_dust()
        call.output += more
        needed = call.output + REFILL
        if call.limit is not None and call.output < call.limit:
            needed = min(needed, call.limit)
        granted = call.granted
        while granted < needed:
            granted += SLICE
        if call.limit is not None and call.output < call.limit:
            granted = max(call.granted, min(granted, call.limit))
        expected = granted == call.granted or self.model.fits(call.windows, (granted - call.granted) * UNIT)
        try:
            done(call.hold.grow(call.output))
        except Denied:
            assert not expected
        else:
            assert expected
            call.granted = granted

    @rule(which=st.integers(0, 9), tokens=st.integers(0, 30_000))
    def settle(self, which: int, tokens: int) -> None:
        call = self.chosen(which)
        if call is None or call.hold is None:
            return
        for scope, window, start in call.windows:
            self.book(scope, window, start, tokens * UNIT)
            key = (scope, window, start)
            self.model.spent[key] = self.model.spent.get(key, 0) + tokens * UNIT
        done(call.hold.settle(tokens, tokens * UNIT))
        done(call.hold.settle(tokens, tokens * UNIT))
        self.model.calls = {name: one for name, one in self.model.calls.items() if one is not call}

    @rule(which=st.integers(0, 9), recovered=st.none() | st.integers(0, 9_000))
    def crash(self, which: int, recovered: int | None) -> None:
        """A call dies. The ledger may recover it, which is seen when it is asked again."""
        call = self.chosen(which)
        if call is None or call.hold is None:
            return
        self.settle_dust()
        call.hold, call.until = None, self.clock.ticks() + LEASE
        if recovered is None:
            return
        for scope, window, start in call.windows:
            self.book(scope, window, start, recovered * UNIT)
            key = (scope, window, start)
            self.model.late[key] = self.model.late.get(key, 0) + recovered * UNIT

    @rule(seconds=st.sampled_from([0, 1, 3, 9, 10, 11, 60, 3_600, 12 * 3_600, 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.sleep(seconds)

    @rule(name=st.sampled_from([("key:3", "day"), ("key:3", "month"), ("global", "day")]), amount=st.integers(0, 300))
    def raise_or_lower(self, name: tuple[str, str], amount: int) -> None:
        self.model.limits[name] = amount * 1_000 * UNIT

    @rule(
        name=st.sampled_from([("key:3", "day"), ("key:3", "month"), ("global", "day")]),
        amount=st.integers(1, 100),
        seconds=st.sampled_from([1, 10, 3_600, 86_400]),
    )
    def raise_once(self, name: tuple[str, str], amount: int, seconds: int) -> None:
        self.model.raises[name] = amount * 1_000 * UNIT, self.clock.now + seconds * SECOND

    @rule()
    def reconcile(self) -> None:
        self.settle_dust()
        known = {key for key in self.model.late if key in self.model.spent}
        for key in known:
            self.model.spent[key] += self.model.late.pop(key)
        done(self.admission.reconcile())
        kept = {line.span for line, _ in self.admission.tables.budgets().values()}
        for key in [key for key in self.model.spent if Span(key[0], "", key[1], key[2]) not in kept]:  # type: ignore[arg-type]
            # Over, and nobody holds anything of it: the ledger has it.
            assert key[2] != start_of(key[1], self.clock.now)  # type: ignore[arg-type]
            assert not self.model.standing(key)
            self.model.late[key] = self.model.late.get(key, 0) + self.model.spent.pop(key)

    # ------------------------------------------------------------ what is always true

    @invariant()
    def counts_are_exact(self) -> None:
        if not hasattr(self, "model"):
            return
        self.settle_dust()
        for line, _ in self.admission.tables.budgets().values():
            counter = self.admission.tables.counters[line.key]
            counter.expire(self.clock.ticks())
            window = (line.span.scope, line.span.window, line.span.start)
            assert counter.spent == self.model.spent[window]
            assert counter.held == self.model.standing(window) >= 0
        for places in self.admission.tables.places.values():
            assert places.taken(self.clock.ticks()) == len(self.model.calls)

    def teardown(self) -> None:
        """All calls end, each in its way: then nothing is held, and we and the ledger agree to the last unit."""
        if not hasattr(self, "model"):
            return
        for number in range(len(self.model.calls)):
            self.crash(number, None) if number % 2 else self.settle(0, number)
        self.clock.sleep(LEASE / 1_000)
        done(self.admission.reconcile())
        for line, _ in self.admission.tables.budgets().values():
            counter = self.admission.tables.counters[line.key]
            counter.expire(self.clock.ticks())
            assert (counter.held, len(counter)) == (0, 0)
            settled = self.books.sums.get(line.span)
            assert counter.spent == (0 if settled is None else settled.nano_usd)
        assert not any(places.taken(self.clock.ticks()) for places in self.admission.tables.places.values())

    # ------------------------------------------------------------ means

    def settle_dust(self) -> None:
        """Living calls renew, dead ones lapse: now, so that the model knows when."""
        now = self.clock.ticks()
        self.admission.renew(now)
        self.model.bury(now)

    def windows(self) -> dict[Window, int]:
        now = self.clock.now
        found: dict[Window, int] = {}
        for (scope, name), limit in self.model.limits.items():
            more, until = self.model.raises.get((scope, name), (0, 0))
            found[scope, name, start_of(name, now)] = limit + (more if now < until else 0)  # type: ignore[arg-type]
        return found

    def scopes(self) -> list[Scope]:
        key = (self.budget("key:3", "day"), self.budget("key:3", "month"))
        return [
            Scope("global", Rules(budgets=(self.budget("global", "day"),))),
            Scope("key:3", Rules(parallel=PLACES, budgets=key)),
        ]

    def budget(self, scope: str, window: Any) -> Budget:
        more, until = self.model.raises.get((scope, window), (0, 0))
        return Budget(window, self.model.limits[scope, window], once=more, until=until)

    def chosen(self, which: int) -> Running | None:
        living = [call for call in self.model.calls.values() if call.hold is not None]
        return living[which % len(living)] if living else None

    def book(self, scope: str, window: str, start: int, amount: int) -> None:
        span = Span(scope, "", window, start)  # type: ignore[arg-type]
        old = self.books.sums.get(span, Settled())
        self.books.sums[span] = Settled(old.nano_usd + amount, 0)


TestB2Budgets = Budgets.TestCase
TestB2Budgets.settings = settings(
    max_examples=2_000, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
