"""Calls at once: a set of call ids, each with the tick at which its place lapses.

A call that ends gives its place back; one that dies leaves it to its lease. It must not know clocks.
"""

from __future__ import annotations


class Places:
    """The places of one scope. Those renewed last stand last: all leases are equally long."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, call: str) -> bool:
        return call in self._until

    def taken(self, now: int) -> int:
        """How many places are taken; lapsed ones are not."""
        until = self._until
        while until:
            call = next(iter(until))
            if until[call] > now:
                break
            del until[call]
        return len(until)

    def free(self, call: str) -> None:
        """The call is over."""
        self._until.pop(call, None)

    def take(self, call: str, until: int) -> None:
        """A place for the call, or more time for the one it has."""
        self._until.pop(call, None)
        self._until[call] = until
