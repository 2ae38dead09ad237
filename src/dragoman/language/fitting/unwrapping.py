"""The raw text inside ``{"input": "..."}``, decoded as it arrives.

A free-form tool is offered to targets that know only functions as a function with one string; what
the model writes comes back in pieces of JSON that may be split anywhere, in an escape or between
two halves of a character. This module must not know any wire.
"""

from __future__ import annotations

import re

from dragoman.language.wire import decode

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_LONGEST_HEAD = 256
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_SPECIAL = re.compile(r'["\\]')


class InputText:
    """Pieces of argument JSON in, pieces of the text inside out.

    Arguments of another shape come out whole at ``close``: the value of ``input`` when they are an
    object that has one as a string, else the arguments as they are.
    """

    __slots__ = ("_done", "_held", "_inside", "_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._held = ""
        self._inside = False
        self._done = False

    def feed(self, piece: str) -> str:
        """The text this piece completes."""
        if self._done or not piece:
            return ""
        if self._inside:
            return self._decoded(self._held + piece)
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size - len(piece) > _LONGEST_HEAD:
            return ""  # the beginning is known by now, and it is another shape
        begun = "".join(self._pieces)
        head = _HEAD.match(begun)
        if head is None:
            return ""
        self._inside = True
        self._pieces = []
        return self._decoded(begun[head.end() :])

    def close(self) -> str:
        """What is left when the arguments end."""
        if self._inside:
            held, self._held = self._held, ""
            return "" if self._done or not held else self._cut_short(held)
        whole = "".join(self._pieces)
        try:
            value = decode(whole)
        except ValueError:
            return whole
        if isinstance(value, dict) and isinstance(value.get("input"), str):
            return str(value["input"])
        return whole

    def _decoded(self, text: str) -> str:
        """Decode up to the closing quote or the last complete escape; hold the rest."""
        out: list[str] = []
        place = 0
        while True:
            special = _SPECIAL.search(text, place)
            if special is None:
                out.append(text[place:])
                self._held = ""
                break
            at = special.start()
            out.append(text[place:at])
            if text[at] == '"':
                self._done, self._held = True, ""
                break
            character, place = _escape(text, at)
            if not place:
                self._held = text[at:]
                break
            out.append(character)
        return "".join(out)

    @staticmethod
    def _cut_short(held: str) -> str:
        """An escape the answer broke off in: half a character becomes U+FFFD, anything less nothing."""
        return "\ufffd" if _HEX.match(held, 2) else ""


def _escape(text: str, at: int) -> tuple[str, int]:
    """The character an escape means and where it ends; the end is 0 while the escape is incomplete."""
    kind = text[at + 1 : at + 2]
    if kind != "u":
        return (_ESCAPES.get(kind, "\\" + kind), at + 2) if kind else ("", 0)
    if len(text) < at + 6:
        return "", 0
    if _HEX.match(text, at + 2) is None:
        return "\\u", at + 2
    unit = int(text[at + 2 : at + 6], 16)
    if not 0xD800 <= unit <= 0xDFFF:
        return chr(unit), at + 6
    return _surrogate(text, at, unit)


def _surrogate(text: str, at: int, unit: int) -> tuple[str, int]:
    """A pair of halves, or U+FFFD for a half that stands alone."""
    if unit >= 0xDC00:
        return "\ufffd", at + 6
    following = text[at + 6 : at + 12]
    if len(following) < 6 and "\\u"[: len(following)] == following[:2]:
        return "", 0
    if following[:2] != "\\u" or _HEX.match(following, 2) is None:
        return "\ufffd", at + 6
    low = int(following[2:], 16)
    if not 0xDC00 <= low <= 0xDFFF:
        return "\ufffd", at + 6
    return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), at + 12
