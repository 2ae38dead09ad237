"""The tables in Redis: each operation one call of one script, in a bounded time.

It must not know reservations, ledgers or what to do without Redis.

https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from dragoman.relay.admission.reservation import Charge
from dragoman.relay.admission.rules import PLACES, TOKENS, Line, Verdict

SCRIPT = Path(__file__).with_name("admission.lua").read_text(encoding="utf-8")

PATIENCE = 0.15
"""Seconds after which a call that is not answered makes us ask whether Redis is there at all."""

PULSE = 0.1
"""Seconds within which it says so, or is gone: a quarter of a second in all."""

_MISSING, _LOST = -1, -2
_MOST_WAITS = 20
_AT_ONCE = 500
"""Lines in one call, so that none keeps the others waiting."""

_CONNECTIONS = 16
"""Calls under way at a time; the others wait for them."""


class Gone(Exception):
    """Redis did not answer in time, or not sensibly."""


class Lost(Exception):
    """Redis answers, but its counts are not those we knew: it was emptied, or is another one."""


class Missing(Exception):
    """Settled sums are not known there yet, of the lines with these numbers."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(str(numbers))
        self.numbers = numbers


class RemoteTables:
    """The counts all replicas share. Methods raise Gone and Lost."""

    def __init__(self, client: Redis, prefix: str, lease: int, *, script: str = SCRIPT) -> None:
        self._client: Any = client
        self._prefix = prefix
        self._lease = lease
        self._script = script
        self._hash = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._pulse: asyncio.Task[bool] | None = None
        self._epoch = ""

    async def join(self) -> tuple[int, bool]:
        """Take part in what is counted there, or begin it: how many ticks ago it began, and whether we knew it."""
        epoch, age = await self._run("join", [], [], epoch=secrets.token_hex(8))
        known = self._epoch == epoch.decode()
        self._epoch = epoch.decode()
        return int(age), known

    async def decide(self, call: str, lines: Sequence[Line]) -> Verdict:
        """As ``Tables.decide``. Raises Missing as well."""
        args: list[str | int] = [call]
        for line in lines:
            args += (_kind(line), line.limit, line.amount)
        answer = await self._run("admit", [line.key for line in lines], args)
        if answer[0] == _MISSING:
            raise Missing(answer[1:])
        _, refused, wait, spent, held, *levels = answer
        return Verdict(refused, wait, spent, held, tuple(levels))

    async def settle(self, call: str, charges: Sequence[Charge]) -> None:
        """As ``Tables.settle``."""
        args: list[str | int] = [call]
        for line, amount in charges:
            args += (_kind(line), line.limit, amount)
        await self._run("settle", [line.key for line, _ in charges], args)

    async def renew(self, held: Iterable[tuple[str, Iterable[Line]]]) -> None:
        """As ``Tables.renew``, for the lines of each call."""
        rows = [(line.key, (call, _kind(line), line.amount)) for call, lines in held for line in lines]
        await self._in_parts("renew", [row for row in rows if row[1][1] != "rate"])

    async def marks(self, lines: Sequence[Line]) -> list[int]:
        """What was ever charged to each budget there: marks for ``correct``."""
        return (await self._run("marks", [line.key for line in lines], []))[1:]

    async def correct(self, sums: Iterable[tuple[Line, int, int]]) -> None:
        """As ``Tables.correct``, or ``open`` where nothing is known yet: budget, mark, and what is settled."""
        await self._in_parts("correct", [(line.key, (mark, settled)) for line, mark, settled in sums])

    async def pour(self, levels: Iterable[tuple[Line, int]]) -> None:
        """Add what was let through elsewhere to these buckets."""
        await self._in_parts("pour", [(line.key, (line.limit, level)) for line, level in levels])

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose(close_connection_pool=True)

    async def _in_parts(self, operation: str, rows: Sequence[tuple[str, tuple[str | int, ...]]]) -> None:
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            await self._run(operation, [key for key, _ in part], [arg for _, args in part for arg in args])

    async def _run(
        self, operation: str, keys: Iterable[str], args: Iterable[str | int], epoch: str | None = None
    ) -> list[Any]:
        names = [f"{self._prefix}:epoch", *(f"{self._prefix}:{key}" for key in keys)]
        given = [len(names), *names, operation, self._epoch if epoch is None else epoch, self._lease, *args]
        answer = await self._in_time(asyncio.ensure_future(self._evaluated(given)))
        if answer[0] == _LOST:
            raise Lost
        return answer

    async def _in_time(self, asked: asyncio.Future[list[Any]]) -> list[Any]:
        """The answer. A late one is waited for while Redis lives: then it is we, or our queue, who are slow."""
        try:
            for _ in range(_MOST_WAITS):
                done, _ = await asyncio.wait({asked}, timeout=PATIENCE)
                if done:
                    return asked.result()
                if not await self._lives():
                    break
        except (RedisError, OSError) as error:
            raise Gone(type(error).__name__) from error
        finally:
            asked.cancel()
        raise Gone("silence")

    async def _lives(self) -> bool:
        """Whether Redis answers at all: asked once for all who wait."""
        if self._pulse is None or self._pulse.done():
            self._pulse = asyncio.create_task(self._feel_pulse())
        return await asyncio.shield(self._pulse)

    async def _feel_pulse(self) -> bool:
        try:
            async with asyncio.timeout(PULSE):
                return bool(await self._client.ping())
        except (RedisError, OSError):
            # TimeoutError is an OSError.
            return False

    async def _evaluated(self, given: list[Any]) -> list[Any]:
        async with self._free:
            try:
                answer: list[Any] = await self._client.evalsha(self._hash, *given)
            except NoScriptError:
                answer = await self._client.eval(self._script, *given)
        return answer


def _kind(line: Line) -> str:
    return "rate" if line.kind <= TOKENS else "place" if line.kind == PLACES else "budget"
