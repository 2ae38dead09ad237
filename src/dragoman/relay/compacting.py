"""Compaction for clients of Responses, on any target (trap C17).

A client asks for its history in one item: by a path of its own, or by a ``compaction_trigger`` at the
end of an ordinary call. The target is asked for a summary, and the client gets it as one item that
only this gateway reads. A target that knows the trigger itself is left to it.

Wire: https://platform.openai.com/docs/api-reference/responses/compact
It must not know HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from dataclasses import replace

from dragoman.language.dialects.openai_responses.compaction import write_summary
from dragoman.language.events import Event, Failed, Finished, PartDelta, PartEnded, PartStarted
from dragoman.language.failures import Failure
from dragoman.language.ir import Finish, Json, Message, Opaque, Request, Text, ToolChoice
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.wire import decode, encode
from dragoman.relay.calls import Call, Client, Headers
from dragoman.relay.relay import Relay
from dragoman.relay.stages import Stage

RESPONSES = "openai_responses"
TRIGGER = "compaction_trigger"
_TRIGGER_BYTES = TRIGGER.encode()

PROMPT = """\
Your context is about to be replaced by a summary that you write now. Another model will go on from it and see nothing \
else of this conversation. Write down, as briefly as it can be said completely:

- what the user wants, with every constraint and preference that was stated;
- what has been done and decided, and why; which files, commands, identifiers and results matter, spelt exactly;
- what is still open, and the next step.

Answer with the summary alone. Call no tools."""


class CompactionManners:
    """See ``relay.calls.Manners``. ``always``: the call is for a compaction whatever its input ends with."""

    def __init__(self, *, always: bool) -> None:
        self._always = always

    def stands_aside(self, request: Request, profile: Profile) -> bool:
        """Where nothing is to be compacted, or the target knows how."""
        return not self._always and (profile.dialect == RESPONSES or not _is_triggered(request))

    def adopt(self, request: Request) -> None:
        """Nothing: what is done depends on the target."""

    def suit(self, request: Request, asked: str, profile: Profile, receipt: Receipt) -> None:
        """Ask for a summary. The tools stay, so that the provider finds its cache, and may not be called."""
        messages = [message for message in request.messages if not _holds_trigger(message)]
        request.messages = [*messages, Message("user", [Text(PROMPT)])]
        request.tool_choice = ToolChoice("none") if request.tools else None
        request.output = None

    def stages(self) -> list[Stage]:
        """The summary becomes the item."""
        return [Compacted()]


class Compacted:
    """Turns an answer's text into one compaction item; an answer without text has failed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._texts: set[int] = set()

    def __call__(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            match event:
                case PartStarted(index=index, part=Text(text=text)):
                    self._texts.add(index)
                    self._pieces.append(text)
                case PartDelta(index=index, text=text) if index in self._texts:
                    self._pieces.append(text)
                case PartStarted() | PartDelta() | PartEnded():
                    pass
                case Finished():
                    out += self._finished(event)
                case _:
                    out.append(event)
        return out

    def _finished(self, event: Finished) -> list[Event]:
        text = "".join(self._pieces).strip()
        if not text:
            return [Failed(Failure("server", "the model wrote no summary of the conversation"))]
        item = Opaque(RESPONSES, write_summary(f"cmp_{os.urandom(12).hex()}", text))
        return [PartStarted(0, item), PartEnded(0), replace(event, finishes=[Finish("end")])]


def _is_triggered(request: Request) -> bool:
    return bool(request.messages) and _holds_trigger(request.messages[-1])


def _holds_trigger(message: Message) -> bool:
    return any(isinstance(part, Opaque) and part.data.get("type") == TRIGGER for part in message.parts)


# ---------------------------------------------------------------- carrying


class ResponsesRelay:
    """Carries calls on the Responses path, some of which ask for a compaction."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._manners = CompactionManners(always=False)

    async def carry(self, call: Call, client: Client) -> None:
        """Carry one call, see ``Relay.carry``."""
        if _TRIGGER_BYTES in call.body:
            call.manners = self._manners
        await self._relay.carry(call, client)


class CompactionRelay:
    """Carries calls on the path that is for compaction alone. Its answer is never a stream."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._manners = CompactionManners(always=True)

    async def carry(self, call: Call, client: Client) -> None:
        """Carry one call, see ``Relay.carry``."""
        call.manners = self._manners
        call.stream = False
        await self._relay.carry(call, _CompactionClient(client))


class _CompactionClient:
    """A client whose answers have the shape of that path."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._status = 0
        self._headers: Headers = []
        self._pieces: list[bytes] = []

    @property
    def started(self) -> bool:
        return self._client.started

    @property
    def ended(self) -> bool:
        return self._client.ended

    async def start(self, status: int, headers: Headers) -> None:
        self._status = status
        self._headers = [line for line in headers if line[0] != "content-length"]

    def write(self, data: bytes) -> Awaitable[None]:
        self._pieces.append(data)
        return _nothing()

    async def end(self, data: bytes = b"") -> None:
        body = b"".join([*self._pieces, data])
        if self._status == 200:
            body = encode(_compaction(decode(body)))
        await self._client.start(self._status, [*self._headers, ("content-length", str(len(body)))])
        await self._client.end(body)

    async def gone(self) -> None:
        await self._client.gone()


async def _nothing() -> None:
    return


def _compaction(response: dict[str, Json]) -> dict[str, Json]:
    return {
        "id": response["id"],
        "object": "response.compaction",
        "created_at": response["created_at"],
        "output": response["output"],
        "usage": response["usage"],
    }
