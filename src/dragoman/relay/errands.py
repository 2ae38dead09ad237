"""What a client wants, read once and written anew for each target that is tried.

An errand never changes with the tries: what is written for one target leaves no trace in what is
written for the next. It must not know connections or the order of targets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dragoman.language.failures import Failure, Refused
from dragoman.language.ir import Json, Request
from dragoman.language.losses import Receipt
from dragoman.language.streams import Asked
from dragoman.relay.affinity import conversation_of
from dragoman.relay.answering import RESPONSES, AnswerWay
from dragoman.relay.calls import Call
from dragoman.relay.completing import CompletionWay, completion_request, compose_completion
from dragoman.relay.hints import read_hints
from dragoman.relay.house import House
from dragoman.relay.metering import Meter
from dragoman.relay.outgoing import Outgoing, Target, compose, read_request, unread_request
from dragoman.relay.permission import allowed
from dragoman.upstream.plans import Plan, Resolved

Cleaner = Callable[[Failure], Failure]


@dataclass(slots=True)
class Prepared:
    """An errand written for one target, and the way its answer will take."""

    request: Request
    target: Target
    outgoing: Outgoing
    way: AnswerWay | CompletionWay


class Errand(Protocol):
    """One call's wish. ``place`` names its owner and its conversation."""

    @property
    def plan(self) -> Plan: ...
    @property
    def stream(self) -> bool: ...
    @property
    def asked_model(self) -> str: ...
    def place(self) -> tuple[str, str]: ...
    async def recall(self, resolved: Resolved) -> None: ...
    def prepare(self, resolved: Resolved, receipt: Receipt) -> Prepared: ...


class Generation:
    """An answer to a conversation."""

    def __init__(self, house: House, call: Call, given: dict[str, Json], meter: Meter, clean: Cleaner) -> None:
        self._house = house
        self._call = call
        self._meter = meter
        self._clean = clean
        self._given = given
        self._body = house.memory.stored.expanded(call.owner, given) if call.dialect == RESPONSES else given
        self._unread: Refused | None = None
        self._request = self._read()
        if "previous_response_id" not in self._body:
            # What was put in its place goes out; the answer names it.
            self._request.previous = given.get("previous_response_id") or ""
        self.stream = self._request.stream
        self.asked_model = self._request.model
        self.plan = planned(house, call, self._request)

    def place(self) -> tuple[str, str]:
        """Owner and conversation."""
        return self._call.owner, conversation_of(self._call.headers, self._given, self._request)

    async def recall(self, resolved: Resolved) -> None:
        """Fetch what other replicas keep for the history, where the target may want it."""
        keepsakes = self._house.memory.keepsakes
        if keepsakes.alone:
            return
        profile = aimed(self._house, resolved, self._request, whole=self._unread is None).profile
        if self._call.manners is None and profile.dialect == self._call.dialect and not profile.echoes_thoughts:
            return
        await keepsakes.recall(self._call.owner, self._request.messages)

    def prepare(self, resolved: Resolved, receipt: Receipt) -> Prepared:
        """Write it for a target. Raises Refused or PreviousNotFound for a target that cannot take it."""
        house, request = self._house, self._request
        target = aimed(house, resolved, request, whole=self._unread is None)
        if self._unread is not None and target.profile.dialect != self._call.dialect:
            raise self._unread
        if request.previous and "previous_response_id" in self._body:
            keeps = target.profile.dialect == RESPONSES
            house.memory.stored.check_issuer(self._call.owner, request.previous, resolved.provider_name, keeps=keeps)
        self._meter.aim(target.model, request)
        asked = Asked(
            request=request,
            model=request.model or target.model,
            seed=os.urandom(12).hex(),
            created=int(time.time()),
            input_estimate=self._meter.input_estimate,
            receipt=receipt,
        )
        outgoing = compose(
            self._call, self._body, request, target, receipt,
            options=house.options, keepsakes=house.memory.keepsakes, expanded=self._body is not self._given,
        )  # fmt: skip
        way = AnswerWay(
            self._call, self._body, target, asked, outgoing, self._meter, self._clean, house.memory, house.options
        )
        return Prepared(request, target, outgoing, way)

    def _read(self) -> Request:
        """The conversation. What our reader refuses may pass to a provider of its own dialect."""
        try:
            return read_request(self._call, self._body)
        except Refused as refused:
            unread = unread_request(self._call, self._body)
            if unread is None:
                raise
            self._unread = refused
            return unread


class Completion:
    """A text completion: the client's own bytes, aimed."""

    def __init__(self, house: House, call: Call, body: dict[str, Json], meter: Meter, clean: Cleaner) -> None:
        self._house = house
        self._call = call
        self._body = body
        self._meter = meter
        self._clean = clean
        self._request = completion_request(body)
        self.stream = self._request.stream
        self.asked_model = self._request.model
        self.plan = planned(house, call, self._request)

    def place(self) -> tuple[str, str]:
        """Owner and conversation."""
        return self._call.owner, conversation_of(self._call.headers, self._body, self._request)

    async def recall(self, resolved: Resolved) -> None:
        """Nothing is kept for completions."""

    def prepare(self, resolved: Resolved, receipt: Receipt) -> Prepared:
        """Write it for a target."""
        request = self._request
        target = aimed(self._house, resolved, request)
        outgoing = compose_completion(
            self._call.body, self._body, target.model, stream=request.stream, usage=target.profile.stream_usage
        )
        asked = request.model or target.model
        way = CompletionWay(asked, self._meter, self._clean, hide_usage=outgoing.hide_usage)
        return Prepared(request, target, outgoing, way)


def planned(house: House, call: Call, request: Request) -> Plan:
    """Who may serve the request. Raises Refused for a model nobody knows, or that the caller may not use."""
    model = request.model if request.model.strip() else call.caller.default_model
    request_class = read_hints(call.headers).request_class
    # A class of calls may be sent where the caller must not go; without it they are calls like any other.
    for one in dict.fromkeys((request_class, "")):
        plan = house.resolver.plan(model, surface=call.dialect, request_class=one)
        if (permitted := allowed(house.resolver, plan, call.caller)) is not None:
            return permitted
    raise Refused("model", f"this key may not use the model {model[:100]!r}", kind="permission")


def aimed(house: House, resolved: Resolved, request: Request, *, whole: bool = True) -> Target:
    """The target, and what its model accepts. ``whole``: the request was read."""
    provider = house.providers[resolved.provider_name]
    profile = provider.profile(
        resolved.upstream_model, request.dialect, request if whole else None, family=resolved.family
    )
    return Target(resolved, profile)
