"""The conversation model written as a Messages request, for a provider that speaks Anthropic.

Wire: https://platform.claude.com/docs/en/api/messages. The request has been fitted to its profile, so
this only spells, and keeps the rules of turns: results first, roles joined, no blank text. A request
that was read from this dialect goes out as it came. This module must not know where it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dragoman.language.dialects.anthropic.fields import NAME, Fields, form, own
from dragoman.language.dialects.anthropic.settings import (
    write_output_config,
    write_thinking,
    write_tool_choice,
    write_tools,
)
from dragoman.language.dialects.anthropic.spelling import Blocks
from dragoman.language.ir import Json, Message, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

_THOUGHTS = ("thinking", "redacted_thinking")


def write_request(request: Request, profile: Profile, receipt: Receipt) -> dict[str, Json]:
    """The body for the provider. Never raises on a fitted request."""
    native = request.dialect == NAME
    kept = own(request.extras)
    blocks = Blocks(receipt, native=native)
    system, turns = _system(request, blocks), _turns(request, blocks)
    if not native:
        system = _repaired(system, turns, receipt)
    body: Fields = {"model": request.model} if request.model else {}
    if system is not None:
        body["system"] = system
    body["messages"] = [turn.written() for turn in turns]
    tools = write_tools(request, receipt)
    if tools:
        body["tools"] = tools
    choice = write_tool_choice(request)
    if choice is not None:
        body["tool_choice"] = choice
    _sampling(body, request, profile, receipt)
    _reasoning(body, request, profile, turns if not native or blocks.thought_dropped else [], receipt)
    _rest(body, request, profile, kept)
    return body


def _rest(body: Fields, request: Request, profile: Profile, kept: Fields) -> None:
    """Output settings, user, stream, and the owner's other fields."""
    config, legacy = write_output_config(request, profile, kept.pop("output_config", {}))
    metadata = dict(kept.pop("metadata", {}))
    if request.user:
        metadata["user_id"] = request.user
    for key, value in (("output_config", config), ("output_format", legacy), ("metadata", metadata)):
        if value:
            body[key] = value
    if request.stream or form(request.extras, "~stream") is False:
        body["stream"] = request.stream
    for key, value in {**(form(request.extras, "~empty") or {}), **kept}.items():
        body.setdefault(key, value)


# ---------------------------------------------------------------- settings


def _sampling(body: Fields, request: Request, profile: Profile, receipt: Receipt) -> None:
    sampling = request.sampling
    limit = sampling.max_tokens
    if limit is None:
        limit = profile.default_max or profile.max_output
    if limit is not None:
        body["max_tokens"] = limit
    for key in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, key)
        if value is not None:
            body[key] = value
    stop = sampling.stop
    if request.dialect != NAME and any(not word.strip() for word in stop):
        stop = [word for word in stop if word.strip()]
        receipt.note("stop", "dropped", "Anthropic refuses a stop sequence of blanks")
    if stop:
        body["stop_sequences"] = list(stop)


def _reasoning(body: Fields, request: Request, profile: Profile, turns: list[_Turn], receipt: Receipt) -> None:
    """``thinking``. ``turns`` are those of a history that may lack thoughts, else none."""
    thinking = write_thinking(request.reasoning, profile, native=request.dialect == NAME)
    if thinking is None:
        return
    if thinking["type"] == "enabled" and _lacks_thought(turns):
        # T03: with a thinking budget the turn that called tools must begin with its thought.
        receipt.note("thinking", "dropped", "the open tool turn has no thought that Anthropic signed")
        return
    body["thinking"] = thinking


def _lacks_thought(turns: list[_Turn]) -> bool:
    for turn in reversed(turns):
        if turn.role == "assistant":
            return not turn.blocks or turn.blocks[0].get("type") not in _THOUGHTS
        if turn.role == "user" and not any(block.get("type") == "tool_result" for block in turn.blocks):
            return False
    return False


# ---------------------------------------------------------------- turns


@dataclass(slots=True)
class _Turn:
    """A wire turn under construction. ``mark`` is the turn it was read from, ``None`` for a foreign one."""

    role: str
    mark: int | None
    blocks: list[Fields] = field(default_factory=list)
    fields: Fields = field(default_factory=dict)
    content: str | None = None

    def written(self) -> Fields:
        """The message."""
        if self.content in ("absent", "null") and not self.blocks:
            return {"role": self.role, **({"content": None} if self.content == "null" else {}), **self.fields}
        if self.content == "string" and all(set(block) == {"type", "text"} for block in self.blocks):
            return {"role": self.role, "content": "".join(block["text"] for block in self.blocks), **self.fields}
        return {"role": self.role, "content": self.blocks, **self.fields}

    def put_in_order(self) -> None:
        """Results first in a user turn (R01), text before the calls in an assistant turn (R02)."""
        if self.role == "user":
            self.blocks.sort(key=lambda block: block.get("type") != "tool_result")
            return
        kinds = [block.get("type") for block in self.blocks]
        if "tool_use" not in kinds or not set(kinds) <= {"text", "tool_use", *_THOUGHTS}:
            return
        first = kinds.index("tool_use")
        tail = self.blocks[first:]
        texts = [block for block in tail if block["type"] == "text"]
        self.blocks[first:] = texts + [block for block in tail if block["type"] != "text"]


def _turns(request: Request, blocks: Blocks) -> list[_Turn]:
    turns: list[_Turn] = []
    head = _head(request.messages)
    for at, message in enumerate(request.messages):
        if at >= head:
            _add(turns, message, blocks, at)
    for turn in turns:
        if turn.mark is None:
            turn.put_in_order()
    return turns


def _add(turns: list[_Turn], message: Message, blocks: Blocks, at: int) -> None:
    role = "user" if message.role == "tool" else message.role
    mark = form(message.extras, "~turn")
    dropped_before = blocks.thought_dropped
    blocks.thought_dropped = False
    written = blocks.written(message.parts, role, f"messages[{at}]")
    thoughtless = blocks.thought_dropped
    blocks.thought_dropped = dropped_before or thoughtless
    if not written and (mark is None or thoughtless):
        return
    if turns and turns[-1].role == role and turns[-1].mark == mark:
        turns[-1].blocks += written
        return
    turns.append(_Turn(role, mark, written, own(message.extras), form(message.extras, "~content")))


def _head(messages: list[Message]) -> int:
    """How many messages are the top-level system prompt."""
    for at, message in enumerate(messages):
        if message.role != "system" or form(message.extras, "~turn") is not None:
            return at
    return len(messages)


def _system(request: Request, blocks: Blocks) -> str | list[Fields] | None:
    """Top-level ``system`` in the form it had; ``None`` when there is none."""
    head = request.messages[: _head(request.messages)]
    if not head:
        return None
    written = [block for message in head for block in blocks.written(message.parts, "system", "system")]
    if form(head[0].extras, "~system") == "string" and len(head) == 1:
        return "".join(block["text"] for block in written)
    if not written and form(head[0].extras, "~system") is None:
        return None
    return written


def _repaired(system: str | list[Fields] | None, turns: list[_Turn], receipt: Receipt) -> str | list[Fields] | None:
    """Make a foreign conversation one that Anthropic accepts: it begins with the user, and is not empty."""
    if not turns and isinstance(system, list):
        receipt.note("messages", "moved", "Anthropic needs a user turn: the system prompt became it")
        turns.append(_Turn("user", None, system))
        return None
    if turns and turns[0].role == "assistant":
        receipt.note("messages", "repaired", "Anthropic conversations begin with the user: a turn was put in front")
        turns.insert(0, _Turn("user", None, [{"type": "text", "text": "(conversation continues)"}]))
    if turns and turns[-1].role == "assistant" and turns[-1].blocks[-1].get("type") == "text":
        # Anthropic refuses a prefill that ends in blanks.
        last = dict(turns[-1].blocks[-1])
        last["text"] = last["text"].rstrip()
        turns[-1].blocks[-1] = last
    return system
