"""Any order of announcing, settling, dying, recovering and repeating: the tables always say what a model says."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection

from dragoman.store.database import Database, open_database
from dragoman.store.ledger import recovery
from dragoman.store.ledger.model import Attempted, Final, Step, Who
from dragoman.store.ledger.sums import totals
from dragoman.store.ledger.windows import DAY
from dragoman.store.ledger.writing import write_notes, write_steps
from dragoman.store.migrate import migrate
from dragoman.store.schema import budget_windows, entries, intents, leases, quarantine, usage_day, usage_hour
from tests.store.bookings import NOON, RATE_IN, RATE_OUT, attempted, broken, final, found

REPLICAS = ("a", "b")


@dataclass
class Modelled:
    """What should be known of one attempt."""

    open: Attempted | None = None
    replica: str = ""
    noted: int = 0
    recovered: int | None = None
    booked: Final | None = None


class LedgerMachine(RuleBasedStateMachine):
    """Empties the tables at each start. A subclass has the database, and a way to run what awaits it."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]
    calls: Bundle[Attempted] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.attempts: dict[tuple[str, int], Modelled] = {}
        self.dead: set[str] = set()
        self.runner.run(self.database.write(self._empty))

    def _empty(self, connection: Connection) -> None:
        for table in (entries, intents, leases, quarantine, usage_hour, usage_day, budget_windows):
            connection.execute(table.delete())
        for replica in REPLICAS:
            recovery.renew(connection, replica, recovery.FOR_EVER)

    def _write(self, replica: str, *steps: Step, late: bool = False) -> None:
        self.runner.run(self.database.write(lambda connection: write_steps(connection, steps, replica, late=late)))

    @rule(
        target=calls,
        day=st.integers(0, 40),
        user=st.one_of(st.none(), st.integers(1, 3)),
        model=st.sampled_from("mn"),
    )
    def announce(self, day: int, user: int | None, model: str) -> Attempted:
        self.number += 1
        one = attempted(f"{self.number:032x}", at=NOON + day * DAY, who=Who(user_id=user, key_id=user), model=model)
        replica = REPLICAS[self.number % 2]
        self._write(replica, Step(attempted=one))
        self.attempts[one.key] = Modelled(open=one, replica=replica)
        return one

    @rule(call=calls)
    def announce_again(self, call: Attempted) -> None:
        """Its commit was of unknown outcome, and comes out of the spool late."""
        self._write(self.attempts[call.key].replica, Step(attempted=call), late=True)
        kept = self.attempts[call.key]
        if kept.booked is None and kept.recovered is None:
            kept.open = call

    @rule(call=calls, output=st.integers(0, 500))
    def note(self, call: Attempted, output: int) -> None:
        self.runner.run(self.database.write(lambda connection: write_notes(connection, {call.key: output})))
        if self.attempts[call.key].open is not None:
            self.attempts[call.key].noted = output

    @rule(call=calls, tokens=st.integers(0, 900), moved=st.booleans(), twice=st.booleans(), late=st.booleans())
    def settle(self, call: Attempted, tokens: int, moved: bool, twice: bool, late: bool) -> None:
        end = final(replace(call, model="moved", at=call.at + DAY) if moved else call, tokens, tokens // 3)
        steps = [Step(end), Step(end)] if twice else [Step(end)]
        self._write(self.attempts[call.key].replica, *steps, late=late)
        self._ended(call, end)

    def _ended(self, call: Attempted, end: Final) -> None:
        kept = self.attempts[call.key]
        kept.open = None
        if kept.booked is None:
            kept.booked = end

    @rule(target=calls, call=calls)
    def go_on(self, call: Attempted) -> Attempted:
        """To the next target, in one transaction; from wherever the call had come to."""
        last = max(attempt for call_id, attempt in self.attempts if call_id == call.call_id)
        now = replace(call, attempt=last)
        following = replace(call, attempt=last + 1)
        kept = self.attempts[now.key]
        if kept.booked is not None or kept.recovered is not None:
            return call
        self._write(kept.replica, Step(broken(now), following))
        self._ended(now, broken(now))
        self.attempts[following.key] = Modelled(open=following, replica=kept.replica)
        return following

    @rule(replica=st.sampled_from(REPLICAS))
    def die(self, replica: str) -> None:
        self.dead.add(replica)
        self.runner.run(self.database.write(lambda connection: recovery.renew(connection, replica, 1)))

    @rule(replica=st.sampled_from(REPLICAS))
    def live(self, replica: str) -> None:
        self.dead.discard(replica)
        self.runner.run(self.database.write(lambda connection: recovery.renew(connection, replica, recovery.FOR_EVER)))

    @rule(call=calls)
    def lose(self, call: Attempted) -> None:
        """Its replica is taken for dead, and comes back."""
        replica = self.attempts[call.key].replica
        self.die(replica)
        self.reap()
        self.live(replica)

    @rule()
    def reap(self) -> None:
        self.runner.run(self.database.write(lambda connection: recovery.recover_some(connection, "c", NOON)))
        for kept in self.attempts.values():
            if kept.open is not None and kept.replica in self.dead:
                if kept.booked is None:
                    kept.recovered = (kept.open.input_estimate * RATE_IN + kept.noted * RATE_OUT) // 1_000_000
                kept.open = None

    @invariant()
    def the_tables_say_so(self) -> None:
        ends = [kept for kept in self.attempts.values() if kept.booked or kept.recovered is not None]
        cost = sum((kept.booked.cost or 0) if kept.booked else (kept.recovered or 0) for kept in ends)
        line = self.runner.run(self.database.read(totals))
        assert (line.cost, line.attempts) == (cost, len(ends))
        held = self.runner.run(self.database.read(lambda connection: connection.execute(intents.select()).all()))
        assert {(row.call_id, row.attempt) for row in held} == {
            key for key, kept in self.attempts.items() if kept.open is not None
        }
        wrong = [
            one
            for one in self.runner.run(found(self.database))
            if one.rule not in ("I3", "I5") or "ends" not in one.what
        ]
        assert [one for one in wrong if one.rule != "I3"] == []


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_N2_D4_D8_every_order_of_events_ends_in_the_truth(engine: str, request: pytest.FixtureRequest) -> None:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        if engine == "sqlite":
            url = f"sqlite:///{Path(folder) / 'x.db'}"
        else:
            server = request.getfixturevalue("postgres")
            url = runner.run(server.make())
        database = open_database(url)
        runner.run(migrate(database))
        run_state_machine_as_test(
            type("OneMachine", (LedgerMachine,), {"database": database, "runner": runner}),
            settings=settings(
                max_examples=100 if engine == "sqlite" else 25,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(database.close())
        if engine == "postgresql":
            runner.run(server.drop(url))
