"""A bounded store whose entries expire: what the relay remembers between calls, in memory only.

Whatever lies here may vanish; who takes from it must be able to go without. It must not know what
the entries mean.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Shelf(Generic[Item]):
    """Entries by key, each with a size in bytes. The one used longest ago goes first when room is short.

    ``life`` is in seconds since the entry was last touched.
    """

    def __init__(self, *, entries: int, size: int, life: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._items: OrderedDict[Hashable, tuple[float, int, Item]] = OrderedDict()
        self._entries = entries
        self._room = size
        self._life = life
        self._clock = clock
        self.size = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, key: Hashable, item: Item, size: int) -> None:
        """Lay an item on the shelf; one that is larger than the whole shelf is not kept."""
        self.drop(key)
        if size > self._room:
            return
        self._items[key] = (self._clock() + self._life, size, item)
        self.size += size
        while len(self._items) > self._entries or self.size > self._room:
            self.drop(next(iter(self._items)))
        self._expire()

    def take(self, key: Hashable) -> Item | None:
        """Look at an item, which stays and lives on; None when it is not here."""
        entry = self._items.get(key)
        if entry is None:
            return None
        expires, size, item = entry
        if expires <= self._clock():
            self.drop(key)
            return None
        self._items[key] = (self._clock() + self._life, size, item)
        self._items.move_to_end(key)
        return item

    def drop(self, key: Hashable) -> bool:
        """Remove an item; tells whether it was there."""
        entry = self._items.pop(key, None)
        if entry is None:
            return False
        self.size -= entry[1]
        return True

    def _expire(self) -> None:
        """The oldest entries come first, so this stops at the first that lives."""
        now = self._clock()
        while self._items:
            key, (expires, _, _) = next(iter(self._items.items()))
            if expires > now:
                return
            self.drop(key)
