"""People, groups and keys on both engines: C-50, C-51, and what must never be kept or told (T-60, X11)."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from sqlalchemy import Connection, select

from dragoman.store import schema
from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.errors import Invalid, Missing, Taken
from dragoman.store.accounts.model import Rules
from dragoman.store.accounts.words import claimed, version
from dragoman.store.database import Database
from tests.store.accounts_rig import HASHER, NOW, SECOND, add_person


async def test_C_50_each_user_has_an_own_credential(database: Database) -> None:
    ann = await database.write(lambda connection: add_person(connection, "ann", email="ann@example.org"))
    bob = await database.write(lambda connection: add_person(connection, "bob"))
    assert ann.credential != bob.credential

    def look(connection: Connection) -> None:
        for made, name in ((ann, "ann"), (bob, "bob")):
            found = keys.owner_of(connection, HASHER, made.credential)
            assert found is not None
            assert (found[0].name, found[1]) == (name, made.key)
        assert keys.owner_of(connection, HASHER, "sk-nobody") is None
        assert [person.name for person in people.listed(connection)] == ["ann", "bob"]
        assert [person.name for person in people.listed(connection, newest=True, limit=1)] == ["bob"]
        assert [person.name for person in people.listed(connection, after=ann.key.user_id)] == ["bob"]

    await database.read(look)


async def test_C_51_several_keys_per_user_also_of_one_name(database: Database) -> None:
    def make(connection: Connection) -> None:
        first = add_person(connection, "ann").key
        second = keys.create(connection, HASHER, first.user_id, "default", now=NOW).key
        chosen = keys.create(connection, HASHER, first.user_id, "own", now=NOW, token=" my-token-1 ").key
        assert [key.id for key in keys.listed(connection, user_id=first.user_id)] == [first.id, second.id, chosen.id]
        assert keys.owner_of(connection, HASHER, "my-token-1") is not None
        assert chosen.prefix == ""

    await database.write(make)


async def test_T_60_a_credential_is_nowhere_in_the_database(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    chosen = "a token that is long enough for a prefix"
    await database.write(
        lambda connection: keys.create(connection, HASHER, made.key.user_id, "own", now=NOW, token=chosen)
    )
    rows = await database.read(lambda connection: [str(row) for row in connection.execute(select(schema.keys))])
    assert len(rows) == 2
    assert not [row for row in rows if made.credential[:20] in row or chosen in row]
    assert made.credential not in repr(made)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\x00b", "a\nb", "\ud800", "shared", "Anonymous"])
async def test_X11_names_that_cannot_be_kept_or_mean_others(database: Database, name: str) -> None:
    def make(connection: Connection) -> None:
        with pytest.raises((Invalid, Taken)):
            people.create(connection, name, now=NOW)
        if name.lower() in ("shared", "anonymous"):
            return
        with pytest.raises(Invalid):
            groups.create(connection, name, now=NOW)
        ann = add_person(connection, "ann").key
        with pytest.raises(Invalid):
            keys.create(connection, HASHER, ann.user_id, name, now=NOW)

    await database.write(make)


async def test_names_and_tokens_are_taken_once(database: Database) -> None:
    def make(connection: Connection) -> None:
        made = add_person(connection, "ann")
        bob = add_person(connection, "bob", key={"token": "bobs-token"}).key
        groups.create(connection, "lab", now=NOW)
        person = people.find(connection, bob.user_id)
        assert person is not None
        renamed = dataclasses.replace(person, name="ann")
        for work in (
            lambda: people.create(connection, " ann ", now=NOW),
            lambda: groups.create(connection, "lab", now=NOW),
            lambda: people.replace(connection, renamed),
            lambda: keys.create(connection, HASHER, bob.user_id, "x", now=NOW, token="bobs-token"),
            # Another's generated key, as a token of one's own.
            lambda: keys.create(connection, HASHER, bob.user_id, "x", now=NOW, token=made.credential),
            lambda: keys.change_token(connection, HASHER, bob.id, made.credential),
        ):
            with pytest.raises(Taken):
                work()
        # Nothing of it broke the transaction.
        assert people.named(connection, "bob") is not None

    await database.write(make)


async def test_two_at_once_never_share_a_name(database: Database) -> None:
    async def make() -> str:
        try:
            await database.write(lambda connection: people.create(connection, "ann", now=NOW))
        except Taken:
            return "taken"
        return "made"

    assert sorted(await asyncio.gather(*(make() for _ in range(6)))) == ["made", *["taken"] * 5]


async def test_what_is_not_there_is_missing(database: Database) -> None:
    def make(connection: Connection) -> None:
        for work in (
            lambda: keys.create(connection, HASHER, 7, "x", now=NOW),
            lambda: keys.deactivate(connection, 7),
            lambda: keys.remove(connection, 7),
            lambda: keys.rotate(connection, HASHER, 7, now=NOW),
            lambda: people.remove(connection, 7, now=NOW),
            lambda: groups.remove(connection, 7),
            lambda: people.create(connection, "ann", now=NOW, group_id=7),
        ):
            with pytest.raises(Missing):
                work()
        with pytest.raises(Invalid):
            people.create(connection, "ann", now=NOW, role="owner")  # type: ignore[arg-type]
        with pytest.raises(Invalid):
            people.create(connection, "ann", now=NOW, rules=Rules(rpm=0))

    await database.write(make)


async def test_X11_whoever_is_removed_keeps_id_and_usage_and_loses_name_and_keys(database: Database) -> None:
    def make(connection: Connection) -> None:
        ann = add_person(connection, "ann").key
        people.remove(connection, ann.user_id, now=NOW)
        assert people.find(connection, ann.user_id) is None
        assert people.named(connection, "ann") is None
        assert people.listed(connection) == []
        assert [key.active for key in keys.listed(connection)] == [False]
        again = people.create(connection, "ann", now=NOW)
        assert again.id != ann.user_id
        with pytest.raises(Missing):
            keys.create(connection, HASHER, ann.user_id, "x", now=NOW)

    await database.write(make)


async def test_groups_lose_nobody(database: Database) -> None:
    def make(connection: Connection) -> None:
        lab = groups.create(connection, "lab", now=NOW, rules=Rules(rpm=5))
        ann = people.create(connection, "ann", now=NOW, group_id=lab.id)
        assert groups.replace(connection, dataclasses.replace(lab, name="works")).rules == Rules(rpm=5)
        groups.ensure(connection, ["works", "core"], now=NOW)
        assert [group.name for group in groups.listed(connection)] == ["works", "core"]
        groups.remove(connection, lab.id)
        found = people.find(connection, ann.id)
        assert found is not None
        assert found.group_id is None

    await database.write(make)


async def test_rotation_overlaps(database: Database) -> None:
    def make(connection: Connection) -> None:
        given: dict[str, Any] = {"default_model": "haiku", "rules": Rules(rpm=3), "expires_at": NOW + 90 * SECOND}
        old = add_person(connection, "ann", key=given).key
        new = keys.rotate(connection, HASHER, old.id, now=NOW, overlap=60 * SECOND).key
        known = keys.find(connection, old.id)
        assert known is not None
        assert (known.replaced_by, known.expires_at, known.active) == (new.id, NOW + 60 * SECOND, True)
        alike = ("user_id", "name", "rules", "default_model", "expires_at")
        assert [getattr(new, name) for name in alike] == [getattr(old, name) for name in alike]
        with pytest.raises(Invalid, match="replaced"):
            keys.rotate(connection, HASHER, old.id, now=NOW)
        longest = keys.rotate(connection, HASHER, new.id, now=NOW, overlap=10**6 * SECOND).key
        shortened = keys.find(connection, new.id)
        assert shortened is not None
        assert shortened.expires_at == NOW + 90 * SECOND, "an overlap lengthens no life"
        keys.deactivate(connection, longest.id)
        with pytest.raises(Invalid, match="active"):
            keys.rotate(connection, HASHER, longest.id, now=NOW)
        keys.remove(connection, longest.id)
        assert keys.find(connection, longest.id) is None

    await database.write(make)


async def test_uses_are_put_down_and_never_go_back(database: Database) -> None:
    def make(connection: Connection) -> None:
        key = add_person(connection, "ann").key
        before = version(connection)
        keys.note_uses(connection, {key.id: NOW, 999: NOW})
        keys.note_uses(connection, {key.id: NOW - SECOND})
        keys.note_uses(connection, {})
        found = keys.find(connection, key.id)
        assert found is not None
        assert found.last_used_at == NOW
        assert version(connection) == before, "nobody needs to hear of it"

    await database.write(make)


async def test_every_change_counts_the_version_up_and_none_is_lost(database: Database) -> None:
    async def make(number: int) -> None:
        await database.write(lambda connection: people.create(connection, f"user-{number}", now=NOW))

    await asyncio.gather(*(make(number) for number in range(12)))
    assert await database.read(version) == 12


async def test_of_many_claims_one_is_heard(database: Database) -> None:
    tries = [database.write(lambda connection: claimed(connection, "mark", "x")) for _ in range(8)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 7 + [True]


HOSTILE = ["' OR 1=1 --", "'; DROP TABLE users; --", "%", "\\", '"', "a' UNION SELECT hash FROM keys --", "\x1f;--"]


@pytest.mark.parametrize("value", HOSTILE)
async def test_X02_hostile_credentials_find_nobody(database: Database, value: str) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    assert await database.read(lambda connection: keys.owner_of(connection, HASHER, value)) is None
    assert await database.read(lambda connection: people.named(connection, value)) is None
    assert await database.read(lambda connection: keys.find(connection, made.key.id)) == made.key
