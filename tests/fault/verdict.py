"""The verdict on a run: the ledger beside the provider's own book, and what is still held by anybody.

When all is quiet: attempts = requests, tokens and money = reports, sums = rows, budgets' counters = the ledger,
and nothing is held, neither in the ledger nor in memory nor in Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from redis import Redis
from sqlalchemy import Connection, func, select

from dragoman.store.database import Database, open_database
from dragoman.store.ledger.check import UNSENT, violations
from dragoman.store.ledger.settled import Span, read_settled
from dragoman.store.moments import wall_clock
from dragoman.store.schema import entries, intents, quarantine, usage_day
from tests.fault.gateway import NANO_CACHED, NANO_IN, NANO_OUT, NANO_WRITTEN
from tests.fault.load import Load
from tests.fault.stage import Stage
from tests.fault.truth import Asked, Truth

_LEASE = 10_000_000
Counters = Mapping[str, list[Any]]


@dataclass
class Verdict:
    """What is booked, what is still held, and every sentence about what is wrong.

    ``held`` are the holds by where they are; ``counters`` is how many budgets' counters were compared.
    """

    rows: int
    sent: int
    kinds: Mapping[str, int]
    held: Mapping[str, int]
    counters: int
    money: tuple[int, int]
    quarantined: int
    wrong: list[str]
    events: Counter[str] = field(default_factory=Counter)
    """Warnings and errors in the replicas' logs, by name."""

    @property
    def exact(self) -> bool:
        return not self.wrong and not self.quarantined and not any(self.held.values())


async def judged(stage: Stage, *, seconds: float = 45.0) -> Verdict:
    """Wait until the replicas are quiet, look at what they hold, and compare. At least one must be up."""
    held, counters, asked = await _quiet(stage, seconds)
    database = _opened(stage.store)
    try:
        found = await database.read(lambda connection: _compared(connection, stage.truth, counters))
    finally:
        await database.close()
    verdict = Verdict(**found, held=held, counters=asked)
    for one in stage.gateways:
        verdict.wrong += [f"log of {one.folder.name}: {line}" for line in one.defects()[:3]]
        verdict.events += one.events()
    return verdict


def _opened(url: str) -> Database:
    return open_database(url) if url.startswith("postgres") else open_database(url, beside=True)


async def _quiet(stage: Stage, seconds: float) -> tuple[dict[str, int], dict[str, list[Any]], int]:
    """Holds, and counters that differ from the ledger, once both are as quiet as they get."""
    database = _opened(stage.store)
    end = time.monotonic() + seconds
    try:
        while True:
            held, counters = await asyncio.to_thread(_held, stage)
            held["ledger"] = await database.read(_count_intents)
            wrong = await database.read(partial(_off, counters=counters))
            if (not any(held.values()) and not wrong) or time.monotonic() > end:
                return held, wrong, len(counters)
            await asyncio.sleep(0.5)
    finally:
        await database.close()


def _count_intents(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(intents)).scalar_one()


def _held(stage: Stage) -> tuple[dict[str, int], dict[str, list[Any]]]:
    """What replicas and Redis hold, by name; and the counters of budgets: key to [is money, span, spent]."""
    held: Counter[str] = Counter()
    counters: dict[str, list[Any]] = {}
    shared: dict[str, list[Any]] = {}
    for one in stage.gateways:
        if not one.up:
            continue
        seen = one.holds()
        for name in ("calls", "books", "open", "put_aside", "held", "places"):
            held[name] += seen[name]
        if seen["redis"] is None:
            counters |= {f"{one.folder.name} {row[0]}": row[1:] for row in seen["counters"]}
        shared |= {row[0]: row[1:] for row in seen["shared"]}
    if stage.redis_url:
        _in_redis(stage.redis_url, shared, held, counters)
    return dict(held), counters


def _in_redis(url: str, shared: Counters, held: Counter[str], counters: dict[str, list[Any]]) -> None:
    client: Any = Redis.from_url(url, decode_responses=True)
    now = int(time.time() * 1000)
    for key, span in shared.items():
        found: dict[str, str] = client.hgetall(f"dragoman:{key}")
        # What lapsed stays written there until the next call looks, and counts for nothing.
        valid = client.zrangebyscore(f"dragoman:{key}:until", now, "+inf")
        held["held in redis"] += sum(int(found.get(f"h:{call}", 0)) for call in valid)
        if "spent" in found:
            counters[f"redis {key}"] = [*span, int(found["spent"])]
    places = client.scan_iter("dragoman:places:*")
    held["places in redis"] = sum(int(client.zcount(key, now, "+inf")) for key in places)
    client.close()


def _off(connection: Connection, counters: Counters) -> dict[str, list[Any]]:
    """The counters that are not the ledger's sums, with those."""
    spans = {key: Span(*row[1:5]) for key, row in counters.items()}
    sums = read_settled(connection, set(spans.values()))
    wrong = {}
    for key, (money, *_, spent) in counters.items():
        settled = sums[spans[key]]
        booked = settled.nano_usd if money else settled.tokens
        if booked != spent:
            wrong[key] = [spent, booked]
    return wrong


# ---------------------------------------------------------------- the ledger beside the truth


def _compared(connection: Connection, truth: Truth, counters: Counters) -> dict[str, Any]:
    upstream = truth.requests
    found = violations(connection, now=wall_clock(), lease=_LEASE, upstream=upstream)
    rows = [dict(row) for row in connection.execute(select(entries)).mappings()]
    wrong = [f"{one.rule}: {one.what}" for one in found]
    wrong += [f"I4: counter {key} is {is_}, the ledger says {booked}" for key, (is_, booked) in counters.items()]
    for row in rows:
        wrong += _checked(row, truth)
    attempts = [row for row in rows if row["attempt"] and row["kind"] != "reversal" and row["failure"] != UNSENT]
    kinds = Counter(f"{row['kind']} {row['outcome']}" for row in attempts)
    kinds += Counter("reversal" for row in rows if row["kind"] == "reversal")
    in_sums = int(connection.execute(select(func.sum(usage_day.c.cost))).scalar_one() or 0)
    return {
        "rows": len({(row["call_id"], row["attempt"]) for row in attempts}),
        "sent": sum(upstream.values()),
        "kinds": dict(sorted(kinds.items())),
        "money": (sum(row["cost"] or 0 for row in rows), in_sums),
        "quarantined": connection.execute(select(func.count()).select_from(quarantine)).scalar_one(),
        "wrong": wrong,
    }


def _checked(row: Mapping[str, Any], truth: Truth) -> Iterator[str]:
    """A final entry has exactly what the provider reported of that request."""
    if row["kind"] != "final" or not row["attempt"] or row["failure"] == UNSENT:
        return
    asked = truth.log.get(row["request_id"], [])
    place = f"{row['request_id']} attempt {row['attempt']}"
    if len(asked) < row["attempt"]:
        yield f"{place} is booked, {len(asked)} were sent"
        return
    said = asked[row["attempt"] - 1]
    if said.account != row["provider"]:
        yield f"{place} is booked on {row['provider']}, sent to {said.account}"
    if row["outcome"] == "answered":
        yield from _answered(row, said, place)
    elif row["usage_source"] == "provider" and row["input"] is not None:
        # What a call that broke had cost so far: of its prompt that is all, of its answer nobody knows.
        booked, should = _prompt(row), (said.cost.input, said.cost.cached, said.cost.written)
        if booked != should:
            yield f"{place} ({said.dialect}, {row['outcome']}): {booked} is booked, {should} was reported"


def _prompt(row: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(row[name] or 0 for name in ("input", "cache_read", "cache_write"))


def _answered(row: Mapping[str, Any], said: Asked, place: str) -> Iterator[str]:
    source = "provider" if said.reported else "estimated"
    if row["usage_source"] != source:
        yield f"{place}: source is {row['usage_source']}, should be {source}"
    if not said.reported:
        return
    cost = said.cost
    booked = (*_prompt(row), row["output"] or 0, row["reasoning"] or 0)
    should = (cost.input, cost.cached, cost.written, cost.output, cost.thought)
    if booked != should:
        yield f"{place} ({said.dialect}): {booked} is booked, {should} was reported"
    money = cost.input * NANO_IN + cost.cached * NANO_CACHED + cost.written * NANO_WRITTEN + cost.output * NANO_OUT
    if row["cost"] != money:
        yield f"{place} ({said.dialect}): {row['cost']} is charged, should be {money}"


# ---------------------------------------------------------------- told


def events_told(verdict: Verdict) -> list[str]:
    """A line on the replicas' logs, if there is anything in them."""
    return [f"warnings in the logs: {dict(sorted(verdict.events.items()))}"] if verdict.events else []


def told(verdict: Verdict, load: Load) -> list[str]:
    """The report of a run, line by line."""
    held = {name: count for name, count in verdict.held.items() if count}
    lines = [
        f"client calls {len(load.ended)}: {dict(sorted(load.answers.items()))}",
        f"upstream requests {verdict.sent}, attempts in the ledger {verdict.rows}: {dict(verdict.kinds)}",
        f"nano-USD in rows {verdict.money[0]}, in sums {verdict.money[1]}",
        *events_told(verdict),
        f"holds {sum(verdict.held.values())} {held or ''}, budget counters compared {verdict.counters},"
        f" in quarantine {verdict.quarantined}",
    ]
    lines += [f"WRONG {one}" for one in verdict.wrong[:20]]
    if len(verdict.wrong) > 20:
        lines.append(f"... and {len(verdict.wrong) - 20} more")
    lines.append("exact: upstream = ledger, sums = rows, counters = ledger, no hold" if verdict.exact else "NOT EXACT")
    return lines
