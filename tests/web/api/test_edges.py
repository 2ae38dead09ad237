"""Edges of the management API: what is not asked for rightly is said to be so, and is taken for nothing else."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from dragoman.store.database import Database
from dragoman.web.sheets import cell
from tests.web.api.rig import Spent, book, living

PRICE = {"rows": [{"in": 1, "out": 2}]}


async def test_a_parameter_that_there_is_none_of_is_refused(database: Database) -> None:
    """A misspelt filter would show everything as if it were what was asked for."""
    async with living(database) as house:
        await book(house, Spent("ann", house.clock()), Spent("zoe", house.clock()))
        ann = house.ids["ann"]
        for path, wrong in (
            (f"/sums?user_id={ann}", "user_id"),
            (f"/entries?limit=1&users={ann}", "users"),
            (f"/keys?user={ann}", "user"),
            ("/users?Name=ann", "Name"),
            ("/whoami/usage?session=s", "session"),
            (f"/users/{ann}?active=false", "active"),
            ("/audit?by=day", "by"),
        ):
            refused = await house.get(path, who="root")
            assert (refused.status, refused.code) == (400, "invalid_request"), path
            assert [one["field"] for one in refused.json["error"]["details"]] == [wrong]
        assert "user" in (await house.get(f"/sums?user_id={ann}")).json["error"]["message"]
        assert (await house.get(f"/sums?user={ann}&by=user&format=json&limit=5&since=2020-01-01")).status == 200
        assert (await house.get("/nothing?x=1")).status == 404
        assert (await house.get("/audit?by=day", who="ann")).status == 403
        assert (await house.get("/audit?by=day", who=None)).status == 401


async def test_what_is_wrong_is_told_in_plain_words(database: Database) -> None:
    async with living(database) as house:

        async def told(answer: Any) -> tuple[str, str]:
            [problem] = answer.json["error"]["details"]
            assert answer.status == 400
            assert answer.json["error"]["message"].startswith(f"{problem['field']}: ")
            return problem["field"], problem["problem"]

        assert await told(await house.post("/groups", {"name": "x" * 201})) == (
            "name", "String should have at most 200 characters",
        )  # fmt: skip
        assert await told(await house.post("/groups", {"name": " x"})) == ("name", "is empty or has blanks around it")
        assert await told(await house.get("/sums?since=tomorrow")) == ("since", "is no time: give ISO 8601")
        long = {"name": "long", "rules": {"models": ["m" * 513]}}
        assert await told(await house.post("/groups", long)) == (
            "rules.models.0", "String should have at most 512 characters",
        )  # fmt: skip
        longest = {"name": "long", "rules": {"models": ["m" * 512], "per_model": [{"model": "n" * 512, "rpm": 1}]}}
        assert (await house.post("/groups", longest)).status == 201
        private = {"kind": "openai", "base_url": "http://127.0.0.1:1"}
        field, problem = await told(await house.put("/providers/near", private))
        assert field == "base_url"
        assert problem.startswith("points to a private address")


async def test_names_that_grow_in_lower_case_still_have_to_fit(database: Database) -> None:
    async with living(database) as house:
        for name, status in (("İ" * 101, 404), ("İ" * 100, 200)):
            assert (await house.put(f"/prices/{name}", PRICE)).status == status


async def test_a_route_never_takes_the_name_of_another_one(database: Database) -> None:
    """Neither when it is new, nor when it is replaced."""
    targets = [{"provider": "fake", "model": "m"}]
    async with living(database, routes={"filed": {"targets": targets}}) as house:
        assert (await house.put("/routes/first", {"targets": targets, "aliases": ["one"]})).status == 200
        for taken in ("filed", "FILED", "one", "first"):
            for _ in range(2):
                refused = await house.put("/routes/second", {"targets": targets, "aliases": [taken]})
                assert (refused.status, refused.code) == (400, "invalid_request"), taken
                assert refused.json["error"]["details"][0]["field"] == "aliases"
                assert (await house.put("/routes/second", {"targets": targets})).status == 200
        assert (await house.put("/routes/first", {"targets": targets, "aliases": ["one", "uno"]})).status == 200


async def test_a_405_names_all_methods_and_head_is_asked_like_get(database: Database) -> None:
    async with living(database) as house:
        for path, allowed in (
            ("/users", {"GET", "POST"}),
            ("/users/1", {"GET", "PATCH", "DELETE"}),
            ("/routes/a/b", {"GET", "PUT", "DELETE"}),
            ("/keys/1/rotate", {"POST"}),
            ("/whoami", {"GET"}),
        ):
            refused = await house.ask("TRACE", f"/api/v1{path}")
            assert (refused.status, refused.code) == (405, "method_not_allowed")
            allowed |= {"HEAD", "OPTIONS"} if "GET" in allowed else {"OPTIONS"}
            assert set(refused.headers["allow"].split(", ")) == allowed
        whole = await house.get("/users")
        head = await house.ask("HEAD", "/api/v1/users")
        assert (head.status, head.text, head.headers["content-length"]) == (200, "", whole.headers["content-length"])
        assert (await house.ask("HEAD", "/api/v1/providers", who="ann")).status == 403


@pytest.mark.parametrize("text", ["=1", " =1", "  @x", "＝1", "＋1", "－1", "＠x", "\t=1"])
def test_S4_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


async def test_S4_what_clients_call_a_model_is_no_formula_either(database: Database) -> None:
    async with living(database) as house:
        await book(house, Spent("ann", house.clock(), model='＝HYPERLINK("http://x")'))
        got = await house.get("/entries?format=csv")
        [row] = csv.DictReader(io.StringIO(got.text))
        assert row["model"].startswith("'＝")


async def test_the_document_tells_times_refusals_and_sheets(database: Database) -> None:
    """Whoever makes a client of it sends times as text, and knows of every answer."""
    async with living(database) as house:
        document = (await house.get("/openapi.json")).json
        parts = document["components"]["schemas"]
        times = [parts["NewKey"]["properties"]["expires_at"], parts["BudgetBody-Input"]["properties"]["until"]]
        for operation in ("/sums", "/entries", "/audit", "/whoami/usage"):
            said = document["paths"][f"/api/v1{operation}"]["get"]["parameters"]
            times += [one["schema"] for one in said if one["name"] in ("since", "until")]
        assert len(times) == 10
        for schema in times:
            assert {one["type"] for one in schema["anyOf"]} == {"string", "null"}
            assert schema["anyOf"][0]["format"] == "date-time"
        assert parts["NewGroup"]["properties"]["name"]["maxLength"] == 200
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                answers = operation["responses"]
                assert {"429", "503"} <= answers.keys()
                assert ("409" in answers) == (method != "get"), path
                assert ("413" in answers) == ("408" in answers) == ("requestBody" in operation), path
                sheets = any(one["name"] == "format" for one in operation.get("parameters", []))
                assert ("text/csv" in answers.get("200", {}).get("content", {})) == sheets, path
