"""That a budget was used up to a part of it: written down once for each part of a window, whoever sees it first.

A line of the audit log, ``budget.reached``, is what a list of them is made of. It must not know who tells whom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert

from dragoman.store.accounts.model import Window
from dragoman.store.database import Database
from dragoman.store.facts import insert_into
from dragoman.store.schema import audit, facts

ACTION = "budget.reached"
ACTOR = "gateway"


@dataclass(frozen=True, slots=True)
class Reached:
    """``percent`` of ``limit`` are spent in the window begun at ``start``; ``unit`` is nano_usd or tokens."""

    scope: str
    model: str
    window: Window
    start: int
    unit: str
    percent: int
    spent: int
    limit: int


Tell = Callable[[Reached], Awaitable[bool]]
"""Writes it down; whether nobody had before. Raises StoreUnavailable."""


def note_reached(connection: Connection, reached: Reached, at: int) -> bool:
    """Write it down, unless as much or more of the window, or a later window, was written down before."""
    subject = f"{reached.scope}\n{reached.model}\n{reached.window}\n{reached.unit}"
    name = f"{ACTION}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
    # Digits of one length, so that texts are in the order of what they say.
    statement = insert_into(connection, facts).values(name=name, value=f"{reached.start:020d}:{reached.percent:03d}")
    later = facts.c.value < statement.excluded.value
    put = statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": statement.excluded.value}, where=later
    ).returning(facts.c.name)
    if connection.execute(put).first() is None:
        return False
    details = {name: value for name, value in asdict(reached).items() if name != "scope"}
    connection.execute(
        insert(audit).values(at=at, actor=ACTOR, action=ACTION, object=reached.scope[:200], details=details)
    )
    return True


def teller(database: Database, clock: Callable[[], int]) -> Tell:
    """Writes it down in the database, at the clock's time."""

    async def tell(reached: Reached) -> bool:
        return await database.write(lambda connection: note_reached(connection, reached, clock()))

    return tell
