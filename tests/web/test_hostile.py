"""Administration under attack: paths, hosts, credentials, filters, grants, steering fields (X02 to X09)."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.store.accounts.model import Budget, Caller, Role, Rules, Scope
from dragoman.store.accounts.rules import narrows
from dragoman.store.database import Database
from dragoman.web.api.grants import Exceeds, bounded, may_grant, restricted
from dragoman.web.api.permissions import PERMISSIONS
from dragoman.web.legacy.calls import ROWS
from dragoman.web.surfaces import SURFACES
from tests.compat.setups import every_dialect
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, FakeProvider
from tests.web.api.rig import UPSTREAM, House, living

# ---------------------------------------------------------------- X04: paths and hosts

WORDS = ("{id}", "{user_id}", "{key_id}", "{group_id}", "{entry_id}", "{call_id}")
API = [(method, f"/api/v1{path}", roles) for (method, path), roles in PERMISSIONS.items()]
EARLIER = [(row.method, row.pattern, row.level) for row in ROWS if row.level not in ("open", "self")]


def filled(pattern: str) -> str:
    """The path of a pattern."""
    for word in WORDS:
        pattern = pattern.replace(word, "1")
    return pattern.replace("{name:path}", "global").replace("{name}", "global").replace("{model}", "m")


NOT_OPEN = [
    *((method, filled(path)) for method, path, _ in (*API, *EARLIER)),
    *((surface.method, filled(surface.pattern)) for surface in SURFACES if not surface.open),
]
"""Every route that asks for a credential."""

FOR_ADMINS = [
    *((method, filled(path)) for method, path, roles in API if roles == {"admin"}),
    *((method, filled(path)) for method, path, level in EARLIER if level == "admin"),
]
TRICKS = (
    "{path}",
    "/{path}",
    "{path}/",
    "{path}//",
    "{path}?x=/health",
    "{path}/../../health/../..{path}",
    "/health/..{path}",
    "/v1/models/../..{path}",
    "/v1/messages/..;{path}",
    "{encoded}",
    "{path}%00",
    "{path}%2e",
    "{path};/health",
    "{path}#/health",
    "http://127.0.0.1{path}",
    "{upper}",
    "/.{path}",
    "/%2e%2e{path}",
    "{path}\\..\\health",
)
HOSTS = ("127.0.0.1", "x/../health?", "evil.example", "127.0.0.1/health", "[::1]", "127.0.0.1@evil", "")


async def raw(port: int, target: str, host: str, credential: str, method: str = "GET") -> tuple[int, str]:
    """One request over a bare socket; status 0 when the server hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n"
    head += f"authorization: Bearer {credential}\r\n" if credential else ""
    writer.write(f"{head}x-forwarded-host: localhost\r\nx-original-url: {target}\r\n\r\n".encode())
    await writer.drain()
    text = (await reader.read()).decode("utf-8", "replace")
    writer.close()
    return (int(text.split(" ", 2)[1]) if text.startswith("HTTP/1.1 ") else 0), text


async def let_in(house: House, routes: list[tuple[str, str]], credential: str, host: str = "127.0.0.1") -> list[Any]:
    """Which spellings of these routes got anything but a refusal. Only what is public anyway may answer."""
    places = asyncio.Semaphore(20)

    async def one(method: str, target: str) -> tuple[str, str, int, str] | None:
        async with places:
            status, text = await raw(house.port, target, host, credential, method)
        refused = status in (0, 400, 401, 403, 404, 405) and "@example.org" not in text
        return None if refused else (method, target, status, text[-200:])

    targets = []
    for method, path in routes:
        encoded = path.replace("/", "%2f", 2).replace("s", "%73")
        targets += [(method, trick.format(path=path, encoded=encoded, upper=path.upper())) for trick in TRICKS]
    return [found for found in await asyncio.gather(*(one(*target) for target in targets)) if found is not None]


async def test_X04_no_spelling_of_a_path_opens_anything(database: Database) -> None:
    async with living(database) as house:
        assert len(NOT_OPEN) == len(set(NOT_OPEN)) > 80
        assert await let_in(house, NOT_OPEN, "") == []
        assert house.provider.asked == []
        assert await let_in(house, FOR_ADMINS, house.keys["ann"]) == []


async def test_X04_the_host_header_decides_nothing(database: Database) -> None:
    async with living(database) as house:
        for host in HOSTS:
            for method, path in NOT_OPEN:
                assert (await raw(house.port, path, host, "", method))[0] in (400, 401), (method, path, host)
            for method, path in FOR_ADMINS:
                assert (await raw(house.port, path, host, house.keys["ann"], method))[0] in (400, 403)
            assert (await raw(house.port, "/admin/users", host, house.keys["root"]))[0] in (200, 400)


async def test_X04_repeated_slashes_are_one_for_those_who_may(database: Database) -> None:
    async with living(database) as house:
        for path in ("//api//v1///users/", "/api/v1/users/", "//admin//users"):
            assert (await raw(house.port, path, "127.0.0.1", house.keys["root"]))[0] == 200


# ---------------------------------------------------------------- X02: credentials


HOSTILE = (
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    '" OR ""="',
    "sk-' UNION SELECT hash FROM keys --",
    "admin'--",
    "%",
    "_" * 67,
    "sk-%",
    "\\",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "Bearer Bearer",
    "null",
    "true",
    "0",
    "é" * 50,
    "a" * 8_000,
)


async def test_X02_no_credential_is_taken_for_a_query(database: Database) -> None:
    dice = random.Random(7)
    made = ["".join(chr(dice.randrange(33, 127)) for _ in range(dice.randrange(1, 90))) for _ in range(60)]
    async with living(database) as house:
        for number, value in enumerate((*HOSTILE, *made)):
            name = ("authorization", "x_api_key", "api_key")[number % 3]
            sent = {name: value.encode("utf-8").decode("latin-1")}
            for path in ("/api/v1/users", "/admin/users"):
                assert (await house.ask("GET", path, who=None, **sent)).status == 401, value
        for value in HOSTILE:
            body = {"token": value}
            assert (await house.ask("POST", "/v1/queryuser", body, who=None)).status == 400
            body = {"admin_token": value, "username": "x", "token": "12345678"}
            assert (await house.ask("POST", "/v1/adduser", body, who=None)).status in (400, 401)
        assert len((await house.get("/users")).json["items"]) == 8


# ---------------------------------------------------------------- X09: filters


FILTERS = (
    ("/users", "name"),
    ("/keys", "name"),
    ("/groups", "name"),
    ("/audit", "actor"),
    ("/audit", "object"),
    ("/entries", "model"),
    ("/entries", "session"),
    ("/sums", "route"),
    ("/users", "cursor"),
    ("/users", "group_id"),
    ("/users", "limit"),
    ("/entries", "since"),
)
VALUES = (
    "%25" * 300,
    "%25" * 2_000,
    "_" * 300,
    "%5C" * 300,
    "%27",
    "%00",
    "%ff",
    "1%20OR%201=1",
    "(((" * 100,
    "[" * 500,
)


async def test_X09_a_hostile_filter_finds_nothing_and_quickly(database: Database) -> None:
    async with living(database) as house:
        for path, name in FILTERS:
            for value in VALUES:
                for _ in range(3):  # whoever shares this machine may be slow once
                    began = time.monotonic()
                    answer = await house.get(f"{path}?{name}={value}")
                    assert answer.status in (200, 400), (path, name, value, answer.text)
                    if (took := time.monotonic() - began) < 1:
                        break
                assert took < 1
                if answer.status == 200 and name not in ("limit",):
                    assert answer.json["items"] == [], (path, name, value)


async def test_X09_a_percent_sign_is_a_percent_sign(database: Database) -> None:
    async with living(database) as house:
        for name in ("100%", "100 percent", "a_b", "axb"):
            await house.post("/groups", {"name": name})
        for asked, found in (("100%25", ["100%"]), ("a_", ["a_b"]), ("%25", []), ("100", ["100%", "100 percent"])):
            assert [one["name"] for one in (await house.get(f"/groups?name={asked}")).json["items"]] == found


# ---------------------------------------------------------------- X07: fields that steer


def steering(canary: str) -> dict[str, Any]:
    """Every name by which some gateway lets a request choose where it goes."""
    names = (
        "api_base", "base_url", "baseURL", "api_url", "endpoint", "azure_endpoint", "proxy", "proxy_url", "host",
        "server_url", "target_url", "upstream", "webhook_url", "callback_url", "custom_llm_provider",
    )  # fmt: skip
    fields: dict[str, Any] = dict.fromkeys(names, canary)
    nested = {"base_url": canary, "api_base": canary, "url": canary}
    more = {"extra_headers": {"host": canary}, "litellm_params": nested, "provider": nested, "model_list": [nested]}
    return {**fields, **more, "api_key": "stolen", "metadata": {"base_url": canary}}


async def test_X07_no_field_of_a_call_chooses_the_host(database: Database) -> None:
    canary = FakeProvider()
    await canary.start()
    url = f"http://127.0.0.1:{canary.port}"
    asks: dict[str, dict[str, Any]] = {
        "/v1/messages": ASK,
        "/v1/chat/completions": CHAT_ASK,
        "/v1/responses": RESPONSES_ASK,
        "/v1beta/models/m:generateContent": GEMINI_ASK,
    }
    headers = {
        "x_base_url": url, "x_api_base": url, "openai_base_url": url, "x_forwarded_host": url,
        "forwarded": f"host={url}", "x_upstream": url,
        "x_portkey_custom_host": url, "helicone_target_url": url, "x_forwarded_proto": "https",
    }  # fmt: skip
    async with living(database) as house:
        house.provider.script = every_dialect
        for path, ask in asks.items():
            asked = f"{path}?api_base={url}&base_url={url}&host={url}"
            await house.ask("POST", asked, {**ask, **steering(url)}, who="ann", **headers)
            await house.ask("POST", path, ask, who="ann", host="evil.example", **headers)
        assert canary.asked == []
        assert canary.connections == 0
        assert house.provider.asked, "what got through went where the configuration says"
        for call in house.provider.asked:
            assert call.headers["authorization"] == f"Bearer {UPSTREAM}"
            assert call.headers["host"] == f"127.0.0.1:{house.provider.port}"
        for field, value in steering(url).items():
            assert (await house.post("/keys", {"name": "x", field: value}, who="ann")).status == 400, field
    await canary.stop()


# ---------------------------------------------------------------- X05: grants


async def fields_refused(house: House, who: str, cases: list[tuple[str, str, dict[str, Any]]]) -> list[Any]:
    """Which of the writes went through although they must not."""
    return [
        (method, path, body, answer.status)
        for method, path, body in cases
        if (answer := await house.ask(method, f"/api/v1{path}", body, who=who)).status not in (400, 403, 404)
    ]


OF_ONESELF: tuple[dict[str, Any], ...] = ({"role": "admin"}, {"rules": {}}, {"group_id": 2}, {"active": True})


async def test_X05_a_user_grants_nothing_to_nobody(database: Database) -> None:
    async with living(database) as house:
        ann, ben, root = (house.ids[name] for name in ("ann", "ben", "root"))
        own = f"/users/{ann}"
        cases: list[tuple[str, str, dict[str, Any]]] = [
            *(("PATCH", own, body) for body in OF_ONESELF),
            ("POST", "/users", {"name": "x"}),
            ("POST", "/keys", {"name": "x", "user_id": root}),
            ("POST", "/keys", {"name": "x", "user_id": ben}),
            ("POST", "/keys", {"name": "x", "role": "admin"}),
            ("PATCH", f"/keys/{house.key_ids['ben']}", {"active": False}),
            ("POST", f"/keys/{house.key_ids['root']}/rotate", {}),
            ("PATCH", f"/keys/{house.key_ids['ann']}", {"user_id": root}),
            ("PATCH", f"/groups/{house.groups['core']}", {"rules": {"rpm": 9}}),
            ("PUT", "/limits/global", {"rpm": 9}),
        ]
        assert await fields_refused(house, "ann", cases) == []


async def test_X05_who_leads_a_group_grants_only_downwards_and_at_home(database: Database) -> None:
    async with living(database) as house:
        await house.patch(f"/users/{house.ids['mia']}", {"rules": {"models": ["gpt-*"], "rpm": 60}})
        boss = (await house.post("/users", {"name": "boss", "role": "admin", "group_id": house.groups["core"]})).json
        mia, ann, zoe = (f"/users/{house.ids[name]}" for name in ("mia", "ann", "zoe"))
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/users", {"name": "x", "role": "admin"}),
            ("POST", "/users", {"name": "x", "role": "manager"}),
            ("POST", "/users", {"name": "x", "group_id": house.groups["lab"]}),
            ("POST", "/users", {"name": "x", "rules": {"models": ["*"]}}),
            ("POST", "/users", {"name": "x", "rules": {"rpm": 61}}),
            ("PATCH", ann, {"role": "manager"}),
            ("PATCH", ann, {"group_id": house.groups["lab"]}),
            ("PATCH", ann, {"group_id": None}),
            ("PATCH", ann, {"rules": {"models": ["claude"]}}),
            *(("PATCH", mia, body) for body in OF_ONESELF),
            ("PATCH", zoe, {"email": "x@y"}),
            ("DELETE", zoe, {}),
            ("DELETE", mia, {}),
            ("PATCH", f"/users/{boss['id']}", {"active": False}),
            ("DELETE", f"/users/{boss['id']}", {}),
            ("POST", "/keys", {"name": "x", "user_id": boss["id"]}),
            ("POST", "/keys", {"name": "x", "user_id": house.ids["zoe"]}),
            ("POST", "/keys", {"name": "x", "user_id": house.ids["ann"], "rules": {"models": ["claude-*"]}}),
        ]
        assert await fields_refused(house, "mia", cases) == []
        made = await house.post("/users", {"name": "lee"}, who="mia")
        assert made.json["group_id"] == house.groups["core"]
        assert (made.json["rules"]["models"], made.json["rules"]["rpm"]) == (["gpt-*"], 60), "inherited"


async def test_X05_a_narrow_key_brings_forth_no_wider_one(database: Database) -> None:
    async with living(database) as house:
        own = f"/keys/{house.key_ids['rex']}"
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/keys", {"name": "all"}),
            ("PATCH", own, {"rules": {}}),
            ("POST", f"{own}/rotate", {}),
            ("POST", f"{own}/deactivate", {}),
        ]
        assert await fields_refused(house, "rex", cases) == []
        assert (await house.get(own, who="rex")).status == 200


async def test_X05_no_key_outlives_the_one_that_made_it(database: Database) -> None:
    async with living(database) as house:
        end = house.clock() + 3_600_000_000
        made = await house.post("/keys", {"name": "brief", "user_id": house.ids["ann"], "expires_at": end})
        brief, path = made.json["secret"], f"/keys/{house.key_ids['ann']}"
        child = await house.post("/keys", {"name": "child"}, who=brief)
        assert child.json["expires_at"] == made.json["expires_at"]
        for method, where, body in (
            ("POST", "/keys", {"name": "x", "expires_at": end + 1}),
            ("POST", f"{path}/rotate", {}),
            ("PATCH", f"/keys/{made.json['id']}", {"expires_at": None}),
            ("PATCH", f"/keys/{made.json['id']}", {"expires_at": end + 1}),
        ):
            answer = await house.ask(method, f"/api/v1{where}", body, who=brief)
            assert (answer.status, answer.code) == (403, "grant_exceeds_granter"), (method, where)


async def test_X05_who_was_cut_short_stays_so(database: Database) -> None:
    async with living(database) as house:
        second = (await house.post("/keys", {"name": "second"}, who="ann")).json
        path = f"/keys/{house.key_ids['ann']}"
        await house.patch(path, {"rules": {"rpm": 5}, "active": False})
        assert (await house.patch(path, {"active": True}, who=second["secret"])).status == 403
        for rules in ({"rpm": 6}, {"rpm": 5, "models": []}):
            answer = await house.patch(path, {"rules": rules}, who=second["secret"])
            assert answer.status == 403 if rules["rpm"] == 6 else answer.json["rules"]["rpm"] == 5
        kept = await house.patch(path, {"rules": {}}, who=second["secret"])
        assert kept.json["rules"]["rpm"] == 5, "what is unsaid is inherited"


NAMES = st.lists(st.sampled_from(["*", "gpt-*", "gpt-5", "claude-*", "claude-haiku", "a?b", "[x]"]), max_size=3)
COUNTS = st.none() | st.integers(1, 5)
BUDGETS = st.builds(
    Budget,
    window=st.sampled_from(["day", "month"]),
    nano_usd=st.integers(0, 3),
    model=st.sampled_from(["", "gpt-5"]),
)
RULES = st.builds(
    Rules,
    models=NAMES.map(tuple),
    surfaces=NAMES.map(tuple),
    rpm=COUNTS,
    tpm=COUNTS,
    parallel=COUNTS,
    budgets=st.lists(BUDGETS, max_size=2, unique_by=lambda one: (one.window, one.model)).map(tuple),
    strict=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(chain=st.lists(RULES, min_size=2, max_size=6))
def test_X05_no_chain_of_grants_widens(chain: list[Rules]) -> None:
    given_rules = chain[0]
    for asked in chain[1:]:
        try:
            made = bounded(asked, [given_rules])
        except Exceeds:
            continue
        assert narrows(made, given_rules)
        assert narrows(made, chain[0]), json.dumps([str(made), str(chain[0])])
        given_rules = made


def test_X05_roles_are_granted_downwards() -> None:
    roles: tuple[Role, ...] = ("user", "manager", "admin")
    granted = {(giver, role) for giver in roles for role in roles if may_grant(Caller("x", "x", role=giver), role)}
    assert granted == {("admin", "user"), ("admin", "manager"), ("admin", "admin"), ("manager", "user")}
    ladder = (Scope("global", Rules(rpm=1)), Scope("user:1", Rules(rpm=1)))
    assert not restricted(Caller("x", "x", scopes=(*ladder, Scope("key:1", Rules()))))
    assert restricted(Caller("x", "x", scopes=(*ladder, Scope("key:1", Rules(strict=True)))))


async def test_X05_who_leads_a_group_sees_no_key_that_may_do_more(database: Database) -> None:
    async with living(database) as house:
        path = f"/keys/{house.key_ids['ann']}/rotate"
        await house.patch(f"/users/{house.ids['mia']}", {"rules": {"models": ["gpt-*"]}})
        assert (await house.post(path, {}, who="mia")).code == "grant_exceeds_granter"
        await house.patch(f"/users/{house.ids['ann']}", {"rules": {"models": ["gpt-5"]}})
        assert (await house.post(path, {}, who="mia")).status == 201


@pytest.mark.parametrize("field", ["id", "created_at", "origin", "hash", "prefix", "last_used_at", "replaced_by"])
async def test_X05_what_is_the_stores_is_not_written(field: str, database: Database) -> None:
    async with living(database) as house:
        for who, path in (("admin", f"/keys/{house.key_ids['ann']}"), ("mia", f"/users/{house.ids['ann']}")):
            assert (await house.patch(path, {field: 1}, who=who)).status == 400
