"""The ring of keys on both engines: whom a value opens for, at once and everywhere (X11, T-58, K03)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, update
from sqlalchemy.engine import Engine

from dragoman.store import schema
from dragoman.store.accounts import groups, keyring, keys, people
from dragoman.store.accounts.house import HouseRules
from dragoman.store.accounts.keyring import KeyRing, Standing
from dragoman.store.accounts.model import Caller, Rules
from dragoman.store.accounts.words import changed
from dragoman.store.database import Database, StoreUnavailable, open_database
from tests.patience import until
from tests.store.accounts_rig import HASHER, NOW, SECOND, Clock, add_person, ring_of


@contextlib.asynccontextmanager
async def watching(ring: KeyRing) -> AsyncIterator[KeyRing]:
    await ring.start()
    try:
        yield ring
    finally:
        await ring.stop()


async def test_X11_keys_are_known_from_memory(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann", key={"default_model": "haiku"}))
    ring = ring_of(database)
    assert not ring.ready
    assert ring.caller(made.credential) is None
    await ring.refresh()
    caller = ring.caller(made.credential)
    assert caller is not None
    assert (caller.name, caller.user_id, caller.key_id, caller.role) == ("ann", made.key.user_id, made.key.id, "user")
    assert caller.default_model == "haiku"
    assert caller.owner == f"user:{made.key.user_id}"
    assert [scope.name for scope in caller.scopes] == ["global", f"user:{caller.user_id}", f"key:{caller.key_id}"]
    for wrong in ("", made.credential[:-1], made.credential + "0", made.credential.upper(), "sk-" + "0" * 64):
        assert ring.look(wrong) is Standing.UNKNOWN


async def test_X02_an_unknown_value_asks_the_database_nothing(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    ring = ring_of(database)
    await ring.refresh()
    asked: list[str] = []

    def heard(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        for number in range(1000):
            assert ring.caller(f"' OR 1=1 -- {number}") is None
            assert ring.caller(made.credential) is not None
    finally:
        event.remove(Engine, "before_cursor_execute", heard)
    assert asked == []


async def test_T_58_whatever_withdraws_a_key_withdraws_it_at_once(database: Database) -> None:
    def furnish(connection: Connection) -> list[Any]:
        return [add_person(connection, name) for name in ("off", "disabled", "gone", "kept")]

    made = await database.write(furnish)
    ring = ring_of(database)
    await ring.refresh()
    assert all(isinstance(ring.look(one.credential), Caller) for one in made)

    def withdraw(connection: Connection) -> None:
        keys.deactivate(connection, made[0].key.id)
        disabled = people.find(connection, made[1].key.user_id)
        assert disabled is not None
        people.replace(connection, dataclasses.replace(disabled, active=False))
        people.remove(connection, made[2].key.user_id, now=NOW)

    await ring.write(withdraw)
    assert [ring.look(one.credential) for one in made[:3]] == [Standing.WITHDRAWN] * 3
    assert ring.caller(made[3].credential) is not None
    await ring.write(lambda connection: keys.remove(connection, made[0].key.id))
    assert ring.look(made[0].credential) is Standing.UNKNOWN


async def test_X11_keys_expire_by_the_clock(database: Database) -> None:
    clock = Clock()
    made = await database.write(lambda connection: add_person(connection, "ann", key={"expires_at": NOW + 10 * SECOND}))
    ring = ring_of(database, clock)
    await ring.refresh()
    clock.now = NOW + 10 * SECOND - 1
    assert ring.caller(made.credential) is not None
    clock.now += 1
    assert ring.look(made.credential) is Standing.WITHDRAWN


async def test_X11_a_rotated_key_lives_as_long_as_the_overlap(database: Database) -> None:
    clock = Clock()
    ring = ring_of(database, clock)
    old = await ring.write(lambda connection: add_person(connection, "ann"))
    new = await ring.write(lambda connection: keys.rotate(connection, HASHER, old.key.id, now=NOW, overlap=60 * SECOND))
    assert ring.caller(old.credential) is not None
    assert ring.caller(new.credential) is not None
    clock.now += 60 * SECOND
    assert ring.look(old.credential) is Standing.WITHDRAWN
    assert ring.caller(new.credential) is not None


async def test_X11_what_is_revoked_on_one_replica_is_revoked_on_all_within_a_second(
    database: Database, database_url: str
) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    beside = "sqlite" in database_url
    elsewhere = database if beside else open_database(database_url)
    async with watching(KeyRing(elsewhere, HASHER)) as there, watching(KeyRing(database, HASHER)) as here:
        assert there.caller(made.credential) is not None
        await here.write(lambda connection: keys.deactivate(connection, made.key.id))
        assert here.caller(made.credential) is None
        await until(lambda: there.caller(made.credential) is None)
    if not beside:
        await elsewhere.close()


async def test_X11_who_is_told_looks_at_once(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    async with watching(ring_of(database, poll=60.0)) as there, watching(ring_of(database, poll=60.0)) as here:
        told: list[int] = []

        def announce(number: int) -> None:
            told.append(number)
            there.notify()

        here.announce = announce
        await here.write(lambda connection: keys.deactivate(connection, made.key.id))
        await until(lambda: there.caller(made.credential) is None)
        assert told == [here.version] == [there.version]
        await here.refresh()
        assert len(told) == 1, "nothing new, nothing told"


class Flaky:
    """A database that can be switched off."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.off = False
        self.kind = database.kind

    async def read(self, work: Any) -> Any:
        if self.off:
            raise StoreUnavailable("off")
        return await self._database.read(work)

    async def write(self, work: Any) -> Any:
        if self.off:
            raise StoreUnavailable("off")
        return await self._database.write(work)


async def test_X11_without_the_database_what_was_known_last_holds(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))
    flaky: Any = Flaky(database)
    async with watching(ring_of(flaky, poll=0.01)) as ring:
        flaky.off = True
        with pytest.raises(StoreUnavailable):
            await ring.write(lambda connection: keys.deactivate(connection, made.key.id))
        await asyncio.sleep(0.1)
        assert ring.caller(made.credential) is not None
        await database.write(lambda connection: keys.deactivate(connection, made.key.id))
        flaky.off = False
        await until(lambda: ring.caller(made.credential) is None)


async def test_X11_a_ring_that_never_read_its_keys_is_not_ready(database: Database) -> None:
    flaky: Any = Flaky(database)
    flaky.off = True
    ring = ring_of(flaky)
    with pytest.raises(StoreUnavailable):
        await ring.start()
    assert not ring.ready


async def test_K03_the_ladder_of_a_key(database: Database) -> None:
    house = HouseRules(Rules(rpm=100), {"lab": Rules(rpm=50)})

    def furnish(connection: Connection) -> list[Any]:
        lab = groups.create(connection, "lab", now=NOW, rules=Rules(rpm=99))
        free = groups.create(connection, "free", now=NOW, rules=Rules(rpm=40))
        more = {"rules": Rules(rpm=30), "key": {"rules": Rules(rpm=20)}}
        return [add_person(connection, "ann", group_id=lab.id, **more), add_person(connection, "bob", group_id=free.id)]

    ann, bob = await database.write(furnish)
    ring = ring_of(database, house=house)
    await ring.refresh()
    for made, rates in ((ann, [100, 50, 30, 20]), (bob, [100, 40, None, None])):
        caller = ring.caller(made.credential)
        assert caller is not None
        assert [scope.rules.rpm for scope in caller.scopes] == rates, "the file's word beats the database's"
        assert caller.scopes[1].name == f"group:{caller.group_id}"
    for nobody in (ring.anonymous, ring.shared):
        assert [(scope.name, scope.rules.rpm) for scope in nobody.scopes] == [("global", 100)]


async def test_K03_a_change_of_rules_holds_from_the_next_call_on(database: Database) -> None:
    ring = ring_of(database)
    made = await ring.write(lambda connection: add_person(connection, "ann"))
    narrower = dataclasses.replace(made.key, rules=Rules(models=("haiku",)))
    await ring.write(lambda connection: keys.replace(connection, narrower))
    caller = ring.caller(made.credential)
    assert caller is not None
    assert caller.scopes[-1].rules.models == ("haiku",)


async def test_limits_for_everybody_may_stand_in_the_database(database: Database) -> None:
    def furnish(connection: Connection) -> None:
        row = {"kind": "limits", "name": "global", "data": {"rpm": 7}, "updated_at": NOW}
        connection.execute(insert(schema.objects).values(row))
        changed(connection)

    await database.write(furnish)
    ring = ring_of(database)
    await ring.refresh()
    assert ring.anonymous.scopes[0].rules == Rules(rpm=7)
    said = ring_of(database, house=HouseRules(Rules(rpm=8)))
    await said.refresh()
    assert said.anonymous.scopes[0].rules == Rules(rpm=8)


async def test_X11_rules_that_cannot_be_read_let_nobody_through(database: Database) -> None:
    made = await database.write(lambda connection: add_person(connection, "ann"))

    def spoil(connection: Connection) -> None:
        connection.execute(update(schema.keys).values(rules={"of a later release": 1}))
        changed(connection)

    await database.write(spoil)
    ring = ring_of(database)
    await ring.refresh()
    caller = ring.caller(made.credential)
    assert caller is not None
    assert caller.scopes[-1].rules.models == ("",)


def is_guarded(ring: KeyRing) -> bool:
    return ring.guarded


async def test_C_50_a_credential_is_required_once_somebody_has_one(database: Database) -> None:
    ring = ring_of(database)
    await ring.write(lambda connection: add_person(connection, "root", role="admin"))
    assert is_guarded(ring) is False
    made = await ring.write(lambda connection: add_person(connection, "ann"))
    assert is_guarded(ring)

    def disable(connection: Connection) -> None:
        person = people.find(connection, made.key.user_id)
        assert person is not None
        people.replace(connection, dataclasses.replace(person, active=False))

    await ring.write(disable)
    assert is_guarded(ring), "whoever is disabled is not let in as nobody"
    await ring.write(lambda connection: keys.deactivate(connection, made.key.id))
    assert is_guarded(ring) is False
    assert ring.look(made.credential) is Standing.WITHDRAWN


async def test_last_use_is_put_down_rarely_and_at_the_end(database: Database) -> None:
    clock = Clock()
    written: list[int] = []

    class Counted(Flaky):
        async def write(self, work: Any) -> Any:
            written.append(1)
            return await super().write(work)

    made = await database.write(lambda connection: add_person(connection, "ann"))
    counted: Any = Counted(database)
    ring = ring_of(counted, clock)
    await ring.refresh()
    for _ in range(500):
        ring.caller(made.credential)
        clock.now += SECOND // 100
    await ring.stop()
    assert len(written) == 1
    found = await database.read(lambda connection: keys.find(connection, made.key.id))
    assert found is not None
    assert found.last_used_at == NOW
    clock.now += 61 * SECOND
    ring.caller(made.credential)
    await ring.flush()
    found = await database.read(lambda connection: keys.find(connection, made.key.id))
    assert found is not None
    assert found.last_used_at == clock.now


# ---------------------------------------------------------------- what changed, and only that


def furnished(connection: Connection) -> list[Any]:
    """Two groups, four people in them, and a key that will expire."""
    made = [groups.create(connection, name, now=NOW, rules=Rules(rpm=50)).id for name in ("lab", "free")]
    more = {"rules": Rules(rpm=30), "key": {"rules": Rules(rpm=20), "expires_at": NOW + 60 * SECOND}}
    return [add_person(connection, name, group_id=made[at % 2], **more) for at, name in enumerate("abcd")]


def person_as(**changes: Any) -> Any:
    def work(connection: Connection, made: Any) -> None:
        found = people.find(connection, made.key.user_id)
        assert found is not None
        people.replace(connection, dataclasses.replace(found, **changes))

    return work


def key_as(**changes: Any) -> Any:
    return lambda connection, made: keys.replace(connection, dataclasses.replace(made.key, **changes))


def group_as(connection: Connection, made: Any) -> None:
    found = groups.find(connection, 1)
    assert found is not None
    groups.replace(connection, dataclasses.replace(found, rules=Rules(rpm=1)))


def limits_as(connection: Connection, made: Any) -> None:
    row = {"kind": "limits", "name": "global", "data": {"rpm": 7}, "updated_at": NOW}
    connection.execute(insert(schema.objects).values(row))
    changed(connection)


CHANGES = {
    "key off": (key_as(active=False), Standing.WITHDRAWN),
    "key removed": (lambda connection, made: keys.remove(connection, made.key.id), Standing.UNKNOWN),
    "key expired": (key_as(expires_at=NOW), Standing.WITHDRAWN),
    "key narrowed": (key_as(rules=Rules(models=("haiku",))), (None, 50, 30, None)),
    "key model": (key_as(default_model="opus"), (None, 50, 30, 20)),
    "user off": (person_as(active=False), Standing.WITHDRAWN),
    "user removed": (lambda connection, made: people.remove(connection, made.key.user_id, now=NOW), Standing.WITHDRAWN),
    "user narrowed": (person_as(rules=Rules(rpm=3)), (None, 50, 3, 20)),
    "user moved": (person_as(group_id=2), (None, 50, 30, 20)),
    "user alone": (person_as(group_id=None), (None, 30, 20)),
    "user raised": (person_as(role="manager"), (None, 50, 30, 20)),
    "user renamed": (person_as(name="new"), (None, 50, 30, 20)),
    "group narrowed": (group_as, (None, 1, 30, 20)),
    "group removed": (lambda connection, made: groups.remove(connection, 1), (None, 30, 20)),
    "everybody narrowed": (limits_as, (7, 50, 30, 20)),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_S5_every_change_holds_in_a_ring_that_is_in_use(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(keyring, "PAGE", 3)
    work, expected = CHANGES[name]
    made = await database.write(furnished)
    ring = ring_of(database)
    await ring.refresh()
    before = [ring.look(one.credential) for one in made]
    assert all(isinstance(one, Caller) for one in before)
    await ring.write(lambda connection: work(connection, made[0]))
    found = ring.look(made[0].credential)
    if isinstance(found, Caller):
        assert tuple(scope.rules.rpm for scope in found.scopes) == expected
    else:
        assert found is expected
    anew = ring_of(database)
    await anew.refresh()
    after = [ring.look(one.credential) for one in made]
    assert after == [anew.look(one.credential) for one in made], "as if nothing had been known before"
    alike = [old is new for old, new in zip(before, after, strict=True)]
    assert alike[1:] == {"group": [True, False, True], "everyb": [False] * 3}.get(name.split()[0][:6], [True] * 3)


async def test_a_change_costs_nothing_for_keys_that_are_not_concerned(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    def read_rules(data: object) -> Rules:
        read.append(data)
        return Rules()

    monkeypatch.setattr(keyring, "read_rules", read_rules)
    made = await database.write(lambda connection: [add_person(connection, f"u{number}") for number in range(50)])
    ring = ring_of(database)
    await ring.refresh()
    assert read == [], "nobody has come yet"
    for one in made:
        assert ring.caller(one.credential) is not None
    read.clear()
    await ring.write(lambda connection: keys.replace(connection, dataclasses.replace(made[7].key, default_model="m")))
    for one in made:
        assert ring.caller(one.credential) is not None
    assert len(read) == 2, "one user's and one key's"
