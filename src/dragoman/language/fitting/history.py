"""Calls and results in order: each call's result right behind its turn, one each, under an id the target takes.

Pairing is by id, never by position (R03). A conversation that is in order is only looked at; one that
is not is rebuilt, every repair noted with its place in the client's list (R01 to R04). This module
must not know any wire.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from dragoman.language.fitting.draft import GONE, Draft
from dragoman.language.ir import Media, Message, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.language.profiles import Profile

NO_RESULT = "No result was provided for this call."
"""What a model reads when a call in its history was never answered."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def fit_history(draft: Draft) -> None:
    """Pair calls and results, make ids fit, and take out dropped parts and emptied messages."""
    messages = draft.request.messages
    form = _id_form(draft.profile)
    if _in_order(messages, form):
        if draft.gone:
            draft.request.messages = _swept(messages)
        return
    repair_history(draft, form)


def repair_history(draft: Draft, form: re.Pattern[str]) -> None:
    """Rebuild the conversation with a result behind each call, under ids of the form."""
    repair = _Repair(draft, form)
    for place, message in enumerate(draft.request.messages):
        repair.read(place, message)
    draft.request.messages = _swept(repair.written())


def fit_prefill(draft: Draft) -> None:
    """An answer begun by the client: taken as it is, noted, or left out where it is answered with an error (R23)."""
    messages = draft.request.messages
    if not messages or messages[-1].role != "assistant" or draft.profile.prefill in ("native", "prefix"):
        return
    place = max(n for n, message in enumerate(draft.source.messages) if message.role == "assistant")
    if draft.profile.prefill == "none":
        draft.receipt.note(f"messages[{place}]", "approximated", "the target may not go on from a begun answer")
        return
    end = len(messages)
    while end and messages[end - 1].role == "assistant":
        end -= 1
    if end:
        draft.receipt.note(f"messages[{place}]", "dropped", "the target refuses to go on from a begun answer")
        draft.request.messages = messages[:end]


def _swept(messages: list[Message]) -> list[Message]:
    """Without ``GONE``, and without the messages that held nothing else."""
    swept: list[Message] = []
    for message in messages:
        if _holds_gone(message.parts):
            parts = [part for part in message.parts if part is not GONE]
            if parts:
                swept.append(replace(message, parts=parts))
        else:
            swept.append(message)
    return swept


def _holds_gone(parts: list[Part]) -> bool:
    """Whether a part was dropped; by identity, as an empty text may equal the mark."""
    return any(part is GONE for part in parts)


def _in_order(messages: list[Message], form: re.Pattern[str]) -> bool:
    seen: set[str] = set()
    pending: set[str] = set()
    answering = called = False
    for message in messages:
        role = message.role
        if role == "assistant":
            if not answering:
                if pending:
                    return False
                answering, called = True, False
            for part in message.parts:
                if type(part) is ToolCall:
                    if part.id in seen or form.fullmatch(part.id) is None:
                        return False
                    seen.add(part.id)
                    pending.add(part.id)
                    called = True
                elif called and _speaks(part):
                    return False
        elif role == "tool":
            answering = False
            for part in message.parts:
                if type(part) is not ToolResult or part.call_id not in pending:
                    return False
                pending.discard(part.call_id)
        else:
            answering = False
            if pending:
                return False
    return not pending


def _speaks(part: Part) -> bool:
    """Whether the part must stand before the calls of its turn."""
    if isinstance(part, Text | Refusal):
        return bool(part.text) and not part.text.isspace()
    return isinstance(part, Media)


@lru_cache(maxsize=16)
def _form(shortest: int, longest: int) -> re.Pattern[str]:
    letters = "[A-Za-z0-9]" if shortest == longest else "[A-Za-z0-9_-]"
    return re.compile(f"{letters}{{{shortest},{longest}}}")


def _id_form(profile: Profile) -> re.Pattern[str]:
    return _form(*profile.call_id_length)


@dataclass(slots=True)
class _Call:
    """One call and what answers it. ``id`` is the id that goes out."""

    part: ToolCall
    path: str
    id: str
    result: ToolResult | None = None
    result_path: str = ""


@dataclass(slots=True)
class _Turn:
    """Assistant messages in a row, and the calls they make."""

    messages: list[Message] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    result_extras: Message | None = None


class _Repair:
    """Rebuilds a conversation: ``read`` its messages in order, then take what is ``written``."""

    def __init__(self, draft: Draft, form: re.Pattern[str]) -> None:
        self._draft = draft
        self._form = form
        self._own = draft.source.dialect == draft.profile.dialect
        self._items: list[Message | _Turn] = []
        self._used: set[str] = set()
        self._open: dict[str, tuple[_Turn, list[_Call]]] = {}
        self._answering: _Turn | None = None

    def read(self, place: int, message: Message) -> None:
        """Take the next message."""
        if message.role == "assistant":
            self._read_answer(place, message)
            return
        self._answering = None
        if message.role != "tool":
            self._items.append(message)
            return
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                self._bind(part, f"messages[{place}].parts[{number}]", message)

    def written(self) -> list[Message]:
        """The conversation in order."""
        out: list[Message] = []
        for item in self._items:
            if isinstance(item, _Turn):
                out += self._write_turn(item)
            else:
                out.append(item)
        return out

    def _read_answer(self, place: int, message: Message) -> None:
        turn = self._answering
        if turn is None:
            turn = self._answering = _Turn()
            self._items.append(turn)
        turn.messages.append(message)
        turn.places.append(place)
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolCall):
                path = f"messages[{place}].parts[{number}]"
                call = _Call(part, path, self._fresh_id(part.id, place, number, path))
                turn.calls.append(call)
                owner, calls = self._open.get(part.id, (turn, []))
                self._open[part.id] = (turn, [*calls, call] if owner is turn else [call])

    def _fresh_id(self, raw: str, place: int, number: int, path: str) -> str:
        """An id of the target's form that no earlier call has; the client's own where that is one."""
        new = raw
        if self._form.fullmatch(raw) is None:
            new = self._spelled(raw, f"{raw}" if raw else f"call_{place}_{number}")
        count = 1
        while new in self._used:
            count += 1
            new = self._spelled(raw, f"{raw}#{count}")
        if new != raw:
            self._draft.receipt.note(path, "repaired", f"the call id {raw!r} goes out as {new}")
        self._used.add(new)
        return new

    def _spelled(self, raw: str, seed: str) -> str:
        """A readable beginning and a digest of the seed; the digest alone where there is no room."""
        shortest, longest = self._draft.profile.call_id_length
        digits = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
        if shortest == longest:
            return digits[:longest]
        return f"{_FOREIGN.sub('_', raw or 'call')[: longest - 9]}_{digits[:8]}"

    def _bind(self, result: ToolResult, path: str, message: Message) -> None:
        """Give the result to the call it names: the latest turn's that had that id, first come first served."""
        note = self._draft.receipt.note
        found = self._open.get(result.call_id)
        if found is None:
            note(path, "dropped", f"no call has the id {result.call_id!r}")
            return
        turn, calls = found
        call = next((call for call in calls if call.result is None), calls[-1])
        if call.result is not None:
            note(call.result_path, "dropped", f"a later result for the call {result.call_id!r} stands")
        if self._items[-1] is not turn:
            note(path, "moved", "a result stands right behind the turn that made the call")
        call.result, call.result_path = result, path
        turn.result_extras = turn.result_extras or message

    def _write_turn(self, turn: _Turn) -> list[Message]:
        if not turn.calls:
            return turn.messages
        out = self._write_answer(turn)
        results: list[Part] = [self._result(call) for call in turn.calls]
        source = turn.result_extras
        out.append(replace(source, parts=results) if source is not None else Message("tool", results))
        return out

    def _result(self, call: _Call) -> ToolResult:
        if call.result is None:
            self._draft.receipt.note(call.path, "repaired", "the call was never answered; it goes out as failed")
            part = call.part
            return ToolResult(call.id, [Text(NO_RESULT)], is_error=True, name=part.name, kind=part.kind)
        return call.result if call.result.call_id == call.id else replace(call.result, call_id=call.id)

    def _write_answer(self, turn: _Turn) -> list[Message]:
        """The turn's messages, with fitting ids and its words before its calls."""
        ids = iter(turn.calls)
        renamed = any(call.id != call.part.id for call in turn.calls)
        messages = turn.messages
        if renamed:
            messages = [
                replace(
                    message,
                    parts=[_with_id(part, next(ids)) if isinstance(part, ToolCall) else part for part in message.parts],
                )
                for message in messages
            ]
        if not self._own and _out_of_order(messages):
            messages = [self._words_first(messages, turn)]
        elif not renamed:
            return list(messages)
        return [self._without_thoughts(message, turn.places[0]) for message in messages]

    def _words_first(self, messages: list[Message], turn: _Turn) -> Message:
        """All of the turn in one message, what it says before what it calls (R02)."""
        parts = [part for message in messages for part in message.parts]
        first = next(number for number, part in enumerate(parts) if isinstance(part, ToolCall))
        if self._draft.profile.dialect == "openai_responses":
            # A reasoning item must keep the item behind it (T06), so words go before it, too.
            while first and isinstance(parts[first - 1], Reasoning):
                first -= 1
        words = [part for part in parts[first:] if _speaks(part)]
        rest = [part for part in parts[first:] if not _speaks(part)]
        self._draft.receipt.note(f"messages[{turn.places[0]}]", "moved", "what a turn says stands before what it calls")
        return replace(messages[0], parts=parts[:first] + words + rest)

    def _without_thoughts(self, message: Message, place: int) -> Message:
        """Claude checks its thoughts against the turn they stand in; a changed turn loses them (T16)."""
        if self._draft.profile.dialect != "anthropic":
            return message
        parts: list[Part] = [part for part in message.parts if not isinstance(part, Reasoning)]
        if len(parts) == len(message.parts):
            return message
        self._draft.receipt.note(f"messages[{place}]", "dropped", "the thoughts of a turn that had to be repaired")
        return replace(message, parts=parts)


def _with_id(part: ToolCall, call: _Call) -> ToolCall:
    return part if call.id == part.id else replace(part, id=call.id)


def _out_of_order(messages: list[Message]) -> bool:
    called = False
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                called = True
            elif called and _speaks(part):
                return True
    return False
