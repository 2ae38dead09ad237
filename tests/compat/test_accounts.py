"""Users and their keys before the running gateway, on both engines (compat §3.2; T-58 to T-60, C-47 to C-51, K03)."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from dragoman.observe.logs import set_up_logging
from dragoman.settings import LogSettings, Settings
from dragoman.store.accounts import keys, people
from dragoman.store.accounts.model import Rules
from dragoman.store.database import Database, StoreUnavailable
from dragoman.store.moments import wall_clock
from dragoman.web.credentials import gate_of
from tests.compat.guarded import guarded
from tests.compat.setups import load
from tests.compat.test_credentials import CALLS, LISTS, OPEN, refused
from tests.patience import SOON, until_asked
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK
from tests.store.accounts_rig import HASHER, add_person, only, ring_of

KEY = {"OPENAI_API_KEY": "upstream-key-1"}
TOKEN = "inbound-token-1"
SURFACES: dict[str, Any] = {
    "/v1/messages": ASK,
    "/v1/chat/completions": CHAT_ASK,
    "/v1/responses": RESPONSES_ASK,
    "/v1beta/models/gpt-x:generateContent": GEMINI_ASK,
}


def forms(credential: str) -> list[dict[str, str]]:
    return [
        {"authorization": f"Bearer {credential}"},
        {"authorization": f"bearer {credential}"},
        {"authorization": credential},
        {"x_api_key": credential},
        {"api_key": credential},
        {"x_goog_api_key": credential},
        {"authorization": "Bearer sk-wrong", "x_api_key": credential},
    ]


def disable(connection: Connection, user_id: int) -> None:
    person = people.find(connection, user_id)
    assert person is not None
    people.replace(connection, dataclasses.replace(person, active=False))


@pytest.mark.parametrize("token", [None, "user-chosen"])
async def test_T_58_a_users_key_in_every_form_until_the_user_is_disabled(
    database: Database, tmp_path: Path, token: str | None
) -> None:
    async with guarded(database, load(tmp_path, **KEY)) as place:
        made = await place.write(lambda connection: add_person(connection, "ann", key={"token": token}))
        for headers in forms(made.credential):
            for path, body in SURFACES.items():
                assert (await place.rig.post(path, body, **headers))[0] == 200, headers
        query = f"/v1beta/models/gpt-x:generateContent?key={made.credential}"
        assert (await place.rig.post(query, GEMINI_ASK))[0] == 200
        for call in place.rig.provider.asked:
            assert made.credential not in json.dumps(call.headers) + call.path + call.body.decode()
        assert {record.owner for record in place.rig.records} == {f"user:{made.key.user_id}"}
        asked = len(place.rig.provider.asked)
        await place.write(lambda connection: disable(connection, made.key.user_id))
        for headers in forms(made.credential):
            for path, body in CALLS.items():
                refused(path, *await place.rig.post(path, body, **headers))
        assert (await place.rig.post(query, GEMINI_ASK))[0] == 401
        assert len(place.rig.provider.asked) == asked


async def test_C_50_C_51_each_user_has_keys_of_their_own(database: Database, tmp_path: Path) -> None:
    async with guarded(database, load(tmp_path, **KEY)) as place:
        ann = await place.write(lambda connection: add_person(connection, "ann"))
        more = await place.write(lambda one: keys.create(one, HASHER, ann.key.user_id, "laptop", now=wall_clock()))
        bob = await place.write(lambda connection: add_person(connection, "bob"))
        for made in (ann, more, bob):
            assert (await place.ask("/v1/messages", ASK, made.credential))[0] == 200
        owners = [record.owner for record in place.rig.records]
        assert owners == [f"user:{ann.key.user_id}"] * 2 + [f"user:{bob.key.user_id}"]
        both = {"authorization": f"Bearer {ann.credential}", "x_api_key": more.credential}
        assert (await place.ask("/v1/messages", ASK, **both))[0] == 200, "two keys of one user do not contradict"
        two = {"authorization": f"Bearer {ann.credential}", "x_api_key": bob.credential}
        assert (await place.ask("/v1/messages", ASK, **two))[0] == 401


async def test_C_47_a_key_of_a_user_makes_credentials_required(database: Database, tmp_path: Path) -> None:
    async with guarded(database, load(tmp_path, **KEY)) as place:
        await place.write(lambda connection: add_person(connection, "root", role="admin"))
        assert (await place.ask("/v1/messages", ASK))[0] == 200
        assert (await place.ask("/v1/messages", ASK, "anything"))[0] == 200
        made = await place.write(lambda connection: add_person(connection, "ann"))
        for credential in ("", "anything"):
            assert (await place.ask("/v1/messages", ASK, credential))[0] == 401
        for path in LISTS:
            assert (await place.rig.get(path))[0] == 401
        for path in OPEN:
            assert (await place.rig.get(path))[0] == 200
        await place.write(lambda connection: keys.deactivate(connection, made.key.id))
        assert (await place.ask("/v1/messages", ASK))[0] == 200
        assert (await place.ask("/v1/messages", ASK, made.credential))[0] == 401, "what was withdrawn is not nobody's"


@pytest.mark.parametrize(("mode", "wanted"), [("auto", 401), ("required", 401), ("open", 200)])
async def test_C_47_the_modes(database: Database, tmp_path: Path, mode: str, wanted: int) -> None:
    async with guarded(database, load(tmp_path, DRAGOMAN_AUTH=mode, **KEY)) as place:
        made = await place.write(lambda connection: add_person(connection, "ann"))
        assert (await place.ask("/v1/messages", ASK))[0] == wanted
        assert (await place.ask("/v1/messages", ASK, made.credential))[0] == 200


@pytest.mark.parametrize("preset", ["chat_azure", "infiniproxy"])
async def test_C_48_these_presets_require_a_key_from_the_start(database: Database, tmp_path: Path, preset: str) -> None:
    said = load(tmp_path, DRAGOMAN_PRESET=preset, RESOURCENAME="acme", APIKEY="azure-key-1", **KEY)
    async with guarded(database, said) as place:
        assert (await place.ask("/v1/messages", ASK))[0] == 401
        made = await place.write(lambda connection: add_person(connection, "ann", role="admin"))
        status, answer = await place.ask("/v1/messages", {**ASK, "model": "nothing-known"}, made.credential)
        assert status in (200, 404), answer


async def test_C_49_the_shared_token_and_keys_side_by_side(database: Database, tmp_path: Path) -> None:
    async with guarded(database, load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as place:
        made = await place.write(lambda connection: add_person(connection, "ann"))
        assert (await place.ask("/v1/messages", ASK, x_api_key=TOKEN))[0] == 200
        assert (await place.ask("/v1/messages", ASK, x_api_key=made.credential))[0] == 200
        assert [record.owner for record in place.rig.records] == ["shared", f"user:{made.key.user_id}"]
        assert (await place.ask("/v1/messages", ASK, TOKEN, x_api_key=made.credential))[0] == 401


async def test_T_59_the_admin_key_opens_no_model(database: Database, tmp_path: Path) -> None:
    """K03: what is booked on nobody is not let in; an admin's own key is booked like any."""
    said = load(tmp_path, DRAGOMAN_ADMIN_KEY="an-admin-key-of-many", ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)
    async with guarded(database, said) as place:
        made = await place.write(lambda connection: add_person(connection, "root", role="admin"))
        for path, body in CALLS.items():
            refused(path, *await place.rig.post(path, body, x_api_key="an-admin-key-of-many"))
        assert (await place.ask("/v1/messages", ASK, made.credential))[0] == 200
        assert place.rig.records[-1].owner == f"user:{made.key.user_id}"


async def test_X11_no_wrong_revoked_expired_foreign_key_opens_any_route(database: Database, tmp_path: Path) -> None:
    async with guarded(database, load(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN, **KEY)) as place:

        def furnish(connection: Connection) -> list[str]:
            revoked, gone = add_person(connection, "ann"), add_person(connection, "bob")
            expired = add_person(connection, "eve", key={"expires_at": wall_clock() - 1})
            keys.deactivate(connection, revoked.key.id)
            people.remove(connection, gone.key.user_id, now=wall_clock())
            return [revoked.credential, gone.credential, expired.credential]

        bad = ["", "wrong", "sk-" + "0" * 64, "upstream-key-1", *await place.write(furnish)]
        answers = []
        for credential in bad:
            for path, body in {**CALLS, **SURFACES}.items():
                status, answer = await place.ask(path, body, credential)
                assert status == 401, (credential, path)
                if path == "/v1/chat/completions":
                    answers.append(json.dumps(answer))
            for path in LISTS:
                assert (await place.rig.get(path, authorization=f"Bearer {credential}"))[0] == 401
        assert len(set(answers)) == 1, "missing, wrong and withdrawn are answered alike"
        assert place.rig.provider.asked == []


async def test_X11_a_revoked_key_is_refused_on_every_replica_within_a_second(
    database: Database, tmp_path: Path
) -> None:
    said = load(tmp_path, **KEY)
    async with guarded(database, said) as here, guarded(database, said) as there:
        made = await here.write(lambda connection: add_person(connection, "ann"))

        async def known() -> bool:
            return (await there.ask("/v1/messages", ASK, made.credential))[0] == 200

        await until_asked(known)
        await here.write(lambda connection: keys.deactivate(connection, made.key.id))
        began = time.monotonic()
        assert (await here.ask("/v1/messages", ASK, made.credential))[0] == 401
        while (await there.ask("/v1/messages", ASK, made.credential))[0] == 200:
            assert time.monotonic() - began < SOON


async def test_X11_until_keys_are_read_nobody_is_let_in(database: Database, tmp_path: Path) -> None:
    ring = ring_of(database)
    gate = gate_of(load(tmp_path, **KEY).auth, ring)
    assert gate.caller({}, b"") is None
    await ring.refresh()
    assert gate.caller({}, b"") is not None
    shut: Any = ring_of(database)
    shut._database = None
    with pytest.raises((StoreUnavailable, AttributeError)):
        await shut.refresh()
    assert gate_of(load(tmp_path, **KEY).auth, shut).caller({"x-api-key": "any"}, b"") is None


async def test_T_60_no_key_appears_in_answers_or_logs(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(LogSettings(level="DEBUG", json_file=str(tmp_path / "log.jsonl")))
    token = "my-own-secret-words"
    async with guarded(database, load(tmp_path, **KEY)) as place:
        made = await place.write(lambda connection: add_person(connection, "ann"))
        await place.write(lambda one: keys.create(one, HASHER, made.key.user_id, "own", now=wall_clock(), token=token))
        answers = []
        for credential in (made.credential, token, made.credential + "x"):
            for path, body in SURFACES.items():
                answers.append(await place.ask(path, body, credential))
            answers.append(await place.ask("/v1/nowhere", {}, credential))
        await place.write(lambda connection: disable(connection, made.key.user_id))
        answers.append(await place.ask("/v1/messages", ASK, token))
    set_up_logging(LogSettings(), stream=sys.__stderr__)  # what is captured is closed before the loggers are
    written = (tmp_path / "log.jsonl").read_text() + "".join(capsys.readouterr()) + str(answers)
    for secret in (made.credential, made.credential[3:], token, "upstream-key-1"):
        assert secret not in written


# ---------------------------------------------------------------- rules

ROUTES: dict[str, Any] = {
    "sonnet": {
        "aliases": ["claude-sonnet-4-5", "house-*"],
        "targets": [{"provider": "main", "model": "gpt-big"}, {"provider": "other", "model": "gpt-big-2"}],
        "when": {"background": "haiku"},
    },
    "haiku": {"aliases": ["cheap"], "targets": [{"provider": "main", "model": "gpt-small"}]},
}
FILE: dict[str, Any] = {
    "providers": {
        name: {"kind": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "api_key": "up", "allow_private": True}
        for name in ("main", "other")
    },
    "routes": ROUTES,
    "models": {"unmapped": "passthrough", "preferred": "main"},
}


def settings(**more: Any) -> Settings:
    return Settings.model_validate({**FILE, **more})


async def asked_models(database: Database, rules: Rules, names: list[str], **headers: str) -> dict[str, Any]:
    """What a key of these rules gets for each name: the status, or the model upstream."""
    got: dict[str, Any] = {}
    async with guarded(database, settings()) as place:
        made = await place.write(lambda connection: add_person(connection, "ann", key={"rules": rules}))
        for name in names:
            status, answer = await place.ask("/v1/messages", {**ASK, "model": name}, made.credential, **headers)
            got[name] = place.rig.provider.asked[-1].json["model"] if status == 200 else status
            if status != 200:
                assert answer["error"]["type"] == "permission_error"
    return got


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("haiku", {"haiku": "gpt-small", "cheap": "gpt-small", "HAIKU": "gpt-small", "sonnet": 403, "house-x": 403}),
        ("cheap", {"haiku": "gpt-small", "cheap": "gpt-small", "claude-sonnet-4-5": 403, "gpt-small": 403}),
        ("hai*", {"cheap": "gpt-small", "main/gpt-small": 403, "claude-sonnet-4-5-20250929": 403}),
        ("main/gpt-small", {"cheap": "gpt-small", "main/gpt-small": "gpt-small", "sonnet": 403, "main/gpt-big": 403}),
        ("other/*", {"sonnet": "gpt-big-2", "other/any": "any", "main/any": 403, "any": 403, "haiku": 403}),
        ("gpt-x", {"gpt-x": "gpt-x", "main/gpt-x": "gpt-x", "gpt-xl": 403, "sonnet": 403}),
        ("house-*", {"house-7": "gpt-big", "sonnet": "gpt-big", "haiku": 403}),
        ("*", {"sonnet": "gpt-big", "main/any": "any", "any": "any"}),
    ],
)
async def test_K03_models_are_allowed_by_what_they_come_to(
    database: Database, rule: str, expected: dict[str, Any]
) -> None:
    assert await asked_models(database, only(rule), list(expected)) == expected


async def test_K03_every_scope_of_the_ladder_must_allow(database: Database) -> None:
    async with guarded(database, settings(limits={"default": {"routes": ["haiku", "sonnet"]}})) as place:
        made = await place.write(
            lambda connection: add_person(connection, "ann", rules=only("sonnet", "gpt-x"), key={"rules": only("*")})
        )
        got = [(await place.ask("/v1/messages", {**ASK, "model": name}, made.credential))[0] for name in
               ("sonnet", "haiku", "gpt-x")]  # fmt: skip
        assert got == [200, 403, 403]


async def test_K03_a_class_of_calls_is_no_way_around(database: Database) -> None:
    background = {"x_claude_code_request_class": "background"}
    assert await asked_models(database, only("sonnet"), ["sonnet", "haiku"], **background) == {
        "sonnet": "gpt-big",
        "haiku": 403,
    }


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/messages", ASK, ("error", "type", "permission_error")),
        ("/v1/messages/count_tokens", ASK, ("error", "type", "permission_error")),
        ("/v1/chat/completions", CHAT_ASK, ("error", "code", "insufficient_permissions")),
        ("/v1/completions", {"model": "x", "prompt": "Hi"}, ("error", "code", "insufficient_permissions")),
        ("/v1/responses", RESPONSES_ASK, ("error", "code", "insufficient_permissions")),
        ("/v1beta/models/g:generateContent", GEMINI_ASK, ("error", "status", "PERMISSION_DENIED")),
        ("/cursor/chat/completions", {**CHAT_ASK, "model": "main/x"}, ("error", "code", "insufficient_permissions")),
    ],
)
async def test_K03_a_refusal_speaks_the_clients_dialect(
    database: Database, path: str, body: Any, field: tuple[str, str, str]
) -> None:
    async with guarded(database, settings()) as place:
        models = await place.write(lambda one: add_person(one, "ann", key={"rules": only("haiku")}))
        surfaces = await place.write(lambda one: add_person(one, "bob", key={"rules": Rules(surfaces=("nothing",))}))
        for made in (models, surfaces):
            status, answer = await place.ask(path, body, made.credential)
            assert status == 403
            assert answer[field[0]][field[1]] == field[2]
        assert place.rig.provider.asked == []


async def test_K03_surfaces_are_an_allow_list(database: Database) -> None:
    async with guarded(database, settings()) as place:
        rules = Rules(surfaces=("messages", "cur*"))
        made = await place.write(lambda connection: add_person(connection, "ann", rules=rules))
        got = {}
        for path, body in {**CALLS, **SURFACES}.items():
            body = {**body, "model": "main/x"} if path.startswith("/cursor") else body
            got[path] = (await place.ask(path, body, made.credential))[0]
        passed = [path for path, status in got.items() if status == 200]
        assert passed == ["/v1/messages", "/v1/messages/count_tokens", "/cursor/v1/chat/completions",
                          "/cursor/chat/completions"]  # fmt: skip
        assert {status for path, status in got.items() if path not in passed} == {403}
        assert (await place.rig.get("/v1/models", authorization=f"Bearer {made.credential}"))[0] == 200


async def test_K03_nobody_in_particular_is_bound_by_what_binds_everybody(database: Database) -> None:
    async with guarded(database, settings(limits={"default": {"routes": ["haiku"]}})) as place:
        assert (await place.ask("/v1/messages", {**ASK, "model": "haiku"}))[0] == 200
        assert (await place.ask("/v1/messages", {**ASK, "model": "sonnet"}))[0] == 403


async def test_C_45_a_keys_own_model_serves_calls_that_name_none(database: Database) -> None:
    said = settings(models={"unmapped": "passthrough", "preferred": "main", "default": "gpt-default"})
    async with guarded(database, said) as place:
        ann = await place.write(lambda one: add_person(one, "ann", key={"default_model": "cheap"}))
        bob = await place.write(lambda one: add_person(one, "bob"))
        for made, expected in ((ann, "gpt-small"), (bob, "gpt-default")):
            for path in ("/v1/messages", "/v1/chat/completions", "/v1/responses"):
                body = {name: value for name, value in SURFACES[path].items() if name != "model"}
                status, answer = await place.ask(path, body, made.credential)
                assert status == 200, answer
                assert place.rig.provider.asked[-1].json["model"] == expected, path
        status, _ = await place.ask("/v1/messages", {**ASK, "model": "sonnet"}, ann.credential)
        assert place.rig.provider.asked[-1].json["model"] == "gpt-big", "a name that is given wins"


async def test_K03_a_keys_own_model_is_bound_by_its_rules(database: Database) -> None:
    async with guarded(database, settings()) as place:
        rules = {"default_model": "sonnet", "rules": only("haiku")}
        made = await place.write(lambda connection: add_person(connection, "ann", key=rules))
        body = {name: value for name, value in ASK.items() if name != "model"}
        assert (await place.ask("/v1/messages", body, made.credential))[0] == 403
