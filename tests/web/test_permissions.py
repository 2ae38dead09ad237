"""Who may ask for what: every route of the gateway, times everybody who may come (SR2, SR4, SR16; X03 to X06, X11).

The cells come from the tables that the gateway itself goes by: ``SURFACES``, ``ROWS`` and ``PERMISSIONS``. A
route that no table names is found by the first test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.model import Role
from dragoman.store.database import Database
from dragoman.store.objects import put
from dragoman.web.api import resources
from dragoman.web.api.permissions import PERMISSIONS, permitted
from dragoman.web.legacy.calls import ROWS
from dragoman.web.surfaces import SURFACES
from tests.compat.setups import every_dialect
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK
from tests.web.api.rig import House, Spent, book, living

NOBODY: tuple[str | None, ...] = (None, "wrong-key-of-nobody", "off", "old", "")
ROLES: dict[str, Role] = {"admin": "admin", "root": "admin", "mia": "manager", "ann": "user", "zoe": "user"}
USERS = ("root", "mia", "ann", "zoe")


def routes() -> Iterator[tuple[str, str]]:
    """Every route of the management API, as the framework knows it."""
    for router in resources.ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                yield method, route.path


# ---------------------------------------------------------------- the tables


def test_SR2_every_route_has_a_row_and_every_row_a_route() -> None:
    found = list(routes())
    assert len(found) == len(set(found))
    assert set(found) == set(PERMISSIONS)


def test_SR2_a_route_without_a_row_is_nobodys() -> None:
    roles: tuple[Role, ...] = ("admin", "manager", "user")
    for role in roles:
        assert not permitted("GET", "/api/v1/forgotten", role)
        assert not permitted("PUT", "/api/v1/users", role)
        assert not permitted("GET", "", role)


async def test_SR2_a_planted_route_without_a_row_is_refused(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> dict[str, str]:
        return {"secret": "x"}

    monkeypatch.setattr(resources, "ROUTERS", [*resources.ROUTERS, router])
    monkeypatch.setattr("dragoman.web.api.application.ROUTERS", resources.ROUTERS)
    async with living(database) as house:
        for who in ROLES:
            assert (await house.get("/forgotten", who=who)).status == 403


def test_only_admins_reach_credentials_configuration_and_the_log() -> None:
    """Written out once more, by hand: a slip in the table is a slip in two places."""
    for (method, path), roles in PERMISSIONS.items():
        what = path.split("/")[1]
        if what in ("providers", "audit", "openapi.json"):
            assert roles == {"admin"}, path
        if what in ("groups", "routes", "prices", "limits") and method != "GET":
            assert roles == {"admin"}, path
        if what in ("groups", "routes", "prices", "limits", "users") and path != "/users/{user_id}":
            assert "user" not in roles, path
        if "user" in roles and method != "GET":
            assert what == "keys", path
    assert {row.level for row in ROWS if row.pattern.startswith("/admin/")} == {"admin", "open"}
    assert {row.pattern for row in ROWS if row.level == "open"} == {"/admin/login", "/admin/logout"}
    assert {row.pattern for row in ROWS if row.level == "self"} == {"/v1/adduser", "/v1/queryuser"}


# ---------------------------------------------------------------- the management API


BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/users"): {"name": "new-{n}"},
    ("PATCH", "/users/{user_id}"): {"email": "x@example.org"},
    ("POST", "/keys"): {"name": "k", "user_id": 0},
    ("PATCH", "/keys/{key_id}"): {"name": "other"},
    ("POST", "/keys/{key_id}/rotate"): {},
    ("POST", "/groups"): {"name": "group-{n}"},
    ("PATCH", "/groups/{group_id}"): {"rules": {"rpm": 3}},
    ("PUT", "/providers/{name}"): {"kind": "openai", "api_key": "k-123"},
    ("PUT", "/routes/{name:path}"): {"targets": [{"provider": "fake", "model": "x"}]},
    ("PUT", "/prices/{name:path}"): {"rows": [{"in": 1, "out": 2}]},
    ("PUT", "/limits/{name}"): {},
}
KINDS = {"providers": "provider", "routes": "route", "prices": "price", "limits": "limits"}


@dataclass
class Target:
    """A fresh object for one cell: the path to it, and a body to send."""

    path: str
    body: Any


_numbers = iter(range(1, 1_000_000))


async def target(house: House, method: str, pattern: str, owner: str) -> Target:
    """Somebody's object for the route, made anew, so that no cell meets what another left behind."""
    number = next(_numbers)
    core_or_lab = house.groups["lab" if owner == "zoe" else "core"]
    ids: dict[str, Any] = {"{name}": f"name-{number}", "{name:path}": f"name-{number}", "{user_id}": house.ids[owner]}

    def make(connection: Any) -> None:
        kind = KINDS.get(pattern.split("/")[1])
        if kind is not None and "{name" in pattern:
            ids["{name}"] = "global" if kind == "limits" else ids["{name}"]
            data = {name: value for name, value in BODIES[("PUT", pattern)].items() if name != "api_key"}
            put(connection, kind, ids["{name}"], data, at=1)
        if pattern == "/users/{user_id}" and method != "GET":
            made = people.create(connection, f"fresh-{number}", now=house.clock(), group_id=core_or_lab)
            ids["{user_id}"] = made.id
        if "{key_id}" in pattern:
            made_key = keys.create(connection, house.ring.hasher, house.ids[owner], f"key-{number}", now=house.clock())
            ids["{key_id}"] = made_key.key.id
        ids["{group_id}"] = core_or_lab
        if method == "DELETE" and "{group_id}" in pattern:
            ids["{group_id}"] = groups.create(connection, f"fresh-{number}", now=house.clock()).id

    if "{" in pattern:
        await house.database.write(make)
    if "{entry_id}" in pattern or "{call_id}" in pattern:
        await book(house, Spent(owner, house.clock()))
        newest = (await house.get(f"/entries?user={house.ids[owner]}&limit=1")).json["items"][0]
        ids |= {"{entry_id}": newest["id"], "{call_id}": newest["call_id"]}
    path = pattern
    for word, value in ids.items():
        path = path.replace(word, str(value))
    body = BODIES.get((method, pattern))
    if body is not None and "name" in body:
        body = {**body, "name": body["name"].replace("{n}", str(number))}
    if body is not None and "user_id" in body:
        body = {**body, "user_id": house.ids[owner]}
    return Target(path, body)


OWNED = ("{user_id}", "{key_id}", "{group_id}", "{entry_id}", "{call_id}")


def is_owned(method: str, pattern: str) -> bool:
    """Whether the route is about something that belongs to somebody."""
    return any(word in pattern for word in OWNED) or (method, pattern) == ("POST", "/keys")


def expected(method: str, pattern: str, who: str, owner: str) -> set[int]:
    """The statuses that this cell may have."""
    role = ROLES[who]
    if not permitted(method, pattern, role):
        return {403}
    if (method, pattern) == ("GET", "/whoami/usage") and who == "admin":
        return {403}
    own = who == owner or role == "admin" or (role == "manager" and owner == "ann")
    return {404} if is_owned(method, pattern) and not own else {200, 201, 204}


@pytest.mark.parametrize("owner", ["ann", "zoe"])
async def test_X11_the_matrix_of_the_management_api(owner: str, database: Database) -> None:
    wrong: list[Any] = []
    cells = 0
    async with living(database) as house:
        for method, pattern in routes():
            if owner == "zoe" and not is_owned(method, pattern):
                continue
            for who in ROLES:
                there = await target(house, method, pattern, owner)
                answer = await house.ask(method, f"/api/v1{there.path}", there.body, who=who)
                cells += 1
                if answer.status not in expected(method, pattern, who, owner):
                    wrong.append((method, pattern, who, owner, answer.status, answer.text[:200]))
            there = await target(house, method, pattern, owner)
            for nobody in (*NOBODY, "shared"):
                answer = await house.ask(method, f"/api/v1{there.path}", there.body, who=nobody)
                cells += 1
                if answer.status != (403 if nobody == "shared" else 401):
                    wrong.append((method, pattern, nobody, owner, answer.status, answer.text[:200]))
    assert wrong == []
    assert cells % 11 == 0
    assert cells // 11 >= (13 if owner == "zoe" else len(PERMISSIONS))


# ---------------------------------------------------------------- the calls of the earlier proxies


PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/admin/users"): {"username": "new"},
    ("POST", "/admin/users/batch"): {"csv_text": "new-batch,a@b"},
    ("POST", "/admin/api-keys"): {"name": "k", "user_id": 0},
    ("PUT", "/settings/model"): {"model_name": "x"},
    ("POST", "/admin/login"): {"username": "a", "password": "b"},
}


def expected_of_row(level: str, pattern: str, who: str, owner: str) -> set[int]:
    """The statuses that this cell may have. 503: no mail."""
    role = ROLES.get(who, "")
    if level == "admin":
        return {200, 503} if role == "admin" else {403}
    if level == "user":
        return {403} if who in ("admin", "shared") else {200}
    if pattern.startswith("/usage/api-key/"):
        return {200} if role == "admin" or who == owner else {403}
    return {200}


@pytest.mark.parametrize("owner", ["ann", "zoe"])
async def test_T_59_the_matrix_of_the_earlier_calls(owner: str, database: Database) -> None:
    wrong = []
    async with living(database) as house:
        for row in ROWS:
            if row.level in ("open", "self"):
                continue
            for who in (*ROLES, "shared", *NOBODY):
                there = await target(house, row.method, "/keys/{key_id}", owner)
                number = there.path.rpartition("/")[2]
                if row.pattern.startswith("/admin/users/{id}"):
                    fresh = await target(house, "DELETE", "/users/{user_id}", owner)
                    number = fresh.path.rpartition("/")[2]
                said = PARAMETERS.get((row.method, row.pattern))
                if said and "username" in said:
                    said = {**said, "username": f"new-{next(_numbers)}"}
                if said and "user_id" in said:
                    said = {**said, "user_id": house.ids[owner]}
                answer = await house.ask(row.method, row.pattern.replace("{id}", number), said, who=who)
                right = {401} if who in NOBODY else expected_of_row(row.level, row.pattern, str(who), owner)
                if answer.status not in right:
                    wrong.append((row.method, row.pattern, who, answer.status, answer.text[:200]))
    assert wrong == []


# ---------------------------------------------------------------- model traffic


ASKS = {"messages": ASK, "chat": CHAT_ASK, "responses": RESPONSES_ASK, "gemini": GEMINI_ASK}


async def test_X11_the_matrix_of_the_surfaces(database: Database) -> None:
    wrong = []
    async with living(database) as house:
        house.provider.script = every_dialect
        for surface in SURFACES:
            path = surface.pattern.replace("{model}", "m").replace("{id}", "resp_none")
            body = None if surface.method in ("GET", "DELETE") else ASKS.get(surface.name, CHAT_ASK)
            for who in (*USERS, "shared", "admin", *NOBODY):
                answer = await house.ask(surface.method, path, body, who=who)
                # The admin key opens administration and no model (K03).
                refused = not surface.open and (who in NOBODY or who == "admin")
                if (answer.status == 401) != refused or answer.status in (403, 500):
                    wrong.append((surface.method, path, who, answer.status, answer.text[:200]))
    assert wrong == []


async def test_SR18_what_one_caller_left_behind_is_not_there_for_another(database: Database) -> None:
    async with living(database) as house:
        house.provider.script = every_dialect
        made = await house.ask("POST", "/v1/responses", {**RESPONSES_ASK, "store": True}, who="ann")
        path = f"/v1/responses/{made.json['id']}"
        for who in ("zoe", "mia", "root", "shared"):
            assert (await house.ask("GET", path, who=who)).status == 404, who
            assert (await house.ask("DELETE", path, who=who)).status == 404, who
        assert (await house.ask("GET", path, who="ann")).status == 200
