"""The manual of the management API works as it stands: its commands are run, in order, on both engines (C-104)."""

from __future__ import annotations

import asyncio
import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.app import Works
from dragoman.keeping import keep
from dragoman.settings import load_settings
from dragoman.store.database import Database
from dragoman.web.api.errors import ApiError
from tests.compat.test_docs import PLACE, PROJECT, snippets
from tests.compat.test_metering import provider, spend
from tests.relay.rig import served
from tests.web.api.rig import ADMIN_KEY, House, living

_CURL = 'curl() { command curl --noproxy "*" --fail-with-body -w "\\n" "$@"; }'
"""As the manual's, but a refusal is an error, and no proxy of this machine is asked."""


async def run(script: str, folder: Path, **words: str) -> tuple[int, str]:
    """Run commands in one shell that ends at the first that fails: exit code and everything said."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=folder, env={"PATH": "/usr/bin:/bin", **words},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(shell.communicate(), 60)
    return shell.returncode or 0, said.decode()


async def lives_here(house: House) -> dict[str, str]:
    """A user with a key who has called once: the words that the manual leaves to its reader."""
    made = (await house.post("/users", {"name": "reader"})).json
    key = (await house.post("/keys", {"name": "mine", "user_id": made["id"]})).json
    house.keys["reader"] = key["secret"]
    assert await spend(house, "reader", "/v1/messages", "in=3 out=1") == 200
    (entry,) = (await house.get("/entries")).json["items"]
    return {"MY_KEY": key["secret"], "CALL_ID": entry["call_id"]}


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="there is no curl or no bash here")
async def test_C_104_every_command_of_the_apis_manual_does_what_it_says(database: Database, tmp_path: Path) -> None:
    export, *blocks = [snippet.text for snippet in snippets("console") if snippet.page == "docs/api.md"]
    assert sum(block.count("curl ") for block in blocks) >= 16
    words, told = {"DRAGOMAN_ADMIN_KEY": ADMIN_KEY}, ""
    async with living(database, booked=True, furnished=False) as house:
        house.provider.script = provider
        for block in blocks:
            if "$CALL_ID" in block:
                await _as_it_says(house)
                words |= await lives_here(house)
            script = "\n".join([_CURL, export, block]).replace(PLACE, f"http://127.0.0.1:{house.port}")
            code, said = await run(script, tmp_path, **words)
            assert code == 0, said
            told += said
    assert '"error":' not in told
    assert len(re.findall(r'"secret":"sk-[0-9a-f]{64}"', told)) == 2, "a key, and the one it was rotated to"
    with (tmp_path / "usage.csv").open(newline="") as file:
        assert [row["tokens"] for row in csv.DictReader(file)] == ["4"]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="there is no curl or no bash here")
@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
async def test_C_104_what_newcomers_read_of_users_works_as_it_stands(page: str, tmp_path: Path) -> None:
    """With nothing but the token that the first start has printed."""
    (block,) = [snippet.text for snippet in snippets("console") if snippet.page == page]
    settings = load_settings(environment={"DRAGOMAN_DB": str(tmp_path / "dragoman.db")}, folder=tmp_path)
    kept = await keep(settings)
    token = kept.shown_once[0].rpartition(" ")[2]
    app = Works(settings, books=kept.books, admission=kept.admission).gateway(kept.gate, kept.mounts)
    try:
        async with served(app) as port:
            script = f"{_CURL}\n{block}".replace(PLACE, f"http://127.0.0.1:{port}").replace("sk-…", token)
            code, said = await run(script, tmp_path)
    finally:
        await kept.close()
    assert code == 0, said
    assert '"name":"ann"' in said
    assert re.search(r'"user_id":2,.*"secret":"sk-[0-9a-f]{64}"', said)
    assert '"by":["user","day"]' in said


async def _as_it_says(house: House) -> None:
    """What the commands were about is there."""
    (group,) = (await house.get("/groups")).json["items"]
    assert (group["name"], group["rules"]["rpm"]) == ("core", 120)
    users = {one["name"]: one for one in (await house.get("/users")).json["items"]}
    assert (users["ann"]["group_id"], users["ann"]["active"]) == (group["id"], False)
    (old, new) = sorted(
        (await house.get(f"/keys?user_id={users['ann']['id']}")).json["items"], key=lambda one: one["id"]
    )
    assert (old["name"], old["active"], old["replaced_by"]) == ("laptop", False, new["id"])
    assert (old["rules"]["models"], old["rules"]["parallel"]) == (["claude-*"], 4)
    names: dict[str, Any] = {}
    for what in ("providers", "routes", "prices", "limits"):
        names[what] = [one["name"] for one in (await house.get(f"/{what}")).json["items"]]
    assert {"main"} < {*names["providers"]}
    assert names["routes"] == ["sonnet"]
    assert (names["prices"], names["limits"]) == (["main/gpt-5.2"], ["global"])
    assert len(await house.audit()) >= 10


def test_C_104_the_codes_of_the_manual_are_those_of_the_code() -> None:
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    said = set(re.findall(r"`([a-z_]+)`", page[page.index("Codes:") : page.index("- **Lists**")]))
    source = PROJECT / "src" / "dragoman" / "web" / "api"
    text = "".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    assert ApiError(404, "not_found", "x").code in said
    assert [code for code in sorted(said) if f'"{code}"' not in text] == []
