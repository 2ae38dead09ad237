"""What one replica lays down for an hour so that another can go on with it.

Nobody may rely on it: what is not found there is gone, and whoever asks must be able to go without. It must
not know what is laid down, nor where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

LIFE = 3600
"""Seconds for which something lies there after it was put."""


class Deposit(Protocol):
    """Bytes by place. A place is made of a tenant's name for the thing, which nobody can read from it."""

    def place(self, kind: str, owner: str, name: str) -> str:
        """Where a tenant's thing of this kind lies."""

    def put(self, place: str, write: Callable[[], bytes]) -> None:
        """Lay something down soon; ``write`` is called in another thread. Nobody waits or hears of a failure."""

    def drop(self, place: str) -> None:
        """Take something away soon."""

    async def take(self, places: Sequence[str]) -> list[bytes | None] | None:
        """What lies there; None if nobody can tell now. Waits a quarter of a second at most."""
