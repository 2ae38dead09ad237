"""The calls by which the five were administered, through the running gateway (compat §3.11, §3.12; T-59 to T-65)."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from dragoman.store.accounts import people
from dragoman.store.database import Database
from dragoman.web.legacy.calls import ROWS
from tests.web.api.rig import ADMIN_KEY, SECOND, SHARED, UPSTREAM, Answer, House, Spent, book, living

JSON, FORM, ODD = "application/json", "application/x-www-form-urlencoded", "text/x-whatever"


def moment(text: str) -> int:
    """Microseconds of an ISO date-time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND)


async def call(house: House, method: str, path: str, said: dict[str, Any], way: str) -> Answer:
    """Ask with parameters in the query, a form, JSON, or a multipart form."""
    if way == "query":
        return await house.ask(method, f"{path}?{urlencode(said)}")
    if way == "form":
        return await house.ask(method, path, urlencode(said).encode(), content_type=FORM)
    if way == "parts":
        parts = "".join(
            f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in said.items()
        )
        body = f"{parts}--xyz--\r\n".encode()
        return await house.ask(method, path, body, content_type="multipart/form-data; boundary=xyz")
    return await house.ask(method, path, said)


# ---------------------------------------------------------------- chat_azure


async def test_C_53_adduser_makes_a_user_of_status_1(database: Database) -> None:
    async with living(database) as house:
        for number, admin in enumerate((ADMIN_KEY, house.keys["root"])):
            body = {"admin_token": admin, "username": f"z{number}", "token": f"zzzzzzz{number}"}
            made = await house.ask("POST", "/v1/adduser", body, who=None, content_type=(FORM, ODD)[number])
            assert (made.status, made.json) == (200, {"status": "ok"})
            told = await house.ask("POST", "/v1/queryuser", {"token": f"zzzzzzz{number}"}, who=None)
            assert told.json == {"count": 0, "status": 1, "username": f"z{number}"}
            assert (await house.ask("GET", "/v1/models", who=f"zzzzzzz{number}")).status == 200


async def test_T_63_adduser_refuses_in_plain_text(database: Database) -> None:
    good = {"admin_token": ADMIN_KEY, "username": "zed", "token": "zed-token-1"}
    async with living(database) as house:
        cases: list[tuple[dict[str, Any], int]] = [
            ({**good, "username": ""}, 400),
            ({**good, "username": "  "}, 400),
            ({**good, "username": 3}, 400),
            ({**good, "token": "short"}, 400),
            ({**good, "username": "a\u0000b"}, 400),
            ({name: value for name, value in good.items() if name != "token"}, 400),
            ({name: value for name, value in good.items() if name != "admin_token"}, 400),
            ({**good, "username": "ann"}, 409),
            ({**good, "token": house.keys["ann"]}, 409),
            ({**good, "token": ADMIN_KEY}, 409),
            ({**good, "token": SHARED}, 409),
            ({**good, "admin_token": "nobody's-token"}, 401),
            ({**good, "admin_token": SHARED}, 401),
            ({**good, "admin_token": house.keys["ann"]}, 401),
            ({**good, "admin_token": house.keys["mia"]}, 401),
        ]
        for body, status in cases:
            refused = await house.ask("POST", "/v1/adduser", body, who=None)
            assert refused.status == status, (body, refused.text)
            assert refused.headers["content-type"].startswith("text/plain")
            assert "\n" not in refused.text
        assert refused.text == "admin token not found"
        assert (await house.ask("POST", "/v1/adduser", good, who=None)).status == 200
        assert (await house.ask("GET", "/health", who=None)).status == 200


async def test_C_54_queryuser_counts_every_token_and_tells_the_status(database: Database) -> None:
    async with living(database) as house:
        now = house.clock()
        await book(house, Spent("ann", now, input=1_000, cached=20, output=500), Spent("ben", now))
        answer = await house.ask("POST", "/v1/queryuser", {"token": house.keys["ann"]}, who=None)
        assert answer.json == {"count": 1520, "status": 1, "username": "ann"}
        await house.database.write(lambda connection: people.add_balance(connection, house.ids["ann"], 100_000))
        answer = await house.ask("POST", "/v1/queryuser", {"token": house.keys["ann"]}, who=None)
        assert answer.json["count"] == 101_520, "what was used before an import counts"
        told = {}
        for name in ("root", "mia", "off"):
            told[name] = (await house.ask("POST", "/v1/queryuser", {"token": house.keys[name]}, who=None)).json[
                "status"
            ]
        assert told == {"root": 2, "mia": 1, "off": 0}
        for body in ({}, {"token": ""}, {"token": 3}, {"token": "unknown-token"}, b"", b"{", b"[]"):
            refused = await house.ask("POST", "/v1/queryuser", body, who=None)
            assert (refused.status, refused.headers["content-type"]) == (400, "text/plain; charset=utf-8"), body
        unknown = await house.ask("POST", "/v1/queryuser", {"token": "unknown-token"}, who=None)
        assert unknown.text == "user not found"
        assert (await house.ask("GET", "/v1/queryuser", who=None)).status == 405


async def test_T_62_ten_wrong_admin_tokens_a_minute_shut_the_door(database: Database) -> None:
    async with living(database, attempts=10) as house:
        body = {"admin_token": "guess-guess-guess", "username": "zed", "token": "zed-token-1"}
        for _ in range(10):
            assert (await house.ask("POST", "/v1/adduser", body, who=None)).status == 401
        shut = await house.ask("POST", "/v1/adduser", {**body, "admin_token": ADMIN_KEY}, who=None)
        assert shut.status == 429
        assert 0 < int(shut.headers["retry-after"]) <= 60
        assert (await house.ask("GET", "/admin/users")).status == 429
        house.clock.sleep(61)
        assert (await house.ask("GET", "/admin/users")).status == 200


# ---------------------------------------------------------------- usage


DAY = "2026-03-01"
BOOKED = (
    Spent("ann", moment("2026-03-01T00:00:00"), input=1, output=0),
    Spent("ann", moment("2026-03-01T23:59:59.999999"), input=20, output=10, surface="chat"),
    Spent("ann", moment("2026-03-02T00:00:00"), input=300, output=200),
    Spent("ben", moment("2026-03-01T12:00:00"), input=9_000, output=9_000),
)


async def test_C_57_usage_me_by_endpoint_and_model(database: Database) -> None:
    async with living(database) as house:
        await book(house, *BOOKED)
        answer = await house.ask("GET", "/usage/me", who="ann")
        assert answer.json == {
            "user_id": house.ids["ann"],
            "username": "ann",
            "total_requests": 3,
            "total_input_tokens": 321,
            "total_output_tokens": 210,
            "total_tokens": 531,
            "usage_by_endpoint": [
                {
                    "endpoint": "/v1/messages",
                    "model": "glm-4.6",
                    "total_requests": 2,
                    "total_input_tokens": 301,
                    "total_output_tokens": 200,
                    "total_tokens": 501,
                },
                {
                    "endpoint": "/v1/chat/completions",
                    "model": "glm-4.6",
                    "total_requests": 1,
                    "total_input_tokens": 20,
                    "total_output_tokens": 10,
                    "total_tokens": 30,
                },
            ],
            "start_date": None,
            "end_date": None,
        }
        assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("query", "tokens"),
    [
        ("start_date=2026-03-01&end_date=2026-03-01", 31),
        ("start_date=2026-03-01T00:00:00&end_date=2026-03-01T23:59:59", 31),
        ("start_date=2026-03-01T00:00:01&end_date=2026-03-01", 30),
        ("end_date=2026-03-02T00:00:00", 531),
        ("end_date=2026-03-01T23:59:58", 1),
        ("start_date=2026-03-02", 500),
        ("start_date=2026-03-02T01:00:00%2B01:00", 500),
        ("start_date=2026-03-02T01:00:00+01:00", 500),
        ("start_date=2026-03-02T00:00:00Z", 500),
        ("start_date=2026-03-02T00:00:00.000001", 0),
        ("start_date=2026-03-03", 0),
        ("start_date=&end_date=", 531),
    ],
)
async def test_T_65_the_range_is_inclusive_and_a_bare_end_is_a_whole_day(
    query: str, tokens: int, database: Database
) -> None:
    async with living(database) as house:
        await book(house, *BOOKED)
        answer = await house.ask("GET", f"/usage/me?{query}", who="ann")
        assert (answer.status, answer.json["total_tokens"]) == (200, tokens)
        key = house.key_ids["ann"]
        assert (await house.ask("GET", f"/usage/api-key/{key}?{query}")).json["total_tokens"] == tokens


async def test_T_65_a_date_that_is_none_is_a_400(database: Database) -> None:
    async with living(database) as house:
        for text in ("yesterday", "2026-13-01", "2026-02-30", "1", "%00", "2026-03-01T25:00:00", "9" * 500):
            answer = await house.ask("GET", f"/usage/me?start_date={text}", who="ann")
            assert (answer.status, list(answer.json)) == (400, ["detail"]), text


async def test_C_58_usage_of_a_key(database: Database) -> None:
    async with living(database) as house:
        await book(house, *BOOKED)
        path = f"/usage/api-key/{house.key_ids['ann']}"
        expected = {
            "api_key_id": house.key_ids["ann"],
            "total_requests": 3,
            "total_input_tokens": 321,
            "total_output_tokens": 210,
            "total_tokens": 531,
        }
        for seeing in ("ann", "admin", "root"):
            assert (await house.ask("GET", path, who=seeing)).json == expected
        refused: list[tuple[str | None, int]] = [
            ("ben", 403),
            ("mia", 403),
            ("shared", 403),
            (None, 401),
            ("wrong", 401),
        ]
        for who, status in refused:
            answer = await house.ask("GET", path, who=who)
            assert (answer.status, list(answer.json)) == (status, ["detail"]), who
        for path in ("/usage/api-key/99999", "/usage/api-key/x", f"/usage/api-key/{2**70}"):
            assert (await house.ask("GET", path)).status == 404


async def test_C_58_usage_by_backend_names_the_provider_to_admins_alone(database: Database) -> None:
    async with living(database) as house:
        await book(house, *BOOKED, Spent("ann", house.clock(), provider="other", input=5_000))
        path = f"/usage/api-key/{house.key_ids['ann']}/by-backend"
        told = (await house.ask("GET", path)).json["usage_by_backend"]
        assert [one["backend_url"] for one in told] == ["other", "fake"]
        mine = await house.ask("GET", path, who="ann")
        assert "backend_url" not in mine.text
        everybody = (await house.ask("GET", "/admin/usage/by-backend")).json
        assert everybody["total_requests"] == 5
        user = await house.ask("GET", f"/admin/users/{house.ids['ann']}/usage/by-backend")
        assert user.json["total_requests"] == 4
        assert (await house.ask("GET", "/admin/users/9999/usage/by-backend")).status == 404


# ---------------------------------------------------------------- infiniproxy


@pytest.mark.parametrize("way", ["query", "form", "json", "parts"])
async def test_C_59_C_60_C_61_C_62_C_63_users_and_keys_in_every_form(way: str, database: Database) -> None:
    async with living(database) as house:
        said = {"username": "eve", "email": "eve@example.org"}
        made = (await call(house, "POST", "/admin/users", said, way)).json
        user_id = made["user_id"]
        assert made | {"api_key": "", "message": "", "warning": ""} == {
            "success": True, "user_id": user_id, "username": "eve", "api_key": "", "email_sent": False,
            "message": "", "warning": "",
        }  # fmt: skip
        assert (await house.ask("GET", "/usage/me", who=made["api_key"])).json["username"] == "eve"
        newest = (await house.ask("GET", "/admin/users")).json["users"][0]
        assert newest | {"created_at": ""} == {
            "id": user_id, "username": "eve", "email": "eve@example.org", "created_at": "", "is_active": 1,
            "role": "user",
        }  # fmt: skip
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", newest["created_at"])
        second = (await call(house, "POST", "/admin/api-keys", {"user_id": user_id, "name": "two"}, way)).json
        assert second | {"api_key": "", "warning": ""} == {
            "success": True, "api_key": "", "user_id": user_id, "name": "two", "email_sent": False, "warning": "",
        }  # fmt: skip
        for key in (made["api_key"], second["api_key"]):
            assert re.fullmatch(r"sk-[0-9a-f]{64}", key)
            for path in ("/admin/users", "/admin/api-keys", "/api/v1/keys", "/api/v1/audit"):
                assert key not in (await house.ask("GET", path)).text, "shown once, never again"
        assert (second["success"], second["user_id"], second["name"]) == (True, user_id, "two")
        listed = (await house.ask("GET", f"/admin/api-keys?user_id={user_id}")).json["api_keys"]
        assert [key["name"] for key in listed] == ["two", "default"]
        assert list(listed[0]) == [
            "id", "user_id", "key_prefix", "name", "model_name", "created_at", "last_used_at", "is_active",
        ]  # fmt: skip
        assert listed[0]["key_prefix"] == second["api_key"][:12]
        ended = await house.ask("DELETE", f"/admin/api-keys/{listed[0]['id']}")
        assert (ended.status, ended.json["success"]) == (200, True)
        assert (await house.ask("GET", "/usage/me", who=second["api_key"])).status == 401
        assert (await house.ask("DELETE", "/admin/api-keys/9999")).status == 404
        assert (await call(house, "POST", "/admin/users", said, way)).status == 400
        assert (await call(house, "POST", "/admin/api-keys", {"user_id": 9999, "name": "x"}, way)).status == 404
        assert (await call(house, "POST", "/admin/users", {"email": "x@y"}, way)).status == 400


async def test_C_64_the_bare_form_of_the_readme_is_a_401(database: Database) -> None:
    async with living(database) as house:
        for method, path in (("POST", "/admin/users?username=x"), ("GET", "/admin/users"), ("GET", "/admin/api-keys")):
            answer = await house.ask(method, path, who=None)
            assert (answer.status, list(answer.json)) == (401, ["detail"])
            assert answer.headers["www-authenticate"] == "Bearer"
        for headers in ({"x_api_key": ADMIN_KEY}, {"api_key": ADMIN_KEY}, {"authorization": ADMIN_KEY}):
            assert (await house.ask("GET", "/admin/users", who=None, **headers)).status == 200


async def test_C_59_removing_a_user_keeps_what_was_used(database: Database) -> None:
    async with living(database) as house:
        await book(house, *BOOKED)
        assert (await house.ask("DELETE", f"/admin/users/{house.ids['ann']}")).status == 200
        assert (await house.ask("GET", "/usage/me", who="ann")).status == 401
        assert (await house.ask("GET", "/admin/usage/by-backend")).json["total_requests"] == 4
        assert (await house.ask("DELETE", f"/admin/users/{house.ids['ann']}")).status == 404


async def test_C_59_a_batch_of_users_comes_back_as_csv_without_formulas(database: Database) -> None:
    async with living(database) as house:
        text = "username,email\neve,eve@x\nann,dup@x\n=1+1,@x\n"
        answer = await house.ask("POST", "/admin/users/batch", {"csv_text": text})
        assert answer.headers["content-disposition"] == 'attachment; filename="users_with_keys.csv"'
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0] == ["username", "email", "api_key"]
        assert [row[0] for row in rows[1:]] == ["eve", "ann", "'=1+1"]
        assert rows[2][2] == "user_creation_failed"
        assert rows[3][1] == "'@x"
        assert (await house.ask("GET", "/usage/me", who=rows[1][2])).json["username"] == "eve"
        for body in ({}, {"csv_text": ""}, {"csv_text": "username,email\n"}):
            assert (await house.ask("POST", "/admin/users/batch", body)).status == 400


async def test_a_key_settles_its_own_model(database: Database) -> None:
    async with living(database) as house:
        told = (await house.ask("GET", "/settings/model", who="ann")).json
        assert told == {
            "api_key_id": house.key_ids["ann"], "api_key_name": "ann's", "model_name": None, "using_default": True,
        }  # fmt: skip
        put = await house.ask("PUT", "/settings/model", {"model_name": "glm-5"}, who="ann")
        assert (put.json["model_name"], put.json["using_default"]) == ("glm-5", False)
        assert (await house.ask("PUT", "/settings/model", {"model_name": None}, who="ann")).json["using_default"]
        for body in ({}, {"model_name": 3}, {"model_name": "x" * 600}):
            assert (await house.ask("PUT", "/settings/model", body, who="ann")).status == 400
        assert (await house.ask("GET", "/settings/model", who="shared")).status == 403


async def test_mail_status_and_validate(database: Database) -> None:
    async with living(database) as house:
        for path in (f"/admin/users/{house.ids['ann']}/generate-and-send-key", "/admin/send-api-key-email"):
            answer = await house.ask("POST", path, {})
            assert (answer.status, list(answer.json)) == (503, ["detail"])
        status = await house.ask("GET", "/status")
        assert status.json["providers"] == {"fake": {"kind": "openai_compatible", "ready": True}}
        assert "127.0.0.1" not in status.text
        assert (await house.ask("POST", "/v1/validate", who="ann")).json == {"valid": True}
        assert (await house.ask("POST", "/v1/validate", who="wrong")).status == 401


# ---------------------------------------------------------------- who may not


CALLS = [(row.method, row.pattern.replace("{id}", "1")) for row in ROWS if row.level == "admin"]


def test_T_59_every_data_call_of_administration_needs_an_admin() -> None:
    others = {row.pattern for row in ROWS if row.level != "admin" and row.pattern.startswith("/admin")}
    assert others == {"/admin/login", "/admin/logout"}
    assert {row.level for row in ROWS if row.pattern.startswith(("/usage", "/settings"))} == {"user", "any"}


async def test_T_59_administration_is_refused_to_everybody_else(database: Database) -> None:
    async with living(database) as house:
        for method, path in CALLS:
            for who, status in ((None, 401), ("wrong", 401), ("off", 401), ("old", 401)):
                assert (await house.ask(method, path, who=who)).status == status, (method, path, who)
            for who in ("shared", "ann", "mia"):
                answer = await house.ask(method, path, who=who)
                assert (answer.status, list(answer.json)) == (403, ["detail"]), (method, path, who)
        mine = f"/usage/api-key/{house.key_ids['ann']}"
        for path in (mine, f"{mine}/by-backend", "/usage/me", "/settings/model"):
            refused = {who: (await house.ask("GET", path, who=who)).status for who in (None, "wrong", "shared")}
            assert refused == {None: 401, "wrong": 401, "shared": 403}, path
            assert (await house.ask("GET", path, who="ann")).status == 200, "the own usage is excepted"
        assert (await house.ask("GET", mine, who="ben")).status == 403
        assert (await house.ask("GET", "/usage/me", who="shared")).status == 403
        assert (await house.ask("GET", "/usage/me")).status == 403, "the admin key is nobody's"


async def test_T_60_no_answer_holds_a_secret(database: Database) -> None:
    async with living(database) as house:
        texts = []
        for path in ("/admin/users", "/admin/api-keys", "/status", "/api/v1/users", "/api/v1/keys"):
            texts.append((await house.ask("GET", path)).text)
        for path in ("/api/v1/providers", "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/whoami"):
            texts.append((await house.ask("GET", path)).text)
        for secret in (ADMIN_KEY, SHARED, UPSTREAM, *house.keys.values()):
            assert not [text for text in texts if secret in text]


# ---------------------------------------------------------------- signing in


PASSWORD = "correct horse battery"


async def test_C_65_signing_in_by_json_gives_a_strict_cookie(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        body = {"username": "admin", "password": PASSWORD}
        done = await house.ask("POST", "/admin/login", body, who=None)
        assert (done.status, done.json["success"]) == (200, True)
        cookie = done.headers["set-cookie"]
        for word in ("HttpOnly", "SameSite=Strict", "Max-Age=86400", "Path=/"):
            assert word in cookie
        mine = {"cookie": cookie.partition(";")[0]}
        assert (await house.ask("GET", "/admin/users", who=None, **mine)).status == 200
        assert (await house.ask("GET", "/api/v1/users", who=None, **mine)).status == 200
        out = await house.ask("POST", "/admin/logout", who=None, **mine)
        assert out.json["success"] is True
        assert (await house.ask("GET", "/admin/users", who=None, **mine)).status == 401


async def test_T_61_another_origin_cannot_write_with_the_cookie(database: Database) -> None:
    async with living(database, admin={"password": PASSWORD}) as house:
        body = {"username": "admin", "password": PASSWORD}
        done = await house.ask("POST", "/admin/login", body, who=None)
        mine = {"cookie": done.headers["set-cookie"].partition(";")[0]}
        own = f"http://127.0.0.1:{house.port}"
        for path in ("/admin/users?username=x", "/api/v1/users"):
            for headers in (
                {},
                {"origin": "https://evil.example"},
                {"origin": "null"},
                {"origin": own, "sec_fetch_site": "cross-site"},
                {"sec_fetch_site": "same-site"},
            ):
                refused = await house.ask("POST", path, {"name": "x"}, who=None, **mine, **headers)
                assert refused.status == 403, (path, headers)
        made = await house.ask("POST", "/admin/users?username=x", who=None, **mine, origin=own)
        assert made.status == 200
        evil = await house.ask("POST", "/admin/login", body, who=None, origin="https://evil.example")
        assert evil.status == 403


@pytest.mark.parametrize("password", [None, "changeme", "CHANGEME"])
async def test_T_62_without_a_password_nobody_signs_in(password: str | None, database: Database) -> None:
    async with living(database, admin={"password": password, "key": ADMIN_KEY}) as house:
        for given in ("changeme", "CHANGEME", "admin"):
            body = {"username": "admin", "password": given}
            assert (await house.ask("POST", "/admin/login", body, who=None)).status == 403
        assert (await house.ask("POST", "/admin/login", {"username": "admin"}, who=None)).status == 400


async def test_T_62_wrong_passwords_are_counted_by_name_and_by_address(database: Database) -> None:
    async with living(database, attempts=10, admin={"password": PASSWORD}) as house:
        right = {"username": "admin", "password": PASSWORD}
        for _ in range(5):
            assert (await house.ask("POST", "/admin/login", {**right, "password": "x"}, who=None)).status == 401
        shut = await house.ask("POST", "/admin/login", right, who=None)
        assert (shut.status, int(shut.headers["retry-after"]) > 0) == (429, True)
        for number in range(5):
            body = {"username": f"n{number}", "password": "x"}
            assert (await house.ask("POST", "/admin/login", body, who=None)).status == 401
        assert (await house.ask("POST", "/admin/login", {**right, "username": "n9"}, who=None)).status == 429
        house.clock.sleep(61)
        assert (await house.ask("POST", "/admin/login", right, who=None)).status == 200
