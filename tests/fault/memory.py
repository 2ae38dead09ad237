"""Many streams while the store takes nothing: memory stays where it was, and every call is booked afterwards (K10).

``python -m tests.fault.memory [--streams 10000] [--parallel 50]``. A real ``dragoman serve`` whose SQLite file another
program holds. Exits with 1 when the process grew by more than a tenth over its plateau, or when a call is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import aiohttp

from tests.relay.rig import FakeProvider, chat_stream

GROWTH = 1.10
_CONFIG = """
version: 1
server: {{host: 127.0.0.1, port: 0}}
database: "sqlite:///{folder}/dragoman.db"
providers:
  a: {{kind: openai_compatible, api: chat, base_url: "http://127.0.0.1:{port}/v1", allow_private: true}}
"""
_ASK = {"model": "a/m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi " * 500}]}


@dataclass
class Verdict:
    """Megabytes at the plateau (the most while the second fifth ran) and at the end; calls answered and booked.

    ``connections`` is how many the provider was ever asked to open.
    """

    plateau: float
    end: float
    answered: int
    booked: int
    connections: int

    @property
    def good(self) -> bool:
        """Whether nothing grew and nothing is missing."""
        return self.end <= self.plateau * GROWTH and self.booked == self.answered


async def run(streams: int, parallel: int) -> Verdict:
    """One run."""
    provider = FakeProvider()
    provider.script = lambda asked, wire: wire.stream(*chat_stream(*["word "] * 20))
    await provider.start()
    try:
        with tempfile.TemporaryDirectory(prefix="dragoman-memory-") as folder:
            async with gateway(Path(folder), provider.port) as (child, url):
                return await _measured(child, url, Path(folder) / "dragoman.db", provider, streams, parallel)
    finally:
        await provider.stop()


@contextlib.asynccontextmanager
async def gateway(folder: Path, port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process in the folder, and its address; it is ended whatever happens."""
    (folder / "config.yaml").write_text(_CONFIG.format(folder=folder, port=port))
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LOG_LEVEL": "ERROR"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dragoman", "serve", cwd=folder, env=env, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(30):
            while b"listens on" not in (line := await child.stdout.readline()):
                assert line, "the gateway does not start"
        yield child, line.split()[-1].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await asyncio.wait_for(child.wait(), 30)


async def _measured(
    child: asyncio.subprocess.Process, url: str, file: Path, provider: FakeProvider, streams: int, parallel: int
) -> Verdict:
    numbers, answered, plateau = count(), 0, 0.0

    async def worker(client: aiohttp.ClientSession) -> None:
        nonlocal answered, plateau
        while (number := next(numbers)) < streams:
            async with client.post(f"{url}/v1/chat/completions", json=_ASK) as answer:
                whole = b"[DONE]" in await answer.read()
            answered += whole
            provider.asked.clear()
            provider.wires.clear()
            if streams // 5 <= number < 2 * streams // 5:
                plateau = max(plateau, megabytes(child.pid))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=parallel)) as client:
        with held(file):
            await asyncio.gather(*(worker(client) for _ in range(parallel)))
            end = megabytes(child.pid)
    return Verdict(plateau, end, answered, await booked(file, answered), provider.connections)


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Nobody else reads or writes the file meanwhile."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


async def booked(file: Path, wanted: int, seconds: float = 60.0) -> int:
    """How many calls are in the ledger, once it is as many as wanted or the time is over."""
    ends = time.monotonic() + seconds
    with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
        while True:
            (found,) = connection.execute("SELECT count(*) FROM entries WHERE kind = 'final'").fetchone()
            if found >= wanted or time.monotonic() > ends:
                return int(found)
            await asyncio.sleep(0.2)


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="streams while the store takes nothing, and what the process weighs")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=50)
    given = parser.parse_args()
    began = time.monotonic()
    verdict = asyncio.run(run(given.streams, given.parallel))
    print(f"{given.streams} streams, {given.parallel} at once, in {time.monotonic() - began:.0f} s: {verdict}")
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
