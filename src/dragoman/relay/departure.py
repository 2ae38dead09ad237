"""Noticing that the client hung up, in every phase of a call, and stopping the call at once.

One task per call waits for the departure and cancels the call's own task; nothing is paid per chunk.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from dragoman.language.failures import Failure
from dragoman.relay.calls import Client


class Departed(Exception):
    """The client is gone, or is treated as gone."""


class GivenUp(Exception):
    """The call was stopped from outside for a reason the client is to hear."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Departure:
    """``with Departure(client):`` raises Departed inside when the client hangs up.

    ``give_up`` stops the call for another reason: None means a client that takes nothing.
    """

    __slots__ = ("_call", "_client", "_failure", "_gone", "_over", "_watcher")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._gone = False
        self._over = False
        self._failure: Failure | None = None
        self._call: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._call = asyncio.current_task()
        self._watcher = asyncio.get_running_loop().create_task(self._wait())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()
        # The tasks know us: a cycle would keep the whole call in memory for a while.
        call, self._call, self._watcher = self._call, None, None
        if not isinstance(error, asyncio.CancelledError) or not self._gone or call is None:
            return
        # A second cancellation is not ours: whoever stops the server means it.
        if call.uncancel() == 0:
            if self._failure is not None:
                raise GivenUp(self._failure) from None
            raise Departed from None

    def settle(self) -> None:
        """The answer is complete: a departure now is none."""
        self._over = True
        if self._watcher is not None:
            self._watcher.cancel()

    def give_up(self, failure: Failure | None) -> None:
        """Stop the call, as if the client had left, or with a failure to tell it."""
        if not self._over and not self._gone and self._call is not None:
            self._gone = True
            self._failure = failure
            self._call.cancel()

    async def _wait(self) -> None:
        await self._client.gone()
        self.give_up(None)
