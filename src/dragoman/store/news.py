"""What replicas tell each other: news that is heard at once, and notes that are kept for who comes later.

Nobody may rely on it. Who tells never waits and hears of no failure, and of two notes of one name the newer
one wins everywhere. It must not know what is told, nor how.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

STAMP = 16
"""Digits before the text of a note."""


class News(Protocol):
    """The other replicas. All methods are for one event loop."""

    def follow(self, topic: str, heard: Callable[[bytes], None], joined: Callable[[], Awaitable[None]]) -> None:
        """Hear what others tell. ``joined`` is called once words can be heard, and whenever some were missed.

        To be said before anything can be heard.
        """

    def tell(self, topic: str, text: bytes) -> None:
        """Tell the others, now or as soon as they can be reached; what was to be told of the topic is obsolete."""

    def note(self, topic: str, name: str, text: bytes, *, stamp: int, seconds: int) -> None:
        """Tell the others, and those that come within ``seconds``. Of one name the note of the highest stamp holds.

        They hear stamp and text: see ``read_note``.
        """

    def notes(self, topic: str) -> AsyncIterator[Sequence[bytes]]:
        """The notes of a topic that have not lapsed, youngest first, some at a time.

        Raises what ``joined`` may raise: that they cannot be reached.
        """


def write_note(stamp: int, text: bytes) -> bytes:
    """A note that compares by its stamp."""
    return b"%0*d" % (STAMP, stamp) + text


def read_note(note: bytes) -> tuple[int, bytes]:
    """Stamp and text. Raises ValueError."""
    return int(note[:STAMP]), note[STAMP:]
