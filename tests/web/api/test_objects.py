"""Providers, routes, prices and limits over the management API, on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from dragoman.store.database import Database
from dragoman.store.objects import put
from dragoman.store.schema import objects
from tests.web.api.rig import UPSTREAM, living

SECRET = "sk-provider-secret-123456"
TARGET = {"provider": "fake", "model": "x"}
PROVIDER = {"kind": "openai", "api_key": SECRET, "max_parallel": 5}


async def test_a_providers_secrets_go_in_and_never_come_out(database: Database) -> None:
    async with living(database) as house:
        put = await house.put("/providers/main", PROVIDER)
        assert put.status == 200
        assert put.json["data"] == {"kind": "openai", "max_parallel": 5}
        assert (put.json["secrets"], put.json["origin"], put.json["read_only"]) == (["api_key"], "database", False)
        texts = [put.text]
        for path in ("/providers/main", "/providers", "/providers?format=csv", "/audit"):
            texts.append((await house.get(path)).text)
        rows = await database.read(lambda connection: connection.execute(select(objects)).all())
        texts.append(repr(rows))
        assert not [text for text in texts if SECRET in text or UPSTREAM in text]
        assert "api_key" in (await house.get("/audit")).text


async def test_a_secret_that_is_left_out_stays_until_where_it_goes_changes(database: Database) -> None:
    """SR6: a credential is bound to its origin."""
    async with living(database) as house:
        await house.put("/providers/main", PROVIDER)
        kept = await house.put("/providers/main", {"kind": "openai", "max_parallel": 9})
        assert (kept.json["data"]["max_parallel"], kept.json["secrets"]) == (9, ["api_key"])
        for moved in ({"base_url": "https://evil.example/v1"}, {"kind": "anthropic"}):
            refused = await house.put("/providers/main", {"kind": "openai", **moved})
            assert (refused.status, refused.code) == (400, "secret_needed")
        anew = await house.put("/providers/main", {"kind": "anthropic", "api_key": "another-secret-9"})
        assert (anew.status, anew.json["secrets"]) == (200, ["api_key"])
        gone = await house.put("/providers/main", {"kind": "anthropic", "api_key": None})
        assert gone.json["secrets"] == []


async def test_an_object_of_the_file_is_read_only_and_shadows(database: Database) -> None:
    async with living(database, routes={"sonnet": {"targets": [{"provider": "fake", "model": "x"}]}}) as house:
        fixed = (await house.get("/providers/fake")).json
        assert (fixed["read_only"], fixed["secrets"], fixed["data"]["kind"]) == (True, ["api_key"], "openai_compatible")
        for method, path, body in (
            ("PUT", "/providers/fake", PROVIDER),
            ("DELETE", "/providers/fake", None),
            ("PUT", "/routes/sonnet", {"targets": [{"provider": "fake", "model": "y"}]}),
            ("DELETE", "/routes/sonnet", None),
        ):
            refused = await house.ask(method, f"/api/v1{path}", body)
            assert (refused.status, refused.code) == (409, "read_only")
        mine = {"targets": [{"provider": "fake", "model": "y"}]}
        await database.write(lambda connection: put(connection, "route", "sonnet", mine, at=1))
        told = (await house.get("/routes")).json["items"]
        assert [(one["origin"], one["shadowed"]) for one in told] == [("the configuration", False), ("database", True)]
        assert (await house.delete("/routes/sonnet")).status == 204, "the shadowed one may be forgotten"
        assert len((await house.get("/routes")).json["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/providers/a", {"kind": "nope"}, "kind"),
        ("/providers/a", {"kind": "openai", "api_key": "  "}, "api_key"),
        ("/providers/a", {"kind": "openai", "origin": "x"}, "origin"),
        ("/providers/a", {"kind": "openai", "from_file": True}, "from_file"),
        ("/providers/a", {"kind": "openai", "bogus": 1}, "bogus"),
        ("/providers/a", {"kind": "openai", "headers": {"host": "x"}}, "headers"),
        ("/routes/a", {"targets": []}, "targets"),
        ("/routes/a", {"targets": [{"provider": "gone", "model": "x"}]}, "targets.0.provider"),
        ("/routes/a", {"targets": [{"provider": "fake", "model": "x"}], "headers": {"x-a": "b"}}, "headers"),
        (
            "/routes/a",
            {"targets": [TARGET], "when": {"background": "n"}},
            "when.background",
        ),
        ("/prices/a", {"rows": []}, "rows"),
        ("/prices/a", {"rows": [{"in": 1}]}, "rows"),
        ("/prices/a", {"rows": [{"in": -1, "out": 1}]}, "in"),
        ("/prices/a", {"rows": [{"in": 1, "out": 1, "per": 3}]}, "rows"),
        ("/prices/a", {"rows": [{"in": 1, "out": 1, "from": "soon"}]}, "rows"),
        ("/limits/global", {"rpm": 0}, "rpm"),
        ("/limits/global", {"budgets": [{"window": "year", "tokens": 1}]}, "budgets.0.window"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_the_field(
    path: str, body: dict[str, Any], field: str, database: Database
) -> None:
    async with living(database) as house:
        answer = await house.put(path, body)
        assert (answer.status, answer.code) == (400, "invalid_request"), answer.text
        assert answer.json["error"]["details"][0]["field"] == field, answer.text
        assert (await house.get(path)).status == 404


async def test_routes_and_prices_have_names_with_slashes(database: Database) -> None:
    async with living(database) as house:
        route = {"targets": [{"provider": "fake", "model": "x"}], "aliases": ["claude-*"]}
        assert (await house.put("/routes/team/sonnet", route)).json["data"] == route
        rows = [{"in": 1.75, "out": 14, "from": "2026-10-01"}, {"in": 2, "out": 15}]
        put = await house.put("/prices/OpenAI/GPT-5.2", {"rows": rows})
        assert (put.json["name"], put.json["data"]) == ("openai/gpt-5.2", {"rows": rows})
        assert (await house.get("/prices/openai/gpt-5.2")).json == put.json
        assert (await house.delete("/prices/openai/gpt-5.2")).status == 204
        assert (await house.delete("/prices/openai/gpt-5.2")).status == 404
        assert [one["name"] for one in (await house.get("/routes")).json["items"]] == ["team/sonnet"]


async def test_limits_for_everybody_hold_at_once(database: Database) -> None:
    async with living(database) as house:
        put = await house.put("/limits/global", {"rpm": 7, "models": ["haiku"]})
        assert put.json["data"] == {"rpm": 7, "models": ["haiku"]}
        scopes = (await house.get("/whoami", who="ann")).json["scopes"]
        assert (scopes[0]["name"], scopes[0]["rules"]["rpm"]) == ("global", 7)
        assert (await house.put("/limits/other", {"rpm": 7})).status == 404
        assert (await house.delete("/limits/global")).status == 204
        assert (await house.get("/whoami", who="ann")).json["scopes"][0]["rules"]["rpm"] is None


async def test_hostile_json_is_never_a_500(database: Database) -> None:
    async with living(database) as house:
        deep: Any = {}
        for _ in range(40):
            deep = {"a": deep}
        bodies: list[Any] = [
            b'{"kind": "openai", "project": "\\u0000"}',
            b'{"kind": "openai", "project": "\\ud800"}',
            b'{"kind": "openai", "timeout": NaN}',
            b'{"kind": "openai", "max_parallel": 1e400}',
            b'{"kind": "openai", "max_parallel": ' + b"9" * 400 + b"}",
            {"kind": "openai", "families": deep},
            {"kind": ["openai"]},
            [],
            b"",
        ]
        for body in bodies:
            assert (await house.put("/providers/odd", body)).status == 400, body
        for name in ("%00", "a%00b", "x" * 300):
            assert (await house.put(f"/providers/{name}", PROVIDER)).status == 404, name
            assert (await house.get(f"/prices/{name}")).status == 404, name
        assert (await house.put("/providers/a%2Fb", PROVIDER)).status in (400, 404)
