"""A deposit in Redis, written behind: sealed, bound to its place, and bounded. It must not know what is laid down."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from dragoman.observe.logs import get_logger
from dragoman.store.deposit import LIFE
from dragoman.store.news_redis import connect
from dragoman.store.secrets import Cipher, SecretUnusable

LARGEST = 4 * 1024 * 1024
"""Bytes of one thing, as it lies in Redis."""

PATIENCE = 0.25
"""Seconds that a call waits for an answer."""

SHUN = 1.0
"""Seconds for which a Redis that did not answer is not asked."""

_MOST_WAITING = 2_000
_AT_ONCE = 16
_SMALL = 32 * 1024
_HARD_LIMIT = 5.0
_LAST_WORDS = 2.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_AWAY = (RedisError, OSError)
"""TimeoutError is an OSError."""

_Write = Callable[[], bytes]
_log = get_logger("deposit")


class RedisDeposit:
    """The deposit of all replicas that share one Redis, one prefix and one secret.

    ``redis`` is a URL or a client; ``key`` hides names. ``start`` and ``close`` must be called.
    """

    def __init__(self, redis: str | Redis, prefix: str, cipher: Cipher, key: bytes) -> None:
        self._client: Any = connect(redis) if isinstance(redis, str) else redis
        self._prefix, self._cipher, self._key = prefix, cipher, key
        self._waiting: dict[str, _Write | None] = {}
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._shunned = 0.0
        self._task: asyncio.Task[None] | None = None

    def place(self, kind: str, owner: str, name: str) -> str:
        """See ``Deposit``."""
        hidden = blake2b(repr((owner, name)).encode(), digest_size=16, key=self._key).hexdigest()
        return f"{self._prefix}:{kind}:{hidden}"

    def put(self, place: str, write: _Write) -> None:
        """See ``Deposit``."""
        self._wait(place, write)

    def drop(self, place: str) -> None:
        """See ``Deposit``."""
        self._wait(place, None)

    async def take(self, places: Sequence[str]) -> list[bytes | None] | None:
        """See ``Deposit``."""
        if time.monotonic() < self._shunned:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._client.mget(places)
        except _AWAY:
            self._shunned = time.monotonic() + SHUN
            return None
        sealed = dict(zip(places, found, strict=True))
        if sum(len(one) for one in found if one is not None) < _SMALL:
            return self._opened(sealed)
        return await asyncio.to_thread(self._opened, sealed)

    # ------------------------------------------------------------ living

    async def start(self) -> None:
        """Begin to write. Works without Redis."""
        self._task = asyncio.create_task(self._keep_writing(), name="deposit")

    async def close(self) -> None:
        """Write what still waits, if that is a matter of a moment, and give back the connections."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await self._idle.wait()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(*_AWAY):
            await self._client.aclose(close_connection_pool=True)

    def _wait(self, place: str, write: _Write | None) -> None:
        self._waiting.pop(place, None)
        if len(self._waiting) >= _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[place] = write
        self._idle.clear()
        self._wake.set()

    async def _keep_writing(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            await self._wake.wait()
            batch = dict(islice(self._waiting.items(), _AT_ONCE))
            try:
                await self._written(await asyncio.to_thread(self._sealed, batch))
            except _AWAY:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _SHORTEST_PAUSE
            for place, write in batch.items():
                # What replaced it meanwhile is still to be written.
                if self._waiting.get(place, write) is write:
                    self._waiting.pop(place, None)
            if not self._waiting:
                self._wake.clear()
                self._idle.set()

    async def _written(self, batch: dict[str, bytes | None]) -> None:
        async with asyncio.timeout(_HARD_LIMIT), self._client.pipeline(transaction=False) as pipeline:
            for place, sealed in batch.items():
                if sealed is None:
                    pipeline.delete(place)
                else:
                    pipeline.set(place, sealed, ex=LIFE)
            await pipeline.execute(raise_on_error=False)

    # ------------------------------------------------------------ sealing

    def _sealed(self, batch: dict[str, _Write | None]) -> dict[str, bytes | None]:
        """As it is to lie there; None for what is to be taken away, or cannot be kept."""
        return {place: None if write is None else self._seal(place, write) for place, write in batch.items()}

    def _seal(self, place: str, write: _Write) -> bytes | None:
        try:
            sealed = self._cipher.wrap(place.encode() + b"\0" + zlib.compress(write(), 1))
        except Exception as error:
            _log.error("defect", work="deposit", exc_info=error)
            return None
        return sealed if len(sealed) <= LARGEST else None

    def _opened(self, found: dict[str, bytes | None]) -> list[bytes | None]:
        return [None if sealed is None else self._open(place, sealed) for place, sealed in found.items()]

    def _open(self, place: str, sealed: bytes) -> bytes | None:
        """What was sealed for this very place by this installation; anything else is not there."""
        try:
            bound, _, packed = self._cipher.unwrap(sealed).partition(b"\0")
            return zlib.decompress(packed) if bound == place.encode() else None
        except (SecretUnusable, zlib.error):
            return None
