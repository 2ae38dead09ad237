"""The ways an answer's stream can take from the provider to the client: bytes in, bytes out.

``LongWay`` reads events and writes them in the client's dialect. ``ShortCut`` lets the bytes of the
same dialect pass while the reader meters beside them. ``RawWay`` passes a wire that no dialect reads.
None of them does I/O. They must not know providers or servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from dragoman.language.dialects.openai_chat.usage import read_usage
from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted, Started, UsageReported
from dragoman.language.failures import Failure
from dragoman.language.ir import Finish, Json, Reasoning, Text, ToolCall, Usage
from dragoman.language.issuers import marked
from dragoman.language.registry import DIALECTS
from dragoman.language.sse import EventTooLarge, SseParser
from dragoman.language.streams import Asked, StreamWriter
from dragoman.language.wire import decode, encode
from dragoman.relay.error_frames import clean_frame
from dragoman.relay.frames import ModelName, RawFrames, data_of
from dragoman.relay.metering import Meter, size_of
from dragoman.relay.stages import Stage, call_id

Cleaner = Callable[[Failure], Failure]
Watcher = Callable[[Event], None]
MODEL_PATHS: dict[str, tuple[tuple[str, ...], bool]] = {
    "anthropic": (("message", "model"), True),
    "openai_responses": (("response", "model"), False),
    "gemini": (("modelVersion",), False),
}
"""Where the model's name stands in a streamed payload, and whether in one frame only: ``MODEL_PATH`` unless said."""

MODEL_PATH: tuple[tuple[str, ...], bool] = (("model",), False)

TERMINATORS = {"openai_chat": b"data: [DONE]\n\n"}
"""What a client waits for although its dialect's last event is out."""


class Tract(Protocol):
    """One answer's way.

    ``ended``: the client has its last byte. ``early_failure``: the answer broke before any content
    was written, so that a true status can still be given; its bytes are to be thrown away.
    ``said``: content of it has begun. ``aligned``: a ping may stand here. ``lively``: the last bytes
    fed said something.
    """

    @property
    def ended(self) -> bool: ...
    @property
    def early_failure(self) -> Failure | None: ...
    @property
    def said(self) -> bool: ...
    @property
    def lively(self) -> bool: ...
    @property
    def aligned(self) -> bool: ...
    def feed(self, chunk: bytes) -> bytes: ...
    def close(self) -> bytes: ...
    def fail(self, failure: Failure) -> bytes: ...
    def ping(self) -> bytes: ...


class Reading(Protocol):
    """What reads the provider's bytes: a dialect's reader, or several in a row."""

    def feed(self, data: bytes) -> list[Event]: ...
    def close(self) -> list[Event]: ...
    def fail(self, failure: Failure) -> list[Event]: ...


class LongWay:
    """Between two dialects, or between two wordings of one.

    ``ending`` has the last word on the last bytes; ``seed`` makes ids for calls that came without
    one; without ``all_deltas`` watchers are spared the growth of texts; ``issuer`` is whose thoughts
    these are.
    """

    aligned = True

    def __init__(
        self,
        reader: Reading,
        writer: StreamWriter,
        meter: Meter,
        clean: Cleaner,
        stages: Sequence[Stage] = (),
        watchers: Sequence[Watcher] = (),
        ending: Callable[[bytes], bytes] | None = None,
        seed: str = "",
        all_deltas: bool = True,
        issuer: str = "",
    ) -> None:
        self._ending = ending
        self._seed = seed
        self._issuer = issuer
        self._thoughts: dict[int, bool] = {}
        self._all_deltas = all_deltas
        self._watched: set[int] = set()
        self._reader = reader
        self._writer = writer
        self._meter = meter
        self._clean = clean
        self._stages = stages
        self._watchers = watchers
        self.said = False
        self.ended = False
        self.early_failure: Failure | None = None
        self.lively = False

    def feed(self, chunk: bytes) -> bytes:
        events = self._reader.feed(chunk)
        self.lively = bool(events)
        return self._written(events) if events else b""

    def close(self) -> bytes:
        return self._written(self._reader.close())

    def fail(self, failure: Failure) -> bytes:
        return self._written(self._reader.fail(failure))

    def ping(self) -> bytes:
        return self._writer.ping()

    def _written(self, events: list[Event]) -> bytes:
        for stage in self._stages:
            events = stage(events)
        if events and type(events[-1]) is Failed and not self._writer.ends_broken_parts:
            events = without_endings(events)
        out: list[bytes] = []
        for event in events:
            if self.ended:
                break
            if type(event) is PartDelta:
                text = event.text
                self._meter.characters += len(text) if text.isascii() else size_of(text)
                if event.index in self._watched:
                    if text and event.index in self._thoughts:
                        self._thoughts[event.index] = True
                    for watcher in self._watchers:
                        watcher(event)
            else:
                event = self._seen(event)
            out.append(self._writer.write(event))
        if self.ended and self._ending is not None:
            return self._ending(b"".join(out))
        return out[0] if len(out) == 1 else b"".join(out)

    def _seen(self, event: Event) -> Event:
        """Everything but a delta, which is the one thing that comes often."""
        if isinstance(event, PartStarted):
            self.said = True
            if self._seed and isinstance(event.part, ToolCall) and not event.part.id:
                event = replace(event, part=replace(event.part, id=call_id(self._seed, event.index)))
            if self._all_deltas or not isinstance(event.part, Text):
                self._watched.add(event.index)
            if self._issuer and isinstance(event.part, Reasoning):
                self._thoughts[event.index] = bool(event.part.text or event.part.extras)
        elif isinstance(event, PartEnded):
            # A thought leaves with its issuer's name, for the envelope it may travel in (T02).
            said = self._thoughts.pop(event.index, None)
            if said or (said is not None and event.extras):
                event = PartEnded(event.index, marked(event.extras, self._issuer))
        elif isinstance(event, Failed):
            event = Failed(self._clean(event.failure))
            if not self.said:
                self.early_failure = event.failure
            self.ended = True
        elif isinstance(event, Finished):
            self.ended = True
        self._meter.add(event)
        for watcher in self._watchers:
            watcher(event)
        return event


def without_endings(events: list[Event]) -> list[Event]:
    """Events that end in a failure, without the ends of the parts that it broke."""
    last = len(events) - 1
    while last and type(events[last - 1]) is PartEnded:
        last -= 1
    return [*events[:last], events[-1]]


class ShortCut:
    """Within one dialect: original bytes, event by event, with the reader beside.

    Changed are only the model's name, and the usage chunk a Chat client did not ask for.
    """

    def __init__(
        self,
        dialect: str,
        asked: Asked,
        meter: Meter,
        clean: Cleaner,
        *,
        hide_usage: bool = False,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        path, once = MODEL_PATHS.get(dialect, MODEL_PATH)
        self._dialect = dialect
        self._asked = asked
        self._reader = DIALECTS[dialect].StreamReader()
        self._meter = meter
        self._clean = clean
        self._watchers = watchers
        self._frames = RawFrames()
        self._model = ModelName(path, asked.model, encode(asked.model), once=once)
        self._hide_usage = hide_usage
        self._watched: set[int] = set()
        self._started: Started | None = None
        self.said = False
        self._failed = False
        self._terminated = dialect not in TERMINATORS
        self._end = b"\n\n"
        self.ended = False
        self.early_failure: Failure | None = None
        self.lively = False

    @property
    def aligned(self) -> bool:
        return self._frames.aligned and self._end[-2:] in (b"\n\n", b"\r\n")

    def feed(self, chunk: bytes) -> bytes:
        events = self._reader.feed(chunk)
        self.lively = bool(events)
        for event in events:
            if type(event) is PartDelta:
                text = event.text
                self._meter.characters += len(text) if text.isascii() else size_of(text)
                if event.index in self._watched:
                    for watcher in self._watchers:
                        watcher(event)
            else:
                self._see(event)
        if not self._terminated and b"[DONE]" in chunk:
            self._terminated = True
        try:
            out = self._passed(chunk)
        except EventTooLarge as error:
            return self.fail(Failure("server", str(error)))
        # After an error more may follow that belongs to it.
        if self._reader.ended and self._terminated and not self._failed and self._frames.aligned:
            self.ended = True
        return out

    def _passed(self, chunk: bytes) -> bytes:
        if self._model.settled and not self._hide_usage and not self._failed and self._frames.aligned:
            self._end = chunk[-2:]
            return chunk
        frames = self._frames.feed(chunk)
        return self._frame(frames[0]) if len(frames) == 1 else b"".join([self._frame(frame) for frame in frames])

    def close(self) -> bytes:
        was_over = self._reader.ended
        out = self._frame(self._frames.rest())
        if out and not out.endswith(b"\n\n"):
            out += b"\n\n"
        events = self._reader.close()
        for event in events:
            self._see(event)
        if events and isinstance(events[-1], Failed) and not was_over:
            return out + self._broken(events[-1].failure)
        self.ended = True
        return out + self._terminator()

    def fail(self, failure: Failure) -> bytes:
        self._frames.rest()
        if self._reader.ended:
            self.ended = True
            return self._terminator()
        events = self._reader.fail(failure)
        for event in events:
            self._see(event)
        if events and isinstance(events[-1], Finished):
            self.ended = True
            return self._terminator()
        return self._broken(failure)

    def ping(self) -> bytes:
        return DIALECTS[self._dialect].StreamWriter(self._asked).ping()

    def _terminator(self) -> bytes:
        return b"" if self._terminated or self._failed else TERMINATORS[self._dialect]

    def _see(self, event: Event) -> None:
        """Everything but a delta."""
        if isinstance(event, Failed):
            self._failed = True
            event = Failed(self._clean(event.failure))
            if not self.said:
                self.early_failure = event.failure
        elif isinstance(event, PartStarted):
            self.said = True
            if self._watchers and not isinstance(event.part, Text):
                self._watched.add(event.index)
        elif isinstance(event, Started):
            self._started = event
        self._meter.add(event)
        for watcher in self._watchers:
            watcher(event)

    def _frame(self, frame: bytes) -> bytes:
        if not frame:
            return frame
        if self._hide_usage and b'"usage"' in frame and b'"usage":null' not in frame and _only_usage(frame):
            return b""
        return self._model.frame(clean_frame(frame, self._clean) if self._failed else frame)

    def _broken(self, failure: Failure) -> bytes:
        """The dialect's error, where the provider's own bytes stop."""
        self.ended = True
        writer = DIALECTS[self._dialect].StreamWriter(self._asked)
        if self._started is not None:
            # The client has the start; a writer may keep its own back until the first usage.
            writer.write(self._started)
            writer.write(UsageReported(Usage()))
        writer.resume(self._reader.numbered)
        return writer.write(Failed(self._clean(failure)))


def _only_usage(frame: bytes) -> bool:
    """Whether a Chat frame is the extra one that carries usage and no choice."""
    return _is_only_usage(_payload(frame))


def _is_only_usage(body: Mapping[str, Json]) -> bool:
    return body.get("choices") == [] and isinstance(body.get("usage"), dict)


def _payload(frame: bytes) -> dict[str, Json]:
    """A frame's JSON object; an empty one for anything else."""
    try:
        payload = decode(data_of(frame))
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


class RawWay:
    """Text completions, which no dialect reads: bytes pass; usage is picked up on the way."""

    def __init__(self, model: str, meter: Meter, clean: Cleaner, *, hide_usage: bool = False) -> None:
        self._frames = RawFrames()
        self._model = ModelName(("model",), model, encode(model), once=False)
        self._meter = meter
        self._clean = clean
        self._hide_usage = hide_usage
        self._done = False
        self._failed = False
        self._finished = False
        self.said = False
        self.ended = False
        self.early_failure: Failure | None = None
        self.lively = False

    @property
    def aligned(self) -> bool:
        return self._frames.aligned

    def feed(self, chunk: bytes) -> bytes:
        try:
            frames = self._frames.feed(chunk)
        except EventTooLarge as error:
            return self.fail(Failure("server", str(error)))
        self.lively = bool(frames)
        return b"".join([self._frame(frame) for frame in frames])

    def close(self) -> bytes:
        out = self._frame(self._frames.rest())
        self.ended = True
        if self._done or self._failed:
            return out
        if not self._finished:
            return out + self.fail(Failure("server", "the upstream closed the stream before its end"))
        self._meter.add(Finished([Finish("end")]))
        return out + TERMINATORS["openai_chat"]

    def fail(self, failure: Failure) -> bytes:
        failure = self._broken(failure)
        self.ended = True
        _, body = DIALECTS["openai_chat"].write_failure(failure)
        return b"data: " + encode(body) + b"\n\n"

    def ping(self) -> bytes:
        return b": ping\n\n"

    def _frame(self, frame: bytes) -> bytes:
        if data_of(frame).strip() == b"[DONE]":
            self._done = True
            if not self._failed:
                self._meter.add(Finished([Finish("end")]))
            return frame
        body = _payload(frame)
        for event in read_completion(body):
            self._meter.add(event)
        self.said = self.said or "choices" in body
        self._finished = self._finished or any(choice.get("finish_reason") for choice in _choices(body))
        if self._hide_usage and _is_only_usage(body):
            return b""
        if body.get("error"):
            self._broken(DIALECTS["openai_chat"].read_failure(502, {}, encode(body)))
            frame = clean_frame(frame, self._clean)
        return self._model.frame(frame) if frame else frame

    def _broken(self, failure: Failure) -> Failure:
        failure = self._clean(failure)
        self._failed = True
        self._meter.failed(failure)
        if not self.said:
            self.early_failure = failure
        return failure


def read_completion(body: Mapping[str, Json]) -> list[Event]:
    """A text completion, or a piece of one, as far as it is counted: who wrote it, its text and its usage."""
    model = body.get("model")
    events: list[Event] = [Started("", model)] if isinstance(model, str) else []
    events += [PartDelta(0, text) for choice in _choices(body) if isinstance(text := choice.get("text"), str)]
    usage = read_usage(body.get("usage"))
    return events if usage is None else [*events, UsageReported(usage)]


def _choices(body: Mapping[str, Json]) -> list[dict[str, Json]]:
    choices = body.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


class JsonArray:
    """Wraps a tract whose client wants one JSON array instead of an event stream (Gemini without ``alt=sse``)."""

    aligned = True

    def __init__(self, inner: Tract) -> None:
        self._inner = inner
        self._parser = SseParser()
        self._count = 0

    @property
    def ended(self) -> bool:
        return self._inner.ended

    @property
    def early_failure(self) -> Failure | None:
        return self._inner.early_failure

    @property
    def said(self) -> bool:
        return self._inner.said

    @property
    def lively(self) -> bool:
        return self._inner.lively

    def feed(self, chunk: bytes) -> bytes:
        return self._elements(self._inner.feed(chunk))

    def close(self) -> bytes:
        return self._elements(self._inner.close())

    def fail(self, failure: Failure) -> bytes:
        return self._elements(self._inner.fail(failure))

    def ping(self) -> bytes:
        return b"\n"

    def _elements(self, data: bytes) -> bytes:
        out = b""
        for event in self._parser.feed(data):
            out += (b",\r\n" if self._count else b"[") + event.data
            self._count += 1
        if self.ended:
            out += b"]" if self._count else b"[]"
        return out
