"""Keepsakes: what a provider wants to see again and the client's dialect has no room for (trap T05).

Gemini's ``thoughtSignature`` on a call, OpenAI's encrypted reasoning and Anthropic's signed thoughts
before a call are kept by (owner, call id) while the answer passes by, and put back when the client's
next turn names the call. A miss costs the reasoning of one turn, never an error. It must not know
any wire's fields: it keeps whatever extras a part has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from dragoman.language.events import Event, PartDelta, PartEnded, PartStarted
from dragoman.language.ir import Extras, Message, Part, Reasoning, Request, ToolCall, merge_extras
from dragoman.language.issuers import marked
from dragoman.language.losses import Receipt
from dragoman.language.wire import decode_exactly, encode
from dragoman.relay.issuers import Issuers
from dragoman.relay.shelf import Shelf
from dragoman.store.deposit import Deposit

LIFE = 6 * 3600.0
ENTRIES = 50_000
ROOM = 64 * 1024 * 1024
ABSENT = 60.0
"""Seconds for which other replicas are not asked again for what they did not have."""

KIND = "keepsakes"
MOST_ASKED = 1_000
"""Calls of one history, the last ones, that other replicas are asked for."""

MAX_ONE = 1024 * 1024
"""Bytes one keepsake may take."""


@dataclass(slots=True)
class Keepsake:
    """Extras of one call, and the thoughts that came before it. ``said`` tells the call from others of its id."""

    extras: Extras
    thoughts: list[Reasoning]
    said: bytes = b""


class Keepsakes:
    """The store of all owners. ``issuers`` is what is known of who issued what.

    ``deposit`` is where other replicas find what is kept here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, deposit: Deposit | None = None) -> None:
        self._shelf: Shelf[Keepsake] = Shelf(entries=ENTRIES, size=ROOM, life=LIFE, clock=clock)
        self._absent: Shelf[bool] = Shelf(entries=ENTRIES, size=ROOM, life=ABSENT, clock=clock)
        self._deposit = deposit
        self.issuers = Issuers(clock)

    def __len__(self) -> int:
        return len(self._shelf)

    def keep(self, owner: str, call_id: str, keepsake: Keepsake, *, plain: bool = False) -> None:
        """Keep one, unless there is nothing in it that could be lost. ``plain``: thoughts are, that nobody signed."""
        thoughts = keepsake.thoughts
        lost = _meaningful(keepsake.extras) or any(plain or _meaningful(thought.extras) for thought in thoughts)
        if not call_id or not lost:
            return
        size = _size(keepsake)
        if size <= MAX_ONE:
            self._shelf.put((owner, call_id), keepsake, size)
            if self._deposit is not None:
                self._deposit.put(self._deposit.place(KIND, owner, call_id), lambda: write_keepsake(keepsake))

    @property
    def alone(self) -> bool:
        """Whether no other replica can have kept anything."""
        return self._deposit is None

    async def recall(self, owner: str, messages: Sequence[Message]) -> None:
        """Fetch what other replicas keep for the calls of a history, so that it can be restored."""
        if self._deposit is None:
            return
        parts = (part for message in messages for part in message.parts if isinstance(part, ToolCall))
        names = dict.fromkeys((owner, part.id) for part in parts if part.id)
        missing = [name for name in names if not self._shelf.take(name) and not self._absent.take(name)][-MOST_ASKED:]
        if not missing:
            return
        found = await self._deposit.take([self._deposit.place(KIND, *name) for name in missing])
        for name, data in zip(missing, found or (), strict=False):
            keepsake = None if data is None else read_keepsake(data)
            if keepsake is None:
                self._absent.put(name, True, 100)
            else:
                self._shelf.put(name, keepsake, _size(keepsake))

    def restore(self, owner: str, request: Request, receipt: Receipt) -> None:
        """Put back into the request's history what is kept for its calls. Changes the request's list of messages."""
        messages = self.restored(owner, request.messages, receipt)
        if messages is not request.messages:
            request.messages[:] = messages

    def restored(self, owner: str, messages: list[Message], receipt: Receipt) -> list[Message]:
        """The history with what is kept for its calls; the same list when nothing is."""
        if not len(self._shelf):
            return messages
        out = messages
        led = False
        for at, message in enumerate(messages):
            if message.role != "assistant":
                led = False
                continue
            if any(isinstance(part, ToolCall) for part in message.parts):
                whole = self._restored(owner, message, at, led, receipt)
                if whole is not message:
                    out = list(messages) if out is messages else out
                    out[at] = whole
            led = _leads(message.parts, led)
        return out

    def _restored(self, owner: str, message: Message, at: int, led: bool, receipt: Receipt) -> Message:
        """The message with what is kept. ``led``: its thought is there already, in the message before it."""
        parts: list[Part] = []
        changed = False
        told = [part for part in message.parts if isinstance(part, Reasoning)]
        signed = led or _signed(told)
        stale = False
        for part in message.parts:
            kept = self._kept(owner, part) if isinstance(part, ToolCall) else None
            if kept is None or not isinstance(part, ToolCall):
                parts.append(part)
                continue
            if kept.thoughts and not signed and (not told or _signed(kept.thoughts)):
                stale = bool(told)
                first = not any(isinstance(other, ToolCall) for other in parts)
                # Thoughts before the first call came before the words too.
                parts[0 if first else len(parts) : 0 if first else len(parts)] = kept.thoughts
                changed = True
            extras = merge_extras(kept.extras, part.extras)
            if extras != part.extras:
                part, changed = replace(part, extras=extras), True
            parts.append(part)
        if not changed:
            return message
        if stale:
            # The client gave back the words of the same thoughts, which had lost what makes them worth giving back.
            parts = [part for part in parts if not any(part is words for words in told)]
        receipt.note(f"messages[{at}]", "restored", "what the provider had attached to its tool calls was put back")
        return replace(message, parts=parts)

    def _kept(self, owner: str, call: ToolCall) -> Keepsake | None:
        """What is kept for this very call: an id may come again in another conversation (R04)."""
        kept = self._shelf.take((owner, call.id))
        return kept if kept is not None and kept.said in (b"", _said(call)) else None


def _size(keepsake: Keepsake) -> int:
    """Bytes it takes, near enough."""
    size = 200 + len(encode(keepsake.extras))
    return size + sum(100 + len(thought.text) + len(encode(thought.extras)) for thought in keepsake.thoughts)


def write_keepsake(keepsake: Keepsake) -> bytes:
    """As JSON."""
    thoughts = [[thought.text, thought.extras] for thought in keepsake.thoughts]
    return encode([keepsake.extras, thoughts, keepsake.said.hex()])


def read_keepsake(data: bytes) -> Keepsake | None:
    """What ``write_keepsake`` wrote; None for what another release did."""
    try:
        extras, thoughts, said = decode_exactly(data)
        keepsake = Keepsake(extras, [Reasoning(text, more) for text, more in thoughts], bytes.fromhex(said))
    except (ValueError, TypeError):
        return None
    return keepsake if isinstance(extras, dict) else None


def _said(call: ToolCall) -> bytes:
    """The call's name and arguments, whatever the order and spelling a client gives them back in."""
    try:
        arguments = json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except ValueError:
        arguments = call.arguments
    return blake2b(f"{call.name}\0{arguments}".encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _leads(parts: Sequence[Part], led: bool) -> bool:
    """Whether a signed thought stands before what comes next. ``led``: one does before these parts."""
    for part in parts:
        if isinstance(part, Reasoning):
            led = led or _signed([part])
        elif isinstance(part, ToolCall):
            led = False
    return led


def _signed(thoughts: Sequence[Reasoning]) -> bool:
    """Whether somebody signed one of them."""
    return any(_meaningful(thought.extras) for thought in thoughts)


def _meaningful(extras: Extras) -> bool:
    return any(not name.startswith("~") for fields in extras.values() for name in fields)


@dataclass(slots=True)
class _Open:
    part: Reasoning | ToolCall
    pieces: list[str] = field(default_factory=list)


class Collector:
    """Watches the events of one answer and keeps what its calls will need.

    ``issuer`` is written on what is kept; ``plain``: the provider wants thoughts back that nobody signed (T12).
    """

    def __init__(self, keepsakes: Keepsakes, owner: str, issuer: str = "", *, plain: bool = False) -> None:
        self._keepsakes = keepsakes
        self._owner = owner
        self._issuer = issuer
        self._plain = plain
        self._open: dict[int, _Open] = {}
        self._thoughts: list[Reasoning] = []

    def add(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, PartDelta):
            if event.index in self._open:
                self._open[event.index].pieces.append(event.text)
        elif isinstance(event, PartStarted):
            if isinstance(event.part, Reasoning | ToolCall):
                self._open[event.index] = _Open(event.part)
        elif isinstance(event, PartEnded) and event.index in self._open:
            self._ended(self._open.pop(event.index), event.extras)

    def _ended(self, opened: _Open, extras: Extras) -> None:
        whole = merge_extras(opened.part.extras, extras)
        pieces = "".join(opened.pieces)
        if isinstance(opened.part, Reasoning):
            text = opened.part.text + pieces
            self._thoughts.append(replace(opened.part, text=text, extras=marked(whole, self._issuer)))
            return
        call = replace(opened.part, arguments=opened.part.arguments + pieces)
        if _meaningful(whole):
            whole = marked(whole, self._issuer)
        keepsake = Keepsake(whole, self._thoughts, _said(call))
        self._keepsakes.keep(self._owner, call.id, keepsake, plain=self._plain and bool(self._thoughts))
        self._thoughts = []
