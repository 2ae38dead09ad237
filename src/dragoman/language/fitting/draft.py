"""The request while it is being fitted: what every concern of ``fitting`` reads and replaces.

A concern never changes a value of the client's request; it replaces fields of the draft's shallow
copy with new values and shares the rest. Dropped parts leave ``GONE`` behind until the history is
rebuilt, so that every path in the receipt counts as the client counts. This module must not know any wire.
"""

from __future__ import annotations

from copy import copy

from dragoman.language.fitting.names import ToolNames
from dragoman.language.ir import Part, Request, Text
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

GONE: Part = Text("")
"""Stands where a part was dropped. Compared by identity."""


class Draft:
    """A request under fitting.

    ``source`` is the client's request, never changed; ``request`` its shallow copy. ``gone`` tells
    that some part is ``GONE``, ``result_media`` that media is to leave the tool results.
    """

    __slots__ = ("cut_stops", "gone", "names", "profile", "receipt", "request", "result_media", "source")

    def __init__(self, source: Request, profile: Profile, receipt: Receipt) -> None:
        self.source = source
        self.request = copy(source)
        self.profile = profile
        self.receipt = receipt
        self.names = ToolNames()
        self.cut_stops: list[str] = []
        self.gone = False
        self.result_media = False

    def drop(self, path: str, why: str) -> Part:
        """Note a dropped part and return what takes its place."""
        self.receipt.note(path, "dropped", why)
        self.gone = True
        return GONE
