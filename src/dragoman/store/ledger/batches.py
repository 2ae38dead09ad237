"""Group commits without a timer: a batch is whatever queued while the last one was being committed.

Alone, a step waits for nothing but its own commit; under load many share one. It must not know what a
step is, nor databases.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

MOST = 500
"""Items of one batch."""


@dataclass(slots=True)
class Waiting(Generic[Item]):
    """An item, and whoever waits for it."""

    item: Item
    future: asyncio.Future[None]

    def done(self) -> None:
        """It is durable."""
        if not self.future.done():
            self.future.set_result(None)

    def refused(self, error: Exception) -> None:
        """It is not, and will not be."""
        if not self.future.done():
            self.future.set_exception(error)

    @property
    def forsaken(self) -> bool:
        """Whether nobody waits any more."""
        return self.future.cancelled()


Commit = Callable[[list[Waiting[Item]]], Awaitable[list[Waiting[Item]]]]
"""Makes a batch durable: settles each future, and returns what is to be tried again."""


class Batches(Generic[Item]):
    """A queue and its one flusher, which lives only while there is something to do.

    What comes back from ``commit`` is tried again after ``pause`` seconds, ahead of all others. Nothing
    is dropped because its waiter was cancelled: a step that was asked for may have happened.
    """

    def __init__(self, commit: Commit[Item], *, most: int = MOST, pause: float = 0.25) -> None:
        self._commit = commit
        self._most = most
        self._pause = pause
        self._queue: deque[Waiting[Item]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    async def add(self, item: Item) -> None:
        """Return when it is durable. Raises what ``commit`` refused it with."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(item, loop.create_future())
        self._queue.append(waiting)
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        await waiting.future

    async def quiet(self) -> None:
        """Return when nothing is left to do."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        again: list[Waiting[Item]] = []
        try:
            while again or self._queue:
                if again:
                    await asyncio.sleep(self._pause)
                batch = again
                while self._queue and len(batch) < self._most:
                    batch.append(self._queue.popleft())
                again = await self._committed(batch)
        finally:
            self._flusher = None

    async def _committed(self, batch: list[Waiting[Item]]) -> list[Waiting[Item]]:
        try:
            return await self._commit(batch)
        except Exception as error:  # a defect in here must not leave callers waiting for ever
            for waiting in batch:
                waiting.refused(error)
            return []
