"""``contents`` and messages, both ways: roles, turns, calls paired with their responses, sealed thoughts.

Gemini puts function responses among the parts of a user turn; messages keep them apart. ``~turn``
remembers which content a message came from, so that the turns can be put together again. This module
must not know tools, settings or answers.

Wire: https://ai.google.dev/api/caching#Content and https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.dialects.gemini.parts import (
    misspelt,
    read_call,
    read_part,
    write_call,
    write_media,
    write_reasoning,
    write_text,
)
from dragoman.language.dialects.gemini.responses import read_result, write_result
from dragoman.language.dialects.gemini.sealing import restore_thoughts, sealed_in
from dragoman.language.dialects.gemini.spelling import NAME, as_list, extras, ours, wire_fields
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Json,
    Media,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

DUMMY_SIGNATURE = "skip_thought_signature_validator"
"""The documented value for a call that comes from elsewhere (T05)."""

_ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "assistant": "assistant",
    "function": "tool",
    "tool": "tool",
    "system": "system",
}
_WIRE_ROLES: dict[Role, str] = {"user": "user", "tool": "user", "system": "user", "assistant": "model"}


# ---------------------------------------------------------------- reading


def read_contents(value: Json) -> list[Message]:
    """Read the turns. Calls without an id get one from turn and position (R05)."""
    reader = _TurnReader()
    for turn, content in enumerate(as_list(value)):
        reader.turn(turn, {"parts": [{"text": content}]} if isinstance(content, str) else content)
    return restore_thoughts(reader.messages) if reader.sealed else reader.messages


class _TurnReader:
    """Reads turn after turn and remembers which calls still wait for their response."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.sealed = False
        self._waiting: list[ToolCall] = []
        self._was_model = False

    def turn(self, turn: int, content: Json) -> None:
        path = f"contents[{turn}]"
        if not isinstance(content, dict):
            raise Refused(path, "must be an object")
        fields: dict[str, Json] = {**content, "~turn": turn}
        said = fields.pop("role", None)
        raw = fields.pop("parts", None)
        if not isinstance(raw, list):
            fields["~no_parts"] = raw is None
        parts = [self._checked(part, f"{path}.parts[{at}]") for at, part in enumerate(as_list(raw))]
        role = _read_role(said, parts, f"{path}.role")
        if role == "assistant" and not self._was_model:
            self._waiting = []
        self._was_model = role == "assistant"
        read = [self._part(part, turn, at) for at, part in enumerate(parts)]
        if said != _WIRE_ROLES[role]:
            fields["~role"] = said
        self._add(role, read, fields)

    @staticmethod
    def _checked(part: Json, path: str) -> dict[str, Json]:
        if isinstance(part, str):
            return {"text": part}
        if not isinstance(part, dict):
            raise Refused(path, "must be an object")
        for name in ("inlineData", "fileData"):
            if part.get(name) is not None and (place := misspelt(part, name)) is not None:
                raise Refused(f"{path}.{place}", "must be an object" if place == name else "must be a string")
        return part

    def _part(self, part: dict[str, Json], turn: int, at: int) -> Part:
        if sealed_in(part):
            self.sealed = True
        if isinstance(part.get("functionCall"), dict):
            call = read_call(part, f"call_{turn}_{at}")
            self._waiting.append(call)
            return call
        if isinstance(part.get("functionResponse"), dict):
            return read_result(part, lambda id_, name: self._pair(id_, name) or f"call_{turn}_{at}")
        return read_part(part)

    def _pair(self, id_: str, name: str) -> str:
        """The id of the waiting call a response belongs to: by id, else by name in order."""
        for call in self._waiting:
            if id_ and call.id == id_:
                self._waiting.remove(call)
                return id_
        for call in self._waiting:
            if call.name == name and (not id_ or ours(call.extras).get("~no_id")):
                self._waiting.remove(call)
                return call.id
        return id_

    def _add(self, role: Role, parts: list[Part], fields: dict[str, Json]) -> None:
        results: list[Part] = [part for part in parts if isinstance(part, ToolResult)]
        others: list[Part] = [part for part in parts if not isinstance(part, ToolResult)]
        if results and others:
            ordered = [*results, *others]
            places = [next(at for at, part in enumerate(parts) if part is item) for item in ordered]
            if places != sorted(places):
                fields["~order"] = places
        if results:
            self.messages.append(Message("tool", results, extras(fields)))
            fields = {"~turn": fields["~turn"]}
        if others or not results:
            self.messages.append(Message("user" if role == "tool" else role, others, extras(fields)))


def _read_role(said: Json, parts: list[dict[str, Json]], path: str) -> Role:
    if said is None or said == "":
        return "assistant" if any("functionCall" in part for part in parts) else "user"
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise Refused(path, "must be user or model")
    return role


def read_instruction(value: Json) -> Message:
    """Read ``systemInstruction``: an object with parts, or plain text."""
    if isinstance(value, str):
        value = {"parts": [{"text": value}]}
    if not isinstance(value, dict):
        raise Refused("systemInstruction", "must be an object")
    rest = dict(value)
    parts: list[Part] = []
    for at, part in enumerate(as_list(rest.pop("parts", None))):
        if isinstance(part, str):
            part = {"text": part}
        if not isinstance(part, dict):
            raise Refused(f"systemInstruction.parts[{at}]", "must be an object")
        parts.append(read_part(part))
    return Message("system", parts, extras({"~system": rest}))


# ---------------------------------------------------------------- writing


def write_instruction(messages: list[Message], own: bool) -> dict[str, Json] | None:
    """Spell system messages from the head of the conversation; every block stays a part."""
    fields: dict[str, Json] = {}
    parts: list[dict[str, Json]] = []
    for message in messages:
        if own:
            fields.update(ours(message.extras).get("~system") or {})
        for part in message.parts:
            if isinstance(part, Text | Refusal) and (part.text or own):
                parts.append(write_text(part))
            elif own and isinstance(part, Media):
                parts.append(write_media(part, own=own))
            elif own and isinstance(part, Opaque) and part.dialect == NAME:
                parts.append(dict(part.data))
    return {"parts": parts, **fields} if parts or (own and messages) else None


def write_contents(messages: list[Message], request: Request, profile: Profile, receipt: Receipt) -> list[Json]:
    """Spell the turns: those read from one content together, otherwise neighbours of one role merged."""
    own = request.dialect == NAME
    names = {part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)}
    contents: list[Json] = []
    for turn in _gathered(messages, own):
        content = _write_turn(turn, own, names)
        if content is None:
            continue
        if profile.needs_call_signature and content.get("role") == "model":
            _sign_calls(content["parts"], f"contents[{len(contents)}]", receipt)
        contents.append(content)
    return contents


def _gathered(messages: list[Message], own: bool) -> list[list[Message]]:
    turns: list[list[Message]] = []
    last: object = None
    for message in messages:
        place = ours(message.extras).get("~turn") if own else None
        key: object = _WIRE_ROLES[message.role] if place is None else place
        if turns and key == last:
            turns[-1].append(message)
        else:
            turns.append([message])
        last = key
    return turns


def _write_turn(turn: list[Message], own: bool, names: dict[str, str]) -> dict[str, Json] | None:
    fields = ours(turn[0].extras) if own else {}
    results: list[Json] = []
    others: list[Json] = []
    for message in turn:
        for part in message.parts:
            written = _write_part(part, own, names)
            if written is not None:
                (results if isinstance(part, ToolResult) else others).append(written)
    parts = [*results, *others]
    order = fields.get("~order")
    if order and len(order) == len(parts):
        parts = [part for _, part in sorted(zip(order, parts, strict=True), key=lambda pair: pair[0])]
    if not parts and "~turn" not in fields:
        return None
    content: dict[str, Json] = {} if fields.get("~no_parts") and not parts else {"parts": parts}
    role = fields["~role"] if "~role" in fields else _WIRE_ROLES[turn[0].role]
    if role is not None:
        content["role"] = role
    content.update(wire_fields(fields))
    return content


def _write_part(part: Part, own: bool, names: dict[str, str]) -> dict[str, Json] | None:
    if isinstance(part, Text | Refusal):
        return write_text(part) if part.text or own or ours(part.extras) else None
    if isinstance(part, ToolCall):
        return write_call(part, own=own)
    if isinstance(part, ToolResult):
        # A response must name its function; other wires know it by the call's id only.
        name = part.name if own else names.get(part.call_id) or part.name
        return write_result(replace(part, name=name), own=own)
    if isinstance(part, Opaque):
        return dict(part.data) if part.dialect == NAME else None
    if isinstance(part, Media):
        return write_media(part, own=own)
    return write_reasoning(part) if part.text or own or ours(part.extras) else None


def _sign_calls(parts: list[dict[str, Json]], path: str, receipt: Receipt) -> None:
    """Only the first call of a turn is signed by the model, and only that one is looked at (T05)."""
    for at, part in enumerate(parts):
        if "functionCall" in part:
            if not part.get("thoughtSignature"):
                part["thoughtSignature"] = DUMMY_SIGNATURE
                why = "the call has no signature of the target; its documented placeholder was sent"
                receipt.note(f"{path}.parts[{at}].thoughtSignature", "approximated", why)
            return
