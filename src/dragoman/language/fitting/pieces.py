"""An answer that came back in the pieces it was streamed in, put together again.

Gemini's chat sessions keep every chunk of a streamed answer as a content of its own, and there texts that
follow each other are one text. Elsewhere they would be paragraphs or messages. This module must not know
any wire's fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Message, Part, Reasoning, Text


def join_pieces(draft: Draft) -> None:
    """Join the model's turns that follow each other, and in them the words that do."""
    if draft.source.dialect != "gemini":
        return
    joined: list[Message] = []
    for answers, run in groupby(draft.request.messages, key=lambda message: message.role == "assistant"):
        messages = list(run)
        if not answers:
            joined += messages
            continue
        parts = _joined(part for message in messages for part in message.parts)
        joined.append(replace(messages[0], parts=parts or messages[0].parts[:1]))
    draft.request.messages = joined


def _joined(parts: Iterable[Part]) -> list[Part]:
    joined: list[Part] = []
    for _, run in groupby(parts, key=_stretch):
        pieces = list(run)
        first = pieces[0]
        if isinstance(first, Text | Reasoning) and len(pieces) > 1:
            first = replace(first, text="".join(piece.text for piece in pieces if isinstance(piece, Text | Reasoning)))
        if not isinstance(first, Text) or first.text:
            joined.append(first)
    return joined


def _stretch(part: Part) -> object:
    """The same for parts that are pieces of one."""
    if isinstance(part, Text) and not part.citations:
        return Text
    if isinstance(part, Reasoning) and not any(part.extras.values()):
        return Reasoning
    return id(part)
