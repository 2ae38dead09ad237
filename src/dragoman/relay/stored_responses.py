"""Responses that OpenAI's Responses clients may refer to when no provider keeps them (trap R24).

A client of ``/v1/responses`` may name an earlier answer instead of sending the conversation again.
Where the provider keeps answers itself the name is forwarded to the one that issued it; everywhere
else the conversation lies here: the wire items of the request and of the answer, by owner and
response id, for an hour. A name nobody knows is refused, never ignored.

https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragoman.language.failures import Failure
from dragoman.language.ir import Json
from dragoman.language.wire import encode
from dragoman.relay.shelf import Shelf

LIFE = 3600.0
ENTRIES = 20_000
ROOM = 256 * 1024 * 1024


class PreviousNotFound(Exception):
    """The client refers to an answer that nobody here has."""

    def __init__(self, response_id: str) -> None:
        super().__init__(response_id)
        self.failure = Failure(
            "invalid_request",
            f"Previous response with id '{response_id}' not found.",
            status=400,
            code="previous_response_not_found",
            type="invalid_request_error",
            param="previous_response_id",
        )


@dataclass(slots=True)
class Stored:
    """One answer: the items that led to it and the response object as the client saw it."""

    items: list[Json]
    response: dict[str, Json]


class StoredResponses:
    """Answers by owner and id, and who issued those that a provider keeps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf: Shelf[Stored] = Shelf(entries=ENTRIES, size=ROOM, life=LIFE, clock=clock)
        self._issuers: Shelf[str] = Shelf(entries=ENTRIES, size=ROOM, life=30 * 24 * 3600.0, clock=clock)

    def expanded(self, owner: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the conversation it refers to in front of its own input, when that lies here.

        The same body when it refers to nothing, or to an answer that lies elsewhere.
        """
        previous = body.get("previous_response_id")
        if not isinstance(previous, str) or not previous:
            return body
        stored = self._shelf.take((owner, previous))
        if stored is None:
            return body
        earlier = stored.items + output_items(stored.response)
        rest = {key: value for key, value in body.items() if key != "previous_response_id"}
        return {**rest, "input": earlier + input_items(body)}

    def check_issuer(self, owner: str, response_id: str, provider: str, *, keeps: bool) -> None:
        """Raise PreviousNotFound unless the provider is one that keeps answers and may know this one."""
        issuer = self._issuers.take((owner, response_id))
        if not keeps or (issuer is not None and issuer != provider):
            raise PreviousNotFound(response_id)

    def issued(self, owner: str, response_id: str, provider: str) -> None:
        """Remember which provider keeps an answer."""
        if response_id:
            self._issuers.put((owner, response_id), provider, 200)

    def store(self, owner: str, body: dict[str, Any], response: dict[str, Any]) -> None:
        """Keep an answer to the (expanded) body."""
        response_id = response.get("id")
        if isinstance(response_id, str) and response_id:
            # Items of earlier turns are shared with their own entries, so only the answer's size is new.
            items = input_items(body)
            size = len(encode(response)) + sum(len(encode(item)) for item in items[-8:]) + 64 * len(items)
            self._shelf.put((owner, response_id), Stored(items, response), size)

    def get(self, owner: str, response_id: str) -> dict[str, Json] | None:
        """The response object, or None."""
        stored = self._shelf.take((owner, response_id))
        return None if stored is None else stored.response

    def delete(self, owner: str, response_id: str) -> bool:
        """Forget an answer; tells whether it was here."""
        return self._shelf.drop((owner, response_id))


def input_items(body: dict[str, Any]) -> list[Json]:
    """The input of a request as a list of items."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return list(given) if isinstance(given, list) else []


def output_items(response: dict[str, Any]) -> list[Json]:
    """The items of an answer, as history."""
    output = response.get("output")
    return list(output) if isinstance(output, list) else []
