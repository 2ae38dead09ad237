"""Whole answers, and what whole and streamed answers share: usage, the end, and how parts are shown.

Wire: https://platform.claude.com/docs/en/api/messages. This module must not know streams.
"""

from __future__ import annotations

from dragoman.language.dialects.anthropic.blocks import read_answer_block
from dragoman.language.dialects.anthropic.failures import read_error
from dragoman.language.dialects.anthropic.fields import NAME, Fields, form, own, owned, spell, take
from dragoman.language.dialects.anthropic.spelling import call_name, input_object
from dragoman.language.envelope import seal
from dragoman.language.events import AnswerFailed
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Extras,
    Finish,
    FinishReason,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.losses import Receipt
from dragoman.language.streams import Asked

_REASONS: dict[str, FinishReason] = {
    "end_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
_WORDS: dict[FinishReason, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause": "pause_turn",
    "unknown": "end_turn",
}
STOP_FIELDS: tuple[str, ...] = ("stop_reason", "stop_sequence", "stop_details")
"""The fields of a message that tell why it ended."""


# ---------------------------------------------------------------- usage


def read_usage(wire: Json) -> Usage:
    """Usage so far. Top-level counts only: ``iterations`` stays in the extras for whoever prices it (U08)."""
    fields = dict(wire) if isinstance(wire, dict) else {}
    details = fields.get("output_tokens_details")
    return Usage(
        input=_count(fields, "input_tokens"),
        cache_read=_count(fields, "cache_read_input_tokens"),
        cache_write=_count(fields, "cache_creation_input_tokens"),
        output=_count(fields, "output_tokens"),
        reasoning=_count(dict(details), "thinking_tokens") if isinstance(details, dict) else None,
        extras={NAME: fields},
    )


def _count(fields: Fields, key: str) -> int | None:
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    del fields[key]
    return max(value, 0)


def write_usage(usage: Usage, estimate: int = 0) -> Fields:
    """All four counts, always (U05). Where no input is known the estimate stands, never a zero (U06)."""
    fields: Fields = {
        "input_tokens": (usage.input or 0) if usage.prompt else estimate,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": usage.output or 0,
    }
    if usage.reasoning and NAME not in usage.extras:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return spell(fields, usage.extras)


# ---------------------------------------------------------------- the end


def read_finish(stop: Fields, *, has_call: bool) -> Finish:
    """``stop_reason``, ``stop_sequence`` and ``stop_details``; a missing reason is inferred (S13)."""
    fields = dict(stop)
    word, sequence = take(fields, "stop_reason"), take(fields, "stop_sequence")
    for key in ("stop_reason", "stop_sequence"):
        fields.pop(key, None)
    if not isinstance(word, str) or not word:
        return Finish("tool_calls" if has_call else "end", extras=owned(fields))
    reason = _REASONS.get(word, "unknown")
    return Finish(
        reason,
        sequence if isinstance(sequence, str) else None,
        raw=word if _WORDS[reason] != word else "",
        extras=owned(fields, {"~stop_reason": word}),
    )


def write_finish(finish: Finish, *, has_call: bool, receipt: Receipt) -> Fields:
    """``stop_reason``, ``stop_sequence`` and ``stop_details`` for the client."""
    said = form(finish.extras, "~stop_reason")
    if said is not None:
        return spell({"stop_reason": said, "stop_sequence": finish.stop_sequence}, finish.extras)
    reason = finish.reason
    if has_call and reason in ("end", "unknown"):
        reason = "tool_calls"  # S14
    if reason == "stop_sequence" and not finish.stop_sequence:
        reason = "end"  # S19: a string that nobody named is not guessed
    if reason == "unknown":
        receipt.note("answer.stop_reason", "approximated", f"end_turn stands for {finish.raw or 'an unknown reason'!r}")
    sequence = finish.stop_sequence if reason == "stop_sequence" else None
    fields: Fields = {"stop_reason": _WORDS[reason], "stop_sequence": sequence}
    if reason == "refusal":
        fields["stop_details"] = {"type": "refusal", "category": None, "explanation": finish.raw or None}
    return spell(fields, finish.extras)


# ---------------------------------------------------------------- how parts are shown


def message_id(given: str, asked: Asked) -> str:
    """The upstream's id when Anthropic made it, else one of ours."""
    return given if given.startswith("msg_") else f"msg_{asked.seed}"


def call_id(call: ToolCall, asked: Asked, at: int) -> str:
    """The id that a result will name."""
    return call.id or f"toolu_{asked.seed}{at}"


def thinking_shown(part: Reasoning, asked: Asked) -> bool:
    """Anthropic's own thoughts always, others when the client enabled thinking."""
    setting = asked.request.reasoning
    return NAME in part.extras or (setting is not None and setting.mode in ("on", "adaptive"))


def sealed(extras: Extras) -> str:
    """A signature that keeps what other owners said, and is recognisably ours."""
    return seal({owner: fields for owner, fields in extras.items() if owner != NAME and fields})


def thought_block(part: Reasoning) -> Fields | None:
    """The block of a whole thought; one without text keeps only what its owner can read (T09)."""
    fields = own(part.extras)
    if "redacted" in fields:
        return {"type": "redacted_thinking", "data": fields.pop("redacted"), **fields}
    if NAME in part.extras:
        return {"type": "thinking", "thinking": part.text, "signature": "", **fields}
    if part.text:
        return {"type": "thinking", "thinking": part.text, "signature": sealed(part.extras)}
    kept = any(part.extras.values())
    return {"type": "redacted_thinking", "data": sealed(part.extras)} if kept else None


def text_block(part: Text | Refusal, receipt: Receipt) -> Fields | None:
    """The block of a text; blank text of another provider is none (R06)."""
    if NAME not in part.extras and not part.text.strip():
        return None
    block: Fields = {"type": "text", "text": part.text}
    cited = []
    for citation in part.citations if isinstance(part, Text) else []:
        if NAME in citation.extras:
            cited.append(dict(citation.extras[NAME]))
        else:
            note_citation(receipt)
    if cited or form(part.extras, "~citations") is not None:
        block["citations"] = cited
    return spell(block, part.extras)


def note_citation(receipt: Receipt) -> None:
    """A citation of another provider lacks the signed index that Anthropic clients send back."""
    receipt.note("answer.content", "dropped", "citations of another provider have no Anthropic form")


def note_part(part: Part, receipt: Receipt) -> None:
    """A part that an Anthropic answer has no block for."""
    if isinstance(part, Opaque):
        kind = part.data.get("type") or "unknown"
        receipt.note("answer.content", "dropped", f"{part.dialect} {kind!r} has no Anthropic form")
    else:
        kind = getattr(part, "kind", "part")
        receipt.note("answer.content", "dropped", f"an answer of Anthropic shape holds no {kind}")


# ---------------------------------------------------------------- whole answers


def read_response(body: dict[str, Json]) -> Response:
    """Read a whole message. Raises AnswerFailed for an error in its place (E03)."""
    fields = dict(body)
    content = fields.pop("content", None)
    if not isinstance(content, list):
        if "error" in body or body.get("type") == "error":
            raise AnswerFailed(read_error(body))
        raise AnswerFailed(Failure("server", "the upstream's answer is not a message"))
    parts = [part for block in content if (part := read_answer_block(block)) is not None]
    for key in ("type", "role"):
        fields.pop(key, None)
    stop = {key: fields.pop(key) for key in STOP_FIELDS if key in fields}
    finish = read_finish(stop, has_call=any(isinstance(part, ToolCall) for part in parts))
    usage = read_usage(fields.pop("usage", None))
    given, model = take(fields, "id"), take(fields, "model")
    return Response(str(given or ""), str(model or ""), [Choice(parts, finish)], usage, owned(fields))


def write_response(response: Response, asked: Asked) -> dict[str, Json]:
    """The whole message for the client."""
    parts = response.parts
    content = [block for at, part in enumerate(parts) if (block := _answer_block(part, asked, at)) is not None]
    if not content and NAME not in response.extras:
        content = [{"type": "text", "text": ""}]
    has_call = any(block.get("type") == "tool_use" for block in content)
    body: Fields = {
        "id": message_id(response.id, asked),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        **write_finish(response.finish, has_call=has_call, receipt=asked.receipt),
        "usage": write_usage(response.usage, asked.input_estimate),
    }
    return spell(body, response.extras)


def _answer_block(part: Part, asked: Asked, at: int) -> Fields | None:
    match part:
        case Text() | Refusal():
            return text_block(part, asked.receipt)
        case ToolCall():
            value = form(part.extras, "~input")
            given = input_object(part.arguments, part.kind) if value is None else value
            block = {"type": "tool_use", "id": call_id(part, asked, at), "name": call_name(part), "input": given}
            return spell(block, part.extras)
        case Reasoning():
            return thought_block(part) if thinking_shown(part, asked) else None
        case Opaque(dialect=dialect, data=data) if dialect == NAME:
            return dict(data)
    note_part(part, asked.receipt)
    return None
