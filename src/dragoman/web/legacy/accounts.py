"""Users and keys as the earlier proxies made, listed and ended them."""

from __future__ import annotations

import csv
import io
from typing import Any

from sqlalchemy import Connection

from dragoman.store.accounts import keys, people
from dragoman.store.accounts.errors import AccountError
from dragoman.store.accounts.model import Caller, Key, Person
from dragoman.web.legacy.answers import Answer, Refused
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import Office
from dragoman.web.legacy.parameters import maybe_number, maybe_text, number_of, text_of
from dragoman.web.legacy.ranges import iso
from dragoman.web.sheets import write_csv

_WARNING = "Keep this key now: it is not shown again."
_MOST_ROWS = 1_000


async def create_user(office: Office, asked: Asked) -> Answer:
    """A user with a default key."""
    username, email = text_of(asked.said, "username"), maybe_text(asked.said, "email")
    person, made = await office.write(lambda connection: _with_key(connection, office, asked.caller, username, email))
    return Answer(
        {
            "success": True,
            "user_id": person.id,
            "username": person.name,
            "api_key": made.credential,
            "email_sent": False,
            "message": f"user {person.name} created",
            "warning": _WARNING,
        }
    )


async def list_users(office: Office, asked: Asked) -> Answer:
    """All users, newest first."""
    found = await office.read(lambda connection: people.listed(connection, newest=True))
    return Answer({"users": [_user(person) for person in found]})


async def remove_user(office: Office, asked: Asked) -> Answer:
    """Take a user away; what was used stays."""

    def work(connection: Connection) -> None:
        person = people.find(connection, asked.id)
        if person is None:
            raise Refused(404, "there is no such user")
        if person.id == asked.caller.user_id:
            raise Refused(400, "nobody removes oneself")
        people.remove(connection, person.id, now=office.clock())
        if person.role == "admin" and person.active and people.count_admins(connection) == 0:
            raise Refused(409, "this is the last active admin")
        office.note(connection, asked.caller, "user.remove", f"user:{person.id}", name=person.name)

    await office.write(work)
    return Answer({"success": True, "message": "the user is removed, the keys open nothing any more"})


async def create_key(office: Office, asked: Asked) -> Answer:
    """One more key for a user."""
    user_id, name = number_of(asked.said, "user_id"), text_of(asked.said, "name")

    def work(connection: Connection) -> keys.NewKey:
        if people.find(connection, user_id) is None:
            raise Refused(404, "there is no such user")
        return _new_key(connection, office, asked.caller, user_id, name)

    made = await office.write(work)
    return Answer(
        {
            "success": True,
            "api_key": made.credential,
            "user_id": user_id,
            "name": made.key.name,
            "email_sent": False,
            "warning": _WARNING,
        }
    )


async def list_keys(office: Office, asked: Asked) -> Answer:
    """Keys, newest first, of one user if asked."""
    user_id = maybe_number(asked.said, "user_id")
    found = await office.read(lambda connection: keys.listed(connection, user_id=user_id, newest=True))
    return Answer({"api_keys": [_key(key) for key in found]})


async def end_key(office: Office, asked: Asked) -> Answer:
    """The key opens nothing any more."""

    def work(connection: Connection) -> None:
        if keys.find(connection, asked.id) is None:
            raise Refused(404, "there is no such key")
        keys.deactivate(connection, asked.id)
        office.note(connection, asked.caller, "key.deactivate", f"key:{asked.id}")

    await office.write(work)
    return Answer({"success": True, "message": "the key opens nothing any more"})


async def create_users(office: Office, asked: Asked) -> Answer:
    """Users from CSV, each with a key, as CSV."""
    text = asked.said.get("csv_file") or asked.said.get("csv_text")
    if not isinstance(text, str) or not text.strip():
        raise Refused(400, "csv_file or csv_text is needed")
    rows = _read_rows(text)
    made = await office.write(lambda connection: [_row(connection, office, asked.caller, *row) for row in rows])
    headers = [
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", 'attachment; filename="users_with_keys.csv"'),
    ]
    return Answer(write_csv(made, ("username", "email", "api_key")).encode(), headers=headers)


async def no_mail(office: Office, asked: Asked) -> Answer:
    """Keys are not sent: there is nobody to hand a letter to."""
    raise Refused(503, "mail is not set up: SMTP_SERVER is not set, or this release does not send keys")


# ---------------------------------------------------------------- parts


def _with_key(
    connection: Connection, office: Office, caller: Caller, username: str, email: str | None
) -> tuple[Person, keys.NewKey]:
    try:
        person = people.create(connection, username, now=office.clock(), email=email)
    except AccountError as error:
        raise Refused(400, f"{error.field}: {error}") from None
    office.note(connection, caller, "user.create", f"user:{person.id}", name=username, email=email)
    return person, _new_key(connection, office, caller, person.id, "default")


def _new_key(connection: Connection, office: Office, caller: Caller, user_id: int, name: str) -> keys.NewKey:
    made = keys.create(connection, office.signin.ring.hasher, user_id, name, now=office.clock())
    office.note(connection, caller, "key.create", f"key:{made.key.id}", name=name, user_id=user_id)
    return made


def _row(connection: Connection, office: Office, caller: Caller, username: str, email: str | None) -> dict[str, Any]:
    row = {"username": username, "email": email or "", "api_key": "user_creation_failed"}
    try:
        with connection.begin_nested():
            row["api_key"] = _with_key(connection, office, caller, username, email)[1].credential
    except Refused:
        pass
    return row


def _read_rows(text: str) -> list[tuple[str, str | None]]:
    lines = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""))
    try:
        rows = [[cell.strip() for cell in row] for row in lines if any(row)]
    except csv.Error as error:
        raise Refused(400, f"the table cannot be read: {error}") from None
    if rows and rows[0][0].lower() in ("username", "user_name", "name"):
        rows = rows[1:]
    if not rows:
        raise Refused(400, "there is no row")
    if len(rows) > _MOST_ROWS:
        raise Refused(400, f"there are more than {_MOST_ROWS} rows")
    return [(row[0], row[1] if len(row) > 1 and row[1] else None) for row in rows]


def _user(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "username": person.name,
        "email": person.email,
        "created_at": iso(person.created_at),
        "is_active": int(person.active),
        "role": person.role,
    }


def _key(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "user_id": key.user_id,
        "key_prefix": key.prefix,
        "name": key.name,
        "model_name": key.default_model,
        "created_at": iso(key.created_at),
        "last_used_at": iso(key.last_used_at),
        "is_active": int(key.active),
    }
