"""Whole answers: one body in, one body out, metered on the way.

An answer that comes as an event stream although none was asked for is folded. It must not know
providers or servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dragoman.language.events import AnswerFailed, Event, Failed, fold, unfold
from dragoman.language.failures import Failure
from dragoman.language.ir import Json, Response, ToolCall
from dragoman.language.registry import DIALECTS
from dragoman.language.splice import replaced_at
from dragoman.language.streams import Asked
from dragoman.language.wire import decode, encode
from dragoman.relay.stages import Stage, call_id
from dragoman.relay.tracts import Watcher

MODEL_FIELDS = {
    "anthropic": ("model",),
    "openai_chat": ("model",),
    "openai_responses": ("model",),
    "gemini": ("modelVersion",),
}
"""Where the model's name stands in a whole answer."""


@dataclass(slots=True)
class WholeAnswer:
    """What the client gets; ``body`` is its wire form."""

    response: Response
    body: bytes


@dataclass(frozen=True, slots=True)
class Ways:
    """How one call's answer is treated: ``stages`` change its events, ``watchers`` only look.

    ``seed`` makes ids for calls that came without one; ``calls_only`` tells that watchers have no
    use for an answer without calls.
    """

    upstream_dialect: str
    client_dialect: str
    short: bool
    seed: str = ""
    stages: list[Stage] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    calls_only: bool = False


def read_whole(data: bytes, headers: Mapping[str, str], ways: Ways, asked: Asked) -> WholeAnswer:
    """Read a provider's whole answer. Raises AnswerFailed when it is none."""
    if is_event_stream(data, headers):
        response = _folded(data, ways)
        return _rewritten(response, ways, asked)
    body = read_json(data)
    response = DIALECTS[ways.upstream_dialect].read_response(body)
    if not ways.short:
        return _rewritten(response, ways, asked)
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
    field_name = MODEL_FIELDS[dialect][0]
    if not asked or body.get(field_name) in (None, asked):
        return data
    return replaced_at(data, (field_name,), encode(asked))


def read_json(data: bytes) -> dict[str, Json]:
    """A provider's body as a JSON object. Raises AnswerFailed for anything else."""
    try:
        body = decode(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise AnswerFailed(
            Failure("server", "the provider's answer is not a JSON object", status=502, code="upstream_unreachable")
        )
    return body


def _folded(data: bytes, ways: Ways) -> Response:
    reader = DIALECTS[ways.upstream_dialect].StreamReader()
    return fold(reader.feed(data) + reader.close())


def _rewritten(response: Response, ways: Ways, asked: Asked) -> WholeAnswer:
    """The answer in the client's dialect, past the stages that a stream would pass."""
    calls = [part for choice in response.choices for part in choice.parts if isinstance(part, ToolCall)]
    if ways.seed:
        _name_calls(calls, ways.seed)
    if ways.stages:
        events: list[Event] = list(unfold(response))
        for stage in ways.stages:
            events = stage(events)
        _look(events, ways.watchers)
        staged = fold(events)
        response = Response(response.id, response.model, staged.choices, response.usage, response.extras)
    elif ways.watchers and (calls or not ways.calls_only):
        _look(unfold(response), ways.watchers)
    return WholeAnswer(response, encode(DIALECTS[ways.client_dialect].write_response(response, asked)))


def _name_calls(calls: list[ToolCall], seed: str) -> None:
    """Give an id to calls that came without one."""
    for number, call in enumerate(call for call in calls if not call.id):
        call.id = call_id(seed, number)


def _look(events: Iterable[Event], watchers: list[Callable[[Event], None]]) -> None:
    for event in events:
        if isinstance(event, Failed):
            raise AnswerFailed(event.failure)
        for watcher in watchers:
            watcher(event)
