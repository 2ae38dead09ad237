"""Books one call: what is about to be sent, how each attempt ended, what it cost.

::

    await book.begin(...)     before a request is sent (again: for another target, or another round)
    book.attempt_failed(...)  the target failed, and another may be tried
    await book.end()          before the last byte, whatever happened; again is no harm

It turns what the meter saw into entries of the ledger. Calls that broke or were left are booked by what
the provider reported, else by what was relayed, marked as an estimate (trap K04). It must not know HTTP
or SQL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

from dragoman.language.failures import Failure
from dragoman.language.ir import Usage
from dragoman.language.losses import Receipt
from dragoman.language.wire import encode
from dragoman.observe.logs import get_logger
from dragoman.relay.calls import Call
from dragoman.relay.departure import GivenUp
from dragoman.relay.hints import read_hints
from dragoman.relay.metering import Meter, Record, estimated_tokens
from dragoman.relay.outgoing import Target
from dragoman.store.accounts.model import ANONYMOUS, Caller
from dragoman.store.errors import StoreUnavailable
from dragoman.store.ledger.bills import Price
from dragoman.store.ledger.check import UNSENT
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.measures import COUNTS, Measured, believable, measured
from dragoman.store.ledger.model import Attempted, Final, Source, Tokens, Who
from dragoman.store.ledger.prices import Charge, PriceBook
from dragoman.store.ledger.rows import Unbookable
from dragoman.store.moments import wall_clock
from dragoman.upstream.calls import UpstreamCall
from dragoman.upstream.providers import Provider

OUTPUT_ESTIMATE = 4096
"""Tokens an answer is taken to have when the client set no limit."""

_MOST_LINES = 200
_MOST_RAW = 8192
_UNBOOKED = frozenset({"rate_limit", "quota", "overloaded"})
"""Failures of calls that reached no provider and are not booked: a client in a loop would fill the disk."""

_log = get_logger("booking")


@dataclass(frozen=True, slots=True)
class _Aim:
    """Where the open attempt went, and how far the answer had come: it may be one of several rounds."""

    attempted: Attempted
    target: Target
    provider: Provider
    price: Price | None
    began: float
    characters: int
    rounds: int
    usage: Usage


class Books:
    """Opens books. One for the gateway; without a ledger nothing is written."""

    def __init__(
        self,
        ledger: Ledger | None = None,
        prices: PriceBook | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.ledger = ledger
        self.prices = prices or PriceBook()
        self.clock = clock
        self._open: set[Book] = set()
        if ledger is not None:
            ledger.listen(self._tell)

    def open(self, call: Call, meter: Meter, caller: Caller = ANONYMOUS) -> Book:
        """The book of one call."""
        book = Book(self, call, meter, caller)
        if self.ledger is not None:
            self._open.add(book)
        return book

    def close(self, book: Book) -> None:
        """The call is over."""
        self._open.discard(book)

    def _tell(self) -> None:
        """How much output the open calls have had."""
        for book in self._open:
            book.tell()


class Book:
    """One call's. ``call_id`` is ours, in the order of time; ``session`` may be told when it is known better."""

    def __init__(self, books: Books, call: Call, meter: Meter, caller: Caller) -> None:
        self._books = books
        self._call = call
        self._meter = meter
        self._caller = caller
        self._aim: _Aim | None = None
        self._number = 0
        self._announced = False
        self._request: UpstreamCall | None = None
        self._pending: list[Final] = []
        self._finals: list[Final] | None = None
        self._done = False
        self._spent_tokens = 0
        self._spent: int | None = 0
        self.session = ""
        self.call_id = f"{books.clock():016x}{token_hex(8)}"

    # ------------------------------------------------------------ the three calls

    async def begin(
        self,
        target: Target,
        provider: Provider,
        *,
        route: str = "",
        output_limit: int | None = None,
        request: UpstreamCall | None = None,
    ) -> None:
        """A request is about to be sent; durable when this returns. Raises GivenUp, after which it must not be.

        ``request`` tells whether it was sent, should the call end before that.
        """
        if self._books.ledger is None:
            return
        if self._aim is not None:
            # Another round of the same answer: each request is an attempt of its own (I1).
            self._pending.append(self._final(closes=False))
        self._number += 1
        self._announced, self._request = False, request
        price = self.price(target, provider)
        attempted = self._attempted(target, price, route, output_limit)
        meter, record = self._meter, self._record
        self._aim = _Aim(
            attempted, target, provider, price, time.monotonic(), meter.characters, len(record.rounds), record.usage
        )
        await self._announce(self._books.ledger, attempted)
        self._pending.clear()
        self._announced = True

    async def _announce(self, ledger: Ledger, attempted: Attempted) -> None:
        try:
            if self._pending:
                await ledger.advance(self._pending[-1], attempted)
            else:
                await ledger.intend(attempted)
        except StoreUnavailable as error:
            message = "the gateway cannot book calls at the moment"
            raise GivenUp(Failure("overloaded", message, status=503, retry_after=2, code="not_booked")) from error
        except Unbookable as error:
            raise GivenUp(Failure("server", "internal error", status=500, code="internal_error")) from error

    def attempt_failed(self, failure: Failure) -> None:
        """The attempt failed before the client was given anything; written with what comes next."""
        if self._aim is not None:
            self._pending.append(self._final(closes=False, failure=failure))
            self._aim = None

    async def end(self) -> None:
        """The call is over, as far as it goes; durable when this returns, unless there is nowhere to write."""
        ledger = self._books.ledger
        if self._done or ledger is None:
            return
        if self._finals is None:
            self._finals = self._endings()
        for final in self._finals:
            try:
                await ledger.settle(final)
            except StoreUnavailable as error:
                _log.error("a call could not be booked", request_id=self._call.request_id, why=str(error))
        self._done = True
        self._books.close(self)

    # ------------------------------------------------------------ what others ask

    def price(self, target: Target, provider: Provider) -> Price | None:
        """What the target costs; ``units`` of it is for holds."""
        return self._books.prices.find(
            provider.settings.kind,
            provider.vendor,
            target.model,
            self._books.clock(),
            account=target.resolved.provider_name,
            family=target.profile.family,
        )

    @property
    def spent(self) -> tuple[int, int | None]:
        """Tokens and nano-USD of all attempts that ended; None where one of them has no price."""
        return self._spent_tokens, self._spent

    def tell(self) -> None:
        """Note how much output has come so far."""
        if self._aim is not None and self._announced and self._books.ledger is not None:
            self._books.ledger.noted(self.call_id, self._number, self._relayed(self._aim))

    # ------------------------------------------------------------ from the record to the ledger

    @property
    def _record(self) -> Record:
        return self._meter.record

    def _attempted(self, target: Target | None, price: Price | None, route: str, output_limit: int | None) -> Attempted:
        call, record, estimate = self._call, self._record, self._meter.input_estimate
        rate_in, rate_out = (None, None) if price is None else price.rates_at(estimate)
        return Attempted(
            call_id=self.call_id,
            attempt=self._number,
            at=self._books.clock(),
            who=self._who(),
            request_id=_text(call.request_id, 128),
            surface=_text(call.surface, 64),
            route=_text(route, 200),
            provider=_text(target.resolved.provider_name if target is not None else "", 200),
            asked_model=_text(record.asked_model, 512),
            model=_text(target.model if target is not None else "", 512),
            stream=record.stream,
            input_estimate=estimate,
            output_estimate=output_limit or OUTPUT_ESTIMATE,
            price=price.version if price is not None else "",
            rate_in=rate_in,
            rate_out=rate_out,
        )

    def _who(self) -> Who:
        caller, hints = self._caller, read_hints(self._call.headers)
        return Who(
            user_id=caller.user_id,
            key_id=caller.key_id,
            group_id=caller.group_id,
            session=_text(hints.session or self.session, 256),
            agent=_text(hints.agent, 256),
            parent_agent=_text(hints.parent_agent, 256),
            prompt=_text(hints.prompt, 256),
        )

    def _endings(self) -> list[Final]:
        if self._aim is not None:
            return [*self._pending, self._final(closes=True)]
        if self._pending:
            return [*self._pending[:-1], replace(self._pending[-1], closes=True)]
        failure = self._record.failure
        if failure is None or failure.kind in _UNBOOKED or self._call.operation == "count_tokens":
            return []
        nowhere = self._attempted(None, None, "", None)
        return [self._ended(nowhere, Tokens(), "provider", "refused", failure, closes=True)]

    def _final(self, *, closes: bool, failure: Failure | None = None) -> Final:
        """How the open attempt ended."""
        aim, record = self._aim, self._record
        assert aim is not None
        outcome = "failed" if failure is not None else record.outcome
        if not self._announced or (failure is None and self._request is not None and not self._request.sent):
            final = self._ended(aim.attempted, Tokens(), "provider", outcome, failure, closes=closes)
            return replace(final, failure=UNSENT)
        if not closes and failure is None:
            outcome = "answered"  # a round that went on
        usage, estimated = self._usage(aim, outcome, goes_on=not closes)
        seen = measured(usage, record.envelope, record.hosted, record.upstream_model)
        charge = self._charge(aim, seen, failed=outcome in ("failed", "refused"))
        nothing = not seen.tokens.total and not charge.bill
        cost = 0 if nothing else charge.cost
        source: Source = "estimated" if estimated else "provider"
        final = self._ended(aim.attempted, seen.tokens, source, outcome, failure, closes=closes)
        self._spent_tokens += seen.tokens.total
        self._spent = None if cost is None or self._spent is None else self._spent + cost
        return replace(
            final,
            cost=cost,
            price=charge.version,
            stated_cost=seen.stated_cost,
            partial=outcome in ("left", "failed") and seen.tokens.total > 0,
            milliseconds=int((time.monotonic() - aim.began) * 1000),
            details=self._details(usage, seen, charge.bill, estimated),
        )

    def _ended(
        self,
        attempted: Attempted,
        tokens: Tokens,
        source: Source,
        outcome: str,
        failure: Failure | None,
        *,
        closes: bool,
    ) -> Final:
        record = self._record
        told = failure or (record.failure if outcome in ("failed", "refused") else None)
        first = record.first_byte
        return Final(
            attempted=attempted,
            tokens=tokens,
            source=source,
            outcome=outcome,
            status=_status(outcome, told),
            closes=closes,
            failure=_text(told.kind if told is not None else "", 64),
            cost=0,
            first_byte_milliseconds=None if first is None or failure is not None else int(first * 1000),
            attempts=max(1, self._number),
            receipt=_lines(record.receipt),
        )

    def _charge(self, aim: _Aim, seen: Measured, *, failed: bool) -> Charge:
        if failed and not seen.tokens.total:
            return Charge(0, "", [])  # nobody asks money for a refusal, not even who has a price per request
        # What a deployment is called is a guess at best; its answers name the model.
        guessed = aim.provider.settings.kind == "azure_openai" or aim.price in (None, self._books.prices.fallback)
        return self._books.prices.charge(
            self._priced_by_answer(aim) if guessed else aim.price,
            seen,
            provider_kind=aim.provider.settings.kind,
            vendor=aim.provider.vendor,
            at=aim.attempted.at,
            account=aim.attempted.provider,
        )

    def _priced_by_answer(self, aim: _Aim) -> Price | None:
        """A deployment nobody knows: the model that its answers name may have a price."""
        return self._books.prices.find(
            aim.provider.settings.kind,
            aim.provider.vendor,
            aim.target.model,
            aim.attempted.at,
            account=aim.attempted.provider,
            family=aim.target.profile.family,
            reported=self._record.upstream_model,
        )

    # ------------------------------------------------------------ usage

    def _usage(self, aim: _Aim, outcome: str, *, goes_on: bool) -> tuple[Usage, frozenset[str]]:
        """What the open attempt used, and which of its counts are estimates."""
        reported = believable(self._reported(aim))
        # Passes are told with the last report, and are what is booked.
        over = self._meter.up_to_date or goes_on or any("iterations" in said for said in reported.extras.values())
        relayed = self._meter.characters - aim.characters
        silent = reported.input is None and reported.output is None and not relayed
        if outcome in ("failed", "refused") and silent:
            return reported, frozenset()
        if goes_on and silent:
            return reported, frozenset()
        filled: dict[str, int] = {}
        if reported.input is None:
            filled["input"] = max(0, self._meter.input_estimate - (reported.cache_read or 0))
        if reported.output is None:
            filled["output"] = self._relayed(aim)
        elif not over and self._relayed(aim) > reported.output:
            # An interim report: more has been relayed since.
            filled["output"] = self._relayed(aim)
        input_tokens, output = filled.get("input", reported.input), filled.get("output", reported.output)
        return replace(reported, input=input_tokens, output=output), frozenset(filled)

    def _reported(self, aim: _Aim) -> Usage:
        """What the provider said of the open attempt, which may be one of several rounds."""
        record = self._record
        if len(record.rounds) > aim.rounds:
            return record.rounds[aim.rounds].usage
        # Until it says something the sum is that of the rounds before.
        return Usage() if record.usage is aim.usage else record.usage.minus(aim.usage)

    def _relayed(self, aim: _Aim) -> int:
        characters = self._meter.characters - aim.characters
        return estimated_tokens(characters) if characters > 0 else 0

    def _details(self, usage: Usage, seen: Measured, bill: list[Any], estimated: frozenset[str]) -> dict[str, Any]:
        record = self._record
        details: dict[str, Any] = {**seen.details}
        if bill:
            details["bill"] = bill
        if estimated:
            counts = {name: getattr(usage, name) for name in COUNTS if name not in estimated}
            details["reported"] = {name: count for name, count in counts.items() if count is not None}
        if len(seen.passes) > 1:
            details["passes"] = len(seen.passes)
        raw = {name: value for one in usage.extras.values() for name, value in one.items() if name[:1] != "~"}
        if raw and len(encode(raw)) <= _MOST_RAW:
            details["usage"] = _clean(raw)
        words = {
            "caller": "" if self._caller.user_id is not None else self._caller.name,
            "finish": record.finish,
            "upstream_request_id": record.upstream_request_id,
            "upstream_model": record.upstream_model,
        }
        details.update({name: _text(word, 256) for name, word in words.items() if word})
        return details


def _status(outcome: str, failure: Failure | None) -> int:
    """What the attempt was worth to the client: the status it was, or would have been, answered with."""
    if outcome == "left":
        return 499
    return failure.http_status if failure is not None else 200


def _lines(receipt: Receipt) -> list[dict[str, str]]:
    return [
        {"path": _text(loss.path, 300), "what": loss.what, "why": _text(loss.why, 300)}
        for loss in receipt.losses[:_MOST_LINES]
    ]


def _clean(value: Any) -> Any:
    """Without what a database does not take."""
    if isinstance(value, str):
        return _text(value, 1000)
    if isinstance(value, dict):
        return {_text(str(key), 200): _clean(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return value


def _text(value: str, limit: int) -> str:
    """Text that every database takes: no NUL, no half of a character, not too long."""
    cut = value[:limit]
    if cut.isascii() and "\x00" not in cut:
        return cut
    return cut.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
