"""How often somebody may try and fail: guesses are counted by address or name and refused beyond a bound.

It must not know what was tried.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MICRO = 1_000_000
_KNOWN = 10_000


class TooManyAttempts(Exception):
    """Refused without looking. ``retry_after`` is whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many failed attempts")
        self.retry_after = retry_after


class Attempts:
    """Failures by name: more than ``limit`` in ``seconds`` shut the door until the oldest is forgotten.

    ``clock`` gives microseconds. Memory is bounded: the names heard of longest ago are forgotten first.
    """

    def __init__(self, limit: int, clock: Callable[[], int], *, seconds: int = 60) -> None:
        self._limit = limit
        self._span = seconds * MICRO
        self._clock = clock
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def check(self, name: str) -> None:
        """Raises TooManyAttempts."""
        failures = self._fresh(name)
        if len(failures) >= self._limit:
            left = failures[0] + self._span - self._clock()
            raise TooManyAttempts(max(1, -(-left // MICRO)))

    def guess(self, name: str) -> None:
        """Count one before it is looked at, so that many at once are as many. Raises TooManyAttempts."""
        self.check(name)
        self.failed(name)

    def forgive(self, name: str) -> None:
        """One that was counted by ``guess`` was right, or was not looked at."""
        if failures := self._fresh(name):
            failures.pop()

    def failed(self, name: str) -> None:
        """Count one."""
        self._fresh(name).append(self._clock())
        self._failures.move_to_end(name)

    def _fresh(self, name: str) -> deque[int]:
        failures = self._failures.setdefault(name, deque(maxlen=self._limit))
        oldest = self._clock() - self._span
        while failures and failures[0] <= oldest:
            failures.popleft()
        while len(self._failures) > _KNOWN:
            self._failures.popitem(last=False)
        return failures


def address_of(scope: Mapping[str, Any], headers: Mapping[str, str], trusted: Sequence[str]) -> str:
    """The client's address: the connection's, or what a trusted proxy says of it (its last hop that is not one)."""
    address = (scope.get("client") or ("",))[0]
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and _within(address, trusted):
        address = hops.pop()
    return str(address)


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(network, strict=False) for network in networks)
    except ValueError:
        return False
