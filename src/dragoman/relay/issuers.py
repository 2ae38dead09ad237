"""Who issued what, as far as the gateway has seen it (traps T02, T08).

A client of the provider's own dialect echoes signatures as they are, and nothing in them tells which
account and which family of models they come from. So their fingerprints are remembered as the answers
pass by, by caller. Whatever is forgotten costs no thought: what nobody knows is let through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dragoman.language.events import Event, PartDelta, PartEnded, PartStarted
from dragoman.language.ir import Reasoning, Text, ToolCall, merge_extras
from dragoman.language.issuers import fingerprints
from dragoman.language.profiles import Profile
from dragoman.relay.shelf import Shelf

LIFE = 7 * 24 * 3600.0
ENTRIES = 100_000
_SIZE = 160
"""Bytes of one entry, near enough."""


def issuer_name(account: str, model: str, profile: Profile) -> str:
    """Who issues what this target signs.

    Claude's signatures hold on every platform that serves it
    (https://platform.claude.com/docs/en/build-with-claude/extended-thinking); everybody else's are
    bound to the account. A model of no known family stands for itself.
    """
    family = profile.family
    if profile.dialect == "anthropic" and family.startswith("claude"):
        return f"claude/{family}"
    return f"{account}/{model if family == 'other' else family}"


class Issuers:
    """Fingerprints by caller. ``many`` tells whether a caller has met more than one issuer at all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf: Shelf[str] = Shelf(entries=ENTRIES, size=ENTRIES * _SIZE, life=LIFE, clock=clock)
        self._only: dict[str, str] = {}

    def note(self, owner: str, fingerprint: bytes, issuer: str) -> None:
        """Remember who issued what."""
        self._shelf.put((owner, fingerprint), issuer, _SIZE)
        if self._only.setdefault(owner, issuer) != issuer:
            self._only[owner] = ""

    def knows_others(self, owner: str, issuer: str) -> bool:
        """Whether anything is known that somebody else than ``issuer`` gave this caller: nearly always not."""
        return self._only.get(owner, issuer) != issuer

    def find(self, owner: str) -> Callable[[bytes], str | None]:
        """The look-up of one caller."""
        return lambda fingerprint: self._shelf.take((owner, fingerprint))


@dataclass(slots=True)
class _Open:
    part: Reasoning | ToolCall | Text
    pieces: list[str] = field(default_factory=list)


class Noter:
    """Watches the events of one answer and remembers whose signatures and thoughts they are."""

    def __init__(self, issuers: Issuers, owner: str, dialect: str, issuer: str) -> None:
        self._issuers = issuers
        self._owner = owner
        self._dialect = dialect
        self._issuer = issuer
        self._open: dict[int, _Open] = {}

    def add(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, PartDelta):
            opened = self._open.get(event.index)
            if opened is not None and type(opened.part) is Reasoning:
                opened.pieces.append(event.text)
                if self._dialect == "gemini":  # clients keep a stream's pieces as thoughts of their own
                    self._note(Reasoning(event.text))
        elif isinstance(event, PartStarted):
            if isinstance(event.part, Reasoning | ToolCall | Text):
                self._open[event.index] = _Open(event.part)
        elif isinstance(event, PartEnded) and event.index in self._open:
            self._ended(self._open.pop(event.index), event)

    def _ended(self, opened: _Open, event: PartEnded) -> None:
        part = opened.part
        if not (part.extras or event.extras or isinstance(part, Reasoning)):
            return
        whole = replace(part, extras=merge_extras(part.extras, event.extras))
        if opened.pieces:
            whole.text = whole.text + "".join(opened.pieces)  # type: ignore[union-attr]
        self._note(whole)

    def _note(self, part: Reasoning | ToolCall | Text) -> None:
        for fingerprint in fingerprints(part, self._dialect):
            self._issuers.note(self._owner, fingerprint, self._issuer)
