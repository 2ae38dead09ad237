"""First and second start of the real program: C-52, C-67, T-66 and T-67, on standard output and in files."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.settings.test_cli import environment, serving
from tests.store.accounts_rig import chat_db, infini_db, infini_key, sha

_KEY = re.compile(r"sk-[0-9a-f]{64}")
_LOGS = {"LOG_FILE": "gateway.log", "LOG_FILE_PATH": "gateway.jsonl", "LOG_LEVEL": "DEBUG"}


def printed_by(folder: Path, **more: str) -> str:
    """Everything a start and a stop wrote to standard output and standard error."""
    with serving(folder, "serve", "--port", "0", **more) as (_, printed):
        pass
    return "".join(printed)


def written_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_C_52_T_67_the_token_is_printed_once_and_is_in_no_file(tmp_path: Path, database_url: str) -> None:
    first = printed_by(tmp_path, DRAGOMAN_DB=database_url, **_LOGS)
    [token] = _KEY.findall(first)
    assert re.search(rf"root.*{token}", first)
    with serving(tmp_path, "serve", "--port", "0", DRAGOMAN_DB=database_url, **_LOGS) as (url, again):
        assert told(url, "/v1/queryuser", {"token": token}) == {"count": 0, "status": 2, "username": "root"}
        assert [user["username"] for user in told(url, "/admin/users", credential=token)["users"]] == ["root"]
    assert _KEY.findall("".join(again)) == []
    assert token.encode() not in written_in(tmp_path)
    assert (tmp_path / "gateway.log").stat().st_size > 0


def test_T_67_the_token_is_on_standard_output_alone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dragoman", "serve", "--port", "0"], cwd=tmp_path, env=environment(**_LOGS), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        printed = next(line for line in child.stdout if _KEY.search(line))
        child.terminate()
        _, logged = child.communicate(timeout=60)
    [token] = _KEY.findall(printed)
    assert token not in logged


def test_T_67_another_name_restarts_cleanly(tmp_path: Path, database_url: str) -> None:
    first = printed_by(tmp_path, INIT_ADMIN_USER="boss", DRAGOMAN_DB=database_url)
    assert re.search(r"boss.*sk-[0-9a-f]{64}", first)
    for name in ("boss", "other"):
        again = printed_by(tmp_path, INIT_ADMIN_USER=name, DRAGOMAN_DB=database_url)
        assert "sk-" not in again
        assert "rror" not in again


def test_C_52_a_token_that_was_given_is_never_printed(tmp_path: Path, database_url: str) -> None:
    token = "chosen-by-its-owner"
    for _ in range(2):
        printed = printed_by(tmp_path, INIT_ADMIN_TOKEN=token, DRAGOMAN_DB=database_url, **_LOGS)
        assert token not in printed
        assert _KEY.findall(printed) == []
    assert token.encode() not in written_in(tmp_path)


def test_C_67_everything_is_in_one_file_beside_the_program_that_is_not_under_version_control(tmp_path: Path) -> None:
    [token] = _KEY.findall(printed_by(tmp_path))
    with serving(tmp_path, "serve", "--port", "0") as (url, _):
        told(url, "/admin/users?username=ann", {}, credential=token)
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left - {"dragoman.db.lock"} == {"dragoman.db", "dragoman.secret"}
    with serving(tmp_path, "serve", "--port", "0") as (url, _):
        names = [user["username"] for user in told(url, "/admin/users", credential=token)["users"]]
    assert names == ["ann", "root"]
    ignored = (Path(__file__).resolve().parents[2] / ".gitignore").read_text().split()
    for name in (*left, "dragoman.db-wal", "dragoman.db-shm", "chat.db", "proxy_users.db"):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name


CHAT = [(1, "root", "root-token-1", 10, 2, None, None), (2, "ann", "anns8tok", 1520, 1, None, None),
        (3, "off", "offs-token", 7, 0, None, None)]  # fmt: skip


def test_T_66_databases_beside_it_are_imported_and_their_keys_work(tmp_path: Path, database_url: str) -> None:
    chat_db(tmp_path / "chat.db", CHAT)
    key = infini_key(7)
    row = (30, 3, sha(key), key[:12], "laptop", "2025-01-01 08:00:00", None, 1, "glm-5", None)
    used = [(n, 30, "/v1/messages", "glm-4.6", 10, 2, 12, f"r{n}", "2025-02-01 10:30:00", None) for n in (1, 2)]
    infini_db(tmp_path / "proxy_users.db", [(3, "eve", "eve@x", "2025-01-01 08:00:00", 1)], [row], used)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db") if path.name != "dragoman.db"}
    everything = []
    for _ in range(2):
        with serving(tmp_path, "serve", "--port", "0", DRAGOMAN_DB=database_url) as (url, printed):
            _imported(url, key)
        everything.append("".join(printed))
    for credential in ("anns8tok", "root-token-1", "offs-token", key):
        assert credential not in "".join(everything)
    assert "sk-" not in "".join(everything), "root came with the import"
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def _imported(url: str, key: str) -> None:
    for shown, status in (("anns8tok", 200), (key, 200), ("anns8toK", 401), ("offs-token", 401), ("", 401)):
        assert asked(url, shown) == status, shown
    counts = {name: told(url, "/v1/queryuser", {"token": token}) for _, name, token, *_ in CHAT}
    assert counts["off"] == {"count": 7, "status": 0, "username": "off"}
    assert (counts["root"]["status"], counts["root"]["count"]) == (2, 10)
    assert counts["ann"]["count"] >= 1520
    mine = told(url, "/usage/me?end_date=2025-02-01", credential=key)
    assert (mine["user_id"], mine["total_requests"], mine["total_tokens"]) == (3, 2, 24)
    assert told(url, "/usage/api-key/30?end_date=2025-02-01", credential=key)["total_tokens"] == 24
    keys = {one["id"]: one for one in told(url, "/admin/api-keys", credential="root-token-1")["api_keys"]}
    assert (keys[30]["key_prefix"], keys[30]["model_name"], keys[30]["created_at"]) == (
        key[:12], "glm-5", "2025-01-01T08:00:00Z",
    )  # fmt: skip
    assert sorted(one["key_prefix"] for one in keys.values()) == ["", "", "", key[:12]]


def told(url: str, path: str, body: Any = None, *, credential: str = "") -> Any:
    """The answer of one call; a POST if it has a body."""
    headers = {"x-api-key": credential} if credential else {}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}{path}", data, headers), timeout=60) as answer:
        return json.load(answer)


def asked(url: str, credential: str) -> int:
    headers = {"content-type": "application/json"} | ({"x-api-key": credential} if credential else {})
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
