"""A Messages request read into the conversation model.

Wire: https://platform.claude.com/docs/en/api/messages. Unknown fields are extras at every level.
What no provider could read is refused with the JSON path. This module must not know any target.
"""

from __future__ import annotations

from dragoman.language.dialects.anthropic.blocks import read_blocks
from dragoman.language.dialects.anthropic.fields import NAME, Fields, expect, rest, take, take_as
from dragoman.language.dialects.anthropic.settings import read_output, read_reasoning, read_tool_choice, read_tools
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Message, Part, Request, Role, Sampling, Text, ToolResult

_EMPTY_KEPT = ("tools", "stop_sequences", "metadata", "output_config")


def read_request(body: dict[str, Json], *, model: str | None = None, stream: bool | None = None) -> Request:
    """Read a body, also one for ``count_tokens``. Raises Refused.

    ``model`` and ``stream``, when given, stand for what the URL says.
    """
    fields = dict(expect(body, dict, "body"))
    marks = _marks(fields)
    system = _read_system(take(fields, "system"))
    messages = _read_messages(take(fields, "messages"))
    config = dict(take_as(fields, "output_config", dict) or {})
    legacy = fields.get("output_format")
    output = read_output(config, legacy)
    if output is not None and legacy is not None:
        del fields["output_format"]
    effort = take_as(config, "effort", str, "output_config")
    metadata = dict(take_as(fields, "metadata", dict) or {})
    user = take_as(metadata, "user_id", str, "metadata") or ""
    choice, parallel = read_tool_choice(take(fields, "tool_choice"))
    named = take_as(fields, "model", str)
    streamed = take_as(fields, "stream", bool)
    request = Request(
        dialect=NAME,
        model=model if model is not None else named or "",
        messages=[*system, *messages],
        tools=read_tools(take_as(fields, "tools", list) or []),
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=_read_sampling(fields),
        reasoning=read_reasoning(take(fields, "thinking"), effort),
        output=output,
        stream=stream if stream is not None else bool(streamed),
        user=user,
    )
    left = {"output_config": config, "metadata": metadata}
    fields |= {key: value for key, value in left.items() if value}
    request.extras = rest(fields, marks)
    return request


def _marks(fields: Fields) -> Fields:
    """How the body spells what means nothing: ``stream: false`` and empty collections."""
    marks: Fields = {"~stream": False} if fields.get("stream") is False else {}
    empty = {key: fields[key] for key in _EMPTY_KEPT if fields.get(key) in ([], {})}
    return marks | ({"~empty": empty} if empty else {})


def _read_sampling(fields: Fields) -> Sampling:
    stop = take_as(fields, "stop_sequences", list) or []
    return Sampling(
        max_tokens=take_as(fields, "max_tokens", int),
        temperature=take_as(fields, "temperature", float),
        top_p=take_as(fields, "top_p", float),
        top_k=take_as(fields, "top_k", int),
        stop=[expect(word, str, f"stop_sequences[{at}]") for at, word in enumerate(stop)],
    )


def _read_system(system: Json) -> list[Message]:
    if system is None:
        return []
    if isinstance(system, str):
        return [Message("system", [Text(system)], {NAME: {"~system": "string"}})]
    if not isinstance(system, list):
        raise Refused("system", "must be a string or a list of blocks")
    return [Message("system", read_blocks(system, "system"), {NAME: {"~system": "list"}})]


def _read_messages(messages: Json) -> list[Message]:
    if messages is None:
        raise Refused("messages", "is required")
    if not expect(messages, list, "messages"):
        raise Refused("messages", "at least one message is required")
    pieces: list[Message] = []
    for turn, message in enumerate(messages):
        pieces += _read_message(message, turn)
    return pieces


def _read_message(message: Json, turn: int) -> list[Message]:
    """One wire turn; a user turn that mixes results and words becomes several messages with one ``~turn``."""
    path = f"messages[{turn}]"
    fields = dict(expect(message, dict, path))
    role = take(fields, "role")
    if role not in ("user", "assistant", "system"):
        raise Refused(f"{path}.role", "must be user, assistant or system")
    marks: Fields = {"~turn": turn}
    parts = _read_content(fields, marks, f"{path}.content")
    pieces = _by_role(role, parts)
    pieces[0].extras = rest(fields, marks)
    for piece in pieces[1:]:
        piece.extras = {NAME: {"~turn": turn}}
    return pieces


def _read_content(fields: Fields, marks: Fields, path: str) -> list[Part]:
    if fields.get("content") is None:
        marks["~content"] = "null" if "content" in fields else "absent"
        fields.pop("content", None)
        return []
    content = take(fields, "content")
    if isinstance(content, str):
        marks["~content"] = "string"
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise Refused(path, "must be a string or a list of blocks")
    return read_blocks(content, path)


def _by_role(role: Role, parts: list[Part]) -> list[Message]:
    pieces: list[Message] = []
    for part in parts:
        own_role: Role = "tool" if isinstance(part, ToolResult) else role
        if not pieces or pieces[-1].role != own_role:
            pieces.append(Message(own_role, []))
        pieces[-1].parts.append(part)
    return pieces or [Message(role, [])]
