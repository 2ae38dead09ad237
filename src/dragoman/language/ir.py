"""The conversation model: what every dialect is read into and written from.

It is smaller than any wire. What one dialect knows and the model does not travels in ``extras``,
keyed by the dialect that owns it, and is written back only by that owner. This module holds values
and no behaviour beyond merging; it must not know any wire's field names.

Two conventions hold everywhere:

* ``extras`` is ``{owner: {field: value}}``. A field whose name starts with ``~`` records how the
  owner spelt something (a string instead of a list of blocks, an absent key): *form*, whose loss
  is not a loss of meaning and is never noted.
* Tool arguments are text, exactly as they came. Half a stream is not JSON, and re-serialising
  changes bytes that a cache or a signature covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Json = Any
"""A decoded JSON value."""

Extras = dict[str, dict[str, Json]]
"""``{dialect name: {field: value}}``: what one dialect knows and the model does not."""

Role = Literal["system", "user", "assistant", "tool"]
MediaKind = Literal["image", "document", "audio", "video"]
MediaSource = Literal["base64", "url", "file", "text"]
ToolKind = Literal["function", "custom"]
ChoiceMode = Literal["auto", "any", "none", "named", "subset"]
ReasoningMode = Literal["on", "adaptive", "off"]
FinishReason = Literal["end", "length", "tool_calls", "stop_sequence", "refusal", "pause", "unknown"]


# ---------------------------------------------------------------- parts


@dataclass(slots=True)
class Citation:
    """Where a stretch of text comes from.

    ``start`` and ``end`` are character offsets into the text part, when known. ``extras`` holds the
    owner's whole wire form, so that the owner can write it back unchanged.
    """

    url: str = ""
    title: str = ""
    cited_text: str = ""
    start: int | None = None
    end: int | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Text:
    """Words said. ``logprobs`` is a list in OpenAI's ``content`` shape (token, logprob, bytes, top_logprobs)."""

    text: str
    citations: list[Citation] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Refusal:
    """Words said by a model that declines. Kept apart from text because clients show it differently."""

    text: str
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Reasoning:
    """A thought, or its summary. May be empty when only its signature or an encrypted form is known.

    Signatures and encrypted forms live in ``extras`` under their owner:
    ``anthropic``: ``signature`` or ``redacted`` (the ``data`` of a redacted block);
    ``openai_responses``: ``id``, ``encrypted_content``, ...; ``gemini``: ``thoughtSignature``;
    ``openai_chat``: ``reasoning_details``.
    """

    text: str
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Media:
    """An image, document, sound or film.

    ``value`` is base64 text, a URL, a provider's file id, or plain text, as ``source`` says.
    ``media_type`` is a MIME type or empty when the wire did not say.
    """

    kind: MediaKind
    source: MediaSource
    value: str
    media_type: str = ""
    name: str = ""
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class ToolCall:
    """A call the client is to run. ``arguments`` is JSON text for a function, raw text for a custom tool."""

    id: str
    name: str
    arguments: str
    kind: ToolKind = "function"
    namespace: str = ""
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class ToolResult:
    """What the client's tool answered. ``content`` holds Text, Media and Opaque parts."""

    call_id: str
    content: list[Part]
    is_error: bool = False
    name: str = ""
    kind: ToolKind = "function"
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Opaque:
    """Something only its owner understands (hosted tools and their results, compaction items, ...).

    What a provider runs is never a ToolCall, so it can never be offered to a client as its own tool.
    ``data`` is the owner's whole wire object.
    """

    dialect: str
    data: dict[str, Json]
    extras: Extras = field(default_factory=dict)


Part = Text | Refusal | Reasoning | Media | ToolCall | ToolResult | Opaque


# ---------------------------------------------------------------- requests


@dataclass(slots=True)
class Message:
    """One turn, or a piece of one. ``tool`` messages hold only ToolResult parts."""

    role: Role
    parts: list[Part]
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Tool:
    """A tool the client runs. ``parameters`` is a JSON schema; ``grammar`` the format of a custom tool.

    ``deferred`` marks a tool the client wants loaded only when searched for.
    """

    name: str
    description: str = ""
    parameters: dict[str, Json] | None = None
    kind: ToolKind = "function"
    namespace: str = ""
    grammar: dict[str, Json] | None = None
    strict: bool | None = None
    deferred: bool = False
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class ToolChoice:
    """``named`` holds one name; ``subset`` restricts to ``names`` (``required``: one of them must be called)."""

    mode: ChoiceMode
    names: list[str] = field(default_factory=list)
    required: bool = False
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Sampling:
    """Knobs. ``None`` means the client did not say; nothing is invented."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


@dataclass(slots=True)
class ReasoningSetting:
    """How much to think. ``budget`` is in tokens; ``summary`` asks for visible thoughts.

    ``effort`` is one of none, minimal, low, medium, high, xhigh, max, or an unknown word kept as said.
    """

    mode: ReasoningMode | None = None
    effort: str | None = None
    budget: int | None = None
    summary: str | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class OutputFormat:
    """Structured output: free JSON (``schema is None``), JSON that follows a schema, or one of ``choices``, bare."""

    schema: dict[str, Json] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None
    extras: Extras = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Request:
    """A whole call, read from ``dialect``. ``extras`` are top-level fields the model does not know.

    ``previous`` names an earlier response whose items precede ``messages``. ``user`` is the end
    user's opaque id; ``cache_key`` the conversation's prompt-cache key.
    """

    dialect: str
    model: str
    messages: list[Message]
    tools: list[Tool | Opaque] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: ReasoningSetting | None = None
    output: OutputFormat | None = None
    stream: bool = False
    previous: str = ""
    user: str = ""
    cache_key: str = ""
    extras: Extras = field(default_factory=dict)


# ---------------------------------------------------------------- answers


@dataclass(slots=True)
class Usage:
    """Tokens. The three inputs are disjoint, so they add up to the prompt. ``output`` includes ``reasoning``.

    ``None`` is unreported; 0 is a report of none. ``extras`` keeps the wire form. Reports are
    cumulative: ``merged`` lets the newer non-null value stand, field by field.
    """

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    estimated: bool = False
    extras: Extras = field(default_factory=dict)

    def merged(self, newer: Usage) -> Usage:
        """Return this usage overlaid by the newer report."""
        extras = {owner: dict(fields) for owner, fields in self.extras.items()}
        for owner, fields in newer.extras.items():
            extras.setdefault(owner, {}).update(fields)
        return Usage(
            input=self.input if newer.input is None else newer.input,
            cache_read=self.cache_read if newer.cache_read is None else newer.cache_read,
            cache_write=self.cache_write if newer.cache_write is None else newer.cache_write,
            output=self.output if newer.output is None else newer.output,
            reasoning=self.reasoning if newer.reasoning is None else newer.reasoning,
            estimated=newer.estimated,
            extras=extras,
        )

    def plus(self, more: Usage) -> Usage:
        """Return what both came to, where each is the whole usage of a request of its own."""
        return Usage(
            input=_sum(self.input, more.input),
            cache_read=_sum(self.cache_read, more.cache_read),
            cache_write=_sum(self.cache_write, more.cache_write),
            output=_sum(self.output, more.output),
            reasoning=_sum(self.reasoning, more.reasoning),
            estimated=self.estimated or more.estimated,
            extras=_sum(self.extras, more.extras),
        )

    def minus(self, before: Usage) -> Usage:
        """Return what came on top of an earlier sum: ``before.plus(more).minus(before)`` counts as ``more`` does."""
        return Usage(
            input=_rest(self.input, before.input),
            cache_read=_rest(self.cache_read, before.cache_read),
            cache_write=_rest(self.cache_write, before.cache_write),
            output=_rest(self.output, before.output),
            reasoning=_rest(self.reasoning, before.reasoning),
            estimated=self.estimated,
            extras=_rest(self.extras, before.extras),
        )

    @property
    def prompt(self) -> int:
        """All input tokens: fresh, read from cache, written to cache."""
        return (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0)


def _sum(one: Json, other: Json) -> Json:
    """Numbers are added and lists joined, at any depth; of anything else the newer stands."""
    if one is None or other is None:
        return one if other is None else other
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _sum(one.get(key), other.get(key)) for key in (one | other)}
    if isinstance(one, list) and isinstance(other, list):
        return one + other
    return one + other if _counts(one) and _counts(other) else other


def _rest(whole: Json, part: Json) -> Json:
    """The other way round: what of a sum is not in the part."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return {key: _rest(value, part.get(key)) for key, value in whole.items()}
    if isinstance(whole, list) and isinstance(part, list):
        return whole[len(part) :]
    return max(0, whole - part) if _counts(whole) and _counts(part) else whole


def _counts(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(slots=True)
class Finish:
    """Why one choice ended. ``raw`` keeps an owner's word the model has none for."""

    reason: FinishReason
    stop_sequence: str | None = None
    raw: str = ""
    extras: Extras = field(default_factory=dict)


@dataclass(slots=True)
class Choice:
    """One of ``n`` answers."""

    parts: list[Part]
    finish: Finish


@dataclass(slots=True)
class Response:
    """A whole answer: always the fold of its events."""

    id: str
    model: str
    choices: list[Choice]
    usage: Usage = field(default_factory=Usage)
    extras: Extras = field(default_factory=dict)

    @property
    def parts(self) -> list[Part]:
        """Parts of the first choice."""
        return self.choices[0].parts if self.choices else []

    @property
    def finish(self) -> Finish:
        """Finish of the first choice."""
        return self.choices[0].finish if self.choices else Finish("end")


def merge_extras(base: Extras, more: Mapping[str, Mapping[str, Json]]) -> Extras:
    """Overlay ``more`` on ``base`` owner by owner; neither argument is changed."""
    if not more:
        return base
    merged = {owner: dict(fields) for owner, fields in base.items()}
    for owner, fields in more.items():
        merged.setdefault(owner, {}).update(fields)
    return merged


def without_extras(part: Part) -> Part:
    """Return the part as a stranger to its owner sees it."""
    return replace(part, extras={})
