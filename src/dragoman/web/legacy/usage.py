"""What was used, as the earlier proxies told it: requests and tokens, by endpoint and model or by backend.

Tokens of the input include cached ones, as their providers counted. No address of a provider is told: a
backend is the provider's name, for admins, and nothing for others.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from dragoman.store.accounts import keys, people
from dragoman.store.accounts.model import Key
from dragoman.store.ledger.sums import By, Filters, Sum, sums
from dragoman.web.legacy.answers import Answer, Refused
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import ENDPOINTS, Office
from dragoman.web.legacy.ranges import read_range

_BACKEND: tuple[By, ...] = ("provider", "model")


async def own(office: Office, asked: Asked) -> Answer:
    """The caller's own, by endpoint and model."""
    when = read_range(asked.said)
    whose = when.filters(users=(asked.user_id,))
    found = await office.report(lambda connection: _used(connection, whose, "surface", "model"))
    groups = [{"endpoint": ENDPOINTS.get(one.by[0], one.by[0]), "model": one.by[1], **_told(one)} for one in found]
    return Answer(
        {
            "user_id": asked.user_id,
            "username": asked.caller.name,
            **_total(found),
            "usage_by_endpoint": groups,
            "start_date": when.start_date,
            "end_date": when.end_date,
        }
    )


async def of_key(office: Office, asked: Asked) -> Answer:
    """One key's."""
    when = read_range(asked.said)

    def work(connection: Connection) -> tuple[Key, list[Sum]]:
        key = _visible_key(connection, asked)
        return key, _used(connection, when.filters(keys=(key.id,)))

    key, found = await office.report(work)
    return Answer({"api_key_id": key.id, **_total(found)})


async def of_key_by_backend(office: Office, asked: Asked) -> Answer:
    """One key's, by backend and model."""
    when = read_range(asked.said)

    def work(connection: Connection) -> tuple[Key, list[Sum]]:
        key = _visible_key(connection, asked)
        return key, _used(connection, when.filters(keys=(key.id,)), *_BACKEND)

    key, found = await office.report(work)
    return Answer({"api_key_id": key.id, **_by_backend(found, asked)})


async def of_user_by_backend(office: Office, asked: Asked) -> Answer:
    """One user's, by backend and model."""
    when = read_range(asked.said)

    def work(connection: Connection) -> list[Sum]:
        if people.find(connection, asked.id) is None:
            raise Refused(404, "there is no such user")
        return _used(connection, when.filters(users=(asked.id,)), *_BACKEND)

    return Answer({"user_id": asked.id, **_by_backend(await office.report(work), asked)})


async def by_backend(office: Office, asked: Asked) -> Answer:
    """Everybody's, by backend and model."""
    when = read_range(asked.said)
    found = await office.report(lambda connection: _used(connection, when.filters(), *_BACKEND))
    return Answer(_by_backend(found, asked))


def _visible_key(connection: Connection, asked: Asked) -> Key:
    key = keys.find(connection, asked.id)
    if asked.caller.role != "admin" and asked.caller.user_id is None:
        raise Refused(403, "this needs an admin credential, or a key of the same user")
    if key is None:
        raise Refused(404, "there is no such key")
    if asked.caller.role != "admin" and key.user_id != asked.caller.user_id:
        raise Refused(403, "this key is not yours")
    return key


def _by_backend(found: list[Sum], asked: Asked) -> dict[str, Any]:
    admin = asked.caller.role == "admin"
    groups = [{**({"backend_url": one.by[0]} if admin else {}), "model": one.by[1], **_told(one)} for one in found]
    return {**_total(found), "usage_by_backend": groups}


def _used(connection: Connection, filters: Filters, *by: By) -> list[Sum]:
    """Sums, most tokens first; what came to nothing is left out."""
    found = [one for one in sums(connection, by, filters) if one.calls or one.tokens]
    return sorted(found, key=lambda one: (-one.tokens, one.by))


def _total(found: list[Sum]) -> dict[str, int]:
    names = ("calls", "input", "cache_read", "cache_write", "output")
    return _told(Sum((), **{name: sum(getattr(one, name) for one in found) for name in names}))


def _told(one: Sum) -> dict[str, int]:
    """As the earlier proxies told it."""
    return {
        "total_requests": one.calls,
        "total_input_tokens": one.tokens - one.output,
        "total_output_tokens": one.output,
        "total_tokens": one.tokens,
    }
