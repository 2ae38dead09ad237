"""Whole answers: one body in, one body out, metered on the way.

An answer that comes as an event stream although none was asked for is folded. It must not know
providers or servers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dragoman.language.events import AnswerFailed, Event, fold, unfold
from dragoman.language.failures import Failure
from dragoman.language.ir import Json, Reasoning, Response, ToolCall
from dragoman.language.issuers import marked
from dragoman.language.registry import DIALECTS
from dragoman.language.splice import replaced_at
from dragoman.language.streams import UNREADABLE, Asked
from dragoman.language.wire import decode_exactly, encode
from dragoman.relay.stages import Stage, call_id
from dragoman.relay.tracts import Watcher

MODEL_FIELDS = {"gemini": "modelVersion"}
"""The field of a whole answer that holds the model's name, where it is not ``model``."""

_NO_ARGUMENTS = re.compile(rb'"arguments"\s*:\s*null')
"""Clients read JSON there: such an answer is written anew (trap S09)."""


@dataclass(slots=True)
class WholeAnswer:
    """What the client gets; ``body`` is its wire form."""

    response: Response
    body: bytes


@dataclass(frozen=True, slots=True)
class Ways:
    """How one call's answer is treated: ``stages`` change its events, ``watchers`` only look.

    ``seed`` makes ids for calls that came without one; ``calls_only`` tells that watchers have no
    use for an answer without calls and thoughts. ``issuer`` is whose thoughts these are.
    """

    upstream_dialect: str
    client_dialect: str
    short: bool
    seed: str = ""
    stages: list[Stage] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    calls_only: bool = False
    issuer: str = ""


def read_whole(data: bytes, headers: Mapping[str, str], ways: Ways, asked: Asked) -> WholeAnswer:
    """Read a provider's whole answer. Raises AnswerFailed when it is none."""
    if not ways.short or is_event_stream(data, headers):
        return rewritten(read_response(data, headers, ways.upstream_dialect), ways, asked)
    body = read_json(data)
    response = _read(ways.upstream_dialect, body)
    if _NO_ARGUMENTS.search(data):
        return rewritten(response, ways, asked)
    for watcher in ways.watchers:
        for event in unfold(response):
            watcher(event)
    return WholeAnswer(response, with_model(data, body, ways.client_dialect, asked.model))


def is_event_stream(data: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a body is an event stream, whatever was asked for (trap B07)."""
    if headers.get("content-type", "").startswith("text/event-stream"):
        return True
    return data[:64].lstrip().startswith((b"data:", b"event:", b":"))


def with_model(data: bytes, body: Mapping[str, Json], dialect: str, asked: str) -> bytes:
    """The body with the model's name the client asked for (trap C20), every other byte as it came."""
    field_name = MODEL_FIELDS.get(dialect, "model")
    if not asked or body.get(field_name) in (None, asked):
        return data
    return replaced_at(data, (field_name,), encode(asked))


def read_json(data: bytes) -> dict[str, Json]:
    """A provider's body as a JSON object. Raises AnswerFailed for anything else."""
    try:
        body = decode_exactly(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise AnswerFailed(
            Failure("server", "the provider's answer is not a JSON object", status=502, code="upstream_unreachable")
        )
    return body


def read_response(data: bytes, headers: Mapping[str, str], dialect: str) -> Response:
    """A provider's whole answer, whatever form it has. Raises AnswerFailed when it is none."""
    if not is_event_stream(data, headers):
        return _read(dialect, read_json(data))
    reader = DIALECTS[dialect].StreamReader()
    return fold(reader.feed(data) + reader.close())


def _read(dialect: str, body: dict[str, Json]) -> Response:
    try:
        return DIALECTS[dialect].read_response(body)
    except UNREADABLE as error:
        failure = Failure("server", "the provider's answer cannot be read", status=502, code="upstream_unreachable")
        raise AnswerFailed(failure) from error


def rewritten(response: Response, ways: Ways, asked: Asked) -> WholeAnswer:
    """The answer in the client's dialect, past the stages that a stream would pass."""
    calls = [part for choice in response.choices for part in choice.parts if isinstance(part, ToolCall)]
    if ways.seed:
        _name_calls(calls, ways.seed)
    if ways.issuer:
        _mark_thoughts(response, ways.issuer)
    if ways.stages:
        events: list[Event] = list(unfold(response))
        for stage in ways.stages:
            events = stage(events)
        staged = fold(events)
        _look(events, ways.watchers)
        response = Response(response.id, response.model, staged.choices, response.usage, response.extras)
    elif ways.watchers and (not ways.calls_only or calls or _thinks(response)):
        _look(unfold(response), ways.watchers)
    return WholeAnswer(response, encode(DIALECTS[ways.client_dialect].write_response(response, asked)))


def _name_calls(calls: list[ToolCall], seed: str) -> None:
    """Give an id to calls that came without one."""
    for number, call in enumerate(call for call in calls if not call.id):
        call.id = call_id(seed, number)


def _thinks(response: Response) -> bool:
    return any(isinstance(part, Reasoning) for choice in response.choices for part in choice.parts)


def _mark_thoughts(response: Response, issuer: str) -> None:
    """Write the issuer's name on thoughts, for the envelopes they travel in (T02)."""
    for choice in response.choices:
        for part in choice.parts:
            if isinstance(part, Reasoning) and (part.text or part.extras):
                part.extras = marked(part.extras, issuer)


def _look(events: Iterable[Event], watchers: list[Callable[[Event], None]]) -> None:
    for event in events:
        for watcher in watchers:
            watcher(event)
