"""What a start does to accounts: imports what lies about, makes the first administrator, brings users up to date.

Each is done once, whatever happens in between and however many replicas start at the same time. It must
not know who prints what it tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from dragoman.observe.logs import get_logger
from dragoman.settings.house import InitUser
from dragoman.settings.model import Settings
from dragoman.settings.parts import revealed
from dragoman.store import schema
from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.errors import AccountError, Invalid, Taken
from dragoman.store.accounts.hashing import Hasher, looks_generated, new_key, shown_prefix
from dragoman.store.accounts.model import Key, Person
from dragoman.store.accounts.passwords import is_example
from dragoman.store.accounts.words import claimed
from dragoman.store.database import Database, StoreUnavailable
from dragoman.store.facts import read_fact
from dragoman.store.importers import Imported, SourceUnusable, Wanted, import_source

ORIGIN = "configuration"
"""Of users and tokens that the configuration file names."""

_STARTED = "accounts.started"
_FIRST_ADMIN = "accounts.first_admin"
_log = get_logger("accounts")


@dataclass(slots=True)
class Opened:
    """What was done. ``token`` is the new administrator's: to be shown once on standard output and nowhere else."""

    admin: str = ""
    token: str = field(default="", repr=False)
    imports: list[Imported] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For the log and for people; without the token."""
        for told in self.imports:
            yield from told.lines()
        yield from self.notes

    def shown_once(self) -> Iterator[str]:
        """For standard output alone."""
        if self.token:
            yield f"administrator {self.admin}, token (shown this once): {self.token}"


async def open_accounts(
    database: Database, hasher: Hasher, settings: Settings, *, now: int, lying: Sequence[Wanted] = ()
) -> Opened:
    """Do what a start does. ``lying`` are sources that a first start imports. Raises StoreUnavailable."""
    opened = Opened()
    if await database.read(lambda connection: read_fact(connection, _STARTED)) is None:
        for wanted in lying:
            await _import(database, hasher, wanted, opened, now)
        # Not before: a start that was cut short imports what is left at the next one.
        await database.write(lambda connection: claimed(connection, _STARTED, str(now)))
    made = await database.write(lambda connection: _furnish(connection, hasher, settings, now))
    opened.admin, opened.token = made.admin, made.token
    opened.notes += made.notes
    return opened


async def _import(database: Database, hasher: Hasher, wanted: Wanted, opened: Opened, now: int) -> None:
    """What cannot be imported must not keep the gateway from starting."""
    try:
        opened.imports.append(await import_source(database, hasher, wanted, now=now))
        return
    except StoreUnavailable:
        raise
    except (SourceUnusable, AccountError) as error:
        why = str(error)
    except Exception as error:
        _log.error("defect", exc_info=error)
        why = "it holds something unforeseen"
    option = f"--{wanted.kind.replace('_', '-')}"
    opened.notes.append(f"{wanted.path} was not imported: {why}; try: dragoman import {option} {wanted.path}")


def _furnish(connection: Connection, hasher: Hasher, settings: Settings, now: int) -> Opened:
    made = Opened()
    groups.ensure(connection, settings.groups, now=now)
    _make_admin(connection, hasher, settings, made, now)
    for user in settings.init_users:
        _bring_up_to_date(connection, hasher, user, made, now)
    return made


def _make_admin(connection: Connection, hasher: Hasher, settings: Settings, made: Opened, now: int) -> None:
    """The first administrator, unless somebody can administrate already. Its name may change later or be forgotten."""
    said = settings.admin
    given = None if said.init_token is None else said.init_token.get_secret_value().strip()
    if given is None and (said.key is not None or not is_example(revealed(said.password))):
        return
    if not claimed(connection, _FIRST_ADMIN, said.init_user) or people.count_admins(connection):
        return
    person = _new_admin(connection, said.init_user, now)
    token = new_key() if given is None else given
    if given is None or looks_generated(given):
        # The form of a generated key: hashed as one, so that it is the same key everywhere.
        _keep_generated(connection, hasher, person, token, now)
    else:
        keys.create(connection, hasher, person.id, "first", now=now, token=given)
    made.admin = person.name
    made.token = token if given is None else ""


def _keep_generated(connection: Connection, hasher: Hasher, person: Person, token: str, now: int) -> None:
    key = Key(0, person.id, "first", shown_prefix(token), True, created_at=now)
    keys.insert_hashed(connection, key, hasher.generated(token))


def _new_admin(connection: Connection, name: str, now: int) -> Person:
    """An administrator of the name; an import may have brought a plain user who has it."""
    try:
        return people.create(connection, name, now=now, role="admin")
    except Taken:
        return people.create(connection, f"{name}@dragoman", now=now, role="admin")


def _bring_up_to_date(connection: Connection, hasher: Hasher, user: InitUser, made: Opened, now: int) -> None:
    """Create the user, or change the token. Usage, role and activity stay; what an admin withdrew stays so."""
    try:
        token = user.token.get_secret_value().strip()
        person = people.named(connection, user.username.strip())
        owner = keys.owner_of(connection, hasher, token)
        if owner is not None and person is not None and owner[0].id == person.id:
            return
        if owner is not None:
            raise Taken("token", "the token is somebody else's")
        if person is None:
            person = people.create(connection, user.username, now=now, origin=ORIGIN)
        _set_token(connection, hasher, person, token, now)
        if len(token) < keys.SHORTEST_TOKEN:
            made.notes.append(f"initUsers: the token of {person.name!r} is short: whoever tries may guess it")
    except (Invalid, Taken) as error:
        made.notes.append(f"initUsers: {user.username!r} was left as it is: {error.field} {error}")


def _set_token(connection: Connection, hasher: Hasher, person: Person, token: str, now: int) -> None:
    """Change the token that the configuration gave, or an imported one; else give a first one."""
    origin = schema.keys.c.origin
    known = keys.listed(connection, origin.in_((ORIGIN, "import:chat_azure")), user_id=person.id)
    if known:
        keys.change_token(connection, hasher, known[0].id, token, shortest=1)
    else:
        keys.create(connection, hasher, person.id, "token", now=now, token=token, origin=ORIGIN, shortest=1)
