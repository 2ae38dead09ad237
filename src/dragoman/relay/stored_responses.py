"""Responses that OpenAI's Responses clients may refer to when no provider keeps them (trap R24).

A client of ``/v1/responses`` may name an earlier answer instead of sending the conversation again, or
single items of answers. Where the provider keeps answers itself the name is forwarded to the one that
issued it; everywhere else the conversation lies here: the wire items of the request and of the answer,
by owner and response id, for an hour. A name nobody knows is refused, never ignored.

https://platform.openai.com/docs/guides/conversation-state
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragoman.language.failures import Failure
from dragoman.language.ir import Json
from dragoman.language.wire import decode_exactly, encode
from dragoman.relay.shelf import Shelf
from dragoman.store.deposit import Deposit
from dragoman.store.news import News, read_note

LIFE = 3600.0
ENTRIES = 20_000
ROOM = 256 * 1024 * 1024

_ANSWERS, _ISSUERS, _DELETED, _HOMES = "responses", "issuers", "deleted", "items"
REFERENCE = "item_reference"
_PAUSES = (0.0, 0.02, 0.06, 0.12)
"""Seconds before each look for an answer that another replica may be laying down."""


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
    """Answers by owner and id, and who issued those that a provider keeps.

    ``deposit`` is where other replicas find them; ``news`` tells which of them were deleted.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        deposit: Deposit | None = None,
        news: News | None = None,
    ) -> None:
        self._shelf: Shelf[Stored] = Shelf(entries=ENTRIES, size=ROOM, life=LIFE, clock=clock)
        self._issuers: Shelf[str] = Shelf(entries=ENTRIES, size=ROOM, life=30 * 24 * 3600.0, clock=clock)
        self._homes: Shelf[str] = Shelf(entries=10 * ENTRIES, size=ROOM, life=LIFE, clock=clock)
        self._deposit, self._news = deposit, news
        self._deleted: Shelf[bool] = Shelf(entries=ENTRIES, size=ROOM, life=LIFE, clock=clock)
        if news is not None:
            news.follow(_DELETED, self._hear_deleted, self._hear_all_deleted)

    async def recall(self, owner: str, response_id: object) -> None:
        """Fetch from other replicas what is known of an answer, unless it is known here.

        An answer that was given a moment ago may still be on its way, so nothing is not said at once.
        """
        if self._deposit is None or not isinstance(response_id, str) or not response_id:
            return
        if self._here(owner, response_id) is not None or self._issuers.take((owner, response_id)) is not None:
            return
        places = [self._deposit.place(kind, owner, response_id) for kind in (_ANSWERS, _ISSUERS)]
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            found = await self._deposit.take(places)
            if found is None:
                return
            answer, issuer = found
            if issuer is not None:
                self._issuers.put((owner, response_id), issuer.decode(), 200)
            stored = None if answer is None else _read(answer)
            if answer is not None and stored is not None:
                self._shelf.put((owner, response_id), stored, len(answer))
            if answer is not None or issuer is not None:
                return

    async def recall_items(self, owner: str, body: dict[str, Any]) -> None:
        """Fetch from other replicas the answers that hold the items a body refers to."""
        missing = [name for name in references(body) if self._homes.take((owner, name)) is None]
        if self._deposit is None or not missing:
            return
        found = await self._deposit.take([self._deposit.place(_HOMES, owner, name) for name in missing])
        for name, home in zip(missing, found or (), strict=False):
            if home is not None:
                self._homes.put((owner, name), home.decode(), 200)
                await self.recall(owner, home.decode())

    def expanded(self, owner: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the items it refers to, and the conversation in front of its own input, when they lie here.

        The same body when it refers to nothing, or to what lies elsewhere.
        """
        return self._continued(owner, self._with_items(owner, body))

    def _with_items(self, owner: str, body: dict[str, Any]) -> dict[str, Any]:
        known = {name: item for name in references(body) if (item := self._item(owner, name)) is not None}
        if not known:
            return body
        return {**body, "input": [known.get(referred(item) or "", item) for item in body["input"]]}

    def _item(self, owner: str, name: str) -> Json:
        stored = self._here(owner, self._homes.take((owner, name)) or "")
        items = [] if stored is None else output_items(stored.response)
        return next((item for item in items if isinstance(item, dict) and item.get("id") == name), None)

    def _continued(self, owner: str, body: dict[str, Any]) -> dict[str, Any]:
        previous = body.get("previous_response_id")
        if not isinstance(previous, str) or not previous:
            return body
        stored = self._here(owner, previous)
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
            if self._deposit is not None:
                self._deposit.put(self._deposit.place(_ISSUERS, owner, response_id), provider.encode)

    def store(self, owner: str, body: dict[str, Any], response: dict[str, Any]) -> None:
        """Keep an answer to the (expanded) body."""
        response_id = response.get("id")
        if isinstance(response_id, str) and response_id:
            # Items of earlier turns are shared with their own entries, so only the answer's size is new.
            items = input_items(body)
            size = len(encode(response)) + sum(len(encode(item)) for item in items[-8:]) + 64 * len(items)
            stored = Stored(items, response)
            self._shelf.put((owner, response_id), stored, size)
            names = [name for item in output_items(response) if (name := _name(item))]
            for name in names:
                self._homes.put((owner, name), response_id, 200)
            if self._deposit is not None:
                self._deposit.put(self._deposit.place(_ANSWERS, owner, response_id), lambda: _written(stored))
                for name in names:
                    self._deposit.put(self._deposit.place(_HOMES, owner, name), response_id.encode)

    def get(self, owner: str, response_id: str) -> dict[str, Json] | None:
        """The response object, or None."""
        stored = self._here(owner, response_id)
        return None if stored is None else stored.response

    def delete(self, owner: str, response_id: str) -> bool:
        """Forget an answer; tells whether it was here. Other replicas forget theirs."""
        if self._here(owner, response_id) is None:
            return False
        if self._deposit is not None:
            place = self._deposit.place(_ANSWERS, owner, response_id)
            self._deposit.drop(place)
            if self._news is not None:
                stamp = time.time_ns() // 1_000_000
                self._news.note(_DELETED, place, place.encode(), stamp=stamp, seconds=int(LIFE))
        return self._shelf.drop((owner, response_id))

    def _here(self, owner: str, response_id: str) -> Stored | None:
        """The answer, unless it was deleted on another replica."""
        stored = self._shelf.take((owner, response_id))
        if stored is None or self._deposit is None or not len(self._deleted):
            return stored
        if not self._deleted.take(self._deposit.place(_ANSWERS, owner, response_id)):
            return stored
        self._shelf.drop((owner, response_id))
        return None

    def _hear_deleted(self, note: bytes) -> None:
        with contextlib.suppress(ValueError):
            self._deleted.put(read_note(note)[1].decode(), True, 100)

    async def _hear_all_deleted(self) -> None:
        if self._news is not None:
            async for notes in self._news.notes(_DELETED):
                for note in notes:
                    self._hear_deleted(note)


def _written(stored: Stored) -> bytes:
    return encode([stored.items, stored.response])


def _read(data: bytes) -> Stored | None:
    """What ``_written`` wrote; None for what another release did."""
    try:
        items, response = decode_exactly(data)
    except (ValueError, TypeError):
        return None
    return Stored(items, response) if isinstance(items, list) and isinstance(response, dict) else None


def _name(item: Json) -> str:
    name = item.get("id") if isinstance(item, dict) else None
    return name if isinstance(name, str) else ""


def referred(item: Json) -> str | None:
    """The id of the item that an ``item_reference`` stands for; its type may be left out."""
    if not isinstance(item, dict) or not item.keys() <= {"type", "id"} or item.get("type", REFERENCE) != REFERENCE:
        return None
    return _name(item) or None


def references(body: dict[str, Any]) -> list[str]:
    """The ids of the items a body refers to."""
    given = body.get("input")
    return [name for item in given if (name := referred(item))] if isinstance(given, list) else []


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
