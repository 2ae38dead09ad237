"""Rows for every table of a database, made of what the database itself says about its columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Integer, Table, func, select

from dragoman.store.copying import spend_ids, tables_of

_ODD = {"text": "é 你好 \U0001f600", "whole": 1000.0, "half": 0.5, "list": [1, None, True, {"a": "b"}], "none": None}


def fill(connection: Connection, *, count: int = 5) -> int:
    """Put ``count`` rows into every table that is empty; how many there are then, over all tables."""
    for table in tables_of(connection):
        if not connection.execute(select(func.count()).select_from(table)).scalar():
            connection.execute(table.insert(), [_row(table, number) for number in range(1, count + 1)])
            if "id" in table.c:
                spend_ids(connection, table, count)
    return total(connection)


def total(connection: Connection) -> int:
    """How many rows there are over all tables."""
    tables = tables_of(connection)
    return sum(connection.execute(select(func.count()).select_from(table)).scalar() or 0 for table in tables)


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Column[Any], number: int) -> Any:
    kind = column.type
    if column.foreign_keys:
        own = any(key.column.table is column.table for key in column.foreign_keys)
        return None if own or (column.nullable and number % 2) else number
    if column.nullable and number % 3 == 0:
        return None
    if isinstance(kind, Boolean):
        return number % 2 == 0
    if isinstance(kind, Integer):
        return number
    if isinstance(kind, JSON):
        return {"number": number, **_ODD}
    return f"{column.name}-{number}-é"[: getattr(kind, "length", None)]
