"""A real ``dragoman serve`` on a free port, with two accounts at one provider, and clients that call it.

Processes are ended by their own id and never outlive the block that started them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, func, select

from dragoman.store.database import Database, open_database
from dragoman.store.ledger.check import UNSENT, Violation, violations
from dragoman.store.ledger.ledger import wall_clock
from dragoman.store.schema import entries, intents, quarantine
from tests.fault.truth import Truth

_CONFIG = """
version: 1
server: {{host: 127.0.0.1, port: {port}}}
{database}
providers:
  a: {{kind: openai_compatible, api: chat, base_url: "http://127.0.0.1:{upstream}/a/v1", allow_private: true}}
  b: {{kind: openai_compatible, api: chat, base_url: "http://127.0.0.1:{upstream}/b/v1", allow_private: true}}
routes:
  model: {{targets: [{{provider: a, model: up-model}}, {{provider: b, model: up-model}}]}}
prices:
  up-model: {{in: 3, cache_read: 0.3, out: 15, unit: usd_per_million}}
"""
_PATHS = {"chat": "/v1/chat/completions", "anthropic": "/v1/messages"}


@dataclass
class Gateway:
    """One process at a time, in one folder."""

    folder: Path
    upstream: int
    database_url: str = ""
    port: int = 0
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> str:
        return self.database_url or f"sqlite:///{self.folder / 'dragoman.db'}"

    def start(self, seconds: float = 30.0) -> float:
        """Start it and wait until it listens; returns after how many seconds."""
        self.port = self.port or _free_port()
        config = self.folder / "config.yaml"
        line = f'database: "{self.store}"'
        config.write_text(_CONFIG.format(port=self.port, upstream=self.upstream, database=line))
        began = time.monotonic()
        with (self.folder / "serve.log").open("ab") as log:
            command = [sys.executable, "-m", "dragoman", "serve", "--config", str(config)]
            env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "PYTHONPATH": _source()}
            self.child = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while time.monotonic() - began < seconds and self.child.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return time.monotonic() - began
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"the gateway does not start:\n{self.last_words()}")

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        child, self.child = self.child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(how)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(10)

    def last_words(self) -> str:
        """The end of its log."""
        return (self.folder / "serve.log").read_text("utf-8", "replace")[-3000:]


def _source() -> str:
    import dragoman

    return str(Path(dragoman.__file__).resolve().parents[1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def gateway(upstream: int, database_url: str = "") -> Iterator[Gateway]:
    """One in a folder of its own, which is removed; the process is stopped whatever happens."""
    with tempfile.TemporaryDirectory(prefix="dragoman-fault-") as folder:
        one = Gateway(Path(folder), upstream, database_url)
        try:
            yield one
        finally:
            one.kill()


# ---------------------------------------------------------------- clients

MODES = ("whole", "whole", "whole", "whole", "silent", "slow", "cut", "fail", "refuse", "leave")


@dataclass
class Load:
    """Calls that clients make. ``answers`` counts what became of them; ``outcome`` keeps it by tag."""

    client: aiohttp.ClientSession
    url: Callable[[], str]
    seed: int = 1
    answers: Counter[str] = field(default_factory=Counter)
    outcome: dict[str, str] = field(default_factory=dict)

    async def call(self, number: int) -> None:
        """One call of a random kind. What kind it is depends on its number and the seed alone."""
        dice = random.Random(self.seed * 1_000_003 + number)
        mode, wire, stream = dice.choice(MODES), dice.choice(tuple(_PATHS)), dice.random() < 0.7
        tag = f"call-{self.seed}-{number}"
        leaves = mode == "leave"
        order = (
            f"tag={tag} in={dice.randrange(10, 5000)} out={dice.randrange(1, 900)} mode={'slow' if leaves else mode}"
        )
        body: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": order}], "stream": stream}
        body["max_tokens"] = 1000
        try:
            headers = {"x-request-id": tag}
            async with self.client.post(self.url() + _PATHS[wire], json=body, headers=headers) as answer:
                if leaves:
                    await answer.content.readany()
                    answer.close()
                    self._became(tag, "left")
                    return
                data = await answer.read()
                self._became(tag, self._judge(answer.status, data, stream))
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self._became(tag, "broken")

    def _judge(self, status: int, data: bytes, stream: bool) -> str:
        if status != 200:
            return f"status {status}"
        if not stream:
            return "answered"
        whole = b"[DONE]" in data or b"message_stop" in data
        return "answered" if whole and b'"error"' not in data else "failed in the stream"

    def _became(self, tag: str, what: str) -> None:
        self.answers[what] += 1
        self.outcome[tag] = what


# ---------------------------------------------------------------- verdicts


@dataclass
class Verdict:
    """What the database says when all is quiet, and what is wrong with it."""

    rows: int
    open: int
    quarantined: int
    kinds: dict[str, int]
    wrong: list[str]


async def judged(url: str, truth: Truth, *, lease_seconds: int = 10) -> Verdict:
    """Compare the ledger with what the provider saw: counts for every call, tokens for every answer it reported."""
    database = open_database(url) if url.startswith("postgres") else open_database(url, beside=True)
    try:
        return await database.read(lambda connection: _verdict(connection, truth, lease_seconds))
    finally:
        await database.close()


def _verdict(connection: Connection, truth: Truth, lease_seconds: int) -> Verdict:
    found: list[Violation] = violations(
        connection, now=wall_clock(), lease=lease_seconds * 1_000_000, upstream=truth.requests
    )
    table = entries.c
    rows = [dict(row) for row in connection.execute(select(entries)).mappings()]
    kinds = Counter(row["kind"] for row in rows)
    wrong = [f"{one.rule}: {one.what}" for one in found]
    wrong += list(_tokens(rows, truth))
    count = connection.execute(
        select(func.count()).where(table.attempt > 0, table.kind != "reversal", table.failure != UNSENT)
    ).scalar_one()
    left = connection.execute(select(func.count()).select_from(intents)).scalar_one()
    quarantined = connection.execute(select(func.count()).select_from(quarantine)).scalar_one()
    return Verdict(count, left, quarantined, dict(kinds), wrong)


def _tokens(rows: list[dict[str, Any]], truth: Truth) -> Iterator[str]:
    """Each final entry whose usage the provider reported has exactly its figures, in the order of the requests."""
    for row in rows:
        if row["kind"] != "final" or not row["attempt"] or row["failure"] == UNSENT:
            continue
        asked = truth.log.get(row["request_id"], [])
        if len(asked) < row["attempt"]:
            yield f"{row['request_id']}: attempt {row['attempt']} is booked, {len(asked)} were sent"
            continue
        said = asked[row["attempt"] - 1]
        if said.account != row["provider"]:
            yield f"{row['request_id']}: booked on {row['provider']}, sent to {said.account}"
        cached = said.input // 3
        booked = (row["input"], row["cache_read"], row["output"])
        if row["outcome"] == "answered" and said.reported and booked != (said.input - cached, cached, said.output):
            yield f"{row['request_id']}: {booked} is booked, {said.input}/{cached}/{said.output} was reported"
        if row["outcome"] == "answered" and said.reported and row["usage_source"] != "provider":
            yield f"{row['request_id']}: a report is marked as {row['usage_source']}"
        if row["outcome"] == "answered" and not said.reported and row["usage_source"] != "estimated":
            yield f"{row['request_id']}: an estimate is marked as {row['usage_source']}"


async def wait_quiet(url: str, seconds: float) -> None:
    """Wait until no call is open in the tables."""
    end = time.monotonic() + seconds
    database: Database = open_database(url) if url.startswith("postgres") else open_database(url, beside=True)
    try:
        while time.monotonic() < end:
            count = await database.read(
                lambda connection: connection.execute(select(func.count()).select_from(intents)).scalar_one()
            )
            if not count:
                return
            await asyncio.sleep(0.5)
    finally:
        await database.close()


def told(verdict: Verdict, truth: Truth, load: Load) -> list[str]:
    """The report of a run, line by line."""
    sent = sum(truth.requests.values())
    lines = [
        f"client calls {sum(load.answers.values())}: {dict(load.answers)}",
        f"upstream requests {sent}, attempts in the ledger {verdict.rows} ({verdict.kinds})",
        f"open attempts {verdict.open}, in quarantine {verdict.quarantined}",
    ]
    lines += [f"WRONG {one}" for one in verdict.wrong[:20]]
    if len(verdict.wrong) > 20:
        lines.append(f"... and {len(verdict.wrong) - 20} more")
    good = not verdict.wrong and not verdict.open and not verdict.quarantined
    lines.append("exact: upstream = ledger, aggregates = rows, no hold is left" if good else "NOT EXACT")
    return lines
