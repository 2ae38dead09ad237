"""Text completions: a wire no dialect reads, passed through to providers that offer it.

https://platform.openai.com/docs/api-reference/completions

Only the model's name changes on the way, and a stream is asked for its usage. It must not know servers.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.language import splice
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Request, Response, Sampling
from dragoman.language.wire import encode
from dragoman.relay.metering import Meter
from dragoman.relay.outgoing import Outgoing, with_stream_usage
from dragoman.relay.tracts import Cleaner, RawWay, Tract, read_completion
from dragoman.relay.whole import WholeAnswer, read_json, with_model


def completion_request(body: Mapping[str, Json]) -> Request:
    """As much of a text completion as routing needs."""
    model = body.get("model", "")
    if not isinstance(model, str):
        raise Refused("model", "must be a string")
    sampling = Sampling(max_tokens=_whole(body.get("max_tokens")), n=_answers(body))
    return Request("openai_chat", model, [], stream=body.get("stream") is True, sampling=sampling)


def _answers(body: Mapping[str, Json]) -> int:
    """How many a provider writes: so many, or the best of more, to each of the prompts."""
    prompt = body.get("prompt")
    # A list of numbers is one prompt in tokens.
    prompts = len(prompt) if isinstance(prompt, list) and not all(isinstance(one, int) for one in prompt) else 1
    return prompts * max(1, _whole(body.get("n")) or 1, _whole(body.get("best_of")) or 1)


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def compose_completion(data: bytes, body: Mapping[str, Json], model: str, *, stream: bool, usage: bool) -> Outgoing:
    """The body for the provider; ``usage``: it can report usage in a stream."""
    if body.get("model") != model:
        data = splice.replaced(data, "model", encode(model))
    hide = False
    if stream and usage:
        data, hide = with_stream_usage(data, body)
    return Outgoing(data, short=True, hide_usage=hide)


class CompletionWay:
    """The way back of one text completion."""

    short = True
    upstream_dialect = "openai_chat"
    rounds = None

    def __init__(self, model: str, meter: Meter, clean: Cleaner, *, hide_usage: bool) -> None:
        self._model = model
        self._meter = meter
        self._clean = clean
        self._hide_usage = hide_usage

    def tract(self) -> Tract:
        """The way of a stream."""
        return RawWay(self._model, self._meter, self._clean, hide_usage=self._hide_usage)

    long_tract = tract

    def whole(self, data: bytes, headers: Mapping[str, str]) -> WholeAnswer:
        """A whole completion, with the name the client asked for. Raises AnswerFailed."""
        body = read_json(data)
        for event in read_completion(body):
            self._meter.add(event)
        model = body.get("model")
        response = Response("", model if isinstance(model, str) else "", [])
        return WholeAnswer(response, with_model(data, body, self.upstream_dialect, self._model))

    def finished(self) -> None:
        """Nothing is remembered of it."""
