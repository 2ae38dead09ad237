"""Edges of the calls by which the five were administered: shapes of refusals, odd parameters, foreign pages (§3.2)."""

from __future__ import annotations

import asyncio
import csv
import io

import pytest
from argon2 import PasswordHasher

from dragoman.store.accounts.model import Rules
from dragoman.store.accounts.passwords import Passwords
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


# ---------------------------------------------------------------- many at once


async def test_T_62_guesses_at_once_are_as_many_guesses(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """SR15: the check takes long, and whoever does not wait for it gets no more tries."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("dragoman.web.legacy.login.Passwords", lambda: Passwords(cheap))
    async with living(database, attempts=10, admin={"password": PASSWORD}) as house:
        bodies = [{"username": "admin", "password": f"guess {number}"} for number in range(7)]
        bodies.append({"username": "admin", "password": PASSWORD})
        asked = (house.ask("POST", "/admin/login", body, who=None) for body in bodies)
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
        assert len(statuses) - statuses.count(429) == 5
        house.clock.sleep(61)
        for _ in range(12):  # who is right is not counted
            assert (await house.ask("POST", "/admin/login", bodies[-1], who=None)).status == 200


async def test_T_62_tokens_tried_at_once_are_as_many_guesses(database: Database) -> None:
    async with living(database, attempts=10) as house:
        tokens = [f"guess-{number}" for number in range(40)]
        asked = (house.ask("POST", "/v1/queryuser", {"token": token}, who=None) for token in tokens)
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
        assert sorted(statuses) == [400] * 10 + [429] * 30
        house.clock.sleep(61)
        asked = (house.ask("POST", "/v1/queryuser", {"token": house.keys["ann"]}, who=None) for _ in range(40))
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}


# ---------------------------------------------------------------- odd origins and odd tokens


async def test_T_61_an_origin_that_is_none_is_foreign(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        body = {"username": "admin", "password": PASSWORD}
        done = await house.ask("POST", "/admin/login", body, who=None)
        mine = {"cookie": done.headers["set-cookie"].partition(";")[0]}
        for odd in ("http://[", "http://[::1", "http://a]b"):
            for path in ("/admin/users?username=x", "/api/v1/users", "/admin/login", "/admin/logout"):
                assert (await house.ask("POST", path, body, who=None, **mine, origin=odd)).status == 403, (odd, path)


async def test_T_66_a_token_of_any_letters_opens_as_it_did(database: Database) -> None:
    """Headers are bytes: whoever chose such a token sends it as UTF-8, as curl does, or as Latin-1."""
    token = "tök-密码-à"
    body = {"admin_token": ADMIN_KEY, "username": "uni", "token": token}
    async with living(database) as house:
        assert (await house.ask("POST", "/v1/adduser", body, who=None)).status == 200
        assert (await house.ask("POST", "/v1/queryuser", {"token": token}, who=None)).json["username"] == "uni"
        for name in ("authorization", "x_api_key", "api_key"):
            assert (await house.ask("GET", "/usage/me", who=None, **{name: token})).json["username"] == "uni"
            assert (await house.ask("GET", "/v1/models", who=None, **{name: token})).status == 200


async def test_C_59_the_last_admin_stays(database: Database) -> None:
    async with living(database) as house:
        answer = await house.ask("DELETE", f"/admin/users/{house.ids['root']}")
        assert (answer.status, answer.json) == (409, {"detail": "this is the last active admin"})
        assert (await house.get("/whoami", who="root")).status == 200


# ---------------------------------------------------------------- forms

FORM = "multipart/form-data; boundary="
URLENCODED = "application/x-www-form-urlencoded"
PART = b'--B\r\nContent-Disposition: form-data; name="username"\r\n\r\n'
ODD_FORMS = (
    ("B", b"--B\r\nContent-Disposition: form-data; name=\r\n\r\nzed\r\n--B--"),
    ("B", b'--B\r\nContent-Disposition: form-data; name="username"; filename*\r\n\r\n\r\n--B--'),
    ("B", b"--B\r\nContent-Disposition: form-data; name=username; x*=\x00tf-8''x\r\n\r\n\r\n--B--"),
    ("B", b"--B\r\nContent-Type: " + b"a;" * 200_000 + b"\r\n\r\nzed\r\n--B--"),
    ("B", b"--B\r\nContent-Disposition: form-data" + b"; x*0=a" * 100_000 + b"\r\n\r\nzed\r\n--B--"),
    ("B", b"--B\r\n" * 150_000),
    ("B", b"--B\r\n\r\n\r\n" * 100_000),
    ("", PART + b"zed\r\n--B--"),
    ('"', PART + b"zed\r\n--B--"),
)


async def test_S8_an_odd_form_is_only_refused(database: Database) -> None:
    """Before anybody has signed in: no defect, and no minutes in which nobody else is served."""
    async with living(database, admin={"password": PASSWORD, "key": ADMIN_KEY}) as house:
        for boundary, body in ODD_FORMS:
            kind = {"content_type": FORM + boundary}
            for path, who in (("/admin/login", None), ("/admin/users", "admin")):
                answer = await house.ask("POST", path, body, who=who, **kind)
                assert answer.status == 400, (path, body[:80])
        answer = await house.ask("POST", "/admin/login", b"a=1&" * 200_000, who=None, content_type=URLENCODED)
        assert (answer.status, answer.json) == (400, {"detail": "there are more than 100 parameters"})


async def test_C_59_forms_as_browsers_and_curl_send_them(database: Database) -> None:
    async with living(database) as house:
        fields = b"".join(
            b"--a'b\r\n%s\r\n\r\n%s\r\n" % pair
            for pair in (
                (b'content-disposition: form-data; filename="x"; name="email"\r\nContent-Type: text/plain', b"z@x"),
                (b"Content-Type: text/plain\r\nContent-Disposition: form-data; name=username", "zoë\r\n".encode()),
                (b'Content-Disposition: form-data; name="csv_file"; filename="name=other.csv"', b"--a"),
            )
        )
        kind = {"content_type": f'{FORM}"a\'b"; x=y'}
        answer = await house.ask("POST", "/admin/users", fields + b"--a'b--\r\n", **kind)
        assert (answer.status, answer.json["username"]) == (200, "zoë")
        [made] = [one for one in (await house.ask("GET", "/admin/users")).json["users"] if one["username"] == "zoë"]
        assert made["email"] == "z@x"
