"""One call's journey, told from top to bottom: read this file first.

::

    client ─ read ─ expand ─ resolve ─ compose ─ sign, send ─┐
                                                             provider
    client ◄─ write ◄─ stages ◄─ read ◄──────────────────────┘
                         └ meter, keepsakes and stored responses look on

``Relay.carry`` is the whole of it; every way of failing ends in an answer in the client's dialect,
and in one record of the call. It must not know HTTP servers, wires or credentials.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.language.events import AnswerFailed
from dragoman.language.failures import Failure, Refused
from dragoman.language.ir import Json, Request
from dragoman.language.streams import Asked
from dragoman.language.wire import encode
from dragoman.observe.logs import get_logger
from dragoman.relay.answering import RESPONSES, AnswerWay, Memory
from dragoman.relay.calls import Call, Client, Headers
from dragoman.relay.cleaning import Secrets, clean_failure, secrets_of
from dragoman.relay.completing import CompletionWay, completion_request, compose_completion
from dragoman.relay.counting import count_answer, count_locally, count_upstream, unwrapped
from dragoman.relay.departure import Departed, Departure, GivenUp
from dragoman.relay.failing import (
    JSON_TYPE,
    Answer,
    UpstreamRefused,
    failure_answer,
    own_credential,
    read_upstream_failure,
    refused_answer,
)
from dragoman.relay.limits import limit_headers
from dragoman.relay.metering import Meter, Record, Sink, log_record
from dragoman.relay.outgoing import Options, Outgoing, Target, compose, read_body, read_request, unread_request
from dragoman.relay.stored_responses import PreviousNotFound
from dragoman.relay.streaming import STREAM_HEADERS, EarlyFailure, Patience, Pulse, drained, pump
from dragoman.relay.whole import is_event_stream
from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble
from dragoman.upstream.client import UpstreamAnswer, UpstreamClient
from dragoman.upstream.providers import Provider
from dragoman.upstream.resolution import Resolver

Way = AnswerWay | CompletionWay
Prepared = tuple[Request, Target, Outgoing, Way]

ERROR_LIMIT = 1024 * 1024
"""Bytes of a provider's error answer that are read."""

WHOLE_LIMIT = 64 * 1024 * 1024
"""Bytes of a whole answer."""

_log = get_logger("relay")


@dataclass(slots=True)
class House:
    """What the relay works with."""

    resolver: Resolver
    providers: Mapping[str, Provider]
    upstream: UpstreamClient
    memory: Memory = field(default_factory=Memory)
    options: Options = field(default_factory=Options)
    patience: Patience = field(default_factory=Patience)
    sinks: Sequence[Sink] = (log_record,)


class Relay:
    """Carries calls. One for the whole gateway; each call is a ``Journey`` of its own."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def carry(self, call: Call, client: Client) -> None:
        """Carry one call to its provider and the answer back. Raises nothing but a cancellation from outside."""
        await Journey(self._house, call, client).travel()


class Journey:
    """One call on its way."""

    def __init__(self, house: House, call: Call, client: Client) -> None:
        self._house = house
        self._call = call
        self._client = client
        self._record = Record(request_id=call.request_id, surface=call.surface, owner=call.owner, dialect=call.dialect)
        self._meter = Meter(self._record, len(call.body))
        self._signed_call: UpstreamCall | None = None
        self._pulse: Pulse | None = None
        self._upstream_headers: Mapping[str, str] = {}

    # ------------------------------------------------------------ the journey

    async def travel(self) -> None:
        """The call from its first to its last byte, whatever happens."""
        try:
            with Departure(self._client) as departure:
                await self._there_and_back(departure)
        except Departed:
            self._meter.left()
        except asyncio.CancelledError:
            await self._fail(Failure("overloaded", "the gateway is stopping", retry_after=2), is_ours=True)
            raise
        except UpstreamRefused as refused:
            self._meter.failed(refused.failure)
            await self._answer_failure(refused.failure, refused)
        except (Refused, PreviousNotFound, AnswerFailed, EarlyFailure, GivenUp, UpstreamTrouble) as error:
            failure = error.failure() if isinstance(error, Refused) else error.failure
            await self._fail(failure, is_ours=isinstance(error, Refused | PreviousNotFound))
        except Exception as error:
            _log.error("defect", request_id=self._call.request_id, exc_info=error)
            await self._fail(Failure("server", "internal error", status=500, code="internal_error"), is_ours=True)
        finally:
            if self._pulse is not None:
                self._pulse.stop()
            self._meter.close(self._house.sinks)

    async def _there_and_back(self, departure: Departure) -> None:
        body = read_body(self._call.body)
        if self._call.operation == "count_tokens":
            await self._count(body)
            return
        prepare = self._completion if self._call.operation == "complete" else self._generation
        request, target, outgoing, way = prepare(body)
        self._record.short_cut = outgoing.short
        if request.stream:
            patience = self._house.patience
            self._pulse = Pulse(self._client, way.tract(), patience, self._stream_head, departure.give_up)
        signed = await self._signed(target, outgoing, request)
        async with await self._opened(signed, way) as answer:
            if request.stream:
                await self._stream(answer, way, departure)
            else:
                await self._whole(answer, way, departure)

    # ------------------------------------------------------------ the way there

    def _generation(self, given: dict[str, Json]) -> Prepared:
        """An answer: the conversation is read, completed, aimed, and written for its target."""
        house, call = self._house, self._call
        body = house.memory.stored.expanded(call.owner, given) if call.dialect == RESPONSES else given
        request, target = self._read_and_aimed(body)
        if body is not given:
            request.previous = given["previous_response_id"]  # the answer names it; what goes out does not
        asked = self._make_asked(request, target)
        outgoing = compose(
            call, body, request, target, asked.receipt,
            options=house.options, keepsakes=house.memory.keepsakes, expanded=body is not given,
        )  # fmt: skip
        way = AnswerWay(call, body, target, asked, outgoing, self._meter, self._cleaned, house.memory, house.options)
        return request, target, outgoing, way

    def _completion(self, body: dict[str, Json]) -> Prepared:
        """A text completion: the client's own bytes, aimed."""
        request = completion_request(body)
        target = self._target(request)
        outgoing = compose_completion(
            self._call.body, body, target.model, stream=request.stream, usage=target.profile.stream_usage
        )
        asked = request.model or target.model
        return (
            request,
            target,
            outgoing,
            CompletionWay(asked, self._meter, self._cleaned, hide_usage=outgoing.hide_usage),
        )

    def _read_and_aimed(self, body: dict[str, Json]) -> tuple[Request, Target]:
        """The conversation and its target. What our reader refuses may pass to a provider of its own dialect."""
        call = self._call
        try:
            request = read_request(call, body)
        except Refused:
            unread = unread_request(call, body)
            target = self._target(unread, whole=False) if unread is not None else None
            if unread is None or target is None or target.profile.dialect != call.dialect:
                raise
            return unread, target
        return request, self._target(request)

    def _target(self, request: Request, *, whole: bool = True) -> Target:
        """The provider, its model, and what the model accepts. ``whole``: the request was read."""
        house, call = self._house, self._call
        resolved = house.resolver.resolve(request.model, surface=call.dialect)
        provider = house.providers[resolved.provider_name]
        profile = provider.profile(
            resolved.upstream_model, request.dialect, request if whole else None, family=resolved.family
        )
        record = self._record
        record.asked_model, record.provider = request.model, resolved.provider_name
        record.upstream_model, record.stream = resolved.upstream_model, request.stream
        if request.previous:
            keeps = profile.dialect == "openai_responses"
            house.memory.stored.check_issuer(call.owner, request.previous, resolved.provider_name, keeps=keeps)
        return Target(resolved, profile)

    def _make_asked(self, request: Request, target: Target) -> Asked:
        return Asked(
            request=request,
            model=request.model or target.model,
            seed=os.urandom(12).hex(),
            created=int(time.time()),
            input_estimate=self._meter.input_estimate,
            receipt=self._record.receipt,
        )

    async def _signed(self, target: Target, outgoing: Outgoing, request: Request) -> UpstreamCall:
        provider = self._house.providers[target.resolved.provider_name]
        signed = await provider.call(
            target.profile,
            target.model,
            outgoing.body,
            stream=request.stream,
            client_headers=self._call.headers,
            operation="complete" if self._call.operation == "complete" else "generate",
            surface=request.dialect,
        )
        self._signed_call = signed
        return signed

    async def _opened(self, signed: UpstreamCall, way: Way) -> UpstreamAnswer:
        """The head of the provider's answer. Raises UpstreamRefused for an error status."""
        house = self._house
        answer = await house.upstream.open(
            signed, connect_timeout=house.patience.connect, first_byte_timeout=house.patience.idle
        )
        self._record.upstream_status = answer.status
        if answer.status == 200:
            self._upstream_headers = answer.headers
            return answer
        async with answer:
            headers = answer.headers
            body = await _read_some(answer, house.patience.idle)
        self._record.upstream_request_id = headers.get("x-request-id") or headers.get("request-id", "")
        raise read_upstream_failure(
            way.upstream_dialect, self._call.dialect, answer.status, headers, body, self._secrets()
        )

    # ------------------------------------------------------------ the way back

    async def _stream(self, answer: UpstreamAnswer, way: Way, departure: Departure) -> None:
        pulse = self._pulse
        assert pulse is not None
        if way.short and not is_event_stream(b"", answer.headers):
            pulse.tract = way.long_tract()
        chunks = answer.chunks(idle_timeout=self._house.patience.idle)
        await pump(chunks, pulse.tract, pulse, self._meter, self._client)
        self._record.status = 200
        departure.settle()
        way.finished()
        await drained(chunks)

    async def _whole(self, answer: UpstreamAnswer, way: Way, departure: Departure) -> None:
        data = await answer.read(WHOLE_LIMIT, idle_timeout=self._house.patience.idle)
        whole = way.whole(data, answer.headers)
        self._meter.whole(whole.response)
        self._meter.first_byte()
        way.finished()
        await self._send(Answer(200, [JSON_TYPE, *self._own_headers()], whole.body))
        departure.settle()

    async def _count(self, given: dict[str, Json]) -> None:
        """How many tokens a request holds: the provider's word, or our own count."""
        call, house = self._call, self._house
        body = unwrapped(call, given)
        request = read_request(call, body)
        target = self._target(request)
        provider = house.providers[target.resolved.provider_name]
        tokens = await count_upstream(call, body, request, target, provider, house.upstream)
        if tokens is None:
            tokens = await count_locally(request, target.model)
        await self._send(Answer(200, [JSON_TYPE, *self._own_headers()], encode(count_answer(call.dialect, tokens))))

    def _stream_head(self) -> Headers:
        if self._call.json_array:
            return [JSON_TYPE, *STREAM_HEADERS[1:], *self._own_headers()]
        return [*STREAM_HEADERS, *self._own_headers()]

    def _own_headers(self) -> Headers:
        """Who answered, what was lost on the way there, and the provider's limits in the client's words."""
        record = self._record
        headers: Headers = [
            ("x-dragoman-provider", record.provider),
            ("x-dragoman-model", record.upstream_model),
            ("x-dragoman-receipt", record.receipt.header()),
        ]
        return headers + limit_headers(self._upstream_headers, self._call.dialect)

    # ------------------------------------------------------------ failing

    def _secrets(self) -> Secrets:
        return Secrets() if self._signed_call is None else secrets_of(self._signed_call)

    def _cleaned(self, failure: Failure) -> Failure:
        return own_credential(clean_failure(failure, self._secrets()))

    async def _fail(self, failure: Failure, *, is_ours: bool) -> None:
        if not is_ours:
            failure = self._cleaned(failure)
        self._meter.failed(failure)
        await self._answer_failure(failure, None)

    async def _answer_failure(self, failure: Failure, refused: UpstreamRefused | None) -> None:
        """Tell the client: with a status while it is open, in the stream after that."""
        call = self._call
        if self._client.ended:
            return
        if self._client.started:
            await self._fail_in_stream(failure)
            return
        if refused is not None:
            answer = refused_answer(call.dialect, refused, call.request_id)
        else:
            upstream: dict[str, str] | None = (
                None if failure.code == "internal_error" or not self._record.provider else {}
            )
            answer = failure_answer(call.dialect, failure, call.request_id, upstream)
        if self._record.provider:
            answer.headers += self._own_headers()
        await self._send(answer)

    async def _fail_in_stream(self, failure: Failure) -> None:
        """The status is out (a ping was due before the provider answered): the error goes into the stream."""
        self._record.status = 200
        if self._pulse is None:
            await self._client.end()
            return
        await self._pulse.end(self._pulse.tract.fail(failure))

    async def _send(self, answer: Answer) -> None:
        self._record.status = answer.status
        await self._client.start(answer.status, [*answer.headers, ("content-length", str(len(answer.body)))])
        await self._client.end(answer.body)


async def _read_some(answer: UpstreamAnswer, idle: float) -> bytes:
    """An error's body, as much of it as can matter. One that breaks off still has a status."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in answer.chunks(idle_timeout=min(idle, 30.0)):
            pieces.append(piece)
            size += len(piece)
            if size > ERROR_LIMIT:
                break
    except UpstreamTrouble:
        pass
    return b"".join(pieces)[:ERROR_LIMIT]
