"""The management API as an adversary, or a large house, asks it: on both engines."""

from __future__ import annotations

import asyncio
import csv
import io

from dragoman.store.database import Database
from tests.web.api.rig import Spent, book, living

WIDE = "𝕏"
"""Four bytes, and twelve in the JSON of the cautious."""


async def test_pages_of_long_names_can_be_followed(database: Database) -> None:
    """Our own cursor is none of those that we refuse."""
    async with living(database) as house:
        names = sorted(f"{WIDE * 190}{number}" for number in range(3))
        for name in names:
            assert (await house.put(f"/prices/{name}", {"rows": [{"in": 1, "out": 2}]})).status == 200
        seen, cursor = [], ""
        while True:
            page = await house.get(f"/prices?limit=1{cursor}")
            assert page.status == 200, page.text
            seen += [one["name"] for one in page.json["items"]]
            if page.json["next_cursor"] is None:
                break
            cursor = f"&cursor={page.json['next_cursor']}"
        assert seen == names


async def test_sums_as_csv_are_all_of_them(database: Database) -> None:
    async with living(database) as house:
        spent = [Spent("ann", house.clock() - number, more={"session": f"s{number}"}) for number in range(5)]
        await book(house, *spent)
        got = await house.get("/sums?by=session&limit=2&format=csv")
        assert len(list(csv.DictReader(io.StringIO(got.text)))) == 5
        empty = await house.get("/users?name=nobody&format=csv")
        assert empty.text.splitlines()[0].startswith("id,name,email")


async def test_N7_sums_by_prompt_and_agent_are_the_ledger_to_the_last_digit(database: Database) -> None:
    async with living(database) as house:
        spent = [
            Spent("ann", house.clock() - 3_600_000_000 * number, cost=None if number % 7 == 0 else 7_000_001 * number,
                  input=number, more={"session": f"s{number % 2}", "agent": f"a{number % 3}",
                                      "prompt": f"p{number % 5}" if number % 4 else ""})
            for number in range(60)
        ]  # fmt: skip
        await book(house, *spent)
        whole = (await house.get("/sums")).json["total"]
        assert whole["cost"] == sum(one.cost or 0 for one in spent)
        assert (whole["calls"], whole["unpriced"]) == (60, 9)
        for by in ("prompt", "agent", "session", "user", "key", "model", "provider", "day", "hour", "surface", "route"):
            report = (await house.get(f"/sums?by={by}&limit=10000")).json
            for name, value in whole.items():
                assert sum(line[name] for line in report["items"]) == report["total"][name] == value, (by, name)
        both = (await house.get("/sums?by=session&by=agent&by=prompt&by=day&limit=10000")).json
        assert sum(line["cost"] for line in both["items"]) == whole["cost"]


async def test_an_outcome_that_there_is_none_of_is_refused(database: Database) -> None:
    """An empty list would be taken for good news."""
    async with living(database) as house:
        await book(house, Spent("ann", house.clock(), outcome="failed"), Spent("ann", house.clock()))
        for path in ("/entries", "/sums"):
            assert (await house.get(f"{path}?outcome=error")).status == 400
            assert (await house.get(f"{path}?outcome=failed&outcome=left")).status == 200
        assert len((await house.get("/entries?outcome=failed")).json["items"]) == 1


async def test_a_page_stays_itself_while_others_come_and_go(database: Database) -> None:
    async with living(database) as house:
        await book(house, *(Spent("ann", house.clock() - number) for number in range(6)))
        first = (await house.get("/entries?limit=2")).json
        await book(house, Spent("ann", house.clock() + 5))
        rest, cursor = [], first["next_cursor"]
        while cursor:
            page = (await house.get(f"/entries?limit=2&cursor={cursor}")).json
            rest += page["items"]
            cursor = page["next_cursor"]
        ids = [one["id"] for one in first["items"] + rest]
        assert len(ids) == len(set(ids)) == 6


async def test_SR3_a_key_of_ones_own_never_gets_wider_by_any_way(database: Database) -> None:
    """Making, changing, rotating: what comes of a bounded key's owner stays within the owner's rules."""
    async with living(database) as house:
        await house.patch(f"/users/{house.ids['ann']}", {"rules": {"rpm": 5, "models": ["haiku"]}})
        made = await house.post("/keys", {"name": "wide", "rules": {"rpm": 5000, "models": ["*"]}}, who="ann")
        secret = made.json["secret"]
        ladder = (await house.get("/whoami", who=secret)).json["scopes"]
        assert {"rpm": 5, "models": ["haiku"]}.items() <= next(
            one["rules"] for one in ladder if one["name"].startswith("user:")
        ).items()
        # And a key that is narrower than its owner brings nothing forth at all.
        for method, path, body in (
            ("POST", "/keys", {"name": "x"}),
            ("PATCH", f"/keys/{house.key_ids['rex']}", {"rules": {}}),
            ("POST", f"/keys/{house.key_ids['rex']}/rotate", {}),
        ):
            answer = await house.ask(method, f"/api/v1{path}", body, who="rex")
            assert (answer.status, answer.code) == (403, "restricted_key")


async def test_SR3_who_leads_a_group_lifts_nothing_beyond_the_own_bounds(database: Database) -> None:
    """A key that an admin ended, or bound, is not a manager's to free beyond the manager's own bounds."""
    async with living(database) as house:
        mia = house.ids["mia"]
        await house.patch(f"/users/{mia}", {"rules": {"rpm": 10, "budgets": [{"window": "day", "nano_usd": 5}]}})
        wide = {"rules": {"rpm": 11}}
        for path in (f"/users/{house.ids['ann']}", f"/keys/{house.key_ids['ann']}"):
            refused = await house.patch(path, wide, who="mia")
            assert (refused.status, refused.code) == (403, "grant_exceeds_granter"), path
        made = await house.post("/users", {"name": "new"}, who="mia")
        assert made.json["rules"]["rpm"] == 10
        assert made.json["rules"]["budgets"][0]["nano_usd"] == 5
        for body in ({"role": "manager"}, {"group_id": house.groups["lab"]}, {"group_id": None}):
            assert (await house.patch(f"/users/{house.ids['ann']}", body, who="mia")).status == 403, body
        for target in ("root", "zoe"):
            for change in ({"name": "x"}, {"active": False}):
                assert (await house.patch(f"/users/{house.ids[target]}", change, who="mia")).status == 404
            assert (await house.delete(f"/users/{house.ids[target]}", who="mia")).status == 404
            path = f"/keys/{house.key_ids[target]}"
            assert (await house.post(f"{path}/rotate", {}, who="mia")).status == 404
            assert (await house.post(f"{path}/deactivate", None, who="mia")).status == 404
            assert (await house.post("/keys", {"name": "x", "user_id": house.ids[target]}, who="mia")).status == 404


async def test_SR3_an_admins_narrow_key_reaches_nothing(database: Database) -> None:
    async with living(database) as house:
        narrow = await house.post("/keys", {"name": "ci", "user_id": house.ids["root"], "rules": {"rpm": 1}})
        who = narrow.json["secret"]
        for method, path, body in (
            ("POST", "/users", {"name": "x", "role": "admin"}),
            ("PUT", "/providers/x", {"kind": "openai", "api_key": "k"}),
            ("PUT", "/limits/global", {}),
            ("PATCH", f"/users/{house.ids['root']}", {"name": "y"}),
            ("POST", "/groups", {"name": "x"}),
        ):
            answer = await house.ask(method, f"/api/v1{path}", body, who=who)
            assert answer.status == 403, (method, path)


async def test_SR6_where_a_credential_goes_is_said_with_the_credential(database: Database) -> None:
    async with living(database) as house:
        secret = {"kind": "vertex", "project": "p", "location": "europe-west1", "headers": {"x-proxy-key": "planted-1"}}
        assert (await house.put("/providers/v", secret)).status == 200
        moved: dict[str, object] = {"kind": "vertex", "project": "p", "location": "us-east1"}
        answer = await house.put("/providers/v", moved)
        assert (answer.status, answer.code) == (400, "secret_needed")
        assert (await house.put("/providers/v", {**moved, "headers": None})).status == 200
        for text in (answer.text, (await house.get("/providers")).text, (await house.get("/audit")).text):
            assert "planted-1" not in text


async def test_nobody_says_what_is_ours_to_say(database: Database) -> None:
    async with living(database) as house:
        ours: list[tuple[str, object]] = [("origin", "x"), ("from_file", True), ("stand_in", True), ("missing", "x")]
        for field, value in ours:
            answer = await house.put("/providers/p", {"kind": "openai", "api_key": "k", field: value})
            assert answer.status == 400, field
        ours = [("id", 1), ("origin", "x"), ("opening_balance", -5), ("tokens_before", 9), ("created_at", 1)]
        for field, value in ours:
            assert (await house.post("/users", {"name": "x", field: value})).status == 400, field
            assert (await house.patch(f"/users/{house.ids['ann']}", {field: value})).status == 400, field
        ours = [("user_id", house.ids["ann"]), ("last_used_at", 1), ("token", "x" * 20), ("hash", "x"), ("prefix", "s")]
        for field, value in ours:
            assert (await house.patch(f"/keys/{house.key_ids['ben']}", {field: value})).status == 400, field


async def test_SR3_what_is_allowed_once_is_a_grant_too(database: Database) -> None:
    """An extra on top of a budget, and limits of some models, are as much a bound as the rest of the rules."""
    async with living(database) as house:
        budget = {"window": "day", "nano_usd": 5}
        rules = {"budgets": [budget], "per_model": [{"model": "opus*", "rpm": 2}]}
        bound = await house.post("/keys", {"name": "bound", "user_id": house.ids["ann"], "rules": rules})
        path = f"/keys/{bound.json['id']}"
        extra = {**budget, "once": 10**9, "until": "2099-01-01"}
        for wider in (
            {"budgets": [extra]},
            {"budgets": [{"window": "day", "nano_usd": 1, "once": 5, "until": "2099-01-01"}]},
            {"per_model": [{"model": "opus*", "rpm": 3}]},
            {"per_model": [{"model": "opus*", "tpm": 3}]},
        ):
            answer = await house.patch(path, {"rules": wider}, who="ann")
            assert (answer.status, answer.code) == (403, "grant_exceeds_granter"), wider
        kept = await house.patch(path, {"rules": {"rpm": 1}}, who="ann")
        assert kept.status == 200
        assert kept.json["rules"]["budgets"][0]["nano_usd"] == 5
        assert kept.json["rules"]["per_model"] == [{"model": "opus*", "rpm": 2, "tpm": None, "parallel": None}]


async def test_every_write_leaves_one_line_and_no_refusal_any(database: Database) -> None:
    """What was done is in the audit log, by whom, and nothing that was not done."""
    async with living(database) as house:
        ann, key = house.ids["ann"], house.key_ids["ben"]
        done: list[tuple[str, str, object]] = [
            ("POST", "/users", {"name": "u"}), ("PATCH", f"/users/{ann}", {"email": "a@b.c"}),
            ("POST", "/keys", {"name": "k", "user_id": ann}), ("PATCH", f"/keys/{key}", {"name": "n"}),
            ("POST", f"/keys/{key}/rotate", {"overlap_hours": 1}), ("POST", f"/keys/{key}/deactivate", None),
            ("POST", "/groups", {"name": "g"}), ("PATCH", f"/groups/{house.groups['lab']}", {"rules": {"rpm": 9}}),
            ("DELETE", f"/groups/{house.groups['lab']}", None), ("DELETE", f"/users/{ann}", None),
            ("PUT", "/providers/p", {"kind": "openai", "api_key": "planted-2"}), ("DELETE", "/providers/p", None),
            ("PUT", "/routes/r", {"targets": [{"provider": "fake", "model": "m"}]}), ("DELETE", "/routes/r", None),
            ("PUT", "/prices/m", {"rows": [{"in": 1, "out": 2}]}), ("DELETE", "/prices/m", None),
            ("PUT", "/limits/global", {"rpm": 9}), ("DELETE", "/limits/global", None),
        ]  # fmt: skip
        for number, (method, path, body) in enumerate(done, start=1):
            answer = await house.ask(method, f"/api/v1{path}", body)
            assert answer.status < 300, (method, path, answer.text)
            assert len(await house.audit()) == number, (method, path)
        refused: list[tuple[str, str, object]] = [
            ("POST", "/users", {"name": "ben"}), ("PATCH", "/users/999", {"name": "x"}),
            ("DELETE", "/groups/999", None), ("PATCH", f"/groups/{house.groups['core']}", {"name": ""}),
            ("POST", "/keys", {"name": "x", "user_id": 999}), ("PUT", "/providers/fake", {"kind": "openai"}),
            ("PUT", "/routes/r", {"targets": [{"provider": "nobody", "model": "m"}]}), ("DELETE", "/prices/m", None),
        ]  # fmt: skip
        for method, path, body in refused:
            answer = await house.ask(method, f"/api/v1{path}", body)
            assert 400 <= answer.status < 500, (method, path, answer.text)
        log = await house.audit()
        assert len(log) == len(done)
        assert {line["actor"] for line in log} == {"admin-key"}
        assert "planted-2" not in str(log)


async def test_a_truncated_body_does_nothing(database: Database) -> None:
    """A sender that breaks off has not said what it wanted."""
    async with living(database) as house:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        body = b'{"name": "half"}'
        head = (
            "POST /api/v1/groups HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {house.keys['admin']}\r\ncontent-length: {len(body) + 20}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.3)
        assert (await house.get("/groups?name=half")).json["items"] == []
