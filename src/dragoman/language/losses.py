"""The translation receipt: what was changed on the way between two dialects, and why.

Losses are data, collected while a request is fitted and written and while an answer is written.
This module must not know any dialect; it only counts, and finds what a target cannot take.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

What = Literal["dropped", "approximated", "moved", "repaired", "restored"]


@dataclass(frozen=True, slots=True)
class Loss:
    """One line of the receipt. ``path`` is in the client's terms, ``why`` a short sentence."""

    path: str
    what: What
    why: str


class Receipt:
    """The list of losses of one call, in the order they were found, each once."""

    __slots__ = ("_seen", "losses")

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._seen: set[Loss] = set()

    def note(self, path: str, what: What, why: str) -> None:
        """Add one line unless it is there already."""
        loss = Loss(path, what, why)
        if loss not in self._seen:
            self._seen.add(loss)
            self.losses.append(loss)

    def header(self) -> str:
        """Counts by kind for the ``X-Dragoman-Receipt`` header, ``none`` when nothing was lost."""
        if not self.losses:
            return "none"
        counts = Counter(loss.what for loss in self.losses)
        return "; ".join(f"{what}={counts[what]}" for what in sorted(counts))
