"""A conversation's summary as a ``compaction`` item of our own making, and read again (trap C17).

OpenAI's items of this kind are its own and stay Opaque. Ours hold words in an envelope, so that any
target can be told them. This module must not know who makes the summary.

Wire: https://platform.openai.com/docs/api-reference/responses/compact
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.fields import Object
from dragoman.language.envelope import seal, unseal
from dragoman.language.ir import Json

_OWNER = "dragoman"
_HEAD = "Everything before this point was replaced by a summary:"


def write_summary(identifier: str, text: str) -> Object:
    """The item that stands for a summary."""
    return {"id": identifier, "type": "compaction", "encrypted_content": seal({_OWNER: {"summary": text}})}


def read_summary(item: dict[str, Json]) -> str:
    """What a model is told of an item of ours; empty for one of somebody else."""
    sealed = (unseal(item.get("encrypted_content")) or {}).get(_OWNER, {})
    text = sealed.get("summary")
    return f"{_HEAD}\n\n{text}" if isinstance(text, str) and text else ""
