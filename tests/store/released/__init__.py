"""Every released schema as it was: its tables for both engines, and rows. An upgrade has to take them along.

A release that brings a step adds its files with ``python -m tests.store.released``, which never writes over
one that is there: what was released is not changed. They are loaded as they stand, not made by our steps.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table, create_engine, insert, select, text

from dragoman.store.copying import tables_of
from dragoman.store.migrate import FOLDER, VERSION_TABLE, migrated, schema_of
from dragoman.store.moves import _up
from tests.store.rows import fill

HERE = Path(__file__).parent


def load(connection: Connection, schema: str) -> None:
    """Make an empty database what that release left behind."""
    statements = (HERE / f"{schema}.{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in statements.split(";\n"):
        if statement.strip():
            connection.execute(text(statement))
    tables = _tables(connection)
    for name, rows in _rows(schema).items():
        connection.execute(insert(tables[name]), rows)


def kept_rows(connection: Connection, schema: str) -> dict[str, int]:
    """How many of that release's rows are there, with every column they had, table by table."""
    tables, found = _tables(connection), {}
    for name, rows in _rows(schema).items():
        columns = [tables[name].c[column] for column in rows[0]]
        present = [dict(row) for row in connection.execute(select(*columns)).mappings()]
        found[name] = sum(row in present for row in rows)
    return found


def row_counts(schema: str) -> dict[str, int]:
    """How many rows that release left behind, table by table."""
    return {name: len(rows) for name, rows in _rows(schema).items()}


def _rows(schema: str) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = json.loads((HERE / f"{schema}.json").read_text(encoding="utf-8"))
    return rows


def _tables(connection: Connection) -> dict[str, Table]:
    return {table.name: table for table in tables_of(connection)}


def write(schema: str) -> list[Path]:
    """Write the files of a schema that are not there yet; those that were made."""
    made = _written(HERE / f"{schema}.postgresql.sql", _spoken(schema))
    with create_engine("sqlite://").begin() as connection:
        migrated(connection, to=schema)
        made += _written(HERE / f"{schema}.sqlite.sql", _dumped(connection))
        fill(connection)
        rows = {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables_of(connection)
        }
    lines = ",\n".join
    tables = [f'"{name}": [\n{lines(map(json.dumps, given))}\n]' for name, given in rows.items()]
    return made + _written(HERE / f"{schema}.json", "{" + lines(tables) + "}\n")


def _dumped(connection: Connection) -> str:
    """The tables of a SQLite database. Some steps make tables anew, which cannot be told without one."""
    query = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
    version = f"INSERT INTO {VERSION_TABLE} VALUES ('{schema_of(connection)}')"  # noqa: S608
    return "".join(f"{statement};\n" for statement in [*connection.execute(query).scalars(), version])


def _spoken(schema: str) -> str:
    """What PostgreSQL is told."""
    out = io.StringIO()
    options = {
        "as_sql": True,
        "output_buffer": out,
        "version_table": VERSION_TABLE,
        "fn": lambda _revision, _context: _up(FOLDER, "", schema),
    }
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    context.run_migrations(operations=Operations(context))
    return out.getvalue()


def _written(path: Path, said: str) -> list[Path]:
    if path.exists():
        return []
    path.write_text(said, encoding="utf-8")
    return [path]
