"""docs/operating.md does what it says: its commands in a real shell, its balancers before real gateways (D9, K6)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.compat.test_docs import snippets
from tests.ports import free_port
from tests.relay.rig import Asked, Rig, Wire, chat_stream, running
from tests.settings.test_cli import environment
from tests.store.accounts_rig import chat_db, infini_db, infini_key, sha
from tests.store.engines import Postgres, postgres, run_apart

__all__ = ["postgres"]

PAGE = "docs/operating.md"
PAUSE = 0.5
Run = Callable[[str, Path], list[str]]
ADDRESS = "postgresql://dragoman@db.example/dragoman"
AFTERWARDS = """
# with both secrets, with the new one alone, with the old one alone
dragoman import --chat-azure chat.db
env -u DRAGOMAN_SECRET_PREVIOUS dragoman import --chat-azure chat.db
export DRAGOMAN_SECRET=$DRAGOMAN_SECRET_PREVIOUS DRAGOMAN_SECRET_PREVIOUS=
dragoman import --chat-azure chat.db || echo "left: $?"
"""


def blocks(language: str) -> list[str]:
    return [snippet.text for snippet in snippets(language) if snippet.page == PAGE]


def test_D9_the_commands_of_the_page_run_one_after_the_other(tmp_path: Path, postgres: Postgres) -> None:
    """From the import of an earlier proxy to another secret, as an operator types them."""
    key = infini_key(7)
    row = (3, 1, sha(key), key[:12], "default", None, None, 1, None, None)
    used = (1, 3, "/v1/messages", "glm-4.6", 10, 2, 12, "req-1", "2025-02-01 10:30:00", None)
    infini_db(tmp_path / "proxy_users.db", [(1, "ann", "ann@example.org", None, 1)], [row], [used])
    chat_db(tmp_path / "chat.db", [(1, "root", "root-token-1", 10, 2, None, None)])
    *given, arrival = blocks("sh")
    assert "import" in arrival
    url = run_apart(postgres.make(template="template0"))
    # The folder of the secret is not the one of PostgreSQL's replicas: what the page says must be enough.
    script = "\n".join(["set -e", arrival, *given, "rm dragoman.secret", AFTERWARDS]).replace(ADDRESS, url)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**environment(), "PATH": path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    run_apart(postgres.drop(url))
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    assert "rows, every sum the same on both sides" in done.stdout
    assert sum(line.startswith("ok: ") for line in said) >= 6
    assert said[-1] == "left: 1"
    assert "dragoman: the database was written with another secret" in done.stderr
    assert [path.name for path in tmp_path.glob("dragoman.db.before-restore.*")] != []


async def one_by_one(asked: Asked, wire: Wire) -> None:
    """An answer that stops in the middle until its second has passed."""
    first, *rest = chat_stream(f"{len(asked.body)} bytes")
    await wire.stream(first, end=False)
    await asyncio.sleep(PAUSE)
    for piece in rest:
        await wire.chunk(piece)
    await wire.end()


@contextlib.asynccontextmanager
async def balanced(command: list[str], port: int) -> AsyncIterator[None]:
    """A balancer that listens; stopped afterwards."""
    balancer = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield
    finally:
        balancer.terminate()
        await balancer.wait()


def moved(text: str, front: int, *behind: int) -> str:
    """The page's ports made those of this test."""
    for told, port in zip((8080, 8081, 8082), (front, *behind), strict=True):
        text = text.replace(f"127.0.0.1:{told}", f"127.0.0.1:{port}")
    return text


def nginx(block: str, folder: Path) -> list[str]:
    """The command that runs nginx with a block of the page."""
    places = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {places}\n{block} }}"
    file = folder / "nginx.conf"
    file.write_text(whole)
    return ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(file)]


def haproxy(block: str, folder: Path) -> list[str]:
    """Likewise."""
    file = folder / "haproxy.cfg"
    file.write_text(block)
    return ["haproxy", "-db", "-f", str(file)]


@pytest.mark.parametrize("balancer", [nginx, haproxy], ids=lambda one: str(one.__name__))
async def test_K6_the_balancers_of_the_page_pass_streams_at_once(balancer: Run, tmp_path: Path) -> None:
    """No piece waits for another, bodies of 20 MB arrive whole, and both replicas get their share."""
    if shutil.which(balancer.__name__) is None:
        pytest.skip(f"there is no {balancer.__name__} here")
    [block] = blocks(balancer.__name__)
    folder = Path(tempfile.mkdtemp(prefix="dragoman-"))
    folder.chmod(0o777)  # its workers may be somebody else
    async with running() as one, running() as other:
        one.provider.script = other.provider.script = one_by_one
        port = free_port()
        async with balanced(balancer(moved(block, port, one.port, other.port), folder), port):
            pauses = await asyncio.gather(*(pause_of(one, port, size) for size in (1, 1, 1, 20_000_000)))
    shutil.rmtree(folder)
    assert min(pauses) > PAUSE * 0.8
    assert len(one.provider.asked) == len(other.provider.asked) == 2


async def pause_of(rig: Rig, port: int, size: int) -> float:
    """Ask through the balancer with a body of a size: seconds between the first piece and the last."""
    body = {"model": "big", "stream": True, "messages": [{"role": "user", "content": "x" * size}]}
    async with rig.client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        first = await answer.content.readany()
        began = time.monotonic()
        whole = first + await answer.content.read()
        assert b"[DONE]" in whole
        assert int(whole.split(b" bytes")[0].split(b'"')[-1]) >= size
        return time.monotonic() - began
