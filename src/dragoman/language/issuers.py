"""Who issued a thought or a signature: the account and the family of models, not merely the dialect (T02, T08).

A part carries its issuer's name in ``extras`` under ``ISSUER``, which no wire writes but every envelope
and keepsake takes along. Where a client echoes a signature in its own wire there is no room for the
name, so whoever asks is given the part's ``fingerprint`` to look it up by. Pure; it must not know
targets, nor how long anything is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

from dragoman.language.ir import Extras, Json, Part, Reasoning, Text, ToolCall
from dragoman.language.wire import encode

ISSUER = "~issuer"
"""Stands among the owners of ``extras``; its one field is form, so that it is never noted as a loss."""

_BY = "~by"
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "anthropic": ("signature", "redacted"),
    "openai_responses": ("encrypted_content", "id"),
    "gemini": ("thoughtSignature",),
    "openai_chat": ("reasoning_details", "extra_content"),
}
"""Fields in which each dialect's providers want to see again what they issued, the first that is there counts."""


def marked(extras: Extras, issuer: str) -> Extras:
    """The extras with the issuer's name; one that is there already stays."""
    return extras if ISSUER in extras or not issuer else {**extras, ISSUER: {_BY: issuer}}


def issuer_in(extras: Extras) -> str:
    """The issuer's name, empty when none is given."""
    name = extras.get(ISSUER, {}).get(_BY)
    return name if isinstance(name, str) else ""


def signature(part: Part, dialect: str) -> Json:
    """What the dialect's provider issued with the part, ``None`` when nothing."""
    fields = part.extras.get(dialect)
    if not fields:
        return None
    for name in _SIGNATURES.get(dialect, ()):
        if value := fields.get(name):
            return value
    return None


def fingerprints(part: Part, dialect: str) -> Iterator[bytes]:
    """What tells the part from others when it comes back: its signature, and for a thought its words."""
    if isinstance(part, Reasoning | ToolCall | Text):
        value = signature(part, dialect)
        if value is not None:
            yield _digest(dialect, value if isinstance(value, str) else encode(value).decode())
    if isinstance(part, Reasoning) and part.text:
        yield _digest("", part.text)


def _digest(kind: str, text: str) -> bytes:
    return blake2b(f"{kind}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def unsigned(part: Part, dialect: str) -> Part:
    """The part without what the dialect's provider issued with it, and without its item's id there."""
    fields = part.extras.get(dialect)
    if not fields:
        return part
    kept = {name: value for name, value in fields.items() if name not in _SIGNATURES.get(dialect, ())}
    if isinstance(item := kept.get("~item"), dict) and "id" in item:
        kept["~item"] = {name: value for name, value in item.items() if name != "id"}
    return part if kept == fields else replace(part, extras={**part.extras, dialect: kept})
