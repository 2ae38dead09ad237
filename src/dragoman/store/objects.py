"""Configuration kept in the database: providers, routes, prices, limits, each a name and a JSON object.

Every change counts up one number in ``facts``; a replica that sees it grow reads everything anew. What is
secret goes in and is never shown again. It must not know what the objects mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, select

from dragoman.store.facts import count_up, put_row, read_fact
from dragoman.store.schema import objects
from dragoman.store.secrets import Cipher

VERSION = "configuration.version"


class _Unchanged:
    """The word for: leave the secret as it is."""


UNCHANGED = _Unchanged()


@dataclass(frozen=True, slots=True)
class Stored:
    """One object. Of its secret it is only told that there is one."""

    kind: str
    name: str
    data: dict[str, Any] = field(default_factory=dict)
    has_secret: bool = False
    updated_at: int = 0


def put(
    connection: Connection,
    kind: str,
    name: str,
    data: Mapping[str, Any],
    *,
    at: int,
    cipher: Cipher | None = None,
    secret: Mapping[str, Any] | _Unchanged | None = UNCHANGED,
) -> None:
    """Keep it, in place of one of the same name. ``secret`` None removes the secret; one needs the cipher."""
    row: dict[str, Any] = {"kind": kind, "name": name, "data": dict(data), "updated_at": at}
    if not isinstance(secret, _Unchanged):
        if secret is not None and cipher is None:
            raise ValueError("a secret needs a cipher")
        row["secret"] = cipher.seal(secret) if cipher is not None and secret is not None else None
    put_row(connection, objects, row)
    count_up(connection, VERSION)


def get(connection: Connection, kind: str, name: str) -> Stored | None:
    """One object without its secret, or None."""
    query = _query().where(objects.c.kind == kind, objects.c.name == name)
    row = connection.execute(query).first()
    return None if row is None else _stored(row)


def listed(connection: Connection, kind: str) -> list[Stored]:
    """All of a kind, by name, without secrets."""
    query = _query().where(objects.c.kind == kind).order_by(objects.c.name)
    return [_stored(row) for row in connection.execute(query)]


def remove(connection: Connection, kind: str, name: str) -> bool:
    """Whether there was one to remove."""
    found = connection.execute(delete(objects).where(objects.c.kind == kind, objects.c.name == name)).rowcount > 0
    if found:
        count_up(connection, VERSION)
    return found


def open_secret(connection: Connection, kind: str, name: str, cipher: Cipher) -> dict[str, Any]:
    """The secret of one object, for the gateway's own use; empty without one. Raises SecretUnusable."""
    query = select(objects.c.secret).where(objects.c.kind == kind, objects.c.name == name)
    sealed = connection.execute(query).scalar_one_or_none()
    return {} if sealed is None else cipher.open(sealed)


def version(connection: Connection) -> int:
    """A number that grows with every change; 0 when nothing was ever kept."""
    return int(read_fact(connection, VERSION) or 0)


def _query() -> Any:
    columns = objects.c
    return select(columns.kind, columns.name, columns.data, columns.secret.is_not(None), columns.updated_at)


def _stored(row: Any) -> Stored:
    return Stored(row[0], row[1], row[2], bool(row[3]), row[4])
