"""Half, most and all of a budget: told once in a window, by one replica (reliability of budgets)."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.relay.admission import alarms
from dragoman.relay.admission.memory import MemoryAdmission
from dragoman.store.accounts.model import Budget, Scope
from dragoman.store.database import StoreUnavailable
from dragoman.store.ledger.reached import Reached
from tests.relay.admission_rig import Books, Clock, memory, scope, wish


class Shelf:
    """Where replicas write it down."""

    def __init__(self) -> None:
        self.known: set[tuple[str, int, int]] = set()
        self.asked = 0
        self.away = False

    async def tell(self, reached: Reached) -> bool:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("the disk is gone")
        key = (reached.scope, reached.start, reached.percent)
        new = key not in self.known
        self.known.add(key)
        return new


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the log was told."""
    lines: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **facts: Any) -> None:
            assert event == "budget_reached"
            lines.append(facts)

    monkeypatch.setattr(alarms, "_log", Log())
    return lines


async def spend(admission: MemoryAdmission, books: Books, mine: Scope, amount: int, clock: Clock) -> None:
    """One call that comes to the amount, and a look at the ledger."""
    one = wish(f"c{len(books.sums)}-{clock.now}-{amount}", mine, input_estimate=0, output_limit=0)
    hold = await admission.admit(one)
    books.book("key:3", clock.now, amount)
    await hold.settle(1, amount)
    await admission.reconcile()


async def test_each_part_is_told_once_in_a_window(said: list[dict[str, Any]]) -> None:
    clock, books, shelf = Clock(), Books(), Shelf()
    mine = scope(budgets=(Budget("day", nano_usd=100),))
    made = [memory(clock, books, tell=shelf.tell) for _ in range(3)]
    for replica in made:
        await spend(replica, books, mine, 16, clock)
    assert said == []
    for replica in made:
        await spend(replica, books, mine, 11, clock)
    assert [(one["percent"], one["spent"], one["limit"]) for one in said] == [(50, 59, 100), (80, 81, 100)]
    for replica in made:
        await replica.reconcile()
        await replica.reconcile()
    assert len(said) == 2
    assert shelf.asked <= 6
    await spend(made[0], books, mine, 20, clock)
    assert (said[-1]["percent"], said[-1]["scope"], said[-1]["window"]) == (100, "key:3", "day")
    # A new day, a new budget.
    clock.sleep(86_400)
    await spend(made[1], books, mine, 55, clock)
    assert [one["percent"] for one in said] == [50, 80, 100, 50]


async def test_parts_passed_at_once_are_told_as_one_and_nothing_has_no_parts(said: list[dict[str, Any]]) -> None:
    clock, books, shelf = Clock(), Books(), Shelf()
    admission = memory(clock, books, tell=shelf.tell)
    await spend(admission, books, scope(budgets=(Budget("month", tokens=0), Budget("day", nano_usd=50))), 500, clock)
    assert [(one["percent"], one["unit"]) for one in said] == [(100, "nano_usd")]


async def test_a_raised_budget_is_not_half_spent_any_more(said: list[dict[str, Any]]) -> None:
    clock, books, shelf = Clock(), Books(), Shelf()
    admission = memory(clock, books, tell=shelf.tell)
    await spend(admission, books, scope(budgets=(Budget("day", nano_usd=100),)), 40, clock)
    more = scope(budgets=(Budget("day", nano_usd=100, once=100, until=clock.now + 10**9),))
    await spend(admission, books, more, 50, clock)
    assert said == []
    await spend(admission, books, more, 20, clock)
    assert [(one["percent"], one["limit"]) for one in said] == [(50, 200)]


async def test_what_could_not_be_written_down_is_told_later(said: list[dict[str, Any]]) -> None:
    clock, books, shelf = Clock(), Books(), Shelf()
    admission = memory(clock, books, tell=shelf.tell)
    mine = scope(budgets=(Budget("day", nano_usd=100),))
    shelf.away = True
    with pytest.raises(StoreUnavailable):
        await spend(admission, books, mine, 60, clock)
    assert said == []
    shelf.away = False
    await admission.reconcile()
    assert [one["percent"] for one in said] == [50]
