"""The ledger and its sums over the management API, on both engines."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from dragoman.store.database import Database
from tests.web.api.rig import SECOND, House, Spent, book, living


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND)


async def spend(house: House) -> None:
    """Six calls of three people on three days."""
    first, second, third = (moment(f"2026-03-0{day}T10:00:00") for day in (1, 2, 3))
    await book(
        house,
        Spent("ann", first, input=10, output=1, cost=1_000, more={"session": "s1", "agent": "a1"}),
        Spent("ann", second, input=20, output=2, cost=None, model="gpt-5", more={"session": "s1", "agent": "a2"}),
        Spent("ben", second, input=40, output=4, cost=4_000, surface="chat", outcome="failed"),
        Spent("zoe", third, input=80, output=8, cost=8_000, provider="other"),
        Spent("zoe", third + 1, input=160, output=16, cost=16_000),
        Spent("nobody", third, input=320, output=32, cost=32_000),
    )


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("", {(): 6}),
        ("by=user", {"ann": 2, "ben": 1, "zoe": 2, "nobody": 1}),
        ("by=group", {"core": 3, "lab": 2, "nobody": 1}),
        ("by=model", {"glm-4.6": 5, "gpt-5": 1}),
        ("by=provider", {"fake": 5, "other": 1}),
        ("by=surface", {"messages": 5, "chat": 1}),
        ("by=route", {"sonnet": 6}),
        ("by=session", {"s1": 2, "": 4}),
        ("by=agent", {"a1": 1, "a2": 1, "": 4}),
        ("by=day", {"2026-03-01T00:00:00Z": 1, "2026-03-02T00:00:00Z": 2, "2026-03-03T00:00:00Z": 3}),
        ("by=hour&user=2", None),
    ],
)
async def test_sums_by_everything(by: str, lines: dict[object, int] | None, database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        answer = await house.get(f"/sums?{by}")
        assert answer.status == 200, answer.text
        names = {0: "nobody", **{number: name for name, number in {**house.ids}.items()}}
        groups = {0: "nobody", **{number: name for name, number in house.groups.items()}}
        key = by.partition("=")[2]
        found = {}
        for line in answer.json["items"]:
            value = line.get(key, ())
            found[names[value] if key == "user" else groups[value] if key == "group" else value] = line["calls"]
        if lines is not None:
            assert found == lines
            assert answer.json["total"]["calls"] == 6
            assert answer.json["total"]["cost"] == 61_000
            assert (answer.json["total"]["unpriced"], answer.json["total"]["failed"]) == (1, 1)


async def test_a_report_is_of_the_time_and_the_filters_that_were_asked(database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        ann, zoe = house.ids["ann"], house.ids["zoe"]
        for query, tokens in (
            ("since=2026-03-02&until=2026-03-03", 66),
            ("since=2026-03-03T10:00:00Z&until=2026-03-03T10:00:00.000001Z", 88 + 352),
            (f"user={ann}", 33),
            (f"user={ann}&user={zoe}", 33 + 264),
            (f"user={ann}&model=gpt-5", 22),
            ("user=0", 352),
            ("outcome=failed", 44),
            ("session=s1&agent=a2", 22),
            ("model=%25", 0),
        ):
            assert (await house.get(f"/sums?{query}")).json["total"]["tokens"] == tokens, query
        for query in ("since=soon", "by=colour", "by=user&by=user", "user=x", "user=-1", f"user={2**63}", "model=%00"):
            assert (await house.get(f"/sums?{query}")).status == 400, query
        cut = (await house.get("/sums?by=user&limit=1")).json
        assert (len(cut["items"]), cut["truncated"], cut["total"]["calls"]) == (1, True, 6)


async def test_X06_everybody_sees_the_own_part_of_the_ledger(database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        for who, calls in (("admin", 6), ("root", 6), ("mia", 3), ("ann", 2), ("ben", 1), ("zoe", 2), ("rex", 0)):
            assert (await house.get("/sums", who=who)).json["total"]["calls"] == calls, who
            assert len((await house.get("/entries", who=who)).json["items"]) == calls, who
            lines = (await house.get("/entries?format=csv", who=who)).text.splitlines()
            assert len(lines) == calls + 1, who
        ann, lab = house.ids["ann"], house.groups["lab"]
        assert (await house.get(f"/sums?user={ann}", who="zoe")).json["total"]["calls"] == 0
        assert (await house.get(f"/entries?user={ann}", who="zoe")).json["items"] == []
        assert (await house.get(f"/sums?group={lab}", who="mia")).json["total"]["calls"] == 0
        mine = (await house.get(f"/entries?user={ann}", who="mia")).json["items"]
        assert len(mine) == 2
        for path in (f"/entries/{mine[0]['id']}", f"/requests/{mine[0]['call_id']}/receipt"):
            for who, status in (("ann", 200), ("mia", 200), ("admin", 200), ("ben", 404), ("zoe", 404)):
                assert (await house.get(path, who=who)).status == status, (path, who)


async def test_own_usage(database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        told = (await house.get("/whoami/usage?since=2026-03-02", who="ann")).json
        assert told["total"]["tokens"] == 22
        assert [line["model"] for line in told["by_model"]] == ["gpt-5"]
        assert (await house.get("/whoami/usage")).code == "not_a_user"


async def test_entries_page_by_page_and_as_csv(database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        evil = Spent("ann", house.clock(), more={"session": "=cmd()"})
        await book(house, evil)
        whole = (await house.get("/entries")).json["items"]
        assert whole[0]["session"] == "=cmd()"
        assert [one["at"] for one in whole] == sorted((one["at"] for one in whole), reverse=True)
        assert "receipt" not in whole[0]
        seen, cursor = [], ""
        while True:
            page = (await house.get(f"/entries?limit=2{cursor}")).json
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == whole
        answer = await house.get("/entries", accept="text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [int(row["id"]) for row in rows] == [one["id"] for one in whole]
        assert (rows[0]["session"], rows[0]["cost"]) == ("'=cmd()", "7000")
        assert [row["cost"] for row in rows if row["model"] == "gpt-5"] == [""]
        one = (await house.get(f"/entries/{whole[0]['id']}")).json
        assert (one["receipt"], one["details"]) == ([], {})
        for cursor in ("x", "MTp4", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OjE"):
            assert (await house.get(f"/entries?cursor={cursor}")).status == 400


async def test_sums_as_csv(database: Database) -> None:
    async with living(database) as house:
        await spend(house)
        rows = list(csv.DictReader(io.StringIO((await house.get("/sums?by=day&by=model&format=csv")).text)))
        assert [(row["day"], row["model"], row["tokens"]) for row in rows][:2] == [
            ("2026-03-01T00:00:00Z", "glm-4.6", "11"),
            ("2026-03-02T00:00:00Z", "glm-4.6", "44"),
        ]
