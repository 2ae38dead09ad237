"""Images, documents, sound and film: where the target takes them, in the form it takes, or refused.

Nothing vanishes: what a target cannot take is refused before any call (R16, R18), text documents
become text, and media in tool results moves right behind the results where they take only text
(R17). Nothing is fetched here. This module must not know any wire's fields.
"""

from __future__ import annotations

import base64
from dataclasses import replace

from dragoman.language.failures import Refused
from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Media, Message, Part, Role, Text, ToolResult

_PDF_ONLY = frozenset({"anthropic", "openai_chat"})
"""Wires that take a base64 document only when it is a PDF; text goes out as text."""

_OPENAI = frozenset({"openai_chat", "openai_responses"})

_MISNAMED = {"image/jpg": "image/jpeg"}
"""Types that only OpenAI knows what to make of."""


def fit_media(draft: Draft, media: Media, role: Role, path: str) -> Part:
    """The part as the target takes it. Raises Refused for what it cannot take at all."""
    profile = draft.profile
    if role == "assistant" and profile.dialect != "gemini":
        return draft.drop(path, f"the target takes no {media.kind} in an answer of the past")
    taken = profile.media.get(media.kind, frozenset())
    if media.media_type in _MISNAMED:
        media = replace(media, media_type=_MISNAMED[media.media_type])
    if media.source == "file":
        return _fit_file(draft, media, path)
    if media.source == "url" and not _reachable(draft, media.value):
        raise Refused(path, f"this {media.kind} lies where only {draft.source.dialect} can reach it")
    if media.source == "base64" and profile.dialect in _PDF_ONLY and _textual(media):
        media = replace(media, source="text", value=_decoded(media.value, path))
    if media.source in taken:
        return media
    if media.source == "text":
        draft.receipt.note(path, "approximated", "a text document goes out as text")
        return Text(f"Title: {media.name}\n\n{media.value}" if media.name else media.value, extras=media.extras)
    if not taken:
        raise Refused(path, f"the target takes no {media.kind}")
    raise Refused(
        path, f"the target takes no {media.kind} given as {media.source}, only as {' or '.join(sorted(taken))}"
    )


def fit_media_once_seen(draft: Draft, media: Media, role: Role, path: str, place: int) -> Part:
    """The part as the target takes it. Raises Refused for what has just been sent and the target cannot take.

    What another model has seen before becomes a line of text: nobody can take it out of the conversation,
    which would have to end here (N3). ``place`` is the message's.
    """
    try:
        return fit_media(draft, media, role, path)
    except Refused as refused:
        if place >= last_answer(draft.source.messages):
            raise
        draft.receipt.note(path, "dropped", f"only mentioned to the target: {refused.message}")
        return unseen(media)


def last_answer(messages: list[Message]) -> int:
    """Place of the last answer, -1 without one: what stands behind it is new."""
    return max((at for at, message in enumerate(messages) if message.role == "assistant"), default=-1)


def unseen(media: Media) -> Text:
    """What stands for a medium of the past that the target cannot take."""
    return Text(f"[{media.kind} that this model cannot be shown]")


def _textual(media: Media) -> bool:
    return media.kind == "document" and media.media_type.startswith(("text/", "application/json"))


def _decoded(value: str, path: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except ValueError as error:
        raise Refused(path, "the document is not base64 of UTF-8 text") from error


def move_result_media(draft: Draft) -> None:
    """Move media out of tool results into a user turn right behind all results of the turn."""
    moved: list[Message] = []
    waiting: list[Part] = []
    for message in draft.request.messages:
        if message.role != "tool":
            if waiting:
                moved.append(Message("user", waiting))
                waiting = []
            moved.append(message)
            continue
        parts = [_without_media(part, waiting) for part in message.parts]
        moved.append(replace(message, parts=parts) if parts != message.parts else message)
    if waiting:
        moved.append(Message("user", waiting))
    draft.request.messages = moved


def _without_media(part: Part, waiting: list[Part]) -> Part:
    """The result with a text in place of its media, which joins ``waiting`` behind a label."""
    if not isinstance(part, ToolResult) or not any(isinstance(inner, Media) for inner in part.content):
        return part
    content: list[Part] = []
    for inner in part.content:
        if isinstance(inner, Media):
            content.append(Text(f"[{inner.kind} below]"))
            waiting += (Text(f"[{inner.kind} of tool call {part.call_id}]"), inner)
        else:
            content.append(inner)
    return replace(part, content=content)


def _fit_file(draft: Draft, media: Media, path: str) -> Part:
    same_house = draft.source.dialect in _OPENAI and draft.profile.dialect in _OPENAI
    if same_house and draft.profile.media.get(media.kind):
        return media
    raise Refused(path, f"the file {media.value} is stored with another provider")


def _reachable(draft: Draft, url: str) -> bool:
    return draft.profile.dialect == "gemini" or url[:8].lower().startswith(("http://", "https://", "data:"))
