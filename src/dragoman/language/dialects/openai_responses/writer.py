"""The stream writer: the model's events to the events of a Responses client.

Every item is complete in its own ``output_item.done`` and again in the terminal ``output``,
``sequence_number`` has no gaps (C13). Frames of deltas are cut from templates, because they are most of
the traffic. This module must not know providers.

Wire: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.answers import answer_id, estimated, wants_sealed, write_finish
from dragoman.language.dialects.openai_responses.echo import echo
from dragoman.language.dialects.openai_responses.failures import stream_error
from dragoman.language.dialects.openai_responses.fields import NAME, Object, is_own, made_id, own, plain
from dragoman.language.dialects.openai_responses.growing import Call, Growing, Message, Thought, Whole, is_blank
from dragoman.language.dialects.openai_responses.items import continues, is_content, name_of, write_media
from dragoman.language.dialects.openai_responses.usage import is_known, write_usage
from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted, Started
from dragoman.language.failures import Failure
from dragoman.language.ir import Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.language.streams import Asked
from dragoman.language.streams import StreamWriter as BaseWriter
from dragoman.language.wire import encode


class StreamWriter(BaseWriter):
    """Writes one streamed answer."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._sequence = 0
        self._id = ""
        self._native = False
        self._fields: Object = {}
        self._repeated = b""
        self._sealed = wants_sealed(asked)
        self._open: dict[int, Growing] = {}
        self._waiting: dict[int, Part] = {}
        self._message: Message | None = None
        self._count = 0
        self._done: dict[int, bytes] = {}
        self._refused = False

    def resume(self, numbered: int) -> None:
        """Numbers have no gaps, whoever wrote the events before (C13)."""
        self._sequence = numbered or self._sequence

    def ping(self) -> bytes:
        """A comment."""
        return b": ping\n\n"

    def _write(self, event: Event) -> bytes:
        if event.__class__ is PartDelta:
            growing = self._open.get(event.index)
            if growing is not None and growing.plain and event.citation is None and not event.logprobs:
                text = event.text
                if not text:
                    return b""
                growing.pieces.append(text)
                number = self._sequence
                self._sequence = number + 1
                return b"%b%b%b%d}\n\n" % (growing.head, encode(text), growing.tail, number)
            return self._delta(event)
        match event:
            case PartStarted():
                return self._part_started(event)
            case PartEnded():
                return self._part_ended(event)
            case Started():
                return self._started(event)
            case Finished():
                return self._finished(event)
            case Failed(failure=failure):
                return self._failed(failure)
        return b""

    # ------------------------------------------------------------ frames

    def frame(self, kind: str, fields: Object) -> bytes:
        """One numbered event."""
        number = self._sequence
        self._sequence = number + 1
        return b"event: %b\ndata: %b\n\n" % (
            kind.encode(),
            encode({"type": kind, **fields, "sequence_number": number}),
        )

    def _response(self, kind: str, status: Object, usage: bytes) -> bytes:
        """An event that carries the whole response object."""
        head = encode({"id": self._id, "model": self.asked.model, **status})
        output = b",".join(item for _, item in sorted(self._done.items()))
        number = self._sequence
        self._sequence = number + 1
        return b'event: %b\ndata: {"type":"%b","response":%b,%b,"output":[%b],"usage":%b},"sequence_number":%d}\n\n' % (
            kind.encode(),
            kind.encode(),
            head[:-1],
            self._repeated,
            output,
            usage,
            number,
        )

    def _started(self, event: Started) -> bytes:
        self._native = is_own(event.extras)
        self._id = answer_id(event.id, self.asked, self._native)
        self._fields = plain(event.extras)
        self._repeat()
        progress: Object = {"status": "in_progress", "error": None, "incomplete_details": None}
        return self._response("response.created", progress, b"null") + self._response(
            "response.in_progress", progress, b"null"
        )

    def _repeat(self) -> None:
        """Encode once what created, in_progress and the terminal event repeat."""
        repeated = {**echo(self.asked), **self._fields}
        repeated.pop("error", None)
        self._repeated = encode(repeated)[1:-1]

    def _finished(self, event: Finished) -> bytes:
        out = self._close_message()
        if is_own(event.extras):
            self._fields |= plain(event.extras)
            self._repeat()
        ending = {"error": self._fields.get("error"), **write_finish(event.finishes[0], self._refused)}
        ending.setdefault("incomplete_details", None)
        ending.setdefault("status", "completed")
        kind = "response.incomplete" if ending["status"] == "incomplete" else "response.completed"
        return out + self._response(kind, ending, self._usage())

    def _usage(self) -> bytes:
        if is_known(self.usage):
            return encode(write_usage(self.usage, complete=True))
        return b"null" if self._native else encode(estimated(self.asked))

    def _failed(self, failure: Failure) -> bytes:
        out = b"" if self._id else self._started(Started("", ""))
        out += self._close_message()
        code, message = stream_error(failure)
        error = {"type": failure.type or code, "code": code, "message": message, "param": failure.param or None}
        out += self.frame("error", {"code": code, "message": message, "param": error["param"], "error": error})
        status = {"status": "failed", "error": {"code": code, "message": message}, "incomplete_details": None}
        usage = self._usage() if is_known(self.usage) else b"null"
        return out + self._response("response.failed", status, usage)

    # ------------------------------------------------------------ parts

    def _part_started(self, event: PartStarted) -> bytes:
        part = event.part
        if event.choice:
            self.asked.receipt.note("answer.content", "dropped", "the client's dialect has one answer only")
            return b""
        if is_blank(part, self._sealed):
            self._waiting[event.index] = part
            return b""
        return self._open_part(event.index, part)

    def _open_part(self, index: int, part: Part) -> bytes:
        message = self._message
        if message is not None and is_content(part) and continues(part):
            self._open[index] = message
            return message.add(part)
        out = self._close_message()
        growing = self._growing(part)
        if growing is None:
            self.asked.receipt.note("answer.content", "dropped", f"the client's dialect has no {name_of(part)}")
            return out
        self._count += 1
        self._open[index] = growing
        if isinstance(growing, Message):
            self._message = growing
        return out + growing.begin()

    def _growing(self, part: Part) -> Growing | None:
        """What grows into the part's item, ``None`` when the wire has none."""
        seed, index = self.asked.seed, self._count
        match part:
            case Text() | Refusal():
                self._refused = self._refused or isinstance(part, Refusal)
                return Message(self, part, seed, index)
            case Reasoning():
                return Thought(self, part, seed, index, self._sealed)
            case ToolCall():
                return Call(self, part, seed, index)
            case Opaque(dialect=dialect) if dialect == NAME:
                return Message(self, part, seed, index) if is_content(part) else Whole(self, part.data, index)
            case Media():
                item = write_media(part, made_id("ig", seed, index))
                return Whole(self, item, index) if item is not None else None
        return None

    def _delta(self, event: PartDelta) -> bytes:
        """The deltas that are not plain text for an open part."""
        out = b""
        part = self._waiting.get(event.index)
        if part is not None:
            if not event.text and event.citation is None and not event.logprobs:
                return b""
            out = self._open_part(event.index, self._waiting.pop(event.index))
        growing = self._open.get(event.index)
        return out + growing.grow(event) if growing is not None else out

    def _part_ended(self, event: PartEnded) -> bytes:
        self._waiting.pop(event.index, None)
        growing = self._open.pop(event.index, None)
        if growing is None:
            return b""
        out = growing.end(event.extras)
        if isinstance(growing, Message) and growing is self._message and "~item" in own(growing.first_extras):
            return out  # another part of the same item may follow
        return out + self._finish_item(growing)

    def _close_message(self) -> bytes:
        message, self._message = self._message, None
        return self._finish_item(message) if message is not None and not message.is_open else b""

    def _finish_item(self, growing: Growing) -> bytes:
        if growing is self._message:
            self._message = None
        item = growing.item()
        self._done[growing.index] = encode(item)
        return self.frame("response.output_item.done", {"output_index": growing.index, "item": item})
