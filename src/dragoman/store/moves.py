"""Runs the steps between two schemas, as alembic does. Only a database that needs a step pays for loading it.

It must not know who may run them, or when.

https://alembic.sqlalchemy.org/en/latest/api/runtime.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def move(
    connection: Connection, before: str, target: str, *, folder: Path, table: str, told: Callable[[str], None]
) -> None:
    """Run every step from ``before`` (empty: none) to ``target``, up or down, and write the schema into ``table``.

    ``told`` hears the name of each step before it runs.
    """

    def chosen(_revision: Any, _context: Any) -> Iterator[RevisionStep]:
        steps = _down(folder, before, target) if before and before > target else _up(folder, before, target)
        for step in steps:
            told(step.revision.revision)
            yield step

    context = MigrationContext.configure(connection, opts={"fn": chosen, "version_table": table})
    context.run_migrations(operations=Operations(context))


def running_on(schema: str, folder: Path) -> Iterator[str]:
    """The schema, then the older ones whose releases work on it."""
    yield schema
    step = _scripts(folder).get_revision(schema)
    yield from step.module.RUNS_ON if step is not None else ()


def _up(folder: Path, before: str, target: str) -> Iterable[RevisionStep]:
    return _scripts(folder)._upgrade_revs(target, before or None)  # type: ignore[arg-type]


def _down(folder: Path, before: str, target: str) -> Iterable[RevisionStep]:
    return _scripts(folder)._downgrade_revs(target, before)


@cache
def _scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(str(folder))
