"""One call's journey, told from top to bottom: read this file first.

::

    client ─ read ─ plan ─┬ compose ─ sign, send ─┐      for each target, until one answers
                          └ the next target ◄─ no ┤
                                                provider
    client ◄─ write ◄─ stages ◄─ read ◄───────────┘
                         └ meter, keepsakes and stored responses look on

``Relay.carry`` is the whole of it; every way of failing ends in an answer in the client's dialect,
and in one record of the call. A provider that pauses is asked to go on (``relay.rounds``). It must not
know HTTP servers, wires or credentials.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing

from dragoman.language.events import AnswerFailed
from dragoman.language.failures import Failure, Refused
from dragoman.language.ir import Json
from dragoman.language.wire import encode
from dragoman.observe.logs import get_logger
from dragoman.relay.admission.model import Denied
from dragoman.relay.affinity import session_of, was_compacted
from dragoman.relay.answering import RESPONSES
from dragoman.relay.calls import Call, Client, Headers
from dragoman.relay.cleaning import Secrets, clean_failure, secrets_of
from dragoman.relay.counting import count_answer, count_locally, count_upstream, unwrapped
from dragoman.relay.departure import Departed, Departure, GivenUp
from dragoman.relay.errands import Completion, Errand, Generation, Prepared, aimed, planned
from dragoman.relay.failing import (
    JSON_TYPE,
    Answer,
    UpstreamRefused,
    failure_answer,
    own_credential,
    read_upstream_failure,
    refused_answer,
)
from dragoman.relay.house import House
from dragoman.relay.limits import limit_headers, with_own_limits
from dragoman.relay.metering import Attempt, Meter, Record
from dragoman.relay.outgoing import read_body, read_request
from dragoman.relay.paying import Purse
from dragoman.relay.rounds import Rounds, continued
from dragoman.relay.routing import Shot, Tries, busy_failure
from dragoman.relay.stored_responses import PreviousNotFound
from dragoman.relay.streaming import STREAM_HEADERS, EarlyFailure, Pulse, drained, pump
from dragoman.relay.whole import is_event_stream
from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble
from dragoman.upstream.client import UpstreamAnswer

_UNFIT = (Refused, PreviousNotFound)
"""This target cannot take the request; another may."""

_FAILED = (UpstreamRefused, EarlyFailure, AnswerFailed, UpstreamTrouble)
"""The provider failed before the client was given anything of its answer."""

ERROR_LIMIT = 1024 * 1024
"""Bytes of a provider's error answer that are read."""

WHOLE_LIMIT = 64 * 1024 * 1024
"""Bytes of a whole answer."""

_log = get_logger("relay")


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
        self._record = Record(
            request_id=call.request_id,
            surface=call.surface,
            owner=call.owner,
            user=call.caller.name,
            dialect=call.dialect,
        )
        self._meter = Meter(self._record, len(call.body), estimates=house.estimates)
        self._signed_call: UpstreamCall | None = None
        self._ready: Prepared | None = None
        self._last: Prepared | None = None
        self._pulse: Pulse | None = None
        self._upstream_headers: Mapping[str, str] = {}
        self._purse = Purse(house, call, self._meter)

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
            await self._fail(failure, is_ours=isinstance(error, _UNFIT))
        except Denied as denied:
            self._purse.denied = denied
            await self._fail(denied.failure, is_ours=True)
        except Exception as error:
            _log.error("defect", request_id=self._call.request_id, exc_info=error)
            await self._fail(Failure("server", "internal error", status=500, code="internal_error"), is_ours=True)
        finally:
            if self._pulse is not None:
                self._pulse.stop()
            # Both know us: a cycle would keep the whole call in memory for a while.
            self._pulse = self._ready = self._last = None
            await self._purse.settled()
            self._meter.close(self._house.sinks)

    async def _there_and_back(self, departure: Departure) -> None:
        call, house = self._call, self._house
        body = read_body(call.body)
        if call.operation == "count_tokens":
            await self._count(body)
            return
        if call.dialect == RESPONSES:
            await house.memory.stored.recall(call.owner, body.get("previous_response_id"))
            await house.memory.stored.recall_items(call.owner, body)
        kind = Completion if call.operation == "complete" else Generation
        errand: Errand = kind(house, call, body, self._meter, self._cleaned)
        self._record.asked_model, self._record.stream = errand.asked_model, errand.stream
        self._purse.belongs(errand.plan.route, session_of(call.headers, body))
        tries = house.routing.tries(errand.plan, errand.place, fresh=was_compacted(call.headers))
        await self._until_answered(errand, tries, departure)

    async def _until_answered(self, errand: Errand, tries: Tries, departure: Departure) -> None:
        """Try one target after another. Raises what the last one failed with."""
        trouble: Exception | None = None
        while (shot := await tries.next()) is not None:
            began = time.monotonic()
            try:
                await self._attempt(errand, shot, tries, departure)
            except (*_UNFIT, *_FAILED) as error:
                pause = self._after(error, shot, tries, time.monotonic() - began)
                if self._purse.denied is not None:
                    raise self._purse.denied from error
                if pause is None:
                    raise
                trouble = error
                await asyncio.sleep(pause)
            except BaseException:
                tries.left(shot)
                raise
            else:
                return
        raise trouble or GivenUp(busy_failure(errand.plan))

    def _after(self, error: Exception, shot: Shot, tries: Tries, seconds: float) -> float | None:
        """Give a failed shot back: seconds until the next target, or None when the client is to hear of it."""
        if not isinstance(error, _FAILED):
            tries.refused(shot)
            return 0.0 if tries.another else None
        failure = self._cleaned(error.failure)
        self._record.failed_attempts.append(
            Attempt(shot.resolved.provider_name, shot.resolved.upstream_model, shot.key, failure, seconds)
        )
        self._purse.attempt_failed(failure)
        return tries.failed(shot, failure, once_more=self._by_chance(shot, failure))

    def _by_chance(self, shot: Shot, failure: Failure) -> bool:
        """Whether the same target may do better: without a parameter it refused, or simply with more luck (E08)."""
        ready = self._ready
        if ready is None:
            return False
        if failure.code in ready.target.profile.retry_once_codes:
            return True
        if failure.kind == "credential" and self._signed_call is not None:
            # A token may be newer than its end; a fixed key stays what it is.
            provider = self._house.providers[shot.resolved.provider_name]
            return provider.credential_failed(shot.key, self._signed_call)
        return self._house.lessons.learn(ready.target, ready.outgoing, failure)

    async def _attempt(self, errand: Errand, shot: Shot, tries: Tries, departure: Departure) -> None:
        """One target: there and back."""
        self._meter.again()
        record, resolved = self._record, shot.resolved
        record.provider, record.upstream_model = resolved.provider_name, resolved.upstream_model
        self._ready = None
        await errand.recall(resolved)
        self._ready = ready = errand.prepare(resolved, record.receipt)
        self._house.lessons.apply(ready.target, ready.outgoing, record.receipt)
        record.short_cut = ready.outgoing.short
        self._purse.refuse_losses()
        await self._purse.admit(ready)
        if errand.stream:
            self._listen(ready, departure)
        signed = await self._signed(ready, shot)
        async with await self._opened(signed, ready, self._first_byte(errand, tries)) as answer:
            self._house.routing.health.answers(shot.spot)
            if errand.stream:
                first_byte = self._first_byte(errand, tries) if tries.another else None
                await self._stream(answer, ready, shot, departure, first_byte)
            else:
                await self._whole(answer, ready, shot, departure)
        if self._purse.denied is not None:
            tries.left(shot)
        elif record.failure is None:
            tries.succeeded(shot)
        else:
            tries.failed(shot, record.failure)

    def _listen(self, ready: Prepared, departure: Departure) -> None:
        """Keep the client company while the provider thinks."""
        tract = ready.way.tract()
        self._last = ready
        if self._pulse is None:
            patience = self._house.patience
            self._pulse = Pulse(
                self._client, tract, patience, self._stream_head, departure.give_up, self._purse.settled
            )
        self._pulse.tract = tract

    def _first_byte(self, errand: Errand, tries: Tries) -> float:
        """Seconds a target may be silent at first: fewer while another is left."""
        return min(errand.plan.first_byte, self._idle) if tries.another else self._idle

    @property
    def _idle(self) -> float:
        """Seconds of silence after which the target is given up."""
        return self._house.idle(self._record.provider)

    async def _signed(self, ready: Prepared, shot: Shot) -> UpstreamCall:
        provider = self._house.providers[shot.resolved.provider_name]
        signed = await provider.call(
            ready.target.profile,
            ready.target.model,
            ready.outgoing.body,
            stream=ready.request.stream,
            client_headers=self._call.headers,
            operation="complete" if self._call.operation == "complete" else "generate",
            surface=ready.request.dialect,
            key=shot.key,
        )
        if shot.resolved.overriding.headers:
            signed.headers = {**signed.headers, **shot.resolved.overriding.headers}
        self._signed_call = signed
        if self._house.tell_bodies:
            self._tell("request", asked=self._call.body, sent=signed.body)
        for path in signed.withheld:
            self._record.receipt.note(path, "dropped", "the target does not take it")
        # Without the query, where some keep their keys.
        self._record.upstream_url = signed.url.partition("?")[0]
        return signed

    async def _opened(self, signed: UpstreamCall, ready: Prepared, first_byte: float) -> UpstreamAnswer:
        """The head of the provider's answer. Raises UpstreamRefused for an error status."""
        house = self._house
        await self._purse.begin(ready, signed)
        answer = await house.upstream.open(
            signed,
            connect_timeout=house.patience.connect,
            first_byte_timeout=first_byte,
            again=lambda: self._purse.begin_again(ready, signed),
        )
        self._record.upstream_status = answer.status
        if answer.status == 200:
            self._upstream_headers = answer.headers
            return answer
        async with answer:
            headers = answer.headers
            body = await _read_some(answer, self._idle)
        self._record.upstream_request_id = headers.get("x-request-id") or headers.get("request-id", "")
        raise read_upstream_failure(
            ready.way.upstream_dialect, self._call.dialect, answer.status, headers, body, self._secrets()
        )

    # ------------------------------------------------------------ the way back

    async def _stream(
        self, answer: UpstreamAnswer, ready: Prepared, shot: Shot, departure: Departure, first_byte: float | None
    ) -> None:
        """Carry a stream. ``first_byte`` is how long its first piece may take when another target is left."""
        pulse, way = self._pulse, ready.way
        assert pulse is not None
        if way.short and not is_event_stream(b"", answer.headers):
            pulse.tract = way.long_tract()
        async with aclosing(self._answers(answer, ready, shot)) as answers:
            if way.rounds is None:
                chunks = answer.chunks(idle_timeout=self._idle, first_timeout=first_byte)
            else:
                chunks = self._chunks(answers, way.rounds, first_byte)
            await pump(chunks, pulse.tract, pulse, self._meter, self._client, hold=first_byte is not None)
            self._record.status = 200
            departure.settle()
            way.finished()
            if way.rounds is None or way.rounds.ended:
                await drained(chunks)

    async def _whole(self, answer: UpstreamAnswer, ready: Prepared, shot: Shot, departure: Departure) -> None:
        async with aclosing(self._answers(answer, ready, shot)) as answers:
            async for answer in answers:
                data = await answer.read(WHOLE_LIMIT, idle_timeout=self._idle)
                if self._house.tell_bodies:
                    self._tell("answer", got=data)
                try:
                    whole = ready.way.whole(data, answer.headers)
                except AnswerFailed as failed:
                    self._meter.broken(failed.usage)
                    raise
        assert whole is not None
        self._meter.whole(whole.response)
        self._meter.first_byte()
        ready.way.finished()
        await self._send(Answer(200, [JSON_TYPE, *self._own_headers()], whole.body))
        departure.settle()

    async def _answers(
        self, answer: UpstreamAnswer, ready: Prepared, shot: Shot
    ) -> AsyncGenerator[UpstreamAnswer, None]:
        """The provider's answer, and those that go on with it: each is to be read before the next is asked for."""
        yield answer
        rounds = ready.way.rounds
        while rounds is not None and (turn := rounds.next()) is not None:
            ready.outgoing = continued(ready.outgoing, turn, ready.target)
            self._house.lessons.apply(ready.target, ready.outgoing, self._record.receipt)
            await self._purse.resend()
            signed = await self._signed(ready, shot)
            async with await self._opened(signed, ready, self._idle) as further:
                yield further

    async def _chunks(
        self, answers: AsyncIterator[UpstreamAnswer], rounds: Rounds, first_byte: float | None
    ) -> AsyncIterator[bytes]:
        """The bytes of all rounds. Raises UpstreamTrouble, also when a later one is refused: no other may follow."""
        try:
            async for answer in answers:
                chunks = answer.chunks(idle_timeout=self._idle, first_timeout=first_byte)
                async for chunk in chunks:
                    yield chunk
                    if rounds.over:
                        await drained(chunks)
                        break
                first_byte = None
        except UpstreamRefused as refused:
            raise UpstreamTrouble(refused.failure) from refused

    async def _count(self, given: dict[str, Json]) -> None:
        """How many tokens a request holds: the provider's word, or our own count."""
        call, house = self._call, self._house
        body = unwrapped(call, given)
        request = read_request(call, body)
        target = aimed(house, planned(house, call, request).candidates[0], request)
        record = self._record
        record.asked_model, record.provider = request.model, target.resolved.provider_name
        record.upstream_model = target.model
        provider = house.providers[target.resolved.provider_name]
        tokens = await count_upstream(call, body, request, target, provider, house.upstream)
        if tokens is None:
            tokens = house.estimates.counted(target.model, await count_locally(request, target.model))
        await self._send(Answer(200, [JSON_TYPE, *self._own_headers()], encode(count_answer(call.dialect, tokens))))

    def _tell(self, event: str, **bodies: bytes) -> None:
        """Words of the conversation, for an operator who asked for them; credentials are masked at the log's exit."""
        words = {name: body.decode("utf-8", "replace") for name, body in bodies.items()}
        _log.debug(event, request_id=self._call.request_id, **words)

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
        if record.failed_attempts:
            headers.append(("x-dragoman-attempts", str(len(record.failed_attempts) + 1)))
        return headers + with_own_limits(self._purse.headers, limit_headers(self._upstream_headers, self._call.dialect))

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
            answer.headers = with_own_limits(self._own_headers(), answer.headers)
        await self._send(answer)

    async def _fail_in_stream(self, failure: Failure) -> None:
        """The status is out (a ping was due before the provider answered): the error goes into the stream."""
        self._record.status = 200
        if self._pulse is None:
            await self._client.end()
            return
        tract = self._pulse.tract
        if tract.early_failure is not None and self._last is not None:
            # It has told a failure, which was kept back while another target was left.
            tract = self._last.way.tract()
        await self._pulse.end(tract.fail(failure))

    async def _send(self, answer: Answer) -> None:
        self._record.status = answer.status
        await self._purse.settled()
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
