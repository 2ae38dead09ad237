"""What a start does to accounts, on both engines: T-67, C-52, X10."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from dragoman.settings import Settings
from dragoman.store.accounts import groups, keys, people
from dragoman.store.accounts.hashing import looks_generated
from dragoman.store.accounts.model import Key, Person
from dragoman.store.accounts.opening import Opened, open_accounts
from dragoman.store.accounts.words import version
from dragoman.store.database import Database
from dragoman.store.importers import lying_about
from dragoman.store.schema import facts
from tests.store.accounts_rig import HASHER, NOW, add_person, chat_db, infini_db


async def opened(database: Database, tree: dict[str, Any] | None = None, **more: Any) -> Opened:
    return await open_accounts(database, HASHER, Settings.model_validate(tree or {}), now=NOW, **more)


async def everybody(database: Database) -> list[Person]:
    return await database.read(people.listed)


async def owner(database: Database, credential: str) -> tuple[Person, Key] | None:
    return await database.read(lambda connection: keys.owner_of(connection, HASHER, credential))


async def test_T_67_the_first_start_makes_root_with_a_token_that_is_shown_once(database: Database) -> None:
    first = await opened(database)
    assert looks_generated(first.token)
    [line] = first.shown_once()
    assert first.token in line
    assert "root" in line
    assert first.token not in repr(first) + "".join(first.lines())
    found = await owner(database, first.token)
    assert found is not None
    assert (found[0].name, found[0].role) == ("root", "admin")
    assert found[1].prefix == first.token[:12]
    second = await opened(database)
    assert (list(second.shown_once()), list(second.lines()), second.admin) == ([], [], "")
    assert [person.name for person in await everybody(database)] == ["root"]


async def test_T_67_any_name_survives_restarts(database: Database) -> None:
    first = await opened(database, {"admin": {"init_user": "boss"}})
    assert first.admin == "boss"
    for tree in ({"admin": {"init_user": "boss"}}, {"admin": {"init_user": "other"}}, {}):
        assert (await opened(database, tree)).admin == ""
    assert [person.name for person in await everybody(database)] == ["boss"]


@pytest.mark.parametrize("token", ["chosen-token-1", "sk-" + "a1" * 32])
async def test_C_52_a_token_that_was_given_is_not_printed(database: Database, token: str) -> None:
    first = await opened(database, {"admin": {"init_token": token}})
    assert (first.admin, first.token, list(first.shown_once())) == ("root", "", [])
    found = await owner(database, token)
    assert found is not None
    assert found[0].role == "admin"
    assert token not in "".join(first.lines())
    assert (await opened(database, {"admin": {"init_token": token}})).admin == ""


@pytest.mark.parametrize(
    ("admin", "made"),
    [
        ({"key": "an-admin-key-of-many"}, ""),
        ({"password": "correct horse battery"}, ""),
        ({"password": "changeme"}, "root"),
        ({"key": "an-admin-key-of-many", "init_token": "chosen-token-1"}, "root"),
    ],
)
async def test_C_52_nobody_is_made_where_somebody_can_administrate(
    database: Database, admin: dict[str, str], made: str
) -> None:
    assert (await opened(database, {"admin": admin})).admin == made


async def test_X10_of_replicas_that_start_together_one_makes_root(database: Database) -> None:
    found = await asyncio.gather(*(opened(database) for _ in range(4)))
    assert sorted(one.admin for one in found) == ["", "", "", "root"]
    assert len([one for one in found if one.token]) == 1
    assert len(await everybody(database)) == 1


async def test_X10_two_installations_never_share_a_token(database: Database, tmp_path: Path) -> None:
    first = await opened(database)

    def forget(connection: Connection) -> None:
        connection.execute(delete(facts).where(facts.c.name == "accounts.first_admin"))
        [root] = people.listed(connection)
        people.remove(connection, root.id, now=NOW)

    await database.write(forget)
    assert (await opened(database)).token != first.token


async def test_C_52_a_plain_user_of_the_name_is_not_raised(database: Database) -> None:
    await database.write(lambda connection: add_person(connection, "root"))
    assert (await opened(database)).admin == "root@dragoman"
    assert [(person.name, person.role) for person in await everybody(database)] == [
        ("root", "user"),
        ("root@dragoman", "admin"),
    ]


# ---------------------------------------------------------------- initUsers


def users(**tokens: str) -> dict[str, Any]:
    return {
        "admin": {"key": "an-admin-key-of-many"},
        "init_users": [{"username": name, "token": token} for name, token in tokens.items()],
    }


async def test_C_52_init_users_are_created_or_their_token_changed(database: Database) -> None:
    await opened(database, users(ann="anns-token-1", bob="short"))
    for token, name in (("anns-token-1", "ann"), ("short", "bob")):
        found = await owner(database, token)
        assert found is not None
        assert (found[0].name, found[0].role, found[1].prefix) == (name, "user", "")
    before = await database.read(version)
    again = await opened(database, users(ann="anns-token-1"))
    assert await database.read(version) == before, "nothing to do is nothing done"
    assert again.notes == []
    await opened(database, users(ann="anns-token-2"))
    assert await owner(database, "anns-token-1") is None
    assert await owner(database, "anns-token-2") is not None
    assert await owner(database, "short") is not None, "whoever left the file stays"


async def test_C_52_init_users_never_undo_what_an_admin_did(database: Database) -> None:
    await opened(database, users(ann="anns-token-1", bob="bobs-token-1"))

    def withdraw(connection: Connection) -> None:
        ann, bob = people.listed(connection)
        people.replace(connection, dataclasses.replace(ann, active=False, role="manager"))
        people.add_balance(connection, ann.id, 70)
        people.remove(connection, bob.id, now=NOW)

    await database.write(withdraw)
    told = await opened(database, users(ann="anns-token-2", bob="bobs-token-1"))
    [ann, *others] = await everybody(database)
    assert (ann.active, ann.role, ann.opening_balance) == (False, "manager", 70)
    assert others == [], "a token that was withdrawn is not given anew"
    assert ["bob" in note for note in told.notes] == [True]
    assert "bobs-token-1" not in "".join(told.notes)


async def test_groups_of_the_file_can_have_people(database: Database) -> None:
    await opened(database, {"groups": {"core": {"rpm": 5}, "lab": {}}})
    await opened(database, {"groups": {"core": {"rpm": 5}}})

    def look(connection: Connection) -> list[str]:
        from dragoman.store.accounts import groups

        return [group.name for group in groups.listed(connection)]

    assert await database.read(look) == ["core", "lab"]


# ---------------------------------------------------------------- what lies about


async def test_T_66_a_first_start_imports_what_lies_about(database: Database, tmp_path: Path) -> None:
    chat_db(tmp_path / "chat.db", [(1, "root", "root-token", 10, 2, None, None), (2, "ann", "anns-tok", 5, 1, "", "")])
    infini_db(tmp_path / "proxy_users.db", [(1, "ann", None, None, 1)], [])
    lying = list(lying_about(tmp_path))
    assert [wanted.kind for wanted in lying] == ["infiniproxy", "chat_azure"]
    first = await opened(database, lying=lying)
    assert [told.users for told in first.imports] == [1, 2]
    assert first.admin == "", "root came with the import"
    assert [(person.name, person.role) for person in await everybody(database)] == [
        ("ann", "user"),
        ("root", "admin"),
        ("ann@chat_azure", "user"),
    ]
    second = await opened(database, lying=lying)
    assert (second.imports, list(second.lines())) == ([], [])


async def test_T_66_what_cannot_be_imported_stops_no_start(database: Database, tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_bytes(b"SQLite format 3\x00 and then nothing of it" * 50)
    (tmp_path / "proxy_users.db").write_bytes(b"")
    first = await opened(database, lying=list(lying_about(tmp_path)))
    assert first.admin == "root"
    assert len(first.notes) == 2
    assert all("was not imported" in note and "dragoman import --" in note for note in first.notes)


def test_T_66_sources_are_looked_for_where_the_proxies_put_them(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    assert list(lying_about(tmp_path)) == []
    chat_db(tmp_path / "chat.db", [])
    chat_db(root / "chat.db", [])
    assert [wanted.path for wanted in lying_about(tmp_path, str(root))] == [root / "chat.db"]
    assert [wanted.path for wanted in lying_about(tmp_path)] == [tmp_path / "chat.db"]


async def test_K4_groups_of_the_file_are_made_once_by_replicas_that_start_together(database: Database) -> None:
    tree = {"groups": {"team": {"rpm": 60}, "others": {"rpm": 6}}}
    await asyncio.gather(*(opened(database, tree) for _ in range(6)))
    assert sorted(group.name for group in await database.read(groups.listed)) == ["others", "team"]


class Died(BaseException):
    """The machine stopped here."""


async def test_X10_a_first_start_that_was_cut_short_is_still_to_come(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the next one would serve without the keys that lie there, to anybody."""
    chat_db(tmp_path / "chat.db", [(1, "ann", "anns8tok", 1, 1, None, None)])
    lying = list(lying_about(tmp_path))

    async def dying(*said: Any, **more: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("dragoman.store.accounts.opening.import_source", dying)
        with pytest.raises(Died):
            await opened(database, lying=lying)
    told = await opened(database, lying=lying)
    assert [one.kind for one in told.imports] == ["chat_azure"]
    assert (await opened(database, lying=lying)).imports == []


async def test_X10_a_file_like_no_other_keeps_nobody_from_starting(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infini_db(tmp_path / "proxy_users.db", [(1, "ann", None, None, 1)], [])
    chat_db(tmp_path / "chat.db", [(1, "ann", "anns8tok", 1, 1, None, None)])

    def unforeseen(*said: Any, **more: Any) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr("dragoman.store.importers.infiniproxy._bring_keys", unforeseen)
    told = await opened(database, lying=list(lying_about(tmp_path)))
    assert [one.kind for one in told.imports] == ["chat_azure"]
    [note] = [note for note in told.notes if "was not imported" in note]
    assert "proxy_users.db" in note
    assert "--infiniproxy" in note
