"""What the relay is given: one call as a client made it, and the client to answer.

It must not know which server carries the bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dragoman.language.ir import Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.relay.stages import Stage
from dragoman.store.accounts.model import ANONYMOUS, Caller

Operation = Literal["generate", "count_tokens", "complete"]
"""What is wanted: an answer, a count of tokens, or a text completion passed through as it is."""

Headers = list[tuple[str, str]]
"""Response headers in order, names in lower case."""


class Manners(Protocol):
    """What a client wants beyond its dialect. Such a call goes the long way, unless they stand aside."""

    def stands_aside(self, request: Request, profile: Profile) -> bool:
        """Whether this request is to go to this target as if there were no manners."""

    def adopt(self, request: Request) -> None:
        """Change the request that was just read."""

    def suit(self, request: Request, asked: str, profile: Profile, receipt: Receipt) -> None:
        """Change a request, not yet fitted, for one target. ``asked`` is the client's model.

        It is a shallow copy: lists and what is in them must be replaced, not changed.
        """

    def stages(self) -> list[Stage]:
        """What changes one answer last, new for every answer."""


@dataclass(slots=True)
class Call:
    """One call of a client.

    ``dialect`` is what the client speaks. ``model`` and ``stream`` are given where the wire keeps
    them in the path. ``headers`` have lower-case names. ``owner`` stands for whoever calls: what one
    owner leaves behind no other can reach. ``json_array`` asks for a stream as one JSON array
    (Gemini without ``alt=sse``). ``surface`` names the path for the log. ``manners`` are those of a
    client that wants more than its dialect. ``caller`` is who calls, with the rules that bind.
    """

    dialect: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    operation: Operation = "generate"
    model: str | None = None
    stream: bool | None = None
    owner: str = ""
    request_id: str = ""
    json_array: bool = False
    surface: str = ""
    manners: Manners | None = None
    caller: Caller = ANONYMOUS


class Client(Protocol):
    """The way back. ``write`` waits while the client reads slowly; ``gone`` returns when it has left."""

    @property
    def started(self) -> bool:
        """Whether the head of the answer is out."""

    @property
    def ended(self) -> bool:
        """Whether the answer is complete."""

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Send a piece of the body."""

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the body."""

    async def gone(self) -> None:
        """Return when the client has hung up."""
