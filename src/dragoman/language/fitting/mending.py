"""A conversation in the target's own dialect that another provider took part in, made good for the target.

Within one dialect a request passes as its own bytes, as long as its provider could have led the
conversation alone. Where a client has been served by somebody else in between, the history may hold
ids, gaps and turns that the target refuses (R03, R04, T03, T05, T12). ``mend`` repairs those and nothing
else: a conversation that is in order comes back as the same object. This module must not know any wire
beyond the names of the dialects.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from dragoman.language.fitting.content import fit_attribution
from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.history import repair_history
from dragoman.language.fitting.media import last_answer, unseen
from dragoman.language.fitting.reasoning import may_think
from dragoman.language.ir import Json, Media, Message, Opaque, Part, Reasoning, Request, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

_ALPHABET_OF_CLAUDE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ANYTHING = re.compile(r".{0,512}", re.DOTALL)
_OPENAI = frozenset({"classic", "o1-mini", "o-series", "gpt-5", "gpt-5.1+", "computer-use"})
_OF_CLAUDE = "toolu_"
"""How Claude's own call ids begin, whoever serves it: a turn with another id was somebody else's."""


def mend(request: Request, profile: Profile, receipt: Receipt) -> Request:
    """The request as the target takes it; the same object when there is nothing to repair."""
    draft = Draft(request, profile, receipt)
    if not _elsewhere(request):
        _mend_pairs(draft)
    if profile.dialect == "openai_chat" and profile.family != "other":
        _mend_media(draft)
        _drop_blanks(draft)
    if profile.dialect == "anthropic":
        fit_attribution(draft)
        _settle_thinking(draft)
    changed = draft.request.messages is not request.messages or draft.request.reasoning is not request.reasoning
    return draft.request if changed or _wants_writing(request, profile) else request


def _elsewhere(request: Request) -> bool:
    """Whether part of the conversation lies with the provider, so that the pairs cannot be seen whole."""
    fields = request.extras.get("openai_responses", {})
    if request.previous or fields.get("conversation") or fields.get("prompt"):
        return True
    return any(
        isinstance(part, Opaque) and part.data.get("type") == "item_reference"
        for message in request.messages
        for part in message.parts
    )


def _mend_pairs(draft: Draft) -> None:
    form = _id_form(draft.profile)
    if draft.profile.dialect == "gemini" and _as_many(draft.request.messages):
        return  # it takes results in the order of the calls, whatever they are called
    if not _paired(draft.request.messages, form, draft.profile):
        repair_history(draft, form)
        draft.request.messages = [_unplaced(message, draft.profile.dialect) for message in draft.request.messages]


def _unplaced(message: Message, dialect: str) -> Message:
    """The message without its place among the turns it was read from, which it may have left."""
    fields = message.extras.get(dialect)
    if message.role == "system" or not fields or "~turn" not in fields:
        return message
    kept = {name: value for name, value in fields.items() if name not in ("~turn", "~order", "~content")}
    return replace(message, extras={**message.extras, dialect: kept})


@lru_cache(maxsize=16)
def _lengths(shortest: int, longest: int) -> re.Pattern[str]:
    if shortest == longest:
        return re.compile(f"[A-Za-z0-9]{{{longest}}}")
    return re.compile(f".{{{shortest},{longest}}}", re.DOTALL)


def _id_form(profile: Profile) -> re.Pattern[str]:
    """Ids the target is known to take. Others, and those of targets nobody knows, are left as they are."""
    if profile.dialect == "anthropic":
        return _ALPHABET_OF_CLAUDE if profile.family.startswith("claude") else _ANYTHING
    shortest, longest = profile.call_id_length
    known = shortest == longest or profile.family in _OPENAI
    return _lengths(shortest, longest) if known else _ANYTHING


def _paired(messages: list[Message], form: re.Pattern[str], profile: Profile) -> bool:
    """Whether each call has its one result behind it, and an id of the form that no other call has.

    Open models on Chat give the same ids again and again, and Responses takes a result wherever it stands.
    """
    once = profile.dialect != "openai_chat" or profile.family in _OPENAI
    anywhere = profile.dialect == "openai_responses"
    seen: set[str] = set()
    pending: set[str] = set()
    for message in messages:
        role = message.role
        if role == "assistant":
            for part in message.parts:
                if type(part) is ToolCall:
                    if part.id in pending or (once and part.id in seen) or form.fullmatch(part.id) is None:
                        return False
                    seen.add(part.id)
                    pending.add(part.id)
        elif role == "tool":
            for part in message.parts:
                if type(part) is not ToolResult or part.call_id not in pending:
                    return False
                pending.discard(part.call_id)
        elif pending and not anywhere:
            return False
    return not pending


def _mend_media(draft: Draft) -> None:
    """Media that another model was shown, and this one takes none of: a line of text stands for it."""
    newest = last_answer(draft.request.messages)
    for at, message in enumerate(draft.request.messages):
        if at > newest:
            break
        parts = [_shown(draft, part, f"messages[{at}].parts[{n}]") for n, part in enumerate(message.parts)]
        if any(new is not old for new, old in zip(parts, message.parts, strict=True)):
            _put(draft, at, replace(message, parts=parts))


def _shown(draft: Draft, part: Part, path: str) -> Part:
    if isinstance(part, ToolResult) and any(isinstance(inner, Media) for inner in part.content):
        return replace(part, content=[_shown(draft, inner, path) for inner in part.content])
    if not isinstance(part, Media) or draft.profile.media.get(part.kind):
        return part
    draft.receipt.note(path, "dropped", f"only mentioned to the target: it takes no {part.kind}")
    return unseen(part)


_BLANKS = ("annotations", "refusal", "audio", "function_call")
"""What OpenAI's answers hold even when it is empty; clients echo it, and other vendors refuse it."""


def _drop_blanks(draft: Draft) -> None:
    if draft.profile.family in _OPENAI:
        return
    for at, message in enumerate(draft.request.messages):
        fields = message.extras.get("openai_chat", {}) if message.role == "assistant" else {}
        kept = {name: value for name, value in fields.items() if value or name not in _BLANKS}
        if len(kept) != len(fields):
            _put(draft, at, replace(message, extras={**message.extras, "openai_chat": kept}))


def _put(draft: Draft, at: int, message: Message) -> None:
    if draft.request.messages is draft.source.messages:
        draft.request.messages = list(draft.source.messages)
    draft.request.messages[at] = message


def _as_many(messages: list[Message]) -> bool:
    """Whether as many results stand behind each turn as it has calls."""
    open_calls = 0
    for message in messages:
        if message.role == "assistant":
            open_calls += sum(isinstance(part, ToolCall) for part in message.parts)
        elif message.role == "tool":
            open_calls -= len(message.parts)
            if open_calls < 0:
                return False
        elif open_calls:
            return False
    return not open_calls


def _settle_thinking(draft: Draft) -> None:
    """Claude with a thinking budget refuses an open tool turn that somebody else began or went on with (T03)."""
    setting = draft.request.reasoning
    if setting is None or setting.mode != "on":  # adaptive thinking has no such demand
        return
    if not draft.profile.family.startswith("claude") or not _lacks_thought(draft.request.messages):
        return
    why = "thinking is off for this call: the last tool turn has no thought that Claude signed"
    draft.receipt.note("thinking", "dropped", why)
    draft.request.reasoning = replace(setting, mode="off", budget=None, summary=None, extras={})
    _drop_clearing(draft)


def _lacks_thought(messages: list[Message]) -> bool:
    """Whether the open tool turn began without a thought, or others took part in it and its last answer has none."""
    turn: list[Message] = []
    for message in reversed(messages):
        if message.role == "assistant":
            turn.append(message)
        elif message.role != "tool":
            if turn or not message.parts:
                break
            return False
    calls = [part for message in turn for part in message.parts if isinstance(part, ToolCall)]
    if not calls:
        return False
    strange = any(not call.id.startswith(_OF_CLAUDE) for call in calls)
    return not _thinks_first(turn[-1]) or (strange and not _thinks_first(turn[0]))


def _thinks_first(message: Message) -> bool:
    return bool(message.parts) and isinstance(message.parts[0], Reasoning)


def _drop_clearing(draft: Draft) -> None:
    """Edits of the context that clear thoughts are refused without thinking."""
    fields = draft.request.extras.get("anthropic", {})
    management: Json = fields.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(edits, list):
        return
    kept = [edit for edit in edits if not (isinstance(edit, dict) and "thinking" in str(edit.get("type")))]
    if len(kept) == len(edits):
        return
    draft.receipt.note("context_management.edits", "dropped", "there are no thoughts to clear while thinking is off")
    left = {name: value for name, value in fields.items() if name != "context_management"}
    if kept:
        left["context_management"] = {**management, "edits": kept}
    draft.request.extras = {**draft.request.extras, "anthropic": left}


def _wants_writing(request: Request, profile: Profile) -> bool:
    """Whether the writer has to add what only it can spell: a call that stands without its thought (T12)."""
    told = profile.echoes_thoughts and profile.reasoning_field != "reasoning_details"
    if not told or not may_think(Draft(request, profile, Receipt())):
        return False
    return any(map(_is_thoughtless, request.messages))


def _is_thoughtless(message: Message) -> bool:
    kinds = {type(part) for part in message.parts}
    said = "reasoning_content" in message.extras.get("openai_chat", ())  # an empty one
    return ToolCall in kinds and Reasoning not in kinds and not said
