"""infiniproxy's ``proxy_users.db``: users, hashed keys, a row for each request, and later its backends.

::

    users(id, username, email, created_at, is_active)
    api_keys(id, user_id, key_hash, key_prefix, name, model_name, created_at, last_used_at, is_active, backend_id)
    usage_records(id, api_key_id, endpoint, model, input_tokens, output_tokens, total_tokens, request_id, timestamp,
                  backend_url)
    backend_services(id, short_name, name, base_url, api_key, default_model, is_active, is_default, ...)

A key's hash is the SHA-256 of the whole key, which is our own rule for generated keys. It must not know
other sources.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sqlalchemy import Connection, insert, select

from dragoman.store import schema
from dragoman.store.accounts.hashing import PREFIX_LENGTH, Hasher
from dragoman.store.accounts.model import Key
from dragoman.store.importers.arrivals import Arrivals
from dragoman.store.importers.model import Imported
from dragoman.store.importers.sources import Source, read_count, read_text, read_time
from dragoman.store.ledger.aggregates import add_up
from dragoman.store.ledger.model import Attempted, Final, Tokens, Who
from dragoman.store.ledger.rows import final_row
from dragoman.store.ledger.zones import zone_of

KIND = "infiniproxy"
FILE = "proxy_users.db"
SURFACES = {
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "count_tokens",
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
}
"""Our names for its endpoints; others stay as they are."""

_USERS = ("id", "username", "email", "created_at", "is_active")
_KEYS = (
    "id", "user_id", "key_hash", "key_prefix", "name", "model_name", "created_at", "last_used_at", "is_active",
    "backend_id",
)  # fmt: skip
_USAGE = (
    "id", "api_key_id", "endpoint", "model", "input_tokens", "output_tokens", "total_tokens", "request_id",
    "timestamp", "backend_url",
)  # fmt: skip
_BACKENDS = ("id", "short_name")
_HASH = re.compile(r"[0-9a-f]{64}")
_BATCH = 500


def fits(source: Source) -> bool:
    """Whether the file is of this kind."""
    return source.has("users", "id", "username") and source.has("api_keys", "id", "user_id", "key_hash")


def fingerprint(source: Source, hasher: Hasher) -> str:
    """Tells this source from others, whatever was added to it since: its first user and its first key."""
    user = next(iter(source.rows("users", _USERS)), None) or {}
    key = next(iter(source.rows("api_keys", _KEYS)), None) or {}
    said = (user.get("id"), user.get("username"), user.get("created_at"), key.get("id"), key.get("key_hash"))
    return hashlib.sha256(hasher.chosen("\0".join(map(str, said))).encode()).hexdigest()[:24]


def bring(connection: Connection, source: Source, hasher: Hasher, told: Imported, *, merge: bool, now: int) -> None:
    """Import everything, in the transaction of whoever calls."""
    arrivals = Arrivals(connection, told, merge=merge, now=now)
    for row in source.rows("users", _USERS):
        arrivals.person(
            row["id"],
            read_text(row["username"], 200),
            role="user",
            active=row["is_active"] != 0,
            email=read_text(row["email"], 320) or None,
            created_at=read_time(row["created_at"]),
        )
    _bring_keys(source, arrivals, told, now)
    arrivals.settle_ids()
    if source.has("usage_records", "id"):
        _bring_usage(connection, source, arrivals, told, fingerprint(source, hasher), now)
    _tell_backends(source, told)


def _bring_keys(source: Source, arrivals: Arrivals, told: Imported, now: int) -> None:
    for row in source.rows("api_keys", _KEYS):
        hashed = str(row["key_hash"]).strip().lower()
        if not _HASH.fullmatch(hashed):
            told.notes.append(f"key {row['id']} was left out: it has no SHA-256 hash")
            continue
        user = row["user_id"] if isinstance(row["user_id"], int) else 0
        person = arrivals.owner(user)
        prefix = read_text(row["key_prefix"], PREFIX_LENGTH)
        key = Key(
            id=0,
            user_id=person.id,
            name=read_text(row["name"], 200) or "default",
            prefix=prefix if len(prefix) == PREFIX_LENGTH else "",
            active=row["is_active"] != 0,
            default_model=read_text(row["model_name"], 512) or None,
            last_used_at=read_time(row["last_used_at"]),
            created_at=_or(read_time(row["created_at"]), now),
        )
        arrivals.key(row["id"], user, key, hashed)


def _bring_usage(
    connection: Connection, source: Source, arrivals: Arrivals, told: Imported, mark: str, now: int
) -> None:
    table = schema.keys
    owners = {row.id: row.user_id for row in connection.execute(select(table.c.id, table.c.user_id))}
    finals = (_final(row, arrivals.keys, owners, mark, now) for row in source.rows("usage_records", _USAGE))
    for batch in _batches(finals):
        rows = [final_row(final) for final in batch]
        connection.execute(insert(schema.entries), rows)
        add_up(connection, rows, zone_of(connection))
        told.usage += len(rows)


def _final(row: Mapping[str, Any], keys: Mapping[int, int], owners: Mapping[int, int], mark: str, now: int) -> Final:
    """One request of the source as an entry. What it cost is not known."""
    key_id = keys.get(row["api_key_id"])
    endpoint, model = read_text(row["endpoint"], 64), read_text(row["model"], 512)
    attempted = Attempted(
        call_id=f"i{mark[:15]}{row['id']:x}",
        attempt=1,
        at=_or(read_time(row["timestamp"]), now),
        who=Who(user_id=None if key_id is None else owners[key_id], key_id=key_id),
        request_id=read_text(row["request_id"], 128),
        surface=SURFACES.get(endpoint, endpoint),
        route="",
        provider=_host(row["backend_url"]),
        asked_model=model,
        model=model,
        stream=False,
        input_estimate=0,
        output_estimate=0,
    )
    return Final(
        attempted=attempted,
        tokens=Tokens(input=read_count(row["input_tokens"]), output=read_count(row["output_tokens"])),
        source="provider",
        outcome="answered",
        status=200,
        details=_details(row, key_id),
    )


def _details(row: Mapping[str, Any], key_id: int | None) -> dict[str, Any]:
    details: dict[str, Any] = {"imported": KIND}
    if address := _address(row["backend_url"]):
        details["backend_url"] = address
    if key_id is None:
        details["api_key_id"] = read_count(row["api_key_id"])
    return details


def _host(url: Any) -> str:
    try:
        return (urlsplit(read_text(url, 500)).hostname or "")[:200]
    except ValueError:
        return ""


def _address(url: Any) -> str:
    """The address without what may be a secret: no name, password or query."""
    try:
        parts = urlsplit(read_text(url, 500))
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _tell_backends(source: Source, told: Imported) -> None:
    """Their keys lie there in clear; a provider of ours is set up by hand."""
    if source.has("backend_services", "id", "short_name"):
        names = [read_text(row["short_name"], 100) for row in source.rows("backend_services", _BACKENDS)]
        if names:
            told.notes.append(f"backends are not imported; set them up as providers: {', '.join(names)}")


def _batches(finals: Iterator[Final]) -> Iterator[list[Final]]:
    while batch := list(islice(finals, _BATCH)):
        yield batch


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
