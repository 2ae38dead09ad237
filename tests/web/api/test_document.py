"""The OpenAPI document and the page about it say what is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dragoman.store.database import Database
from dragoman.web import api
from dragoman.web.api.permissions import PERMISSIONS, ROOT
from tests.web.api.rig import living

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def references(data: Any) -> set[str]:
    """Every ``$ref`` in it."""
    if isinstance(data, dict):
        own = {data["$ref"]} if isinstance(data.get("$ref"), str) else set()
        return own.union(*(references(value) for value in data.values()))
    return set().union(*(references(value) for value in data)) if isinstance(data, list) else set()


async def test_the_document_is_for_admins_and_names_every_route(database: Database) -> None:
    async with living(database) as house:
        document = (await house.get("/openapi.json")).json
        assert document["openapi"].startswith("3.1")
        told = {
            (method.upper(), path.removeprefix(ROOT))
            for path, operations in document["paths"].items()
            for method in operations
        }
        rows = {(method, path.replace(":path}", "}")) for method, path in PERMISSIONS}
        assert told == rows - {("GET", "/openapi.json")}
        for reference in references(document):
            name = reference.removeprefix("#/components/schemas/")
            assert name in document["components"]["schemas"]
        for operations in document["paths"].values():
            for operation in operations.values():
                assert {"401", "403", "404"} <= set(operation["responses"])
                assert "422" not in operation["responses"]
                assert operation.get("summary")
                assert operation.get("description")
        for who in ("mia", "ann"):
            assert (await house.get("/openapi.json", who=who)).status == 403
        assert "127.0.0.1" not in json.dumps(document)


def test_the_page_names_only_what_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    paths = re.findall(r"\$URL(/[a-z]+)", text)
    assert len(paths) > 10
    roots = {f"/{path.split('/')[1]}" for _, path in PERMISSIONS}
    assert set(paths) <= roots


def test_the_page_names_every_code_of_an_error() -> None:
    text = PAGE.read_text(encoding="utf-8")
    codes: set[str] = set()
    for module in Path(api.__file__).parent.rglob("*.py"):
        codes.update(re.findall(r'ApiError\(\s*\d{3},\s*"(\w+)"', module.read_text("utf-8")))
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in text} == set()


async def test_the_examples_of_the_page_work(database: Database) -> None:
    """Every body that the page sends, to where it sends it, in its order."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^curl (.*?)(?=^curl |^```)", text, re.MULTILINE | re.DOTALL)
    sent = 0
    async with living(database) as house:
        house.keys["admin"] = house.keys["root"]
        for command in commands:
            path = re.search(r"\$URL([^\s\"]*)", command)
            data = re.search(r"-d '(.*?)'", command, re.DOTALL)
            assert path is not None
            if data is None:
                continue
            method = re.search(r"-X (\w+)", command)
            where = path[1].replace("keys/1/", f"keys/{house.key_ids['ann']}/")
            where = where.replace("users/1", f"users/{house.ids['zoe']}")
            body = json.loads(data[1].replace("sk-…", "sk-123"))
            body |= {"name": "core-2"} if where == "/groups" else {"name": "eve"} if where == "/users" else {}
            body |= {"user_id": house.ids["ann"]} if "user_id" in body else {}
            answer = await house.ask(method[1] if method else "POST", f"{ROOT}{where}", body)
            assert answer.status in (200, 201), (where, answer.text)
            sent += 1
    assert sent >= 9
