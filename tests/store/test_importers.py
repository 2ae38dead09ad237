"""Both earlier databases on both engines: T-66."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from dragoman.store import schema
from dragoman.store.accounts import keys, people
from dragoman.store.accounts.model import Key, Person
from dragoman.store.database import Database
from dragoman.store.importers import Imported, SourceUnusable, Wanted, import_source
from dragoman.store.importers.sources import read_count, read_text, read_time
from dragoman.store.ledger.sums import totals
from tests.store.accounts_rig import (
    CHAT_USERS,
    HASHER,
    NOW,
    SECOND,
    add_person,
    chat_db,
    infini_db,
    infini_key,
    ring_of,
    sha,
)

CHAT = [
    (1, "root", "root-token-long-enough-for-a-prefix", 100, 2, "2023-05-01 10:00:00", "2023-05-02 10:00:00"),
    (2, "ann", "anns8tok", 1520, 1, "2023-06-01T10:00:00Z", None),
    (5, "off", "offs8tok", 7, 0, "yesterday", None),
    (6, "nobody", None, None, None, None, None),
]
USERS = [
    (1, "ann", "ann@example.org", "2025-01-01 10:00:00", 1),
    (3, "bob", "", "2025-01-02 10:00:00.250000", 1),
    (4, "out", None, None, 0),
]


def api_key(number: int, user_id: int | None, **more: Any) -> tuple[Any, ...]:
    key = infini_key(number)
    row = {
        "id": number, "user_id": user_id, "hash": sha(key), "prefix": key[:12], "name": f"key {number}",
        "created": "2025-01-03 10:00:00", "used": None, "active": 1, "model": None, "backend": None, **more,
    }  # fmt: skip
    return tuple(row.values())


KEYS = [
    api_key(11, 1, model="glm-4.6", used="2025-02-01 10:00:00"),
    api_key(12, 1, active=0, name=None),
    api_key(20, 3),
    api_key(21, 4),
    api_key(30, 99),
]


def usage(number: int, key: int, tokens: tuple[Any, Any], **more: Any) -> tuple[Any, ...]:
    row = {
        "id": number, "key": key, "endpoint": "/v1/messages", "model": "glm-4.6", "in": tokens[0], "out": tokens[1],
        "total": None, "request": f"req-{number}", "at": "2025-02-01 10:30:00", "url": "https://up.example/v1?key=x",
        **more,
    }  # fmt: skip
    return tuple(row.values())


USAGE = [
    usage(1, 11, (10, 2)),
    usage(2, 11, (30, 0), endpoint="/v1/chat/completions"),
    usage(3, 20, (None, 5), at="2025-02-02 00:00:00", url=None),
    usage(4, 77, (8, 8), endpoint="/v1/other"),
]


async def bring(database: Database, kind: str, path: Path, *, merge: bool = False) -> Imported:
    return await import_source(database, HASHER, Wanted(kind, path, merge), now=NOW)


async def owner(database: Database, credential: str) -> tuple[Person, Key] | None:
    return await database.read(lambda connection: keys.owner_of(connection, HASHER, credential))


async def count(database: Database, table: Any) -> int:
    found: int = await database.read(
        lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()
    )
    return found


async def test_T_66_chat_azures_tokens_work_and_mean_nothing_to_a_reader(database: Database, tmp_path: Path) -> None:
    told = await bring(database, "chat_azure", chat_db(tmp_path / "chat.db", CHAT))
    assert (told.users, told.keys, told.renumbered) == (4, 3, [])
    for old, name, token, used, status, *_ in CHAT[:3]:
        found = await owner(database, str(token))
        assert found is not None
        person = found[0]
        assert (person.id, person.name, person.opening_balance) == (old, name, used)
        assert (person.role == "admin", person.active) == (status == 2, status != 0)
    ann = await owner(database, "anns8tok")
    assert ann is not None
    assert ann[0].created_at == 1685613600 * SECOND
    assert ann[1].prefix == ""
    off = await owner(database, "offs8tok")
    assert off is not None
    assert off[0].created_at is None  # "yesterday" is no time that anybody can read
    root = await owner(database, "root-token-long-enough-for-a-prefix")
    assert root is not None
    assert root[1].prefix == "root-token-l"
    ring = ring_of(database)
    await ring.refresh()
    assert ring.caller("anns8tok") is not None
    assert ring.caller("offs8tok") is None
    rows = await database.read(lambda connection: [str(row) for row in connection.execute(select(schema.keys))])
    for token in ("anns8tok", "offs8tok"):
        assert token not in "".join(rows)
        assert sha(token) not in "".join(rows), "a plain hash of a short token could be guessed"
        assert token not in "\n".join(told.lines())
    assert any("nobody" in note for note in told.notes)


async def test_T_66_infiniproxys_keys_and_usage(database: Database, tmp_path: Path) -> None:
    path = infini_db(tmp_path / "proxy_users.db", USERS, KEYS, USAGE)
    told = await bring(database, "infiniproxy", path)
    assert (told.users, told.keys, told.usage, told.orphans, told.renumbered) == (4, 5, 4, 1, [])
    first = await owner(database, infini_key(11))
    assert first is not None
    assert (first[0].id, first[0].email, first[1].id, first[1].prefix) == (1, "ann@example.org", 11, "sk-000000000")
    assert (first[1].default_model, first[1].last_used_at) == ("glm-4.6", 1738404000 * SECOND)
    ring = ring_of(database)
    await ring.refresh()
    working = [number for number in (11, 12, 20, 21, 30) if ring.caller(infini_key(number))]
    assert working == [11, 20], "inactive, of an inactive user, of nobody: none of them"
    lost = await owner(database, infini_key(30))
    assert lost is not None
    assert (lost[0].name, lost[0].active) == ("orphan-99", False)

    def look(connection: Connection) -> tuple[list[Any], list[Any]]:
        entries, day = schema.entries, schema.usage_day
        return list(connection.execute(select(entries).order_by(entries.c.id))), list(
            connection.execute(select(day).order_by(day.c.bucket, day.c.key_id, day.c.surface))
        )

    rows, days = await database.read(look)
    assert [(row.user_id, row.key_id, row.input, row.output) for row in rows] == [
        (1, 11, 10, 2),
        (1, 11, 30, 0),
        (3, 20, None, 5),
        (None, None, 8, 8),
    ]
    assert [row.surface for row in rows] == ["messages", "chat", "messages", "/v1/other"]
    assert (rows[0].request_id, rows[0].at, rows[0].provider) == ("req-1", 1738405800 * SECOND, "up.example")
    assert (rows[0].cost, rows[0].usage_source, rows[0].kind) == (None, "provider", "final")
    assert rows[0].details["backend_url"] == "https://up.example/v1"
    assert rows[3].details["api_key_id"] == 77
    assert sum(row.input for row in days) == 48
    assert sum(row.output for row in days) == 15
    assert sum(row.calls for row in days) == 4


async def test_T_66_a_second_import_changes_nothing(database: Database, tmp_path: Path) -> None:
    sources = [
        ("chat_azure", chat_db(tmp_path / "chat.db", CHAT)),
        ("infiniproxy", infini_db(tmp_path / "proxy_users.db", USERS, KEYS, USAGE)),
    ]
    tables = (schema.users, schema.keys, schema.entries, schema.usage_day, schema.usage_hour, schema.budget_windows)
    for kind, path in sources:
        assert (await bring(database, kind, path)).already == ""
    before = [await count(database, table) for table in tables]
    for kind, path in sources:
        moved = path.rename(tmp_path / f"moved-{path.name}")
        told = await bring(database, kind, moved, merge=True)
        assert told.already
        assert "nothing was changed" in "".join(told.lines())
    assert [await count(database, table) for table in tables] == before


async def test_T_66_the_source_is_only_read(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    path = infini_db(folder / "proxy_users.db", USERS, KEYS, USAGE)
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(folder.iterdir()))
    folder.chmod(0o500)
    await bring(database, "infiniproxy", path)
    folder.chmod(0o700)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(folder.iterdir())) == before


async def test_T_66_what_lies_in_the_log_beside_it_counts(database: Database, tmp_path: Path) -> None:
    writing = sqlite3.connect(tmp_path / "chat.db")
    writing.execute("PRAGMA journal_mode=WAL")
    writing.execute("PRAGMA wal_autocheckpoint=0")
    writing.execute(CHAT_USERS)
    writing.execute("INSERT INTO users VALUES (1, 'late', 'lates-token', 3, 1, NULL, NULL)")
    writing.commit()
    log = tmp_path / "chat.db-wal"
    before = hashlib.sha256(log.read_bytes()).hexdigest()
    assert (await bring(database, "chat_azure", tmp_path / "chat.db")).users == 1
    assert hashlib.sha256(log.read_bytes()).hexdigest() == before
    writing.close()


async def test_T_66_columns_that_came_later_may_be_missing(database: Database, tmp_path: Path) -> None:
    older = [row[:8] for row in KEYS]
    path = infini_db(tmp_path / "proxy_users.db", USERS, older, [row[:9] for row in USAGE], later=False)
    told = await bring(database, "infiniproxy", path)
    assert (told.keys, told.usage) == (5, 4)
    found = await owner(database, infini_key(11))
    assert found is not None
    assert found[1].default_model is None


async def test_T_66_a_source_with_neither_usage_nor_dates(database: Database, tmp_path: Path) -> None:
    bare = "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, token TEXT)"
    path = tmp_path / "chat.db"
    with sqlite3.connect(path) as connection:
        connection.execute(bare)
        connection.execute("INSERT INTO users VALUES (1, 'ann', 'anns-token')")
    connection.close()
    assert (await bring(database, "chat_azure", path)).users == 1


async def test_T_66_ids_are_kept_only_where_nobody_is(database: Database, tmp_path: Path) -> None:
    await database.write(lambda connection: add_person(connection, "first"))
    told = await bring(database, "infiniproxy", infini_db(tmp_path / "p.db", USERS, KEYS))
    found = await owner(database, infini_key(11))
    assert found is not None
    assert (found[0].id, found[1].id) != (1, 11)
    assert f"user 1 is {found[0].id} now" in told.renumbered
    assert f"key 11 is {found[1].id} now" in told.renumbered


async def test_T_66_whoever_comes_next_gets_a_free_id(database: Database, tmp_path: Path) -> None:
    await bring(database, "infiniproxy", infini_db(tmp_path / "p.db", USERS, KEYS))
    made = await database.write(lambda connection: add_person(connection, "next"))
    assert made.key.id > 30
    assert made.key.user_id > 4


async def test_T_66_names_that_clash_are_told_apart(database: Database, tmp_path: Path) -> None:
    await bring(database, "infiniproxy", infini_db(tmp_path / "p.db", USERS, KEYS))
    told = await bring(
        database, "chat_azure", chat_db(tmp_path / "chat.db", [*CHAT, (9, "shared", "t" * 9, 0, 1, 0, 0)])
    )
    found = await owner(database, "anns8tok")
    assert found is not None
    assert found[0].name == "ann@chat_azure"
    assert "user 'ann' is 'ann@chat_azure' now" in told.notes
    reserved = await owner(database, "t" * 9)
    assert reserved is not None
    assert reserved[0].name == "shared@chat_azure"


async def test_T_66_merging_joins_people_and_raises_nobody(database: Database, tmp_path: Path) -> None:
    await bring(database, "chat_azure", chat_db(tmp_path / "chat.db", CHAT))
    users = [*USERS, (7, "root", None, None, 1)]
    path = infini_db(tmp_path / "p.db", users, [*KEYS, api_key(40, 7)])
    told = await bring(database, "infiniproxy", path, merge=True)
    ann, also = await owner(database, "anns8tok"), await owner(database, infini_key(11))
    assert ann is not None
    assert also is not None
    assert (ann[0].id, ann[0].opening_balance) == (also[0].id, 1520)
    taken = await owner(database, infini_key(40))
    assert taken is not None
    assert (taken[0].name, taken[0].role) == ("root@infiniproxy", "user"), "a name alone makes no admin"
    assert any("was not merged" in note for note in told.notes)
    names = await database.read(lambda connection: [person.name for person in people.listed(connection)])
    assert names.count("ann") == 1


@pytest.mark.parametrize("first", ["infiniproxy", "chat_azure"])
async def test_T_66_merging_opens_nothing_that_was_shut(database: Database, tmp_path: Path, first: str) -> None:
    """Whoever was disabled in one place, and is not in the other, keeps the credentials of that other alone."""
    both = [(1, "ann", None, None, 1), (2, "off", None, None, 1), (3, "bob", None, None, 0)]
    path = infini_db(tmp_path / "p.db", both, [api_key(11, 1), api_key(12, 2), api_key(13, 3)])
    chat = [(1, "bob", "bobs8tok", 1, 1, None, None), (2, "ann", "anns8tok", 1, 1, None, None),
            (3, "off", "offs8tok", 1, 0, None, None)]  # fmt: skip
    open_credentials = {"anns8tok", infini_key(11)}
    sources = [("infiniproxy", path), ("chat_azure", chat_db(tmp_path / "chat.db", chat))]
    for kind, file in sorted(sources, key=lambda one: one[0] != first):
        told = await bring(database, kind, file, merge=True)
    assert [note for note in told.notes if "was merged" in note]
    ring = ring_of(database)
    await ring.refresh()
    everything = {"anns8tok", "offs8tok", "bobs8tok", *(infini_key(number) for number in (11, 12, 13))}
    kept = {"infiniproxy": infini_key(12), "chat_azure": "bobs8tok"}[first]
    assert {one for one in everything if ring.caller(one) is not None} == {*open_credentials, kept}


async def test_T_66_a_credential_that_is_in_use_is_left_out_and_told(database: Database, tmp_path: Path) -> None:
    await bring(database, "infiniproxy", infini_db(tmp_path / "p.db", USERS, KEYS))
    other = infini_db(tmp_path / "q.db", [(1, "eve", None, None, 1)], [api_key(11, 1, id=1), api_key(50, 1)])
    told = await bring(database, "infiniproxy", other)
    assert told.keys == 1
    [note] = [note for note in told.notes if "in use" in note]
    assert "'ann'" in note
    found = await owner(database, infini_key(11))
    assert found is not None
    assert found[0].name == "ann"


@pytest.mark.parametrize("kind", ["chat_azure", "infiniproxy"])
async def test_T_66_what_is_no_such_database_changes_nothing(database: Database, tmp_path: Path, kind: str) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_text("not a database at all, but long enough to be taken for one" * 20)
    before = await count(database, schema.facts)
    for path in (foreign, text, tmp_path / "missing.db", tmp_path):
        with pytest.raises(SourceUnusable):
            await bring(database, kind, path)
    assert await count(database, schema.users) == 0
    assert await count(database, schema.facts) == before


async def test_T_66_a_broken_import_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    path = infini_db(tmp_path / "p.db", USERS, KEYS, USAGE)
    data = bytearray(path.read_bytes())
    page = data.find(b"req-1")
    data[page - page % 4096 : page - page % 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    before = await count(database, schema.facts)
    with pytest.raises(SourceUnusable):
        await bring(database, "infiniproxy", path)
    for table in (schema.users, schema.keys, schema.entries):
        assert await count(database, table) == 0, table.name
    assert await count(database, schema.facts) == before, "no mark keeps it from being tried again"


def test_T_66_values_of_the_sources() -> None:
    assert read_time("2025-01-01 00:00:00") == read_time("2025-01-01T01:00:00+01:00") == 1735689600 * SECOND
    assert read_time(1735689600) == read_time(1735689600000) == read_time(1735689600000000) == 1735689600 * SECOND
    nothings: list[Any] = [None, "", "yesterday", "0001-01-01", True, [], "9999999-01-01"]
    for nothing in nothings:
        assert read_time(nothing) is None
    assert [read_count(value) for value in (0, "7", None, -1, "x", True, 2**70)] == [0, 7, None, None, None, None, None]
    assert read_text(" a\x00b\n\ud800c ", 10) == "abc"
    assert read_text(None, 10) == ""
    assert read_text("x" * 20, 5) == "xxxxx"


async def test_T_66_counts_out_of_all_reason_are_none(database: Database, tmp_path: Path) -> None:
    """They would not fit into any sum, and what they belong to is worth having."""
    chat = chat_db(tmp_path / "chat.db", [(1, "ann", "anns8tok", 2**63 - 1, 1, None, None)])
    await bring(database, "chat_azure", chat)
    found = await owner(database, "anns8tok")
    assert found is not None
    assert found[0].opening_balance == 0
    rows = [usage(number, 11, (2**62 - 1, 2**62 - 1)) for number in range(1, 5)]
    path = infini_db(tmp_path / "p.db", USERS, KEYS, [*rows, usage(5, 11, (3, 2**39))])
    told = await bring(database, "infiniproxy", path)
    assert told.usage == 5
    line = await database.read(totals)
    assert (line.calls, line.input, line.output) == (5, 3, 2**39)


async def test_T_60_what_an_address_keeps_secret_is_left_behind(database: Database, tmp_path: Path) -> None:
    addresses = ["https://user:pass-word@up.example:8443/v1?key=x#y", "up.example/v1?key=x", "http://[broken?key=x"]
    rows = [usage(number, 11, (1, 1), url=url) for number, url in enumerate(addresses, 1)]
    await bring(database, "infiniproxy", infini_db(tmp_path / "p.db", USERS, KEYS, rows))
    told = await database.read(lambda connection: [row.details for row in connection.execute(select(schema.entries))])
    assert [details.get("backend_url") for details in told] == ["https://up.example:8443/v1", "up.example/v1", None]


async def test_T_66_ids_that_cannot_be_kept_stand_beside_those_that_can(database: Database, tmp_path: Path) -> None:
    path = infini_db(tmp_path / "p.db", [*USERS, (2**40, "far", None, None, 1)], [*KEYS, api_key(31, None)])
    told = await bring(database, "infiniproxy", path)
    assert (told.users, told.keys, told.orphans) == (6, 6, 2)
    everybody = {person.name: person.id for person in await database.read(people.listed)}
    assert {everybody["ann"], everybody["bob"], everybody["out"], everybody["orphan-99"]} == {1, 3, 4, 99}
    found = await owner(database, infini_key(31))
    assert found is not None
    assert (found[0].name, found[0].active, found[1].id) == ("orphan-0", False, 31)
    chat = chat_db(tmp_path / "chat.db", [(2**40, "zoe", "zoes8tok", 1, 1, None, None), *CHAT])
    assert (await bring(database, "chat_azure", chat)).users == 5


async def test_T_66_ids_that_are_no_numbers_are_no_import(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id TEXT, username TEXT, token TEXT)")
        connection.execute("INSERT INTO users VALUES ('one', 'ann', 'anns8tok')")
    connection.close()
    with pytest.raises(SourceUnusable, match="no number"):
        await bring(database, "chat_azure", path)
    assert await count(database, schema.users) == 0
