"""Edges of the calls by which the five were administered: shapes of refusals, odd parameters, foreign pages (§3.2)."""

from __future__ import annotations

import csv
import io

import pytest

from dragoman.store.accounts.model import Rules
from dragoman.store.database import Database
from tests.compat.test_management import BOOKED, PASSWORD
from tests.web.api.rig import ADMIN_KEY, book, living

# ---------------------------------------------------------------- shapes of refusals


@pytest.mark.parametrize("path", ["/v1/adduser", "/v1/queryuser"])
async def test_T_63_a_wrong_method_is_plain_text_too(path: str, database: Database) -> None:
    async with living(database) as house:
        for method in ("GET", "PUT", "DELETE"):
            answer = await house.ask(method, path, who=None)
            assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.text == "method not allowed"


async def test_C_53_each_401_says_how_to_sign_in(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        body = {"admin_token": "nobody's-token", "username": "zed", "token": "zed-token-1"}
        added = await house.ask("POST", "/v1/adduser", body, who=None)
        signed = await house.ask("POST", "/admin/login", {"username": "admin", "password": "x"}, who=None)
        for answer in (added, signed, await house.ask("GET", "/usage/me", who=None)):
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


UNKNOWN = (
    "/admin/backends", "/admin/backends/1", "/admin/backends/1/models", "/admin/users/1/2", "/admin/api-keys/1/2",
    "/usage/else", "/settings/else",
)  # fmt: skip


async def test_C_64_what_is_not_offered_is_a_404_in_the_shape_of_its_neighbours(database: Database) -> None:
    async with living(database) as house:
        for path in UNKNOWN:
            for method in ("GET", "POST", "PUT", "DELETE"):
                for who in (None, "ann", "admin"):
                    answer = await house.ask(method, path, who=who)
                    assert (answer.status, answer.json) == (404, {"detail": "not found"}), (method, path)
        for path in ("/administration", "/usages", "/usage", "/settingsx"):
            assert list((await house.ask("GET", path)).json) == ["error"], path


# ---------------------------------------------------------------- odd parameters


@pytest.mark.parametrize("end", ["20260301", "2026-W09-7", "2026W097"])
async def test_T_65_a_bare_end_date_in_any_spelling_is_a_whole_day(end: str, database: Database) -> None:
    async with living(database) as house:
        await book(house, *BOOKED)
        answer = await house.ask("GET", f"/usage/me?end_date={end}", who="ann")
        assert (answer.json["total_tokens"], answer.json["end_date"]) == (31, end)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
async def test_C_59_a_batch_of_users_with_the_line_ends_of_any_system(ends: str, database: Database) -> None:
    async with living(database) as house:
        text = ends.join(["Username,Email", '"eve, the first",eve@x', "", "fay", ""])
        answer = await house.ask("POST", "/admin/users/batch", {"csv_text": text})
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert [row[:2] for row in rows[1:]] == [["eve, the first", "eve@x"], ["fay", ""]]
        assert all(row[2].startswith("sk-") for row in rows[1:])


async def test_C_59_a_batch_that_is_no_table_is_a_400(database: Database) -> None:
    async with living(database) as house:
        for text in ("x" * 200_000, '"' + "y," * 100_000):
            answer = await house.ask("POST", "/admin/users/batch", {"csv_text": text})
            assert (answer.status, list(answer.json)) == (400, ["detail"])
        assert len((await house.ask("GET", "/admin/users")).json["users"]) == len(house.ids)


# ---------------------------------------------------------------- signing in


@pytest.mark.parametrize("password", ["admin", "password"])
async def test_T_62_no_password_that_everybody_knows_signs_in(password: str, database: Database) -> None:
    """X08, X10: with one of them the gateway serves, and behaves as if none were set."""
    async with living(database, admin={"password": password, "key": ADMIN_KEY}) as house:
        for given in (password, password.upper()):
            answer = await house.ask("POST", "/admin/login", {"username": "admin", "password": given}, who=None)
            assert answer.status == 403


async def test_T_62_a_password_of_half_a_character_is_only_wrong(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        for body in (b'{"username":"admin","password":"\\ud800"}', b'{"username":"\\ud800","password":"x"}'):
            assert (await house.ask("POST", "/admin/login", body, who=None)).status == 401


async def test_T_61_another_origin_cannot_sign_anybody_out(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        done = await house.ask("POST", "/admin/login", {"username": "admin", "password": PASSWORD}, who=None)
        mine = {"cookie": done.headers["set-cookie"].partition(";")[0]}
        for foreign in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
            assert (await house.ask("POST", "/admin/logout", who=None, **mine, **foreign)).status == 403
            signed = await house.ask("POST", "/admin/login", {"username": "a", "password": "b"}, who=None, **foreign)
            assert signed.status == 403
        assert (await house.ask("GET", "/admin/users", who=None, **mine)).status == 200
        own = {"origin": f"http://127.0.0.1:{house.port}"}
        assert (await house.ask("POST", "/admin/logout", who=None, **mine, **own)).status == 200
        assert (await house.ask("GET", "/admin/users", who=None, **mine)).status == 401


# ---------------------------------------------------------------- keys with rules of their own


async def test_SR3_an_admins_key_with_rules_brings_forth_no_wider_one(database: Database) -> None:
    async with living(database) as house:
        narrow = {"rules": Rules(rpm=1)}
        await database.write(lambda connection: house.settle_in(connection, "bound", role="admin", key=narrow))
        await house.ring.refresh()
        body = {"admin_token": house.keys["bound"], "username": "zed", "token": "zed-token-1"}
        assert (await house.ask("POST", "/v1/adduser", body, who=None)).status == 403
        ann = house.ids["ann"]
        for method, path in (
            ("POST", "/admin/users?username=zed"),
            ("POST", f"/admin/api-keys?user_id={ann}&name=x"),
            ("DELETE", f"/admin/users/{ann}"),
        ):
            assert (await house.ask(method, path, who="bound")).status == 403, path
        assert (await house.ask("GET", "/admin/users", who="bound")).status == 200
        assert "zed" not in (await house.ask("GET", "/admin/users")).text
