"""An administrator's day, by curl and by cookie: C-64 to C-66, and what must never come out (T-60, T-61).

The page that shows all this is tested where it is; here is what it stands on.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.observe.logs import set_up_logging
from dragoman.settings import LogSettings
from dragoman.store.database import Database
from dragoman.web.api.permissions import PERMISSIONS
from dragoman.web.legacy.calls import ROWS
from tests.compat.setups import every_dialect
from tests.compat.test_management import PASSWORD
from tests.compat.test_metering import entries, provider, spend
from tests.web.api.rig import ADMIN_KEY, SHARED, UPSTREAM, Answer, House, living

FORM = "application/x-www-form-urlencoded"


async def signed_in(house: House) -> dict[str, str]:
    """The headers of a page of ours on which somebody has signed in."""
    body = f"username=admin&password={PASSWORD.replace(' ', '+')}".encode()
    done = await house.ask("POST", "/admin/login", body, who=None, content_type=FORM)
    assert done.status == 200, done.text
    return {"cookie": done.headers["set-cookie"].partition(";")[0], "origin": f"http://127.0.0.1:{house.port}"}


# ---------------------------------------------------------------- curl

README = (
    'curl -X POST "{url}/admin/users?username=john&email=john@example.com"',
    'curl "{url}/admin/users"',
    'curl -X POST "{url}/admin/api-keys?user_id={user}&name=Production%20Key"',
    'curl "{url}/admin/api-keys?user_id={user}"',
    'curl -X DELETE "{url}/admin/api-keys/{key}"',
)
"""The five calls as an earlier proxy's manual shows them."""


async def curl(command: str) -> tuple[int, dict[str, object]]:
    """Status and JSON of a command line."""
    words = [*shlex.split(command), "-s", "--noproxy", "*", "-w", "\n%{http_code}"]
    child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    text, _, status = (await child.communicate())[0].decode().rpartition("\n")
    return int(status), json.loads(text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("header", ["Authorization: Bearer {key}", "Authorization: {key}", "x-api-key: {key}"])
async def test_C_64_the_five_calls_from_curl(header: str, database: Database) -> None:
    async with living(database) as house:
        words = {"url": f"http://127.0.0.1:{house.port}", "user": house.ids["ann"], "key": house.key_ids["ann"]}
        for command in README:
            status, said = await curl(command.format(**words))
            assert (status, list(said)) == (401, ["detail"]), command
        shown = header.format(key=(ADMIN_KEY, house.keys["root"])["x-" in header])
        answers = []
        for command in README:
            status, said = await curl(f"{command.format(**words)} -H {shlex.quote(shown)}")
            assert status == 200, (command, said)
            answers.append(said)
        made, users, key, listed, ended = answers
        assert (made["username"], made["email_sent"], made["success"]) == ("john", False, True)
        assert users["users"][0]["email"] == "john@example.com"  # type: ignore[index]
        assert key["name"] == "Production Key"
        assert [one["user_id"] for one in listed["api_keys"]] == [house.ids["ann"]] * 2  # type: ignore[attr-defined]
        assert ended["success"] is True
        assert (await house.ask("GET", "/usage/me", who="ann")).status == 401


# ---------------------------------------------------------------- what the page stands on


async def test_C_65_C_66_all_that_the_page_shows_and_does_goes_by_cookie(database: Database) -> None:
    async with living(database, booked=True, admin={"password": PASSWORD}) as house:
        house.provider.script = provider
        page = await signed_in(house)

        async def ask(method: str, path: str) -> Answer:
            answer = await house.ask(method, path, who=None, **page)
            assert answer.status == 200, answer.text
            assert answer.headers["cache-control"] == "no-store", "what is shown is live"
            return answer

        made = (await ask("POST", "/admin/users?username=eve&email=eve@example.org")).json
        users = (await ask("GET", "/admin/users")).json["users"]
        assert (users[0]["username"], users[0]["id"]) == ("eve", made["user_id"])
        second = (await ask("POST", f"/admin/api-keys?user_id={made['user_id']}&name=two")).json
        for key in (made["api_key"], second["api_key"]):
            assert re.fullmatch(r"sk-[0-9a-f]{64}", key)
            assert key not in (await ask("GET", "/admin/api-keys")).text, "a key is displayed once"
        house.keys["eve"] = second["api_key"]
        hers = (await ask("GET", f"/admin/api-keys?user_id={made['user_id']}")).json["api_keys"]
        assert [one["name"] for one in hers] == ["two", "default"]
        assert len((await ask("GET", "/admin/api-keys")).json["api_keys"]) == len(house.key_ids) + 2
        for spent in (12, 24):
            assert await spend(house, "eve", "/v1/messages", "in=10 out=2", stream=True) == 200
            told = (await ask("GET", f"/usage/api-key/{hers[0]['id']}")).json
            assert (told["total_requests"], told["total_tokens"]) == (spent // 12, spent)
        bars = (await ask("GET", "/api/v1/sums?by=user&by=key")).json["items"]
        assert [(one["user"], one["key"], one["tokens"]) for one in bars] == [(made["user_id"], hers[0]["id"], 24)]
        await ask("DELETE", f"/admin/api-keys/{hers[0]['id']}")
        assert await spend(house, "eve", "/v1/messages", "in=10 out=2") == 401
        assert [one["is_active"] for one in (await ask("GET", "/admin/api-keys")).json["api_keys"]][:2] == [0, 1]


SCRIPT = '"><script>alert(1)</script>'


async def test_T_61_a_script_in_a_name_is_only_ever_data(database: Database) -> None:
    async with living(database, booked=True, accounts=("fake", "<b>")) as house:
        house.provider.script = every_dialect
        made = await house.ask("POST", "/admin/users", {"username": SCRIPT, "email": f"{SCRIPT}@x"})
        house.keys["script"] = made.json["api_key"]
        await house.ask("POST", "/admin/api-keys", {"user_id": made.json["user_id"], "name": SCRIPT})
        assert (await house.ask("PUT", "/settings/model", {"model_name": SCRIPT}, who="script")).status == 200
        said = {"model": SCRIPT, "max_tokens": 9, "messages": [{"role": "user", "content": SCRIPT}]}
        await house.ask("POST", "/v1/messages", said, who="script", x_claude_code_agent_id=SCRIPT)
        await entries(house)
        batch = {"csv_text": f"{SCRIPT}2,x@y"}
        answers = [made, await house.ask("POST", "/admin/users/batch", batch)]
        for path in ("/admin/users", "/admin/api-keys", "/admin/usage/by-backend", "/status", "/api/v1/entries"):
            answers.append(await house.ask("GET", path))
        for path in ("/users", "/keys", "/providers", "/audit", "/sums?by=model&by=agent", "/users?format=csv"):
            answers.append(await house.get(path))
        answers.append(await house.ask("GET", f"/admin/{SCRIPT}"))
        assert sum("script>" in answer.text for answer in answers) >= 8
        for answer in answers:
            kind = answer.headers["content-type"].partition(";")[0]
            assert kind in ("application/json", "text/csv"), kind
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert kind == "application/json" or "attachment" in answer.headers["content-disposition"]


# ---------------------------------------------------------------- what never comes out


def readable(house: House, entry: dict[str, object]) -> Iterator[str]:
    """Every path that can be read, with something in it."""
    words = {"{id}": house.key_ids["ann"], "{user_id}": house.ids["ann"], "{key_id}": house.key_ids["ann"]}
    words |= {"{group_id}": house.groups["core"], "{entry_id}": entry["id"], "{call_id}": entry["call_id"]}  # type: ignore[dict-item]
    words |= {"{name}": "fake", "{name:path}": "fake"}  # type: ignore[dict-item]
    patterns = [row.pattern for row in ROWS if row.method == "GET"]
    patterns += [f"/api/v1{pattern}" for method, pattern in PERMISSIONS if method == "GET"]
    for pattern in (*patterns, "/", "/health", "/healthz", "/v1/models", "/cursor/models", "/admin", "/nowhere"):
        for word, value in words.items():
            pattern = pattern.replace(word, str(value))
        yield pattern


async def test_T_60_no_secret_is_in_any_answer_or_log(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = LogSettings(level="DEBUG", bodies=True, json_file=str(tmp_path / "log.jsonl"), file=str(tmp_path / "log"))
    set_up_logging(logs)
    answers: list[Answer] = []
    said: dict[str, Any] = {"admin": {"password": PASSWORD, "key": ADMIN_KEY}, "log": {"bodies": True}}
    async with living(database, booked=True, **said) as house:
        house.provider.script = provider
        page = await signed_in(house)
        made = await house.ask("POST", "/admin/users?username=eve", who=None, **page)
        more = await house.ask("POST", "/admin/api-keys", {"user_id": made.json["user_id"], "name": "x"})
        kept = await house.post("/keys", {"name": "y", "user_id": made.json["user_id"]})
        added = {"admin_token": ADMIN_KEY, "username": "zed", "token": "zeds-own-token"}
        answers.append(await house.ask("POST", "/v1/adduser", added, who=None))
        answers.append(await house.ask("POST", "/v1/adduser", added, who=None))
        answers.append(await house.ask("POST", "/v1/queryuser", {"token": "zeds-own-token"}, who=None))
        answers.append(await house.ask("POST", "/admin/login", {"username": PASSWORD, "password": "x"}, who=None))
        stored = {"kind": "openai", "api_key": "sk-of-a-stored-provider"}
        answers.append(await house.ask("PUT", "/api/v1/providers/stored", stored))
        assert await spend(house, "ann", "/v1/messages", "in=5 out=1 fail") == 500
        for entry in await entries(house):
            for path in readable(house, entry):
                for headers in ({}, {"cookie": page["cookie"]}):
                    who = None if headers else "admin"
                    answers.append(await house.ask("GET", path, who=who, **headers))
        answers.append(await house.ask("POST", "/admin/logout", who=None, **page))
        secrets = [ADMIN_KEY, PASSWORD, SHARED, UPSTREAM, "zeds-own-token", "sk-of-a-stored-provider"]
        secrets += [made.json["api_key"], more.json["api_key"], kept.json["secret"], *house.keys.values()]
        secrets += [page["cookie"].partition("=")[2]]
    set_up_logging(LogSettings(), stream=sys.__stderr__)  # what is captured is closed before the loggers are
    assert len([answer for answer in answers if answer.status == 200]) > 2 * 25
    written = {"captured": "".join(capsys.readouterr()), "jsonl": (tmp_path / "log.jsonl").read_text()}
    written["log"] = (tmp_path / "log").read_text()
    assert '"event":"call"' in written["jsonl"]
    written |= {f"answer {number}": str(answer) for number, answer in enumerate(answers)}
    assert [(secret, place) for secret in secrets for place, text in written.items() if secret in text] == []
