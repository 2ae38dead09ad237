"""Who pays for one call: what is reserved before it, asked for while it grows, booked and given back after it.

It must not know connections or the order of targets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from dragoman.language.failures import Failure, Refused
from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.observe.logs import get_logger
from dragoman.relay.admission.model import Denied, Hold, Wish
from dragoman.relay.calls import Call, Headers
from dragoman.relay.errands import Prepared
from dragoman.relay.house import House
from dragoman.relay.limits import own_limit_headers
from dragoman.relay.metering import Meter, estimated_tokens
from dragoman.store.ledger.measures import service
from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble

GROWTH = 2048
"""Characters of an answer after which more is reserved for it."""

_MOST_ANSWERS = 1_000
"""To one call; no provider gives as many."""

_log = get_logger("relay")

_SUMMARISED = frozenset({"openai_chat", "openai_responses"})


def thinks_unseen(profile: Profile, request: Request) -> bool:
    """Whether an answer may cost far more than is seen of it on the way (P7).

    Chat has no word for the thoughts of models that think by effort, and Responses a summary at most.
    """
    asked = request.reasoning
    if asked is not None and (asked.mode == "off" or asked.effort == "none"):
        return False
    return profile.dialect in _SUMMARISED and profile.reasoning == "effort"


class Purse:
    """One call's. ``denied`` is why it may not be made, or may not go on."""

    def __init__(self, house: House, call: Call, meter: Meter) -> None:
        self._house = house
        self._call = call
        self._meter = meter
        self._book = house.books.open(call, meter, call.caller)
        self._hold: Hold | None = None
        self._admitted: tuple[str, int | None, int | None] = ("", None, None)
        self._paid = (0, 0)
        self._settling: asyncio.Task[None] | None = None
        self.denied: Denied | None = None
        self._route = ""

    @property
    def headers(self) -> Headers:
        """Limits of ours, in the client's words."""
        holder = self.denied or self._hold
        return own_limit_headers(holder.headers, self._call.dialect) if holder is not None else []

    def belongs(self, route: str, session: str) -> None:
        """What the call is booked under: the route that was asked for, and the session its body names."""
        self._route, self._book.session = route, session

    def refuse_losses(self) -> None:
        """A caller may want nothing lost in translation. Raises Refused for the first loss."""
        losses = self._meter.record.receipt.losses
        if losses and any(scope.rules.strict for scope in self._call.caller.scopes):
            loss = losses[0]
            raise Refused(loss.path, f"would be {loss.what}, and this key allows no loss: {loss.why}")

    async def begin(self, ready: Prepared, signed: UpstreamCall) -> None:
        """A request is about to be sent: durable when this returns. Raises GivenUp, after which it must not be."""
        provider = self._house.providers[ready.target.resolved.provider_name]
        limit = _limit(ready.request)
        await self._book.begin(ready.target, provider, route=self._route, output_limit=limit, request=signed)

    async def begin_again(self, ready: Prepared, signed: UpstreamCall) -> None:
        """The same request is about to be sent again: the connection broke, and the first may have been seen (I1)."""
        self.attempt_failed(Failure("server", "the connection broke", status=502, code="upstream_unreachable"))
        await self.begin(ready, signed)

    def attempt_failed(self, failure: Failure) -> None:
        """The target failed before the client was given anything."""
        self._book.attempt_failed(failure)

    async def admit(self, ready: Prepared) -> None:
        """Reserve what the call may come to: anew for a target with other budgets or another price. Raises Denied."""
        admission = self._house.admission
        if admission is None:
            return
        wish = self._wish(ready)
        if self._hold is not None:
            if (wish.model, wish.unit_in, wish.unit_out) == self._admitted:
                return
            hold, self._hold = self._hold, None
            await hold.settle(*self._owed())
            wish = replace(wish, counted=hold.counted)
        self._hold = await admission.admit(wish)
        self._admitted = (wish.model, wish.unit_in, wish.unit_out)
        self._meter.asks_at, self._meter.ask = GROWTH, self._grow

    def _wish(self, ready: Prepared) -> Wish:
        target, limit = ready.target, _limit(ready.request)
        price = self._book.price(target, self._house.providers[target.resolved.provider_name])
        estimate = self._meter.input_estimate
        asked = service(ready.request.extras.get(target.profile.dialect, {}))
        unit_in, unit_out = (None, None) if price is None else price.units(estimate, asked)
        tried = len(self._meter.record.failed_attempts)
        profile = target.profile
        answers = min(max(1, ready.request.sampling.n or 1), _MOST_ANSWERS)
        return Wish(
            call_id=self._book.call_id + (f".{tried}" if tried else ""),
            scopes=self._call.caller.scopes,
            model=target.model,
            input_estimate=estimate,
            output_limit=None if limit is None else limit * answers,
            stream=ready.request.stream,
            unit_in=unit_in,
            unit_out=unit_out,
            output_ceiling=None if profile.max_output is None else profile.max_output * answers,
            hidden_reasoning=thinks_unseen(profile, ready.request),
        )

    def _owed(self) -> tuple[int, int | None]:
        """Tokens and nano-USD since the last time this was asked; None where something has no price."""
        tokens, cost = self._book.spent
        paid_tokens, paid = self._paid
        self._paid = tokens, cost or 0
        return tokens - paid_tokens, None if cost is None else cost - paid

    async def _grow(self) -> None:
        """Reserve more for an answer that goes on. Raises UpstreamTrouble when the budget holds no more."""
        assert self._hold is not None
        meter = self._meter
        meter.asks_at = meter.characters + GROWTH
        # What was thought in silence is only reported.
        await self._held(self._hold.grow(max(estimated_tokens(meter.characters), meter.record.usage.output or 0)))

    async def resend(self) -> None:
        """Reserve what it costs to send the prompt and the answer so far again. Raises UpstreamTrouble."""
        if self._hold is not None:
            await self._held(self._hold.resend())

    async def _held(self, more: Awaitable[None]) -> None:
        try:
            await more
        except Denied as denied:
            self.denied = denied
            raise UpstreamTrouble(denied.failure) from denied

    async def settled(self) -> None:
        """Book the call and give back what was reserved beyond it: before the last byte, whatever happened, once."""
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle())
        # A client that leaves now must not tear the booking apart.
        await asyncio.shield(self._settling)

    async def _settle(self) -> None:
        """What fails here must not take the answer from the client."""
        try:
            try:
                await self._book.end()
            finally:
                if self._hold is not None:
                    await self._hold.settle(*self._owed())
                self._meter.ask_nobody()
        except Exception as error:
            _log.error("a call could not be settled", request_id=self._call.request_id, exc_info=error)


def _limit(request: Request) -> int | None:
    """The client's limit of one answer. Below zero it is none: to some servers that means without end."""
    limit = request.sampling.max_tokens
    return None if limit is None or limit < 0 else limit
