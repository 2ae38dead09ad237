"""Money and tokens of a window: how much to hold for a call, and what is spent and held.

A call holds its prompt and a slice of its answer, and asks for the next slice while it speaks; so agents that
allow themselves long answers do not lock each other out. All amounts are whole numbers: nano-USD or
tokens. It must not know clocks or stores.
"""

from __future__ import annotations

from dragoman.relay.admission.model import Wish

SLICE = 4_096
"""Tokens of output that are held at a time."""

REFILL = 1_024
"""With fewer tokens of a slice left, the next one is asked for."""

WHOLE = 32_768
"""Tokens held for an answer that comes at once and has no limit anybody knows."""


def first_grant(wish: Wish) -> int:
    """Tokens of output to hold at first: all there may be of an answer that does not tell how it grows."""
    if not wish.stream or wish.hidden_reasoning:
        known = (limit for limit in (wish.output_limit, wish.output_ceiling) if limit is not None)
        return next(known, WHOLE)
    return SLICE if wish.output_limit is None else min(SLICE, wish.output_limit)


def next_grant(granted: int, output: int, limit: int | None) -> int:
    """Tokens of output to hold when so many have come; ``granted`` while that is enough.

    ``limit`` is the client's. A provider that goes beyond it is still followed.
    """
    bounded = limit is not None and output < limit
    needed = output + REFILL
    if bounded and limit is not None:
        needed = min(needed, limit)
    if granted >= needed:
        return granted
    slices = -(-(needed - granted) // SLICE)
    grown = granted + slices * SLICE
    return min(grown, limit) if bounded and limit is not None else grown


class Counter:
    """One budget in one window: what is spent, and what each running call holds.

    ``charged`` is all that was ever charged here; it only grows, so that a look at the ledger knows what came since.
    """

    __slots__ = ("_holds", "_seen", "_settled", "charged", "held")

    def __init__(self, settled: int = 0) -> None:
        self.charged = 0
        self.held = 0
        self._settled = settled
        self._seen = 0
        self._holds: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._holds)

    @property
    def spent(self) -> int:
        """What the ledger said, and what was charged since."""
        return self._settled + self.charged - self._seen

    def holds(self, call: str) -> int:
        """What the call holds."""
        found = self._holds.get(call)
        return 0 if found is None else found[0]

    def expire(self, now: int) -> None:
        """Give back what calls held whose lease has lapsed."""
        holds = self._holds
        while holds:
            call = next(iter(holds))
            if holds[call][1] > now:
                return
            self.release(call)

    def fits(self, call: str, amount: int, limit: int, share: int = 1) -> bool:
        """Whether the call may hold this amount, all in all.

        With ``share`` replicas, each has its part of what was left when the ledger was last asked.
        """
        ours = self.charged - self._seen + self.held + amount - self.holds(call)
        return self._settled + share * ours <= limit

    def hold(self, call: str, amount: int, until: int) -> None:
        """The call holds this amount, all in all, until the tick."""
        found = self._holds.pop(call, None)
        self.held += amount - (0 if found is None else found[0])
        self._holds[call] = (amount, until)

    def release(self, call: str) -> None:
        """The call holds nothing any more."""
        found = self._holds.pop(call, None)
        if found is not None:
            self.held -= found[0]

    def correct(self, charged: int, settled: int) -> None:
        """The ledger says so. It was asked when so much was ``charged``: what came since stays on top."""
        self._settled, self._seen = settled, charged
