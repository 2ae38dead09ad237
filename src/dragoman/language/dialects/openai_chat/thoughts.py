"""Reasoning beside the text: ``reasoning_content``, ``reasoning`` and ``reasoning_details``.

Vendors send one, two or all three with the same words. They are one thought (T10), and
``reasoning_details`` wins, because it alone holds signatures and encrypted forms; it goes back to
its owner as it came. Thoughts of other owners travel sealed in an entry of our own. Used by
requests, whole answers and streams alike, so that all three agree (S21).

Wire: https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://api-docs.deepseek.com/guides/reasoning_model
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, own, said, strangers
from dragoman.language.envelope import seal, unseal
from dragoman.language.ir import Extras, Json, Reasoning

FIELDS = ("reasoning_content", "reasoning")
SEALED = "dragoman-v1"
"""``format`` of the entry in which other owners' signatures travel."""


def read_thought(message: Fields, answer: bool = False) -> Reasoning | None:
    """Take the thought out of a message; empty and null fields stay in it. ``answer``: a provider says it."""
    fields = {key: message.pop(key) for key in FIELDS if isinstance(message.get(key), str) and message[key]}
    details = message.get("reasoning_details")
    extras: Extras = {}
    if isinstance(details, list) and details:
        del message["reasoning_details"]
        details, extras = unsealed(details)
    else:
        details = []
    if not fields and not details and not extras:
        return None
    text = details_text(details) or next(iter(fields.values()), "")
    form = repeats(fields) if answer else spelling(fields, bool(details))
    differing = {key: words for key, words in fields.items() if words != text}
    if differing:
        form["~words"] = differing
    if details:
        form["reasoning_details"] = details
    if form:
        extras = {**extras, NAME: form}
    return Reasoning(text, extras)


def spelling(fields: Fields | list[str], details: bool) -> Fields:
    """Form that records which fields held the thought; nothing for ``reasoning_content`` alone."""
    names = [key for key in FIELDS if key in fields]
    return {} if names == ["reasoning_content"] or not (names or details) else {"~fields": names}


def repeats(fields: Fields | list[str]) -> Fields:
    """Form of an answer's thought: it leaves in ``reasoning_content``, and in ``reasoning`` if it came there."""
    return {"~fields": ["reasoning"]} if "reasoning" in fields else {}


def shown_fields(extras: Extras) -> list[str]:
    """The fields in which a client is shown a thought."""
    return ["reasoning_content", *own(extras).get("~fields", ())]


def show_thought(thought: Reasoning) -> Fields:
    """The fields of a thought in an answer."""
    words = own(thought.extras).get("~words", {})
    written = {name: words.get(name, thought.text) for name in shown_fields(thought.extras)}
    if details := write_details(thought.extras):
        written["reasoning_details"] = details
    return {name: value for name, value in written.items() if value}


def write_thought(thought: Reasoning) -> Fields:
    """The fields of a thought in a request: as its owner spelt them, ``reasoning_content`` for a stranger's."""
    form = own(thought.extras)
    names = form.get("~fields", ["reasoning_content"])
    words = form.get("~words", {})
    written: Fields = {key: words.get(key, thought.text) for key in names if thought.text or key in words}
    if details := write_details(thought.extras):
        written["reasoning_details"] = details
    return written


def write_details(extras: Extras) -> list[Json]:
    """The ``reasoning_details`` to show: the owner's own, and a sealed entry for what others issued."""
    details = list(own(extras).get("reasoning_details", ()))
    if foreign := strangers(extras):
        details.append({"type": "reasoning.encrypted", "data": seal(foreign), "format": SEALED, "index": len(details)})
    return details


def unsealed(details: list[Json]) -> tuple[list[Json], Extras]:
    """The provider's own entries, and what our sealed entries held for other owners."""
    kept: list[Json] = []
    extras: Extras = {}
    for entry in details:
        opened = unseal(entry.get("data")) if isinstance(entry, dict) else None
        if opened is None:
            kept.append(entry)
        else:
            extras.update(opened)
    return kept, extras


def details_text(details: list[Json]) -> str:
    """The words in the entries: texts, else summaries."""
    entries = [entry for entry in details if isinstance(entry, dict)]
    return "".join(said(entry.get("text")) for entry in entries) or "".join(
        said(entry.get("summary")) for entry in entries
    )


class Details:
    """``reasoning_details`` of a stream: pieces of one entry are joined, later signatures stand."""

    __slots__ = ("_entries", "_words")

    def __init__(self) -> None:
        self._entries: list[Fields] = []
        self._words: list[list[str]] = []

    def add(self, entry: Fields) -> None:
        """Take one entry of a delta."""
        words = entry_words(entry)
        for at in range(len(self._entries) - 1, -1, -1):
            if entry_key(self._entries[at]) == entry_key(entry):
                if "data" in entry:
                    break
                self._words[at].append(words)
                self._entries[at].update((k, v) for k, v in entry.items() if v or k not in self._entries[at])
                return
        self._entries.append(dict(entry))
        self._words.append([words])

    def built(self) -> list[Json]:
        """The entries as a whole answer would hold them."""
        for entry, words in zip(self._entries, self._words, strict=True):
            if joined := "".join(words):
                entry[words_field(entry)] = joined
        return list(self._entries)


def entry_key(entry: Fields) -> tuple[Json, Json]:
    """What tells the entries of a stream apart."""
    return entry.get("type"), entry.get("index")


def words_field(entry: Fields) -> str:
    """The field of an entry that holds its words."""
    return "summary" if entry.get("type") == "reasoning.summary" else "text"


def entry_words(entry: Fields) -> str:
    """The words of one entry."""
    return said(entry.get("text")) or said(entry.get("summary"))


def entry_head(entry: Fields) -> Fields:
    """The entry without what comes in pieces or at the end."""
    return {key: value for key, value in entry.items() if key not in ("text", "summary", "signature", "data")}
