"""Users, keys and groups over the management API, on both engines."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, func, insert, select

from dragoman.store import schema
from dragoman.store.database import Database
from tests.web.api.rig import SECOND, living


async def test_C_59_a_user_is_made_seen_changed_and_removed(database: Database) -> None:
    async with living(database) as house:
        made = await house.post("/users", {"name": "eve", "email": "eve@example.org", "group_id": house.groups["lab"]})
        assert made.status == 201
        user = made.json
        assert (user["role"], user["active"], user["group_id"]) == ("user", True, house.groups["lab"])
        assert user["created_at"].endswith("Z")
        path = f"/users/{user['id']}"
        assert (await house.get(path)).json == user
        changed = await house.patch(path, {"email": None, "rules": {"rpm": 7, "models": ["gpt-*"]}})
        assert (changed.json["email"], changed.json["rules"]["rpm"]) == (None, 7)
        assert (await house.get("/users?name=ev")).json["items"] == [changed.json]
        assert (await house.delete(path)).status == 204
        assert (await house.get(path)).status == 404
        actions = [line["action"] for line in await house.audit()]
        assert actions == ["user.remove", "user.change", "user.create"]


async def test_C_61_a_key_is_shown_once(database: Database) -> None:
    async with living(database) as house:
        made = await house.post("/keys", {"name": "laptop"}, who="ann")
        assert made.status == 201
        secret = made.json["secret"]
        assert secret.startswith("sk-")
        assert made.json["prefix"] == secret[:12]
        assert (await house.get("/whoami", who=secret)).json["name"] == "ann"
        seen = (await house.get(f"/keys/{made.json['id']}", who="ann")).text
        listed = (await house.get("/keys", who="ann")).text
        log = (await house.get("/audit")).text
        for text in (seen, listed, log):
            assert secret not in text
        assert '"secret"' not in seen + listed


async def test_C_63_a_key_that_is_ended_opens_nothing(database: Database) -> None:
    async with living(database) as house:
        assert (await house.get("/whoami", who="ann")).status == 200
        path = f"/keys/{house.key_ids['ann']}"
        assert (await house.post(f"{path}/deactivate", None)).json["active"] is False
        assert (await house.get("/whoami", who="ann")).status == 401
        assert (await house.ask("GET", "/v1/models", who="ann")).status == 401
        assert (await house.patch(path, {"active": True})).json["active"] is True
        assert (await house.get("/whoami", who="ann")).status == 200
        assert (await house.patch(f"/users/{house.ids['ann']}", {"active": False})).status == 200
        assert (await house.get("/whoami", who="ann")).status == 401


async def test_rotation_lets_both_keys_live_for_the_overlap(database: Database) -> None:
    async with living(database) as house:
        path = f"/keys/{house.key_ids['ann']}/rotate"
        made = await house.post(path, {"overlap_hours": 2}, who="ann")
        assert made.status == 201
        new = made.json["secret"]
        for key in ("ann", new):
            assert (await house.get("/whoami", who=key)).json["name"] == "ann"
        house.clock.sleep(2 * 3600 + 1)
        assert (await house.get("/whoami", who="ann")).status == 401
        assert (await house.get("/whoami", who=new)).json["name"] == "ann"
        old = (await house.get(f"/keys/{house.key_ids['ann']}", who=new)).json
        assert old["replaced_by"] == made.json["id"]


async def test_a_repeated_creation_gets_the_same_answer_without_the_secret(database: Database) -> None:
    async with living(database) as house:
        body = {"name": "once"}
        first = await house.post("/keys", body, who="ann", idempotency_key="k-1")
        again = await house.post("/keys", body, who="ann", idempotency_key="k-1")
        assert (first.status, again.status) == (201, 201)
        assert again.json == {**first.json, "secret": None, "secret_shown": True}
        assert again.headers["idempotency-replayed"] == "true"
        assert first.json["secret"] not in again.text
        other = await house.post("/keys", {"name": "two"}, who="ann", idempotency_key="k-1")
        assert (other.status, other.code) == (409, "idempotency_conflict")
        assert (await house.post("/keys", body, who="ben", idempotency_key="k-1")).json["id"] != first.json["id"]
        assert len((await house.get("/keys?name=once", who="ann")).json["items"]) == 1
        house.clock.sleep(25 * 3600)
        assert (await house.post("/keys", body, who="ann", idempotency_key="k-1")).json["id"] != first.json["id"]


async def test_twenty_at_once_with_one_idempotency_key_make_one(database: Database) -> None:
    async with living(database) as house:
        body = {"name": "crowd"}
        answers = await asyncio.gather(*(house.post("/groups", body, idempotency_key="same") for _ in range(20)))
        assert {answer.status for answer in answers} == {201}
        assert len({answer.json["id"] for answer in answers}) == 1
        assert [line["action"] for line in await house.audit()] == ["group.create"]


async def test_K10_old_idempotency_keys_are_cleaned_up_a_page_at_a_time(database: Database) -> None:
    async with living(database) as house:
        table, old = schema.idempotency, house.clock() - 25 * 3600 * SECOND
        row = {"actor": "user:1", "fingerprint": "x", "status": 201, "answer": "", "at": old}
        rows = [{**row, "key": str(number)} for number in range(1_200)]
        await database.write(lambda connection: connection.execute(insert(table), rows))
        left: list[int] = []

        def look(connection: Connection) -> int:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

        for number in range(4):
            assert (await house.post("/users", {"name": f"n{number}"}, idempotency_key=f"k{number}")).status == 201
            left.append(await database.read(look))
        assert left == [701, 202, 3, 4]


async def test_pages_hold_everything_once(database: Database) -> None:
    async with living(database) as house:
        for number in range(7):
            await house.post("/groups", {"name": f"g{number}"})
        for path in ("/users", "/keys", "/groups", "/providers", "/audit"):
            whole = (await house.get(f"{path}?limit=500")).json["items"]
            seen, cursor = [], ""
            while True:
                page = (await house.get(f"{path}?limit=2{cursor}")).json
                seen += page["items"]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
            assert seen == whole
        for cursor in ("x", "W10", "WyJhIl0", "WzFd" * 200, "%00"):
            assert (await house.get(f"/users?cursor={cursor}")).status == 400, cursor


async def test_a_list_as_csv_holds_no_formula(database: Database) -> None:
    async with living(database) as house:
        evil = '=HYPERLINK("http://x","y")'
        assert (await house.post("/users", {"name": evil, "email": "+1@x"})).status == 201
        for answer in (
            await house.get("/users?format=csv&limit=1"),
            await house.get("/users?limit=1", accept="text/csv"),
        ):
            assert answer.headers["content-type"].startswith("text/csv")
            head, line = answer.text.splitlines()
            assert head.startswith("id,name,email,role,")
            assert "'=HYPERLINK" in line
            assert "'+1@x" in line
            assert answer.headers["x-next-cursor"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/users", {}, "name"),
        ("/users", {"name": ""}, "name"),
        ("/users", {"name": "a", "role": "owner"}, "role"),
        ("/users", {"name": "a", "hash": "x"}, "hash"),
        ("/users", {"name": "a\u0000b"}, "name"),
        ("/users", {"name": "a\ud800b"}, "name"),
        ("/users", {"name": "x" * 201}, "name"),
        ("/users", {"name": "a", "active": "yes"}, "active"),
        ("/users", {"name": "a", "group_id": 2**63}, "group_id"),
        ("/users", {"name": "a", "rules": {"rpm": -1}}, "rules.rpm"),
        ("/users", {"name": "a", "rules": {"budgets": [{"window": "day"}]}}, "rules.budgets.0"),
        ("/keys", {"name": "a", "user_id": 1, "expires_at": "soon"}, "expires_at"),
        ("/keys", {"name": "a"}, "user_id"),
        ("/groups", {"name": "a", "rules": {"models": [3]}}, "rules.models.0"),
    ],
)
async def test_a_body_that_cannot_be_is_a_400_that_names_the_field(
    path: str, body: object, field: str, database: Database
) -> None:
    async with living(database) as house:
        answer = await house.post(path, body)
        assert (answer.status, answer.code) == (400, "invalid_request"), answer.text
        assert answer.json["error"]["details"][0]["field"] == field


async def test_odd_bodies_are_400_and_never_500(database: Database) -> None:
    async with living(database) as house:
        deep = b"[" * 100_000
        bodies = [b"", b"{", b"[]", b"null", b"3", b'"x"', deep, b'{"name": NaN}', b"\xff\xfe", b'{"name": "\\ud800"}']
        for body in bodies:
            assert (await house.post("/users", body)).status == 400, body[:20]
        assert (await house.post("/users", b"x" * (1024 * 1024 + 1))).status == 413
        assert (await house.post("/users", deep, who=None)).status == 401


async def test_names_are_unique_and_ids_must_be_there(database: Database) -> None:
    async with living(database) as house:
        assert (await house.post("/users", {"name": "ann"})).status == 409
        assert (await house.post("/groups", {"name": "core"})).status == 409
        assert (await house.patch(f"/users/{house.ids['ben']}", {"name": "ann"})).status == 409
        assert (await house.post("/users", {"name": "n", "group_id": 999})).status == 404
        assert (await house.post("/keys", {"name": "n", "user_id": 999})).status == 404
        for path in ("/users/0", "/users/-1", "/users/x", f"/users/{2**63}", f"/keys/{10**30}", "/groups/1e3"):
            assert (await house.get(path)).status == 404, path


async def test_the_last_admin_stays(database: Database) -> None:
    async with living(database) as house:
        path = f"/users/{house.ids['root']}"
        assert (await house.patch(path, {"active": False})).code == "last_admin"
        assert (await house.delete(path)).code == "last_admin"
        assert (await house.patch(path, {"role": "user"}, who="root")).code == "self_grant"
        assert (await house.get(path)).json["active"] is True


async def test_a_key_that_expires_later_is_filtered_by_what_it_opens_now(database: Database) -> None:
    async with living(database) as house:
        until = (house.clock() + 3600 * SECOND) // SECOND * SECOND
        made = await house.post("/keys", {"name": "brief", "user_id": house.ids["ann"], "expires_at": until})
        assert made.json["expires_at"].endswith("Z")
        assert [key["name"] for key in (await house.get("/keys?name=brief&active=true")).json["items"]] == ["brief"]
        house.clock.sleep(3601)
        assert (await house.get("/keys?name=brief&active=true")).json["items"] == []
        assert (await house.get("/whoami", who=made.json["secret"])).status == 401
