"""``dragoman import`` as a person runs it: T-66 by hand, and what lies beside the database (T-60)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dragoman.store.accounts.hashing import Hasher
from dragoman.store.accounts.keyring import KeyRing
from dragoman.store.opening import open_store
from tests.settings.test_cli import dragoman
from tests.store.accounts_rig import chat_db, infini_db, infini_key, sha

CHAT = [(1, "root", "root-token-1", 10, 2, None, None), (2, "ann", "anns8tok", 1520, 1, None, None)]
USERS = [(1, "ann", "ann@example.org", None, 1)]


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    key = infini_key(7)
    row = (3, 1, sha(key), key[:12], "default", None, None, 1, None, None)
    used = (1, 3, "/v1/messages", "glm-4.6", 10, 2, 12, "req-1", "2025-02-01 10:30:00", None)
    infini = infini_db(tmp_path / "old-proxy.db", USERS, [row], [used])
    return chat_db(tmp_path / "old-chat.db", CHAT), infini


async def test_T_66_imported_by_hand_old_keys_work(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    chat, infini = sources
    done = dragoman(home, "import", "--chat-azure", str(chat), "--infiniproxy", str(infini), "--merge")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 users, 1 keys, 1 usage rows" in done.stdout
    assert "1 users, 2 keys" in done.stdout
    assert "user 'ann' was merged" in done.stdout
    again = dragoman(home, "import", "--chat-azure", str(chat), "--infiniproxy", str(infini))
    assert again.stdout.count("nothing was changed") == 2
    for credential in ("anns8tok", "root-token-1", infini_key(7)):
        assert credential not in done.stdout + done.stderr + again.stdout
        assert not [path for path in home.iterdir() if credential.encode() in path.read_bytes()]
    await _works(home, "anns8tok", "root-token-1", infini_key(7))


async def _works(home: Path, *credentials: str) -> None:
    store = await open_store("", str(home))
    ring = KeyRing(store.database, Hasher(store.secrets.hash_token))
    await ring.refresh()
    assert [caller.name for one in credentials if (caller := ring.caller(one)) is not None] == ["ann", "root", "ann"]
    await store.database.close()


def test_T_66_the_files_are_only_its_owners(tmp_path: Path, sources: tuple[Path, Path]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert dragoman(home, "import", "--chat-azure", str(sources[0])).returncode == 0
    assert (home / "dragoman.secret").stat().st_mode & 0o777 == 0o600


def test_T_66_what_cannot_be_imported_is_one_line_and_changes_nothing(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE songs (id INTEGER PRIMARY KEY)")
    connection.close()
    for words, code in (
        (("--chat-azure", str(foreign)), 1),
        (("--infiniproxy", str(tmp_path / "missing.db")), 1),
        ((), 2),
    ):
        done = dragoman(tmp_path, "import", *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith("dragoman: ")
        assert done.stderr.count("\n") == 1
