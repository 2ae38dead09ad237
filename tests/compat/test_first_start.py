"""First and second start of the real program: T-67 and C-52, on standard output and in files."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.settings.test_cli import serving
from tests.store.accounts_rig import chat_db

_KEY = re.compile(r"sk-[0-9a-f]{64}")
_LOGS = {"LOG_FILE": "gateway.log", "LOG_FILE_PATH": "gateway.jsonl", "LOG_LEVEL": "DEBUG"}


def printed_by(folder: Path, **more: str) -> str:
    """Everything a start and a stop wrote to standard output and standard error."""
    with serving(folder, "serve", "--port", "0", **more) as (_, printed):
        pass
    return "".join(printed)


def written_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_T_67_the_token_is_printed_once_and_is_in_no_file(tmp_path: Path) -> None:
    first = printed_by(tmp_path, **_LOGS)
    [token] = _KEY.findall(first)
    assert re.search(rf"root.*{token}", first)
    assert token.encode() not in written_in(tmp_path)
    assert (tmp_path / "gateway.log").stat().st_size > 0
    assert _KEY.findall(printed_by(tmp_path, **_LOGS)) == []
    assert token.encode() not in written_in(tmp_path)


def test_T_67_another_name_restarts_cleanly(tmp_path: Path) -> None:
    assert re.search(r"boss.*sk-[0-9a-f]{64}", printed_by(tmp_path, INIT_ADMIN_USER="boss"))
    for name in ("boss", "other"):
        assert "sk-" not in printed_by(tmp_path, INIT_ADMIN_USER=name)


def test_C_52_a_token_that_was_given_is_never_printed(tmp_path: Path) -> None:
    token = "chosen-by-its-owner"
    for _ in range(2):
        printed = printed_by(tmp_path, INIT_ADMIN_TOKEN=token, **_LOGS)
        assert token not in printed
        assert _KEY.findall(printed) == []
    assert token.encode() not in written_in(tmp_path)


@pytest.mark.parametrize("credential", ["anns8tok", "root-token-1"])
def test_T_66_a_chat_db_beside_it_is_imported_and_its_tokens_work(tmp_path: Path, credential: str) -> None:
    users = [(1, "root", "root-token-1", 10, 2, None, None), (2, "ann", "anns8tok", 5, 1, None, None)]
    chat_db(tmp_path / "chat.db", users)
    with serving(tmp_path, "serve", "--port", "0") as (url, printed):
        for shown, status in ((credential, 200), ("anns8toK", 401), ("", 401)):
            assert asked(url, shown) == status
    assert "sk-" not in "".join(printed), "root came with the import"
    assert credential not in "".join(printed)


def asked(url: str, credential: str) -> int:
    headers = {"content-type": "application/json"} | ({"x-api-key": credential} if credential else {})
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
