"""Who may ask for what: every route of the gateway, times everybody who may come (SR2, SR4, SR16; X03 to X06, X11).

The cells come from the tables that the gateway itself goes by: ``SURFACES``, ``ROWS`` and ``PERMISSIONS``. A
route that no table names, or of which the tests here do not know how to ask, fails the first tests.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
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
from dragoman.web.api.application import Api
from dragoman.web.api.permissions import PERMISSIONS, permitted
from dragoman.web.legacy.application import Legacy
from dragoman.web.legacy.calls import ROWS
from dragoman.web.legacy.rows import Row
from dragoman.web.surfaces import ANTHROPIC, CHAT, GEMINI, RESPONSES, SURFACES
from tests.compat.setups import every_dialect
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK
from tests.web.api.rig import ADMIN_KEY, Answer, House, Spent, book, living

PASSWORD = "correct horse battery"
NOBODY: tuple[str | None, ...] = (None, "wrong-key-of-nobody", "off", "old", "dis", "gone", "")
"""No credential, a wrong one, a revoked and an expired key, keys of a disabled and of a removed user, a blank."""

ROLES: dict[str, Role] = {
    "admin": "admin", "cookie": "admin", "stolen": "admin", "root": "admin",
    "mia": "manager", "moe": "manager", "mel": "manager", "ann": "user", "zoe": "user",
}  # fmt: skip
"""The admin key; an admin's cookie on a page of ours and on a foreign one; people by name."""

GROUPS = {"mia": "core", "ann": "core", "moe": "lab", "zoe": "lab"}
USERS = ("root", "mia", "moe", "mel", "ann", "zoe")
NO_KEYS = ("admin", "cookie", "stolen")
"""Who administers and is no user."""


def settle_more(house: House, connection: Any) -> None:
    """A manager of the other group and one of none, a disabled and a removed user."""
    house.settle_in(connection, "moe", role="manager", group_id=house.groups["lab"])
    house.settle_in(connection, "mel", role="manager")
    disabled = house.settle_in(connection, "dis")
    people.replace(connection, dataclasses.replace(disabled, active=False))
    people.remove(connection, house.settle_in(connection, "gone").id, now=house.clock())


@contextlib.asynccontextmanager
async def crowded(database: Database) -> AsyncIterator[House]:
    """A house with everybody who may come; ``cookie`` and ``stolen`` are keys that hold a cookie."""
    async with living(database, admin={"key": ADMIN_KEY, "password": PASSWORD}) as house:
        await house.ring.write(lambda connection: settle_more(house, connection))
        signed = await house.ask("POST", "/admin/login", {"username": "admin", "password": PASSWORD}, who=None)
        house.keys["cookie"] = house.keys["stolen"] = signed.headers["set-cookie"].partition(";")[0]
        yield house


async def ask_as(house: House, who: str | None, method: str, path: str, body: Any = None) -> Answer:
    """Ask as somebody, by key or by cookie."""
    if who not in ("cookie", "stolen"):
        return await house.ask(method, path, body, who=who)
    origin = f"http://127.0.0.1:{house.port}" if who == "cookie" else "https://evil.example"
    return await house.ask(method, path, body, who=None, cookie=house.keys[who], origin=origin)


def forged(who: str, method: str) -> bool:
    """Whether a foreign page writes with somebody's cookie."""
    return who == "stolen" and method != "GET"


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
    async with crowded(database) as house:
        for who in ROLES:
            assert (await ask_as(house, who, "GET", "/api/v1/forgotten")).status == 403


async def test_SR2_nothing_is_mounted_beside_what_is_tested_here(database: Database) -> None:
    async with living(database) as house:
        assert [type(mount) for mount in house.mounts] == [Api, Legacy]


def test_SR2_of_every_route_it_is_known_how_to_ask() -> None:
    writes = ("POST", "PUT", "PATCH")
    assert set(BODIES) == {key for key in PERMISSIONS if key[0] in writes}
    assert set(PARAMETERS) == {(row.method, row.pattern) for row in ROWS if row.method in writes}
    assert set(ANSWERED) == {surface.operation for surface in SURFACES}


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
    ("POST", "/keys/{key_id}/deactivate"): None,
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
    if forged(who, method) or not permitted(method, pattern, role):
        return {403}
    if (method, pattern) == ("GET", "/whoami/usage") and who in NO_KEYS:
        return {403}
    if (method, pattern, who) == ("POST", "/users", "mel"):
        return {403}  # leads no group
    own = who == owner or role == "admin" or (role == "manager" and GROUPS.get(who) == GROUPS[owner])
    return {404} if is_owned(method, pattern) and not own else {200, 201, 204}


@pytest.mark.parametrize("owner", ["ann", "zoe"])
async def test_X11_the_matrix_of_the_management_api(owner: str, database: Database) -> None:
    wrong: list[Any] = []
    cells = 0
    async with crowded(database) as house:
        for method, pattern in routes():
            if owner == "zoe" and not is_owned(method, pattern):
                continue
            for who in ROLES:
                there = await target(house, method, pattern, owner)
                answer = await ask_as(house, who, method, f"/api/v1{there.path}", there.body)
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
    rows, rest = divmod(cells, len(ROLES) + len(NOBODY) + 1)
    assert (rest, rows) == (0, sum(owner == "ann" or is_owned(*route) for route in PERMISSIONS))


# ---------------------------------------------------------------- the calls of the earlier proxies


PARAMETERS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/admin/users"): {"username": "new"},
    ("POST", "/admin/users/batch"): {"csv_text": "new-batch,a@b"},
    ("POST", "/admin/api-keys"): {"name": "k", "user_id": 0},
    ("PUT", "/settings/model"): {"model_name": "x"},
    ("POST", "/admin/login"): {"username": "admin", "password": PASSWORD},
    ("POST", "/admin/logout"): {},
    ("POST", "/admin/users/{id}/generate-and-send-key"): {},
    ("POST", "/admin/send-api-key-email"): {},
    ("POST", "/v1/validate"): {},
    ("POST", "/v1/adduser"): {"admin_token": "", "username": "new", "token": "chosen-{n}"},
    ("POST", "/v1/queryuser"): {"token": ""},
}


def expected_of_row(row: Row, who: str | None, owner: str) -> set[int]:
    """The statuses that this cell may have. 503: no mail."""
    level, pattern = row.level, row.pattern
    if row.level == "self":
        return expected_of_body(pattern, who)
    if level == "open":
        return {403} if who == "stolen" else {200}
    if who in NOBODY:
        return {401}
    role = ROLES.get(str(who), "")
    if forged(str(who), row.method):
        return {403}
    if level == "admin":
        return {200, 503} if role == "admin" else {403}
    if level == "user":
        return {403} if who in (*NO_KEYS, "shared") else {200}
    if pattern.startswith("/usage/api-key/"):
        return {200} if role == "admin" or who == owner else {403}
    return {200}


def expected_of_body(pattern: str, who: str | None) -> set[int]:
    """As ``expected_of_row``, where the credential is in the body. What a token has used is told of withdrawn ones."""
    if pattern == "/v1/adduser":
        return {400} if not who else {200} if who in ("admin", "root") else {401}
    return {200} if who in (*USERS, "off", "old", "dis") else {400}


async def parameters(house: House, row: Row, who: str | None, owner: str) -> tuple[str, Any]:
    """The path and the parameters of one cell."""
    number = (await target(house, row.method, "/keys/{key_id}", owner)).path.rpartition("/")[2]
    if row.pattern.startswith("/admin/users/{id}"):
        number = (await target(house, "DELETE", "/users/{user_id}", owner)).path.rpartition("/")[2]
    said = PARAMETERS.get((row.method, row.pattern))
    if said is not None:
        fresh = {"username": f"new-{number}-{who}", "user_id": house.ids[owner], "token": f"chosen-{number}-{who}"}
        if row.pattern == "/admin/login":
            fresh = {}
        said = {name: fresh.get(name, value) for name, value in said.items()}
    if said is not None and row.level == "self":
        said["admin_token" if "admin_token" in said else "token"] = house.keys.get(who, who) if who else ""
    return row.pattern.replace("{id}", number), said


@pytest.mark.parametrize("owner", ["ann", "zoe"])
async def test_T_59_the_matrix_of_the_earlier_calls(owner: str, database: Database) -> None:
    wrong = []
    async with crowded(database) as house:
        for row in sorted(ROWS, key=lambda row: row.pattern == "/admin/logout"):  # which ends the cookie
            for who in (*ROLES, "shared", *NOBODY):
                path, said = await parameters(house, row, who, owner)
                caller = None if row.level == "self" else who
                answer = await ask_as(house, caller, row.method, path, said)
                if answer.status not in expected_of_row(row, who, owner):
                    wrong.append((row.method, row.pattern, who, answer.status, answer.text[:200]))
    assert wrong == []


# ---------------------------------------------------------------- model traffic


ASKS = {ANTHROPIC: ASK, CHAT: {**CHAT_ASK, "model": "fake/m"}, RESPONSES: RESPONSES_ASK, GEMINI: GEMINI_ASK}


ANSWERED = {
    "generate": 200, "stream": 200, "complete": 200, "count_tokens": 200, "models": 200, "cursor_models": 200,
    "info": 200, "health": 200, "hello": 200, "ok": 200, "nothing": 204, "ready": 200,
    "model": 404, "stored_response": 404, "forget_response": 404, "websocket": 405,
}  # fmt: skip
"""What whoever may ask gets, by operation: there is no model ``m`` in the list, and no such answer."""


async def test_X11_the_matrix_of_the_surfaces(database: Database) -> None:
    wrong = []
    async with crowded(database) as house:
        house.provider.script = every_dialect
        for surface in SURFACES:
            path = surface.pattern.replace("{model}", "m").replace("{id}", "resp_none")
            body = None if surface.method in ("GET", "DELETE") else ASKS[surface.dialect]
            for who in (*ROLES, "shared", *NOBODY):
                answer = await ask_as(house, who, surface.method, path, body)
                # The admin key and cookie open administration and no model (K03).
                refused = not surface.open and (who in NOBODY or who in NO_KEYS)
                if answer.status != (401 if refused else ANSWERED[surface.operation]):
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
