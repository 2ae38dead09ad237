"""In which order a call tries its targets, and when it stops trying (traps K06, K07, E13).

``Routing`` is the gateway's, ``Tries`` one call's. A conversation keeps its place: among targets that
share the work and among the keys of an account each conversation has an order of its own, the same on
every replica without anything being stored; only who was served out of that order is remembered
(``detours``). It must not know wires or requests.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

from dragoman.language.failures import Failure
from dragoman.relay.detours import Detours
from dragoman.relay.health import Health, Spot
from dragoman.upstream.plans import Plan, Resolved

MOST_TRIES = 6
PROOF_PATIENCE = 1.0
"""Seconds a call waits to see how others fare on a target that nobody has reached yet."""

SHARE = 0.1
"""Further attempts on a target that is not known to work, as a share of the calls of its provider."""

SPARE = 10.0
"""Further attempts that are free however few calls there were."""

LONGEST_PAUSE = 10.0
_GOES_ON = frozenset({"rate_limit", "quota", "overloaded", "timeout", "server", "credential", "not_found"})
"""Failures that another target need not share."""


class Shot(NamedTuple):
    """One target to try: whose, under which model, with which of its keys."""

    resolved: Resolved
    key: int

    @property
    def spot(self) -> Spot:
        """The target as health sees it."""
        return Spot(self.resolved.provider_name, self.key, self.resolved.upstream_model)


@dataclass(slots=True)
class _Account:
    """What routing counts of one provider. ``spare`` are further attempts it may still be asked for."""

    keys: int
    most: int | None
    busy: int = 0
    spare: float = SPARE


@dataclass(slots=True)
class Routing:
    """Shared by all calls. ``retries`` is how often the last target is asked again."""

    accounts: Mapping[str, _Account]
    health: Health
    retries: int = 0
    clock: Callable[[], float] = time.monotonic
    sticky: Detours = field(default_factory=Detours)

    @classmethod
    def of(
        cls,
        accounts: Mapping[str, tuple[int, int | None]],
        *,
        retries: int = 0,
        health: Health | None = None,
        sticky: Detours | None = None,
    ) -> Routing:
        """For providers by name: how many keys each has, and how many calls it takes at once."""
        made = {name: _Account(*facts) for name, facts in accounts.items()}
        return cls(made, health or Health(), retries, sticky=Detours() if sticky is None else sticky)

    def over(self, accounts: Mapping[str, tuple[int, int | None]], *, retries: int) -> Routing:
        """Routing over other accounts that knows what this one knows; calls under way stay with this one."""
        fresh = {name: _Account(*facts) for name, facts in accounts.items()}
        for name, account in fresh.items():
            known = self.accounts.get(name)
            if known is not None and (known.keys, known.most) == (account.keys, account.most):
                fresh[name] = known
        return replace(self, accounts=fresh, retries=retries)

    def tries(self, plan: Plan, place: Callable[[], tuple[str, str]], *, fresh: bool = False) -> Tries:
        """One call's tries. ``place`` tells owner and conversation, asked only where there is a choice.

        ``fresh``: the conversation has no cache worth going back to.
        """
        if len(plan.candidates) == 1 and self.accounts[plan.candidates[0].provider_name].keys == 1:
            return Tries(self, plan, [Shot(plan.candidates[0], 0)], None)
        owner, conversation = place()
        name = (owner, conversation, plan.route or plan.candidates[0].upstream_model)
        shots = self._ordered(plan, conversation)
        if fresh or not plan.sticky:
            self.sticky.drop(name)
        kept = self.sticky.take(name)
        if kept is not None:
            shots.sort(key=lambda shot: shot.spot != kept)
        return Tries(self, plan, shots, name if plan.sticky else None)

    def _ordered(self, plan: Plan, conversation: str) -> list[Shot]:
        shots: list[Shot] = []
        for weighted, group in groupby(plan.candidates, key=lambda one: one.weight is not None):
            candidates = list(group)
            if weighted:
                candidates.sort(
                    key=lambda one: _lot(conversation, one.provider_name, one.upstream_model, one.weight or 0)
                )
            for candidate in candidates:
                keys = sorted(
                    range(self.accounts[candidate.provider_name].keys),
                    key=lambda key: _lot(conversation, candidate.provider_name, str(key), 1),
                )
                shots += [Shot(candidate, key) for key in keys]
        return shots


class Tries:
    """The targets of one call, one after another. Every shot taken is given back once, by how it ended."""

    __slots__ = ("_began", "_left", "_name", "_plan", "_repeats", "_routing", "_taken", "count")

    def __init__(self, routing: Routing, plan: Plan, shots: list[Shot], name: tuple[str, str, str] | None) -> None:
        self._routing = routing
        self._plan = plan
        self._left = list(shots)
        self._name = name
        self._began = routing.clock()
        self._taken = shots[0]
        self._repeats = 0
        self.count = 0

    @property
    def another(self) -> bool:
        """Whether another target is left to try."""
        return bool(self._left)

    async def next(self) -> Shot | None:
        """The next target; None when there is none left that may be asked."""
        routing = self._routing
        if self.count >= MOST_TRIES or (self.count and routing.clock() - self._began >= self._plan.deadline):
            return None
        shot = self._chosen()
        if shot is None:
            return None
        if self.count and not await self._affordable(shot):
            return None
        if not self.count:
            account = routing.accounts[shot.resolved.provider_name]
            account.spare = min(SPARE, account.spare + SHARE)
        if shot in self._left:
            self._left.remove(shot)
        self.count += 1
        routing.accounts[shot.resolved.provider_name].busy += 1
        routing.health.began(shot.spot)
        return shot

    def succeeded(self, shot: Shot) -> None:
        """The target answered."""
        self._given_back(shot)
        self._routing.health.succeeded(shot.spot)
        if self._name is not None and shot != self._taken:
            self._routing.sticky.put(self._name, shot.spot)

    def left(self, shot: Shot) -> None:
        """The client hung up, which says nothing about the target."""
        self._given_back(shot)
        self._routing.health.left(shot.spot)

    def refused(self, shot: Shot) -> None:
        """The request cannot be carried to this target at all; to another it may."""
        self.left(shot)

    def failed(self, shot: Shot, failure: Failure, *, once_more: bool = False) -> float | None:
        """The target failed: seconds to wait before ``next``, or None when the client is to hear of it.

        ``once_more``: the failure is one of chance, and the same target is asked again, once.
        """
        self._given_back(shot)
        if once_more and not self._repeats:
            self._routing.health.left(shot.spot)
            self._repeats += 1
            self._left.insert(0, shot)
            return 0.0
        self._routing.health.failed(shot.spot, failure)
        if failure.kind not in _GOES_ON:
            return None
        if self._left:
            return 0.0
        return self._pause(shot, failure)

    # ------------------------------------------------------------ choosing

    def _chosen(self) -> Shot | None:
        """The first that is well; when all rest, the one that rests least long, if nothing was tried yet."""
        health = self._routing.health
        free = [shot for shot in self._left if self._has_room(shot)]
        for shot in free:
            if health.state(shot.spot) != "resting":
                return shot
        if self.count and self._repeats == 0:
            return None
        return min(free, key=lambda shot: health.rests_until(shot.spot), default=None)

    def _has_room(self, shot: Shot) -> bool:
        account = self._routing.accounts[shot.resolved.provider_name]
        return account.most is None or account.busy < account.most

    async def _affordable(self, shot: Shot) -> bool:
        """Whether one more attempt may be made there. A storm must not be answered with a larger one.

        A target that has just answered costs nothing. One that nobody has reached yet is tried by a
        few, and the others wait a moment to see how these fare.
        """
        routing = self._routing
        account = routing.accounts[shot.resolved.provider_name]
        until = routing.clock() + PROOF_PATIENCE
        while not routing.health.proven(shot.spot):
            if account.spare >= 1.0:
                account.spare -= 1.0
                return True
            if routing.health.state(shot.spot) != "well":
                return False
            if routing.clock() >= until:
                return True
            await asyncio.sleep(0.02)
        return True

    def _pause(self, shot: Shot, failure: Failure) -> float | None:
        """Before the same target is asked again, which is done only where the operator wants it."""
        if self._repeats >= self._routing.retries or not failure.retryable:
            return None
        pause = random.uniform(0.1, 0.5) * 2.0**self._repeats
        if failure.retry_after is not None:
            pause = max(pause, failure.retry_after)
        if pause > LONGEST_PAUSE or self._routing.clock() + pause - self._began >= self._plan.deadline:
            return None
        self._repeats += 1
        self._left.append(shot)
        return pause

    def _given_back(self, shot: Shot) -> None:
        self._routing.accounts[shot.resolved.provider_name].busy -= 1


def busy_failure(plan: Plan) -> Failure:
    """Every account that may serve has as many calls as it is meant to have."""
    names = ", ".join(dict.fromkeys(one.provider_name for one in plan.candidates))
    return Failure("overloaded", f"all places at {names} are taken", retry_after=1)


def _lot(conversation: str, *words: str | int) -> float:
    """A place in the conversation's own order; the last word is a weight (weighted rendezvous hashing)."""
    *names, weight = words
    text = "\x00".join((conversation, *(str(name) for name in names)))
    drawn = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    share = (drawn + 1) / (2**64 + 1)
    return -math.log(share) / weight if isinstance(weight, int) and weight else math.inf
