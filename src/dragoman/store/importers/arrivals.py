"""How people and keys of a source come in: ids kept where nobody has them, clashing names told apart.

One ``Arrivals`` serves one import, within its transaction. It must not know any source's tables.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection, func, select

from dragoman.store import schema
from dragoman.store.accounts import keys, people
from dragoman.store.accounts.errors import Taken
from dragoman.store.accounts.model import Key, Person, Role
from dragoman.store.accounts.words import NAME_LENGTH, RESERVED
from dragoman.store.importers.model import Imported

_RANK: dict[Role, int] = {"user": 0, "manager": 1, "admin": 2}


class Arrivals:
    """``people`` and ``keys`` map a source's ids to ours. ``numbered``: the source's keys have ids of their own."""

    def __init__(self, connection: Connection, told: Imported, *, merge: bool, now: int, numbered: bool = True) -> None:
        self.people: dict[int, int] = {}
        self.keys: dict[int, int] = {}
        self._connection = connection
        self._told = told
        self._merge = merge
        self._numbered = numbered
        self._now = now
        self._owners: dict[int, Person] = {}
        self._shut: set[int] = set()
        self._keep_people = people.is_empty(connection)
        self._keep_keys = connection.execute(select(schema.keys.c.id).limit(1)).first() is None

    def person(self, old: int, name: str, *, role: Role, active: bool, **more: Any) -> Person:
        """One user; ``more`` goes to ``people.create``."""
        known = people.named(self._connection, name) if name else None
        if known is not None and self._merge and _RANK[role] >= _RANK[known.role]:
            if not active:
                self._shut.add(old)
            return self._joined(old, known, more)
        if known is not None and self._merge:
            # Keys of a plain user must not become those of an admin by a name alone.
            self._told.notes.append(f"{name!r} was not merged: the one here has the role {known.role}")
        person = people.create(
            self._connection, self._free(name, old), now=self._now, role=role, active=active,
            origin=f"import:{self._told.kind}", id=self._id("user", old, keep=self._keep_people), **more,
        )  # fmt: skip
        if person.name != name:
            self._told.notes.append(f"user {name!r} is {person.name!r} now")
        if person.id != old:
            self._told.renumbered.append(f"user {old} is {person.id} now")
        self._told.users += 1
        return self._remembered(old, person)

    def orphan(self, old: int) -> Person:
        """Stands for a user whom the source lacks."""
        self._told.orphans += 1
        return self.person(old, f"orphan-{old}", role="user", active=False)

    def key(self, old: int, user: int, key: Key, hashed: str) -> Key | None:
        """One key of the source's ``user``; None for a credential that somebody has already, which is told.

        Of somebody who was disabled there and is not here it opens nothing.
        """
        key = dataclasses.replace(key, active=key.active and user not in self._shut, origin=f"import:{self._told.kind}")
        try:
            made = keys.insert_hashed(self._connection, key, hashed, id=self._id("key", old, keep=self._keep_keys))
        except Taken:
            owner = self._name_of(hashed)
            self._told.notes.append(f"key {old} was left out: its credential is in use by {owner!r}")
            return None
        if made.id != old and self._numbered:
            self._told.renumbered.append(f"key {old} is {made.id} now")
        self._told.keys += 1
        self.keys[old] = made.id
        return made

    def owner(self, old: int) -> Person:
        """Who has the source's id, an orphan if nobody has."""
        return self._owners.get(old) or self.orphan(old)

    def _joined(self, old: int, known: Person, more: dict[str, Any]) -> Person:
        if more.get("opening_balance"):
            people.add_balance(self._connection, known.id, more["opening_balance"])
        self._told.notes.append(f"user {known.name!r} was merged")
        return self._remembered(old, known)

    def _remembered(self, old: int, person: Person) -> Person:
        self.people[old] = person.id
        self._owners[old] = person
        return person

    def _free(self, name: str, old: int) -> str:
        """A name that nobody has: the wanted one, else with the source's behind it."""
        wanted = name or f"user-{old}"
        if wanted.lower() not in RESERVED and people.named(self._connection, wanted) is None:
            return wanted
        suffix = f"@{self._told.kind}"
        free = f"{wanted[: NAME_LENGTH - len(suffix)]}{suffix}"
        if people.named(self._connection, free) is None:
            return free
        numbered = f"{suffix}-{old}"
        return f"{wanted[: NAME_LENGTH - len(numbered)]}{numbered}"

    def _id(self, kind: str, old: int, *, keep: bool) -> int | None:
        table = schema.users if kind == "user" else schema.keys
        if keep and 0 < old < 2**31:
            taken = self._connection.execute(select(table.c.id).where(table.c.id == old)).first()
            if taken is None:
                return old
        if keep:
            self.settle_ids()
        return None

    def _name_of(self, hashed: str) -> str:
        users, table = schema.users, schema.keys
        joined = select(users.c.name).join(table, table.c.user_id == users.c.id).where(table.c.hash == hashed)
        return self._connection.execute(joined).scalar_one_or_none() or ""

    def settle_ids(self) -> None:
        """Let the engine count on from the highest id: PostgreSQL does not by itself."""
        if self._connection.dialect.name != "postgresql":
            return
        for table in (schema.users, schema.keys):
            highest = select(func.max(table.c.id)).scalar_subquery()
            sequence = func.pg_get_serial_sequence(table.name, "id")
            self._connection.execute(select(func.setval(sequence, func.coalesce(highest, 1))))
