"""What another account or another family of models issued stays behind, also within one dialect (T02, T08).

``withhold`` takes out of a request's history the thoughts of everybody but the target, and the
signatures on its calls and words. Whose they are is known from the mark they carry or from a look-up;
what nobody knows passes, as it may well be the target's own. This module must not know any wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from dragoman.language.ir import Message, Part, Reasoning, Text, ToolCall
from dragoman.language.issuers import fingerprints, issuer_in, signature, unsigned
from dragoman.language.losses import Receipt

Find = Callable[[bytes], str | None]
"""Who issued what has this fingerprint; ``None`` when nobody knows."""

_WHY = "a thought goes back only to the account and the family of models that issued it"
_WHY_SIGNATURE = "a signature goes back only to the account and the family of models that issued it"


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who is to see a history: the dialect and name of the issuer, and how to ``find`` others.

    ``client`` is the dialect in which the history came.
    """

    dialect: str
    issuer: str
    find: Find
    client: str = ""


def withhold(messages: list[Message], eyes: Eyes, receipt: Receipt) -> list[Message]:
    """The history as the issuer may see it; the same list when nothing is to be taken out.

    A message that held nothing else is left out.
    """
    kept: list[Message] | None = None
    for at, message in enumerate(messages):
        parts = _own_parts(message, at, eyes, receipt) if message.role == "assistant" else None
        if parts is None:
            if kept is not None:
                kept.append(message)
            continue
        if kept is None:
            kept = messages[:at]
        if parts:
            kept.append(replace(message, parts=parts))
    return messages if kept is None else kept


def _own_parts(message: Message, at: int, eyes: Eyes, receipt: Receipt) -> list[Part] | None:
    """The parts that may go, ``None`` when all may as they are."""
    parts: list[Part] = []
    changed = False
    behind = False
    for number, part in enumerate(message.parts):
        path = f"messages[{at}].parts[{number}]"
        if isinstance(part, Reasoning):
            behind = _is_foreign(part, eyes)
            if behind:
                receipt.note(path, "dropped", _WHY)
                changed = True
                continue
        elif isinstance(part, ToolCall | Text):
            # What follows a thought of Responses is known there as its item, and refused without it (T06).
            signed = signature(part, eyes.dialect) is not None and _is_foreign(part, eyes)
            bare = unsigned(part, eyes.dialect) if signed or behind else part
            if signed:
                receipt.note(path, "dropped", _WHY_SIGNATURE)
            changed = changed or bare is not part
            part = bare
        parts.append(part)
    return parts if changed else None


def _is_foreign(part: Part, eyes: Eyes) -> bool:
    """Whether the part is known to be somebody else's."""
    name = issuer_in(part.extras) or _found(fingerprints(part, eyes.dialect), eyes.find)
    if name:
        return name != eyes.issuer
    # Gemini's thoughts are not signed; whatever else a Gemini client was shown came with a name.
    return isinstance(part, Reasoning) and eyes.client == "gemini" != eyes.dialect and not any(part.extras.values())


def _found(prints: Iterable[bytes], find: Find) -> str:
    return next((name for one in prints if (name := find(one))), "")
