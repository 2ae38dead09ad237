"""Where conversations went that were served out of their own order, shared by all replicas (trap K06).

A detour is put down here at once and told to the others afterwards, so no call waits for it; while the others
cannot be reached each replica knows its own. Of two choices for one conversation the later one holds. Names
leave the process only as keyed hashes. It must not know how targets are chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from dragoman.language.wire import encode
from dragoman.relay.health import Spot
from dragoman.relay.shelf import Shelf
from dragoman.store.news import News, read_note

LIFE = 900.0
"""Seconds for which a conversation stays where a detour has brought it, counted from its last call there."""

_ENTRIES = 50_000
_SIZE = 300
"""Bytes of one entry, near enough."""

_TOPIC = "detours"

Name = tuple[str, str, str]
"""Owner, conversation and route."""


class _Detour(NamedTuple):
    """``spot`` is None where a conversation goes its own way again; ``told`` is when the others last heard of it."""

    spot: Spot | None
    stamp: int
    told: float


class Detours:
    """Detours by name. ``key`` hides names from whoever reads Redis; ``news`` are the other replicas, if any."""

    def __init__(
        self,
        news: News | None = None,
        key: bytes = b"",
        *,
        clock: Callable[[], float] = time.monotonic,
        stamps: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._shelf: Shelf[_Detour] = Shelf(entries=_ENTRIES, size=_ENTRIES * _SIZE, life=LIFE, clock=clock)
        self._news, self._key, self._clock, self._stamps = news, key, clock, stamps
        if news is not None:
            news.follow(_TOPIC, self._heard, self._joined)

    def take(self, name: Name) -> Spot | None:
        """Where the conversation was brought; being asked for keeps it there."""
        place = self._place(name)
        found = self._shelf.take(place)
        if found is None:
            return None
        if self._clock() - found.told > LIFE / 3:
            self._keep(place, found.spot, found.stamp)
        return found.spot

    def put(self, name: Name, spot: Spot) -> None:
        """The conversation was served there, out of its order."""
        self._keep_newly(self._place(name), spot)

    def drop(self, name: Name) -> None:
        """The conversation goes its own way again."""
        place = self._place(name)
        found = self._shelf.take(place)
        if found is not None and found.spot is not None:
            self._keep_newly(place, None)

    def _place(self, name: Name) -> str:
        return blake2b(repr(name).encode(), digest_size=16, key=self._key).hexdigest()

    def _keep_newly(self, place: str, spot: Spot | None) -> None:
        before = self._shelf.take(place)
        # Later than what it replaces, whatever the clocks of two machines say.
        self._keep(place, spot, max(self._stamps(), 0 if before is None else before.stamp + 1))

    def _keep(self, place: str, spot: Spot | None, stamp: int) -> None:
        self._shelf.put(place, _Detour(spot, stamp, self._clock()), _SIZE)
        if self._news is not None:
            self._news.note(
                _TOPIC, place, encode([place, None if spot is None else list(spot)]), stamp=stamp, seconds=int(LIFE)
            )

    # ------------------------------------------------------------ what others tell

    def _heard(self, note: bytes) -> None:
        try:
            stamp, text = read_note(note)
            place, spot = _read(orjson.loads(text))
        except ValueError:
            return
        known = self._shelf.take(place)
        if known is None or known.stamp <= stamp:
            self._shelf.put(place, _Detour(spot, stamp, self._clock()), _SIZE)

    async def _joined(self) -> None:
        if self._news is not None:
            async for notes in self._news.notes(_TOPIC):
                for note in notes:
                    self._heard(note)


def _read(said: Any) -> tuple[str, Spot | None]:
    """Raises ValueError for what no replica of this release says."""
    match said:
        case [str(place), None] if len(place) == 32:
            return place, None
        case [str(place), [str(provider), int(key), str(model)]] if len(place) == 32:
            return place, Spot(provider, key, model)
    raise ValueError
