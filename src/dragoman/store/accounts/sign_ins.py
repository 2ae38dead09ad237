"""Sign-ins by cookie, of all replicas: who, and until when, by the hash of what the cookie holds.

It must not know cookies or passwords.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from dragoman.store.accounts.model import Caller
from dragoman.store.schema import sign_ins

MOST = 1_000
"""Open at once; the oldest gives way to one more."""


def begin(connection: Connection, mark: str, caller: Caller, *, until: int, now: int) -> None:
    """Note a sign-in. ``mark`` is the hash; times are microseconds."""
    connection.execute(delete(sign_ins).where(sign_ins.c.until <= now))
    count = connection.execute(select(func.count()).select_from(sign_ins)).scalar_one()
    if count >= MOST:
        oldest = select(sign_ins.c.mark).order_by(sign_ins.c.until).limit(count - MOST + 1)
        connection.execute(delete(sign_ins).where(sign_ins.c.mark.in_(oldest)))
    row = {"mark": mark, "name": caller.name, "owner": caller.owner, "role": caller.role, "until": until}
    connection.execute(insert(sign_ins).values(row))


def find(connection: Connection, mark: str, *, now: int) -> Caller | None:
    """Who signed in, unless that is over."""
    query = select(sign_ins).where(sign_ins.c.mark == mark, sign_ins.c.until > now)
    row = connection.execute(query).first()
    return None if row is None else Caller(row.name, row.owner, role=row.role)


def end(connection: Connection, mark: str) -> None:
    """It opens nothing any more."""
    connection.execute(delete(sign_ins).where(sign_ins.c.mark == mark))
