"""Learns how far counts are from what a provider reports, model by model.

Only OpenAI publishes its vocabulary; the others' are approached by a factor. An estimate that was
corrected is still an estimate: it must never be stored as a report.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from threading import Lock

LEAST, MOST = 0.5, 2.5
_WEIGHT = 0.2
_TELLING = 50
"""Counts below this tell more about framing than about the vocabulary."""
_REMEMBERED = 1_000

_CLAUDE = re.compile(r"claude(?:-[a-z]+)*-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_NEW_CLAUDE = (4, 7)


@lru_cache(maxsize=1_024)
def family(model: str) -> str:
    """Return ``claude``, ``gemini``, ``gpt`` or nothing."""
    name = model.lower()
    for word in ("claude", "gemini"):
        if word in name:
            return word
    return "gpt" if re.search(r"(?:^|[/.:])(?:gpt|chatgpt|o\d)", name) else ""


def first_factor(model: str) -> float:
    """Return the factor a model starts with."""
    kind = family(model)
    if kind == "claude":
        found = _CLAUDE.search(model.lower())
        version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
        return 1.35 if version >= _NEW_CLAUDE else 1.15
    return 1.1 if kind == "gemini" else 1.0


class Correction:
    """One factor per model: a moving average of reported ÷ counted, held between 0.5 and 2.5.

    ``first`` gives the factor of a model nothing was learnt about.
    """

    def __init__(self, first: Callable[[str], float] = first_factor) -> None:
        self._first = first
        self._factors: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def factor(self, model: str) -> float:
        """Return what a count for the model is to be multiplied by."""
        with self._lock:
            known = self._factors.get(model)
        return self._first(model) if known is None else known

    def corrected(self, model: str, counted: int) -> int:
        """Return the estimate for a raw count."""
        return max(0, round(counted * self.factor(model)))

    def learn(self, model: str, counted: int, reported: int) -> None:
        """Take in what a provider reported for a prompt whose raw count was ``counted``."""
        if counted < _TELLING or reported <= 0:
            return
        seen = min(MOST, max(LEAST, reported / counted))
        with self._lock:
            before = self._factors.pop(model, None)
            start = self._first(model) if before is None else before
            self._factors[model] = min(MOST, max(LEAST, start + _WEIGHT * (seen - start)))
            while len(self._factors) > _REMEMBERED:
                self._factors.popitem(last=False)
