"""D1: the one file of the ledger is held by another program, has no room or cannot be written, for real.

Through the whole gateway: calls go on, the clients notice nothing until the spool is full too, and
afterwards every call stands in the ledger once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from dragoman.app import build
from dragoman.relay.booking import Books
from dragoman.store.ledger.ledger import Ledger, Timing
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.ledger.spool import Spool
from dragoman.store.migrate import migrate
from dragoman.store.sqlite import SqliteDatabase
from tests.relay.rig import FakeProvider, Rig, chat_body, chat_stream, served, settings_for
from tests.store.bookings import counts, found

HELD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""
TIMING = Timing(commit=0.3, patience=10.0, retry=0.05, note=0.05)
ASK = {"model": "big", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}

Fault = Callable[["Gateway"], contextlib.AbstractAsyncContextManager[None]]


@dataclass
class Gateway:
    """A whole one, with its ledger in a file."""

    rig: Rig
    path: Path
    database: SqliteDatabase
    ledger: Ledger

    async def call(self, *, stream: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One call; its status, headers and body."""
        body = {**ASK, "stream": stream}
        async with self.rig.client.post(f"{self.rig.url}/v1/chat/completions", json=body) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()

    async def back(self) -> None:
        """Return when everything that was put aside has been written."""
        async with asyncio.timeout(15):
            while self.ledger.is_down or self.ledger.put_aside:
                await asyncio.sleep(0.02)
        await self.ledger.quiet()


@contextlib.asynccontextmanager
async def opened(folder: Path, *, cap: int = 1 << 20, timing: Timing = TIMING) -> AsyncIterator[Gateway]:
    path = folder / "dragoman.db"
    database = SqliteDatabase(path, busy=0.2)
    await migrate(database)
    ledger = Ledger(database, replica="one", timing=timing, spool=Spool(folder / "spool", cap=cap, reserve=1 << 20))
    await ledger.start()
    provider = FakeProvider()
    await provider.start()

    async def speak(asked, wire):  # type: ignore[no-untyped-def]
        await (wire.stream(*chat_stream("Hi")) if asked.json.get("stream") else wire.json(chat_body("Hi")))

    provider.script = speak
    books = Books(ledger, PriceBook({"big": {"in": 1, "out": 2}}))
    app = build(settings_for(provider.port), sinks=[], books=books)
    async with served(app) as port, aiohttp.ClientSession() as client:
        yield Gateway(Rig(provider, port, client, [], lambda: None), path, database, ledger)
    await provider.stop()
    await ledger.close()
    await database.close()


@contextlib.asynccontextmanager
async def held(gateway: Gateway) -> AsyncIterator[None]:
    """Another program holds the file."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HELD, str(gateway.path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    assert await program.stdout.readline() == b"held\n"
    yield
    await program.communicate(b"\n")


@contextlib.asynccontextmanager
async def full(gateway: Gateway) -> AsyncIterator[None]:
    """Not one page more."""
    await _pragma(gateway, "max_page_count=1")
    yield
    await _pragma(gateway, "max_page_count=1073741823")


@contextlib.asynccontextmanager
async def read_only(gateway: Gateway) -> AsyncIterator[None]:
    """As a file system that went read-only; for root, who tests may be, no file is."""
    await _pragma(gateway, "query_only=ON")
    yield
    await _pragma(gateway, "query_only=OFF")


async def _pragma(gateway: Gateway, pragma: str) -> None:
    """On the connection that writes, outside of a transaction: one cannot be begun while nothing may be written."""
    database = gateway.database

    def say() -> None:
        with database._writing.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {pragma}")

    await asyncio.get_running_loop().run_in_executor(database._writer, say)


async def fill_up(gateway: Gateway) -> int:
    """Calls until the file has no room; how many."""
    for number in range(1, 400):
        status, _, _ = await gateway.call()
        assert status == 200
        if gateway.ledger.is_down:
            return number
    raise AssertionError("the database is never full")


@pytest.mark.parametrize(("fault", "reason"), [(held, "locked"), (full, "full"), (read_only, "read_only")])
async def test_D1_calls_go_on_while_the_file_cannot_be_written(tmp_path: Path, fault: Fault, reason: str) -> None:
    with capture_logs() as lines:
        await _go_on(tmp_path, fault)
    assert reason in {line.get("reason") for line in lines}


async def _go_on(tmp_path: Path, fault: Fault) -> None:
    async with opened(tmp_path) as gateway:
        assert (await gateway.call())[0] == 200
        before = 1
        async with fault(gateway):
            if fault is full:
                before += await fill_up(gateway)
            answers = [await gateway.call(stream=bool(number % 2)) for number in range(10)]
            assert {status for status, _, _ in answers} == {200}
            assert all(b"[DONE]" in body for _, _, body in answers[1::2])
            assert gateway.ledger.is_down
            assert gateway.ledger.put_aside > 0
        await gateway.back()
        kept = await counts(gateway.database)
        assert (kept["entries"], kept["intents"], kept["quarantine"]) == (before + 10, 0, 0)
        assert await found(gateway.database) == []


async def test_D1_at_the_cap_503_with_retry_after_and_exact_afterwards(tmp_path: Path) -> None:
    async with opened(tmp_path, cap=6_000) as gateway:
        async with read_only(gateway):
            answers = [await gateway.call() for _ in range(12)]
            statuses = [status for status, _, _ in answers]
            taken = statuses.count(200)
            assert statuses == [200] * taken + [503] * (12 - taken)
            assert 0 < taken < 12
            _, headers, body = answers[-1]
            assert (headers["retry-after"], b"cannot book calls" in body) == ("2", True), body
            assert len(gateway.rig.provider.asked) == taken, "what cannot be booked is not sent"
        await gateway.back()
        assert (await gateway.call())[0] == 200
        assert await found(gateway.database) == []
        kept = await counts(gateway.database)
        assert kept["intents"] == 0


@pytest.mark.slow
async def test_D1_ten_seconds_behind_another_program(tmp_path: Path) -> None:
    """With the deadlines of production: one call waits for the first of them, the others do not wait at all."""
    timing = replace(Timing(), note=0.05)
    async with opened(tmp_path, timing=timing) as gateway:
        async with held(gateway):
            began, slow, calls = time.monotonic(), 0, 0
            while time.monotonic() - began < 10:
                one = time.monotonic()
                assert (await gateway.call())[0] == 200
                slow += time.monotonic() - one > 0.5
                calls += 1
                await asyncio.sleep(0.05)
        await gateway.back()
        assert slow <= 2
        assert (await counts(gateway.database))["entries"] == calls
        assert await found(gateway.database) == []
