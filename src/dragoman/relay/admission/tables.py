"""All counts of one replica: buckets, places and budgets by key, and the one step that decides a call.

``decide`` looks at every line and then takes all or none, without an ``await`` between: nothing can come in between
(trap K01). ``admission.lua`` is the same in Redis; a change here is a change there. Time is in ticks. It must not
know clocks, ledgers or wishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dragoman.relay.admission import gcra
from dragoman.relay.admission.budgets import Counter
from dragoman.relay.admission.gcra import Bucket
from dragoman.relay.admission.places import Places
from dragoman.relay.admission.reservation import Charge
from dragoman.relay.admission.rules import BUDGET_WAIT, MONEY, PLACE_WAIT, PLACES, TOKENS, Line, Verdict, shared
from dragoman.store.ledger.settled import Settled


class Tables:
    """The counts. A reservation's lease lasts ``lease`` ticks unless renewed."""

    def __init__(self, lease: int) -> None:
        self.lease = lease
        self.buckets: dict[str, Bucket] = {}
        self.places: dict[str, Places] = {}
        self.counters: dict[str, Counter] = {}
        self._used: dict[str, Line] = {}

    # ------------------------------------------------------------ one call

    def missing(self, lines: Iterable[Line]) -> list[Line]:
        """Budget lines of windows whose settled sum is not known here yet."""
        counters = self.counters
        return [line for line in lines if line.kind >= MONEY and line.key not in counters]

    def decide(self, call: str, lines: Sequence[Line], now: int, share: int = 1) -> Verdict:
        """Take all lines or none. A budget's amount replaces what the call held of it before."""
        refused, worst, spent, held = -1, 0, 0, 0
        levels: list[int] = []
        for number, (kind, key, limit, amount, *_) in enumerate(lines):
            if kind <= TOKENS:
                limit = shared(limit, share)
                bucket = self.buckets.get(key)
                level = 0 if bucket is None else bucket.level_at(now, limit)
                levels.append(level)
                wait = gcra.wait(level, amount, limit)
                if wait > worst:
                    refused, worst, spent, held = number, wait, 0, 0
            elif kind == PLACES:
                places = self.places.get(key)
                taken = 0 if places is None else places.taken(now)
                full = taken >= shared(limit, share) and (places is None or call not in places)
                if full and worst < PLACE_WAIT:
                    refused, worst, spent, held = number, PLACE_WAIT, 0, taken
            else:
                counter = self.counters[key]
                counter.expire(now)
                if worst < BUDGET_WAIT and not counter.fits(call, amount, limit, share):
                    refused, worst, spent, held = number, BUDGET_WAIT, counter.spent, counter.held - counter.holds(call)
        if refused < 0:
            levels = self._take(call, lines, now, share)
        return Verdict(refused, worst, spent, held, tuple(levels), share)

    def _take(self, call: str, lines: Iterable[Line], now: int, share: int) -> list[int]:
        levels: list[int] = []
        until = now + self.lease
        for line in lines:
            kind, key = line.kind, line.key
            if kind <= TOKENS:
                bucket = self.buckets.get(key)
                if bucket is None:
                    self._used[key] = line
                    bucket = self.buckets[key] = Bucket(now)
                levels.append(bucket.fill(now, shared(line.limit, share), line.amount))
            elif kind == PLACES:
                places = self.places.get(key)
                if places is None:
                    places = self.places[key] = Places()
                places.take(call, until)
            else:
                self._used[key] = line
                self.counters[key].hold(call, line.amount, until)
        return levels

    def levels(self, lines: Iterable[Line], now: int, share: int = 1) -> tuple[int, ...]:
        """How full the limits are, in the order of their lines."""
        found = []
        for line in lines:
            if line.kind <= TOKENS:
                bucket = self.buckets.get(line.key)
                found.append(0 if bucket is None else bucket.level_at(now, shared(line.limit, share)))
        return tuple(found)

    def settle(self, call: str, charges: Iterable[Charge], now: int, share: int = 1) -> None:
        """The call is over: what it held is free, what it came to is spent."""
        for line, amount in charges:
            kind, key = line.kind, line.key
            if kind == TOKENS:
                if (bucket := self.buckets.get(key)) is not None:
                    bucket.fill(now, shared(line.limit, share), amount)
            elif kind == PLACES:
                if (places := self.places.get(key)) is not None:
                    places.free(call)
            elif kind >= MONEY and (counter := self.counters.get(key)) is not None:
                counter.release(call)
                counter.charged += amount

    def renew(self, call: str, lines: Iterable[Line], now: int) -> None:
        """The call still runs: what it holds is held for another lease, also where it had lapsed."""
        until = now + self.lease
        for kind, key, _, amount, *_ in lines:
            if kind == PLACES:
                self.places.setdefault(key, Places()).take(call, until)
            elif kind >= MONEY and (counter := self.counters.get(key)) is not None:
                counter.hold(call, amount, until)

    # ------------------------------------------------------------ from the ledger

    def open(self, line: Line, settled: Settled) -> None:
        """The window's settled sum is known."""
        if line.key not in self.counters:
            self._used[line.key] = line
            self.counters[line.key] = Counter(settled_of(line, settled))

    def budgets(self) -> dict[str, tuple[Line, int]]:
        """A line of every budget counted here, and what was ever charged to it: a mark for ``correct``."""
        return {key: (self._used[key], counter.charged) for key, counter in self.counters.items()}

    def correct(self, line: Line, mark: int, settled: Settled) -> None:
        """The ledger's sum takes the place of ours; the mark is from before it was asked."""
        if (counter := self.counters.get(line.key)) is not None:
            counter.correct(mark, settled_of(line, settled))

    # ------------------------------------------------------------ upkeep

    def rates(self) -> Iterable[tuple[Line, Bucket]]:
        """A line of every bucket, and the bucket."""
        return [(self._used[key], bucket) for key, bucket in self.buckets.items()]

    def mirror(self, line: Line, bucket: Bucket) -> None:
        """A bucket as it is elsewhere: where to begin when elsewhere is gone."""
        self._used[line.key] = line
        self.buckets[line.key] = bucket

    def restart(self) -> None:
        """Forget places and budgets: they were counted elsewhere meanwhile."""
        for key in self.counters:
            self._used.pop(key, None)
        self.counters.clear()
        self.places.clear()

    def forget(self, now: int, moment: int) -> None:
        """Drop what says nothing any more: empty buckets and places, windows that are over. ``moment`` is UTC."""
        for key in [key for key, bucket in self.buckets.items() if not bucket.level_at(now, self._used[key].limit)]:
            del self.buckets[key], self._used[key]
        for key in [key for key, places in self.places.items() if not places.taken(now)]:
            del self.places[key]
        for key, counter in list(self.counters.items()):
            counter.expire(now)
            end = self._used[key].end
            if end is not None and end < moment and not len(counter):
                del self.counters[key], self._used[key]


def settled_of(line: Line, settled: Settled) -> int:
    """The sum that a budget's line counts in."""
    return settled.nano_usd if line.kind == MONEY else settled.tokens
