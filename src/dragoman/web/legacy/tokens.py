"""The two calls of chat_azure: a user with a chosen token, and what a token has used. Errors are a line of text."""

from __future__ import annotations

from sqlalchemy import Connection

from dragoman.store.accounts import keys, people
from dragoman.store.accounts.errors import Invalid, Taken
from dragoman.store.accounts.model import Caller, Person
from dragoman.store.ledger.sums import Filters, totals
from dragoman.web.api.grants import RESTRICTED, restricted
from dragoman.web.legacy.answers import Answer, Refused
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import Office
from dragoman.web.legacy.parameters import text_of


async def add_user(office: Office, asked: Asked) -> Answer:
    """``{admin_token, username, token}`` → a user of status 1."""
    admin_token = text_of(asked.said, "admin_token", most=1000)
    username, token = text_of(asked.said, "username"), text_of(asked.said, "token", most=1000)
    if len(token) < keys.SHORTEST_TOKEN:
        raise Refused(400, f"token must have {keys.SHORTEST_TOKEN} characters or more")
    office.signin.attempts.check(asked.address)
    admin = office.signin.peek(admin_token)
    if admin is None or admin.role != "admin":
        office.signin.attempts.failed(asked.address)
        raise Refused(401, "admin token not found")
    if restricted(admin):
        raise Refused(403, RESTRICTED)
    await office.write(lambda connection: _add(connection, office, admin, username, token))
    return Answer({"status": "ok"})


def _add(connection: Connection, office: Office, admin: Caller, username: str, token: str) -> None:
    if office.signin.peek(token) is not None:  # also the admin key and the shared token
        raise Refused(409, "token: is in use")
    try:
        person = people.create(connection, username, now=office.clock())
        keys.create(connection, office.signin.ring.hasher, person.id, "default", now=office.clock(), token=token)
    except Taken as error:
        raise Refused(409, f"{error.field}: {error}") from None
    except Invalid as error:
        raise Refused(400, f"{error.field}: {error}") from None
    office.note(connection, admin, "user.create", f"user:{person.id}", name=username)


async def query_user(office: Office, asked: Asked) -> Answer:
    """``{token}`` → ``{count, status, username}``; disabled users are told, too."""
    token = text_of(asked.said, "token", most=1000)
    office.signin.attempts.check(asked.address)

    def work(connection: Connection) -> tuple[Person, bool, int] | None:
        found = keys.owner_of(connection, office.signin.ring.hasher, token)
        if found is None or people.find(connection, found[0].id) is None:
            return None
        return found[0], found[1].active, used_by(connection, found[0])

    found = await office.read(work)
    office.signin.attempts.check(asked.address)  # again: many may have asked at once
    if found is None:
        office.signin.attempts.failed(asked.address)
        raise Refused(400, "user not found")
    person, active, count = found
    status = 0 if not (active and person.active) else 2 if person.role == "admin" else 1
    return Answer({"count": count, "status": status, "username": person.name})


def used_by(connection: Connection, person: Person) -> int:
    """All tokens a user ever used, those before an import included."""
    return person.opening_balance + totals(connection, Filters(users=(person.id,))).tokens
