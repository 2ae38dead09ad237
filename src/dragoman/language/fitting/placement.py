"""System messages where the target takes them, else as marked user text in the same place (R07).

Words keep their place: moving them to the head would change the prefix that caches remember. This
module must not know any wire.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.fitting.draft import GONE, Draft
from dragoman.language.ir import Message, Text


def fit_placement(draft: Draft) -> None:
    """Fit the place and role of every system message; messages keep their places in the list."""
    messages = draft.request.messages
    count = len(messages)
    head = 0
    while head < count and messages[head].role == "system":
        head += 1
    first = head if draft.profile.system_role else 0
    places = [place for place in range(first, count) if messages[place].role == "system" and _says(messages[place])]
    if not places:
        return
    fitted = messages
    for run in _runs(places):
        in_place = draft.profile.system_in_place and run[0] >= head
        if in_place and draft.profile.system_before_answer:
            in_place = _between_question_and_answer(messages, run)
            if in_place and len(run) > 1:
                fitted = _joined(draft, fitted, run)
        if not in_place:
            fitted = list(fitted)
            for place in run:
                why = "a system message the target does not take here goes out as marked user text"
                draft.receipt.note(f"messages[{place}]", "approximated", why)
                fitted[place] = _marked(fitted[place])
    draft.request.messages = fitted


def _says(message: Message) -> bool:
    return any(part is not GONE for part in message.parts)


def _runs(places: list[int]) -> list[list[int]]:
    """Neighbouring places together."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _between_question_and_answer(messages: list[Message], run: list[int]) -> bool:
    """Where the newest Claude takes a system message.

    https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
    """
    before = messages[run[0] - 1].role if run[0] else ""
    after = messages[run[-1] + 1].role if run[-1] + 1 < len(messages) else "assistant"
    return before in ("user", "tool") and after == "assistant"


def _joined(draft: Draft, messages: list[Message], run: list[int]) -> list[Message]:
    """The run as one message, as each would have to be followed by an answer; the others are emptied."""
    joined = list(messages)
    joined[run[0]] = replace(messages[run[0]], parts=[part for place in run for part in messages[place].parts])
    for place in run[1:]:
        joined[place] = replace(messages[place], parts=[GONE])
    draft.gone = True
    return joined


def _marked(message: Message) -> Message:
    parts = [
        replace(part, text=f"<system>\n{part.text}\n</system>") if isinstance(part, Text) and part is not GONE else part
        for part in message.parts
    ]
    return replace(message, role="user", parts=parts)
