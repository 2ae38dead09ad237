"""The meter of one call: sees its events pass, knows its usage, and says one line when it is over.

Usage a provider does not report is estimated and marked as such (trap U06). What a ledger will book
is the ``Record``; whoever wants it gives a ``Sink``. It must not know any dialect.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartStarted,
    Started,
    UsageReported,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Extras,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.losses import Receipt
from dragoman.observe.logs import log_plain
from dragoman.relay.estimates import Estimates, inline_media

BYTES_PER_TOKEN = 4
"""A rough measure that needs no tokeniser on the hot path; JSON syntax outweighs dense scripts."""

Outcome = Literal["answered", "failed", "refused", "left"]


@dataclass(slots=True)
class Attempt:
    """A target that failed before the client was given anything: which, with which key, how, after how many seconds."""

    provider: str
    model: str
    key: int
    failure: Failure
    seconds: float
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class Round:
    """One of several requests behind one answer: ``why`` another followed (empty for the last), and what it used."""

    why: str
    usage: Usage


@dataclass(slots=True)
class Record:
    """What is known of one call when it is over. Times are in seconds; ``first_byte`` counts from the start.

    ``rounds`` is empty for an answer that took its provider one request; else ``usage`` is their sum.
    ``envelope`` are fields around the answer that tell what it costs, ``hosted`` types of the calls that
    the provider ran itself.
    """

    request_id: str = ""
    surface: str = ""
    owner: str = ""
    user: str = ""
    asked_model: str = ""
    provider: str = ""
    upstream_model: str = ""
    dialect: str = ""
    stream: bool = False
    short_cut: bool = False
    outcome: Outcome = "answered"
    status: int = 0
    upstream_url: str = ""
    upstream_status: int = 0
    upstream_request_id: str = ""
    failure: Failure | None = None
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    first_byte: float | None = None
    receipt: Receipt = field(default_factory=Receipt)
    failed_attempts: list[Attempt] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    envelope: dict[str, Json] = field(default_factory=dict)
    hosted: list[str] = field(default_factory=list)


_TOLD_BESIDE = ("service_tier", "copilot_usage", "groundingMetadata")
"""Fields around an answer that tell what it costs."""

_MOST_HOSTED = 1000

Sink = Callable[[Record], None]
"""Takes the record of a call that is over. Must not block."""


def size_of(text: str) -> int:
    """The text's bytes: of dense scripts a character is about a token, and three or four bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def estimated_tokens(size: int) -> int:
    """Tokens that so many bytes of request or text come to, at least 1."""
    return max(1, size // BYTES_PER_TOKEN)


async def _nobody() -> None:
    """Nobody pays."""


class Meter:
    """Counts one call. ``close`` is called once, whatever happened, and hands the record to the sinks.

    ``characters`` of the answer, each as its ``size_of``, may be added to directly: for a delta there is
    nothing else to do. When they pass ``asks_at``, ``ask`` is to be awaited: somebody pays for the answer
    as it grows.
    """

    __slots__ = (
        "_aim", "_began", "_clock", "_ended", "_estimates", "_media", "_reported_at", "_request_size", "ask", "asks_at",
        "characters", "record",
    )  # fmt: skip

    def __init__(
        self,
        record: Record,
        request_size: int,
        clock: Callable[[], float] = time.monotonic,
        estimates: Estimates | None = None,
    ) -> None:
        self.record = record
        self._estimates = estimates
        self._aim: tuple[str, Request] | None = None
        self._media = (0, 0)
        self._clock = clock
        self._began = clock()
        self.characters = 0
        self._reported_at = 0
        self._ended = False
        self._request_size = request_size
        self.asks_at = math.inf
        self.ask: Callable[[], Awaitable[None]] = _nobody

    def aim(self, model: str, request: Request) -> None:
        """The request goes to the model: what is reported for it is learnt from."""
        if self._aim is None or self._aim[1] is not request:
            self._media = inline_media(request, model)
        self._aim = (model, request)

    def ask_nobody(self) -> None:
        """Nobody pays any more. Who did is forgotten: a cycle would keep the whole call in memory for a while."""
        self.asks_at = math.inf
        self.ask = _nobody

    def again(self) -> None:
        """A target is tried: nothing that an earlier one said counts for it."""
        record = self.record
        if record.failed_attempts:
            record.failed_attempts[-1].usage = record.usage
        record.usage, record.rounds = Usage(), []
        record.receipt = Receipt()
        record.outcome, record.failure, record.finish = "answered", None, ""
        record.upstream_status, record.upstream_request_id = 0, ""
        record.envelope, record.hosted = {}, []
        record.first_byte = None
        self.characters = self._reported_at = 0
        self._ended = False

    def add(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, PartDelta):
            self.characters += size_of(event.text)
        elif isinstance(event, UsageReported):
            self.record.usage = self.record.usage.merged(event.usage)
            if event.usage.output is not None:
                self._reported_at = self.characters
        elif isinstance(event, Started):
            self.record.upstream_model = event.model or self.record.upstream_model
            self._look_beside(event.extras)
        elif isinstance(event, PartStarted):
            self.characters += _length(event.part)
            self._look_for_hosted(event.part)
        elif isinstance(event, Finished):
            self._look_beside(event.extras)
            for finish in event.finishes:
                self._look_beside(finish.extras)
            self.record.finish = event.finishes[0].reason if event.finishes else ""
            self._ended = True
        elif isinstance(event, Failed):
            self.failed(event.failure)

    def round(self, why: str, usage: Usage) -> None:
        """One of several rounds is over, see ``Round``."""
        rounds = self.record.rounds
        rounds.append(Round(why, usage))
        self.record.usage = reduce(Usage.plus, (one.usage for one in rounds))

    def broken(self, usage: Usage) -> None:
        """A whole answer failed; it, or the last of several rounds, had used this."""
        self.record.usage = self.record.usage.plus(usage)

    def whole(self, response: Response) -> None:
        """Take a whole answer."""
        self.record.upstream_model = response.model or self.record.upstream_model
        self.record.usage = self.record.usage.merged(response.usage)
        self.record.finish = response.finish.reason
        self._look_beside(response.extras)
        for choice in response.choices:
            self._look_beside(choice.finish.extras)
            for part in choice.parts:
                self.characters += _length(part)
                self._look_for_hosted(part)
        self._ended = True

    def _look_beside(self, extras: Extras) -> None:
        for fields in extras.values():
            for name in _TOLD_BESIDE:
                if fields.get(name):
                    self.record.envelope[name] = fields[name]

    def _look_for_hosted(self, part: Part) -> None:
        if isinstance(part, Opaque) and len(self.record.hosted) < _MOST_HOSTED:
            action = part.data.get("action")
            # To open a page that was found is a call like a search, and costs nothing.
            kind = action.get("type", "search") if isinstance(action, dict) else "search"
            words = (part.data.get("type", ""), *(() if kind == "search" else (kind,)))
            self.record.hosted.append(".".join(map(str, words))[:64])

    def first_byte(self) -> None:
        """The first byte of content is on its way to the client."""
        if self.record.first_byte is None:
            self.record.first_byte = self._clock() - self._began

    def failed(self, failure: Failure) -> None:
        """The call broke. A failure after the answer had ended is noted and changes nothing."""
        if self.record.failure is None:
            self.record.failure = failure
        if not self._ended:
            self.record.outcome = "failed" if self.record.provider else "refused"

    def left(self) -> None:
        """The client hung up. One that leaves with its whole answer was answered; one may be told of a break first."""
        told = self.record.outcome == "failed" and self.record.first_byte is not None
        if not self._ended and not told:
            self.record.outcome = "left"
            self.record.status = 499

    @property
    def up_to_date(self) -> bool:
        """Whether the provider's last report is its last word: nothing was said after it, or the answer is over."""
        return self._ended or self.characters == self._reported_at

    @property
    def input_estimate(self) -> int:
        """Tokens the request probably holds."""
        size, media = self._media
        guess = estimated_tokens(self._request_size - size)
        model = self._aim[0] if self._aim is not None else self.record.upstream_model
        return media + (guess if self._estimates is None else self._estimates.sized(model, guess))

    def close(self, sinks: Iterable[Sink]) -> None:
        """The call is over: complete the record and hand it on."""
        self.record.seconds = self._clock() - self._began
        if self._estimates is not None and self._aim is not None and self._ended and not self.record.rounds:
            model, request = self._aim
            self._estimates.learn(model, request, estimated_tokens(self._request_size), self.record.usage)
        self._estimate_missing()
        for sink in sinks:
            sink(self.record)

    def _estimate_missing(self) -> None:
        """Book an estimate where the provider reported nothing although it was asked."""
        record = self.record
        if record.outcome in ("failed", "refused") and not self.characters:
            return
        usage = record.usage
        if record.upstream_status != 200 or (usage.input is not None and usage.output is not None):
            return
        estimate = Usage(
            input=self.input_estimate if usage.input is None else None,
            output=estimated_tokens(self.characters) if usage.output is None else None,
            estimated=True,
        )
        record.usage = usage.merged(estimate)


def _length(part: object) -> int:
    if isinstance(part, Text | Refusal | Reasoning):
        return size_of(part.text)
    return size_of(part.name) + size_of(part.arguments) if isinstance(part, ToolCall) else 0


def log_line(record: Record) -> dict[str, Any]:
    """The record as the fields of one structured log line: no words of the conversation, no credential."""
    usage = record.usage
    line: dict[str, Any] = {
        "request_id": record.request_id,
        "user": record.user or record.owner,
        "surface": record.surface,
        "outcome": record.outcome,
        "status": record.status,
        "model": record.asked_model,
        "provider": record.provider,
        "upstream_model": record.upstream_model,
        "upstream_url": record.upstream_url,
        "dialect": record.dialect,
        "stream": record.stream,
        "short_cut": record.short_cut or None,
        "ms": round(record.seconds * 1000, 1),
        "first_byte_ms": None if record.first_byte is None else round(record.first_byte * 1000, 1),
        "rounds": len(record.rounds) or None,
        "finish": record.finish,
        # Names that hold "_token" would send every line through the search for credentials.
        "tokens_in": usage.input,
        "tokens_cache_read": usage.cache_read,
        "tokens_cache_write": usage.cache_write,
        "tokens_out": usage.output,
        "tokens_reasoning": usage.reasoning,
        "estimated": usage.estimated or None,
    }
    if record.failure is not None:
        line["failure"] = record.failure.kind
        line["failure_code"] = record.failure.code
        line["upstream_status"] = record.upstream_status
    if record.upstream_request_id:
        line["upstream_request_id"] = record.upstream_request_id
    if record.failed_attempts:
        line["failed_attempts"] = [_attempt_line(attempt) for attempt in record.failed_attempts]
    if record.receipt.losses:
        line["receipt"] = [f"{loss.what} {loss.path}: {loss.why}" for loss in record.receipt.losses]
    return {key: value for key, value in line.items() if value not in (None, "")}


def _attempt_line(attempt: Attempt) -> str:
    failure = attempt.failure
    return f"{attempt.provider}/{attempt.model} key {attempt.key}: {failure.kind} {failure.http_status}"


def log_record(record: Record) -> None:
    """The default sink: one line per call."""
    log_plain("calls", "call", log_line(record))
