"""Thoughts that a model writes into its visible text between tags, at the very head (T11).

Only a leading tag opens a thought; a later mention stays text; a thought never closed is a thought
to its end. Pieces of a tag split over chunks are joined. This module must not know the wire.
"""

from __future__ import annotations

from typing import Literal

TAGS = {"<think>": "</think>", "<thought>": "</thought>"}

Piece = tuple[Literal["thought", "text"], str]


class LeadingThought:
    """Splits a growing text into its leading thought and the text behind it.

    ``done`` tells that all further text is plain, so that the caller can stop asking.
    """

    __slots__ = ("_close", "_held", "_thought", "_trim", "done")

    def __init__(self) -> None:
        self.done = False
        self._held = ""
        self._close = ""
        self._thought = False
        self._trim = False

    @property
    def busy(self) -> bool:
        """Whether a tag is open, or a piece of text waits to be settled."""
        return bool(self._close or self._held)

    def feed(self, text: str) -> list[Piece]:
        """Take a piece of text, return what it settles."""
        if self.done:
            return [("text", text)] if text else []
        self._held += text
        if self._trim:
            return self._after()
        if not self._close and not self._opened():
            return self._release() if self.done else []
        return self._inside()

    def finish(self) -> list[Piece]:
        """No more text: an unclosed thought is a thought, half a tag is text."""
        kind: Literal["thought", "text"] = "thought" if self._close and not self._trim else "text"
        held, self._held, self.done = self._held, "", True
        return [(kind, held)] if held else []

    def _opened(self) -> bool:
        """Whether a leading tag is complete; settles ``done`` when none can come any more."""
        head = self._held.lstrip()
        for tag, close in TAGS.items():
            if head.startswith(tag):
                self._close = close
                self._held = head[len(tag) :]
                return True
        self.done = bool(head) and not any(tag.startswith(head) for tag in TAGS)
        return False

    def _release(self) -> list[Piece]:
        held, self._held = self._held, ""
        return [("text", held)]

    def _inside(self) -> list[Piece]:
        if not self._thought:
            self._held = self._held.lstrip("\r\n")
        thought, close, rest = self._held.partition(self._close)
        if close:
            self._trim, self._held = True, rest
            return [*self._grown(thought), *self._after()]
        keep = _overlap(self._held, self._close)
        settled = self._held[: len(self._held) - keep]
        self._held = self._held[len(settled) :]
        return self._grown(settled)

    def _grown(self, thought: str) -> list[Piece]:
        if not thought:
            return []
        self._thought = True
        return [("thought", thought)]

    def _after(self) -> list[Piece]:
        """Blanks between the closing tag and the text belong to neither."""
        rest = self._held.lstrip()
        self._held = ""
        self.done = bool(rest)
        return [("text", rest)] if rest else []


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0


def split_whole(text: str) -> list[Piece]:
    """The pieces of a text that is known to its end, at most one thought and one text."""
    if "<th" not in text[:200]:
        return [("text", text)] if text else []
    tags = LeadingThought()
    return [*tags.feed(text), *tags.finish()]
