"""News through Redis, which may vanish at any moment: then what is to be told waits here, as far as there is room.

It must not know what is told.

https://redis.io/docs/latest/develop/pubsub/
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dragoman.observe.logs import get_logger
from dragoman.store.news import write_note

NOTE = Path(__file__).with_name("notes.lua").read_text(encoding="utf-8")

MOST_NOTES = 20_000
"""Notes of one topic that Redis keeps; those that would lapse first go first."""

SILENCE = 5.0
"""Seconds without a word after which Redis is asked whether it is there, and given up if it says nothing either."""

_HARD_LIMIT = 5.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_MOST_WAITING = 10_000
_AT_ONCE = 200
_PAGE = 1_000
_SENDER = 16
_AWAY = (RedisError, OSError)
"""TimeoutError is an OSError."""

_log = get_logger("news")


def connect(url: str) -> Redis:
    """A client for ``redis://`` or ``rediss://`` that neither waits long nor tries again."""
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=_HARD_LIMIT,
        socket_connect_timeout=_HARD_LIMIT,
        retry=Retry(NoBackoff(), 0),
    )


@dataclass(frozen=True, slots=True)
class _Topic:
    """Who hears of it: every word of others, and that words may have been missed."""

    heard: Callable[[bytes], None]
    joined: Callable[[], Awaitable[None]]


class RedisNews:
    """The replicas that share one Redis and one prefix. ``start`` and ``close`` must be called.

    ``redis`` is a URL or a client.
    """

    def __init__(self, redis: str | Redis, prefix: str = "dragoman", *, silence: float = SILENCE) -> None:
        self._client: Any = connect(redis) if isinstance(redis, str) else redis
        self._prefix = prefix
        self._silence = silence
        self._sender = secrets.token_hex(_SENDER // 2).encode()
        self._topics: dict[bytes, _Topic] = {}
        self._waiting: dict[tuple[str, str], tuple[str | bytes | int, ...]] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._up: bool | None = None

    @property
    def up(self) -> bool:
        """Whether others are heard now."""
        return self._up is True

    def follow(self, topic: str, heard: Callable[[bytes], None], joined: Callable[[], Awaitable[None]]) -> None:
        """See ``News``."""
        self._topics[self._channel(topic).encode()] = _Topic(heard, joined)

    def tell(self, topic: str, text: bytes) -> None:
        """See ``News``."""
        self._put((topic, ""), ("PUBLISH", self._channel(topic), self._sender + text))

    def note(self, topic: str, name: str, text: bytes, *, stamp: int, seconds: int) -> None:
        """See ``News``."""
        kept, lapses = self._places(topic)
        args = (self._channel(topic), self._sender, name, write_note(stamp, text), seconds, MOST_NOTES)
        self._put((topic, name), ("EVAL", NOTE, 2, kept, lapses, *args))

    async def notes(self, topic: str) -> AsyncIterator[Sequence[bytes]]:
        """See ``News``. Raises RedisError and OSError."""
        kept, lapses = self._places(topic)
        seconds, micros = await self._client.time()
        now = seconds * 1_000_000 + micros
        for start in range(0, MOST_NOTES, _PAGE):
            names = await self._client.zrevrangebyscore(lapses, "+inf", f"({now}", start=start, num=_PAGE)
            if not names:
                return
            yield [note for note in await self._client.hmget(kept, names) if note is not None]

    # ------------------------------------------------------------ living

    async def start(self) -> None:
        """Begin to hear and to tell. Works without Redis."""
        self._tasks = [asyncio.create_task(self._hear(), name="news"), asyncio.create_task(self._send(), name="news")]

    async def close(self) -> None:
        """Stop, and give back the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*_AWAY):
            await self._client.aclose(close_connection_pool=True)

    def _channel(self, topic: str) -> str:
        return f"{self._prefix}:news:{topic}"

    def _places(self, topic: str) -> tuple[str, str]:
        return f"{self._prefix}:notes:{topic}", f"{self._prefix}:lapses:{topic}"

    # ------------------------------------------------------------ telling

    def _put(self, name: tuple[str, str], command: tuple[str | bytes | int, ...]) -> None:
        self._waiting.pop(name, None)
        if len(self._waiting) >= _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[name] = command
        self._wake.set()

    async def _send(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            await self._wake.wait()
            batch = dict(islice(self._waiting.items(), _AT_ONCE))
            try:
                await self._sent(list(batch.values()))
            except _AWAY:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _SHORTEST_PAUSE
            for name, command in batch.items():
                # What replaced it meanwhile is still to be told.
                if self._waiting.get(name) is command:
                    del self._waiting[name]
            if not self._waiting:
                self._wake.clear()

    async def _sent(self, commands: list[tuple[str | bytes | int, ...]]) -> None:
        """Whatever Redis refuses is not told: it would be refused again."""
        async with asyncio.timeout(_HARD_LIMIT), self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            await pipeline.execute(raise_on_error=False)

    # ------------------------------------------------------------ hearing

    async def _hear(self) -> None:
        """Hear others for ever, whatever becomes of Redis."""
        pause = _SHORTEST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._hear_while_there()
            except _AWAY as error:
                self._tell_away(type(error).__name__)
            except Exception as error:
                self._up = False
                _log.error("defect", work="news", exc_info=error)
            # Whoever drops us again and again is not asked at once.
            pause = _SHORTEST_PAUSE if time.monotonic() - began > _LONGEST_PAUSE else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _hear_while_there(self) -> None:
        async with self._client.pubsub() as ear:
            async with asyncio.timeout(_HARD_LIMIT):
                await ear.subscribe(*self._topics)
                for _ in self._topics:
                    await ear.get_message(timeout=_HARD_LIMIT)
            for topic in self._topics.values():
                await topic.joined()
            self._tell_there()
            asked = False
            while True:
                message = await ear.get_message(timeout=self._silence)
                if message is not None:
                    asked = False
                    self._take(message)
                elif asked:
                    raise TimeoutError
                else:
                    asked = True
                    await ear.ping()

    def _take(self, message: dict[str, Any]) -> None:
        topic, data = self._topics.get(message["channel"]), message["data"]
        if topic is None or message["type"] != "message" or data[:_SENDER] == self._sender:
            return
        try:
            topic.heard(data[_SENDER:])
        except Exception as error:
            _log.error("defect", work="news", exc_info=error)

    def _tell_there(self) -> None:
        _log.info("replicas hear each other")
        self._up = True

    def _tell_away(self, why: str) -> None:
        if self._up is not False:
            _log.warning("replicas do not hear each other", why=why)
        self._up = False
