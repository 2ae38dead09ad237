"""Rules that a later release wrote, and this one cannot read: they allow nothing, and keep nobody from the lists."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, select, update

from dragoman.store import schema
from dragoman.store.accounts.words import changed
from dragoman.store.database import Database
from tests.web.api.rig import House, living

TABLES = {"users": schema.users, "keys": schema.keys, "groups": schema.groups}
LATER = {"models": ["*"], "moons": ["waxing"]}
UNKNOWN: Sequence[object] = (LATER, [], {"rpm": "many"}, {"budgets": [{"window": "decade", "nano_usd": 1}]})


async def damage(house: House, kind: str, number: int, rules: object = LATER) -> None:
    table = TABLES[kind]

    def work(connection: Connection) -> None:
        connection.execute(update(table).where(table.c.id == number).values(rules=rules))
        changed(connection)

    await house.database.write(work)


async def kept(house: House, kind: str, number: int) -> object:
    def work(connection: Connection) -> object:
        return connection.execute(select(TABLES[kind].c.rules).where(TABLES[kind].c.id == number)).scalar_one()

    return await house.database.read(work)


def of(house: House, kind: str) -> int:
    return {"users": house.ids["ann"], "keys": house.key_ids["ann"], "groups": house.groups["core"]}[kind]


@pytest.mark.parametrize("kind", TABLES)
async def test_X05_a_row_of_unreadable_rules_is_listed_marked_and_mended(database: Database, kind: str) -> None:
    async with living(database) as house:
        number = of(house, kind)
        before = (await house.get(f"/{kind}?limit=500")).json["items"]
        assert all(one["rules_readable"] for one in before)
        for rules in UNKNOWN:
            await damage(house, kind, number, rules)
            listed = await house.get(f"/{kind}?limit=500")
            assert listed.status == 200, json.dumps(rules)
            assert [one["id"] for one in listed.json["items"]] == [one["id"] for one in before]
            assert [one["id"] for one in listed.json["items"] if not one["rules_readable"]] == [number]
            one = (await house.get(f"/{kind}/{number}")).json
            assert (one["rules"]["models"], one["rules"]["surfaces"]) == ([""], [""]), "nothing is allowed"
        assert (await house.get(f"/{kind}?format=csv")).status == 200
        mended = await house.patch(f"/{kind}/{number}", {"rules": {"rpm": 9}})
        assert (mended.status, mended.json["rules"]["rpm"], mended.json["rules_readable"]) == (200, 9, True)
        assert await kept(house, kind, number) == {"rpm": 9}


@pytest.mark.parametrize("kind", TABLES)
async def test_X05_other_changes_leave_unreadable_rules_as_they_are(database: Database, kind: str) -> None:
    """A later release finds what it wrote; and whoever has such rules can be shut out."""
    async with living(database) as house:
        number = of(house, kind)
        await damage(house, kind, number)
        changes = {"name": "renamed"} if kind == "groups" else {"active": False}
        changed = await house.patch(f"/{kind}/{number}", changes)
        assert (changed.status, changed.json["rules_readable"]) == (200, False)
        assert await kept(house, kind, number) == LATER


async def test_X05_unreadable_rules_are_not_handed_on(database: Database) -> None:
    async with living(database) as house:
        await damage(house, "keys", house.key_ids["ann"])
        refused = await house.post(f"/keys/{house.key_ids['ann']}/rotate", {})
        assert (refused.status, refused.code) == (400, "invalid_request")
        assert "say them anew" in refused.json["error"]["message"]
        await house.ring.refresh()
        own = await house.patch(f"/keys/{house.key_ids['ann']}", {"rules": {"rpm": 9}}, who="ann")
        assert own.status == 403, "nobody frees oneself"
        assert (await house.ask("GET", "/admin/users")).status == 200, "the calls of the earlier proxies list them, too"
