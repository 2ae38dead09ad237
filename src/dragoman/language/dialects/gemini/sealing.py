"""Thoughts of other owners, carried through a Gemini client in ``thoughtSignature``.

Clients drop thought parts from the history but echo the signature of a function call, so the
thoughts before a call travel on that call, text included, and are put back in their place when the
history returns. This module must not know what the owners' fields mean.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.dialects.gemini.spelling import NAME, ours
from dragoman.language.envelope import seal, unseal
from dragoman.language.ir import Extras, Json, Message, Part, Reasoning
from dragoman.language.issuers import ISSUER

_LABEL = "~thoughts"


def foreign_extras(part: Reasoning) -> Extras:
    """What owners other than Gemini need to get their thought back."""
    return {
        owner: fields
        for owner, fields in part.extras.items()
        if owner == ISSUER or (owner != NAME and any(not key.startswith("~") for key in fields))
    }


def seal_thoughts(thoughts: list[tuple[str, Extras]]) -> str:
    """An opaque string holding thoughts: text and owners' fields."""
    return seal({_LABEL: {"list": [[text, extras] for text, extras in thoughts]}})


def _opened(part: Part) -> list[Reasoning] | None:
    envelope = unseal(ours(part.extras).get("thoughtSignature"))
    if envelope is None:
        return None
    listed = (envelope.pop(_LABEL, None) or {}).get("list")
    if isinstance(listed, list):
        return [Reasoning(str(item[0]), item[1]) for item in listed if isinstance(item, list) and len(item) == 2]
    return [Reasoning(part.text if isinstance(part, Reasoning) else "", envelope)]


def sealed_in(part: dict[str, Json]) -> bool:
    """Whether a wire part carries an envelope of ours."""
    return unseal(part.get("thoughtSignature")) is not None


def restore_thoughts(messages: list[Message]) -> list[Message]:
    """Open the envelopes in each run of the model's turns and put the thoughts where they were."""
    restored: list[Message] = []
    run: list[Message] = []
    for message in [*messages, None]:
        if message is not None and message.role == "assistant":
            run.append(message)
            continue
        restored += _restored_run(run)
        run = []
        if message is not None:
            restored.append(message)
    return restored


def _restored_run(run: list[Message]) -> list[Message]:
    row: list[tuple[int, Part]] = [(at, part) for at, message in enumerate(run) for part in message.parts]
    floor = at = 0
    while at < len(row):
        place, part = row[at]
        thoughts = _opened(part)
        if thoughts is None:
            at += 1
            continue
        head, gap = _without_shown(row[floor:at], thoughts)
        if gap is None:
            # Nothing was shown: thoughts precede what was said, and a thought stands where its carrier does.
            gap = len(head) if isinstance(part, Reasoning) and not ours(part.extras).get("~text") else 0
        home = head[gap][0] if gap < len(head) else place
        inserted: list[tuple[int, Part]] = [(home, thought) for thought in thoughts]
        carrier = [] if isinstance(part, Reasoning) else [(place, _unsigned(part))]
        middle = [*head[:gap], *inserted, *head[gap:], *carrier]
        row[floor : at + 1] = middle
        floor = at = floor + len(middle)
    return [
        replace(message, parts=[part for place, part in row if place == number]) for number, message in enumerate(run)
    ]


def _without_shown(row: list[tuple[int, Part]], thoughts: list[Reasoning]) -> tuple[list[tuple[int, Part]], int | None]:
    """The row without the pieces in which the sealed thoughts were shown, and where the first piece was."""
    kept: list[tuple[int, Part]] = []
    gap: int | None = None
    for item in row:
        part = item[1]
        if isinstance(part, Reasoning) and not part.extras and any(part.text in thought.text for thought in thoughts):
            gap = len(kept) if gap is None else gap
        else:
            kept.append(item)
    return kept, gap


def _unsigned(part: Part) -> Part:
    fields = {key: value for key, value in ours(part.extras).items() if key != "thoughtSignature"}
    others = {owner: value for owner, value in part.extras.items() if owner != NAME}
    return replace(part, extras={**others, NAME: fields} if fields else others)
