"""What must not go back to a provider of the client's own dialect, although the client sends it there.

Between equal dialects a request passes as its own bytes. Its history may still hold what this gateway
put into earlier answers, when another provider gave them: envelopes, ids of our making, thoughts and
signatures of another owner (T02). ``holds_ours`` looks for these; ``drop_ours`` takes them out, so
that the writer can spell the rest. This module must not know any wire beyond the marks it looks for.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.envelope import seal
from dragoman.language.ir import Message, Part, Reasoning, Request, ToolCall
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

ENVELOPE = seal({})[:12].encode()
"""How every envelope of ours begins."""

_MADE = b"_dgm"
"""Stands in every id that the Responses dialect makes."""


def holds_ours(body: bytes, request: Request, profile: Profile) -> bool:
    """Whether a request that came as ``body`` holds something that is not for this provider of its own dialect.

    The bytes are searched first: nearly every request is done with after that.
    """
    if ENVELOPE in body:
        return True
    match profile.dialect:
        case "openai_chat":
            if b'"reasoning' in body and profile.refuses_thoughts and _holds_thought(request):
                return True
            return b'"extra_content"' in body and not _may_have_signed(profile)
        case "openai_responses":
            return _MADE in body
        case "gemini":
            return profile.needs_call_signature and b"functionCall" in body and _lacks_signature(request)
    return False


def drop_ours(request: Request, profile: Profile, receipt: Receipt) -> None:
    """Take foreign thoughts, and signatures the target did not issue, out of the request's messages."""
    kept: list[Message] = []
    unsigned = profile.dialect == "openai_chat" and not _may_have_signed(profile)
    for at, message in enumerate(request.messages):
        parts = [part for part in message.parts if not _is_foreign(part, profile)]
        if len(parts) != len(message.parts):
            receipt.note(f"messages[{at}]", "dropped", "thoughts of another provider are not shown to this one")
            if not parts and not _own(message, profile.dialect):
                continue
        if unsigned:
            parts = [_unsigned(part, f"messages[{at}]", receipt) for part in parts]
        kept.append(replace(message, parts=parts))
    request.messages[:] = kept


def _own(node: Message | Reasoning, dialect: str) -> bool:
    """Whether a node holds more of the dialect's than spelling."""
    return any(name[:1] != "~" for name in node.extras.get(dialect, ()))


def _is_foreign(part: Part, profile: Profile) -> bool:
    if not isinstance(part, Reasoning):
        return False
    others = [owner for owner in part.extras if owner != profile.dialect and owner[:1] != "~"]
    return profile.refuses_thoughts or (bool(others) and not _own(part, profile.dialect))


def _holds_thought(request: Request) -> bool:
    return any(isinstance(part, Reasoning) for message in request.messages for part in message.parts)


def _may_have_signed(profile: Profile) -> bool:
    """Whether a Chat target may be the issuer of a signature on a call: Gemini's Chat surface, or nobody we know."""
    return "gemini" in profile.family or profile.family == "other"


def _unsigned(part: Part, path: str, receipt: Receipt) -> Part:
    if not isinstance(part, ToolCall):
        return part
    extras = {owner: dict(fields) for owner, fields in part.extras.items() if owner != "gemini"}
    if extras.get("openai_chat", {}).pop("extra_content", None) is None and "gemini" not in part.extras:
        return part
    receipt.note(path, "dropped", "the signature of a call goes to nobody but its issuer")
    return replace(part, extras=extras)


def _lacks_signature(request: Request) -> bool:
    """Whether the first call of some turn has no signature: the target refuses such a history (T05)."""
    for message in request.messages:
        call = next((part for part in message.parts if isinstance(part, ToolCall)), None)
        if call is not None and not call.extras.get("gemini", {}).get("thoughtSignature"):
            return True
    return False
