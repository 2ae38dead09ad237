"""The book of one call: what is booked for whatever happens to it (K04), attempt by attempt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dragoman.language.events import Finished, PartDelta, PartStarted, Started, UsageReported
from dragoman.language.failures import Failure
from dragoman.language.ir import Finish, Opaque, Text, Usage
from dragoman.relay.booking import Book, Books
from dragoman.relay.calls import Call
from dragoman.relay.departure import GivenUp
from dragoman.relay.metering import Meter, Record
from dragoman.relay.outgoing import Target
from dragoman.relay.paying import Purse
from dragoman.store.accounts.model import Caller
from dragoman.store.database import Database, open_database
from dragoman.store.ledger.ledger import Ledger
from dragoman.store.ledger.prices import PriceBook
from dragoman.store.migrate import migrate
from dragoman.store.schema import intents
from dragoman.upstream.calls import UpstreamCall
from dragoman.upstream.plans import Resolved
from dragoman.upstream.providers import Provider, make_providers
from tests.relay.rig import settings_for
from tests.store.bookings import QUICK, counts, found, rows
from tests.store.faulty import Faulty

PRICES = {"fake/big": {"in": 10, "out": 100}, "advisor": {"in": 1, "out": 1}}
HEADERS = {
    "x-claude-code-session-id": "session\x00one",
    "x-claude-code-agent-id": "agent",
    "x-claude-code-prompt-id": "p" * 900,
}


@dataclass
class Desk:
    """A ledger, and the one provider."""

    database: Database
    faulty: Faulty
    ledger: Ledger
    books: Books
    provider: Provider

    def target(self, model: str = "big") -> Target:
        return Target(Resolved("fake", model, "prefix"), self.provider.profile(model, "openai_chat", None))

    def open(self, size: int = 4000) -> tuple[Book, Meter]:
        record = Record(asked_model="claude-x", stream=True)
        meter = Meter(record, size)
        call = Call("anthropic", b"", HEADERS, request_id="req-1", surface="anthropic.messages")
        return self.books.open(call, meter, Caller("eve", "eve", 7, 12, 3)), meter

    async def begin(self, book: Book, meter: Meter, model: str = "big", **more: Any) -> None:
        """As the relay does for a target."""
        meter.again()
        meter.record.provider, meter.record.upstream_model = "fake", model
        await book.begin(self.target(model), self.provider, route="r", **more)

    async def only(self) -> dict[str, Any]:
        (row,) = await rows(self.database)
        assert await found(self.database) == []
        return row


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    await migrate(database)
    faulty = Faulty(database)
    ledger = Ledger(faulty, replica="one", timing=QUICK, folder=tmp_path / "spool")
    await ledger.start()
    provider = make_providers(settings_for(1))["fake"]
    yield Desk(database, faulty, ledger, Books(ledger, PriceBook(PRICES)), provider)
    await ledger.close()
    await database.close()


def say(meter: Meter, text: str = "", *, usage: Usage | None = None, end: bool = False) -> None:
    """The provider answers."""
    meter.record.upstream_status = 200
    meter.add(Started("id", "big-2026", {"openai_chat": {"service_tier": "default"}}))
    if text:
        meter.add(PartStarted(0, Text("")))
        meter.add(PartDelta(0, text))
        meter.first_byte()
    if usage is not None:
        meter.add(UsageReported(usage))
    if end:
        meter.add(Finished([Finish("end")]))


async def test_K05_an_answer_is_booked_as_the_provider_reported_it(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter, output_limit=50)
    assert (await counts(desk.database))["intents"] == 1
    say(meter, "Hello", usage=Usage(100, 0, None, 7), end=True)
    await book.end()
    await book.end()
    row = await desk.only()
    assert (row["user_id"], row["key_id"], row["group_id"]) == (7, 12, 3)
    assert (row["session"], row["agent"], row["prompt"]) == ("session\ufffdone", "agent", "p" * 256)
    assert (row["asked_model"], row["model"], row["provider"], row["route"]) == ("claude-x", "big", "fake", "r")
    assert (row["input"], row["cache_read"], row["cache_write"], row["output"]) == (100, 0, None, 7)
    assert (row["usage_source"], row["partial"], row["outcome"], row["status"]) == ("provider", False, "answered", 200)
    assert (row["cost"], row["price"]) == (100 * 10_000 + 7 * 100_000, "config:fake/big")
    assert row["details"]["upstream_model"] == "big-2026"
    assert row["details"]["service_tier"] == "default"
    assert book.spent == (107, row["cost"])
    assert (await counts(desk.database))["intents"] == 0


async def test_K04_before_the_first_byte_output_is_zero_and_the_prompt_an_estimate(desk: Desk) -> None:
    book, meter = desk.open(size=4000)
    await desk.begin(book, meter)
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["outcome"], row["status"], row["input"], row["output"]) == ("left", 499, 1000, 0)
    assert (row["usage_source"], row["partial"], row["cost"]) == ("estimated", True, 1000 * 10_000)


async def test_K04_after_a_departure_what_was_relayed_is_booked(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 400)
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["input"], row["output"], row["usage_source"], row["partial"]) == (1000, 100, "estimated", True)


async def test_K04_an_interim_report_is_not_the_last_word(desk: Desk) -> None:
    """Anthropic's first event reports one token of output; then a hundred are relayed."""
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, usage=Usage(900, 5, 6, 1))
    say(meter, "x" * 400)
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["input"], row["cache_read"], row["cache_write"], row["output"]) == (900, 5, 6, 100)
    assert row["details"]["reported"] == {"input": 900, "cache_read": 5, "cache_write": 6}
    assert row["usage_source"] == "estimated"


async def test_I6_a_report_of_zero_stands(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 400, usage=Usage(0, output=0), end=True)
    await book.end()
    row = await desk.only()
    assert (row["input"], row["output"], row["cost"], row["usage_source"]) == (0, 0, 0, "provider")


async def test_U06_an_answer_without_usage_is_estimated_and_marked(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 40, end=True)
    await book.end()
    row = await desk.only()
    assert (row["input"], row["output"], row["usage_source"], row["partial"]) == (1000, 10, "estimated", False)


async def test_K04_a_refused_turn_is_booked_with_nothing_to_pay(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    meter.record.upstream_status = 400
    meter.failed(Failure("invalid_request", "no", status=400))
    await book.end()
    row = await desk.only()
    assert (row["outcome"], row["status"], row["failure"], row["cost"]) == ("failed", 400, "invalid_request", 0)
    assert (row["input"], row["output"], row["usage_source"]) == (None, None, "provider")


async def test_K04_an_answer_that_breaks_is_booked_as_far_as_it_came(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 80, usage=Usage(300, output=None))
    meter.failed(Failure("server", "broken"))
    await book.end()
    row = await desk.only()
    assert (row["outcome"], row["input"], row["output"], row["partial"]) == ("failed", 300, 20, True)


async def test_K07_each_target_is_an_attempt_and_one_ends_the_call(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter, "small")
    book.attempt_failed(Failure("overloaded", "busy", status=529))
    assert (await counts(desk.database))["intents"] == 1
    await desk.begin(book, meter)
    assert (await counts(desk.database)) | {"hours": 0, "days": 0} == {
        "entries": 1, "intents": 1, "quarantine": 0, "hours": 0, "days": 0,
    }  # fmt: skip
    say(meter, "Hi", usage=Usage(10, output=1), end=True)
    await book.end()
    first, second = await rows(desk.database)
    assert (first["model"], first["attempt"], first["closes"], first["status"]) == ("small", 1, False, 529)
    assert (second["model"], second["attempt"], second["closes"], second["attempts"]) == ("big", 2, True, 2)
    assert await found(desk.database, upstream={"req-1": 2}) == []


async def test_K07_when_the_last_target_failed_its_attempt_ends_the_call(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    failure = Failure("overloaded", "busy", status=529)
    book.attempt_failed(failure)
    meter.failed(failure)
    await book.end()
    row = await desk.only()
    assert (row["closes"], row["outcome"], row["failure"]) == (True, "failed", "overloaded")


async def test_I1_each_round_is_an_attempt_with_its_own_usage(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 40)
    meter.round("pause", Usage(100, output=10))
    await book.begin(desk.target(), desk.provider, route="r")
    meter.add(PartDelta(1, "y" * 80))
    meter.round("", Usage(200, output=20))
    meter.add(Finished([Finish("end")]))
    await book.end()
    first, second = await rows(desk.database)
    assert (first["input"], first["output"], first["closes"], first["outcome"]) == (100, 10, False, "answered")
    assert (second["input"], second["output"], second["closes"]) == (200, 20, True)
    assert await found(desk.database, upstream={"req-1": 2}) == []


async def test_K04_a_client_that_leaves_in_a_later_round_pays_each_round_once(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 40)
    meter.round("pause", Usage(100, output=10))
    await book.begin(desk.target(), desk.provider, route="r")
    meter.add(UsageReported(Usage(300, output=11)))  # cumulative: 100 + 200, 10 + 1
    meter.add(PartDelta(1, "y" * 80))
    meter.left()
    await book.end()
    _, second = await rows(desk.database)
    assert (second["input"], second["output"], second["usage_source"]) == (200, 20, "estimated")
    assert await found(desk.database) == []


async def test_U08_U09_passes_tools_and_their_word_are_on_the_row(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    fields = {
        "cost": 0.5,
        "server_tool_use": {"web_search_requests": 2},
        "iterations": [
            {"type": "message", "input_tokens": 10, "output_tokens": 1},
            {"type": "advisor_message", "model": "advisor", "input_tokens": 1000, "output_tokens": 100},
        ],
    }
    meter.add(PartStarted(3, Opaque("anthropic", {"type": "server_tool_use"})))
    say(meter, "Hi", usage=Usage(10, output=1, extras={"anthropic": fields}), end=True)
    await book.end()
    row = await desk.only()
    assert (row["input"], row["output"]) == (1010, 101)
    assert row["cost"] == 10 * 10_000 + 1 * 100_000 + 1100 * 1_000
    assert row["stated_cost"] == 500_000_000
    assert row["details"]["tools"] == {"web_search": 2}
    assert row["details"]["passes"] == 2


async def test_K02_no_price_is_null_and_not_nothing(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter, "unpriced")
    say(meter, "Hi", usage=Usage(10, output=1), end=True)
    await book.end()
    assert ((await desk.only())["cost"], book.spent) == (None, (11, None))


async def test_K05_a_call_given_up_while_it_is_announced_is_booked_as_unsent(desk: Desk) -> None:
    book, meter = desk.open()
    task = asyncio.create_task(desk.begin(book, meter))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["failure"], row["outcome"], row["input"], row["cost"]) == ("unsent", "left", None, 0)
    assert await found(desk.database, upstream={}) == []
    assert (await counts(desk.database))["intents"] == 0


@pytest.mark.parametrize("sent", [False, True])
async def test_I1_a_call_left_before_its_request_went_out_is_booked_as_unsent(desk: Desk, sent: bool) -> None:
    book, meter = desk.open()
    request = UpstreamCall("POST", "http://provider", {}, b"{}")
    await desk.begin(book, meter, request=request)
    request.sent = sent
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["outcome"], row["failure"]) == ("left", "" if sent else "unsent")
    assert (row["input"], bool(row["cost"])) == ((1000, True) if sent else (None, False))
    assert await found(desk.database, upstream={"req-1": 1} if sent else {}) == []


async def test_K11_without_a_ledger_to_write_to_nothing_is_sent(desk: Desk) -> None:
    desk.ledger._policy = "refuse"
    desk.faulty.fault = "down"
    book, meter = desk.open()
    with pytest.raises(GivenUp) as given_up:
        await desk.begin(book, meter)
    assert (given_up.value.failure.http_status, given_up.value.failure.retry_after) == (503, 2)
    meter.failed(given_up.value.failure)
    await book.end()
    desk.faulty.fault = ""
    await asyncio.sleep(0.4)
    assert (await desk.only())["failure"] == "unsent"


async def test_K04_what_reached_no_provider_is_booked_unless_a_limit_refused_it(desk: Desk) -> None:
    book, meter = desk.open()
    meter.failed(Failure("invalid_request", "no such model", status=404))
    await book.end()
    row = await desk.only()
    assert (row["attempt"], row["outcome"], row["closes"], row["provider"]) == (0, "refused", True, "")
    other, meter = desk.open()
    meter.failed(Failure("rate_limit", "slow down"))
    await other.end()
    assert (await counts(desk.database))["entries"] == 1


async def test_K05_output_so_far_is_told_to_the_ledger(desk: Desk) -> None:
    book, meter = desk.open()
    await desk.begin(book, meter)
    say(meter, "x" * 400)
    await asyncio.sleep(0.2)
    noted = await desk.database.read(lambda connection: connection.execute(intents.select()).one().output_so_far)
    assert noted == 100
    await book.end()


async def test_nothing_is_written_without_a_ledger(desk: Desk) -> None:
    books = Books(None, PriceBook(PRICES))
    record = Record()
    meter = Meter(record, 400)
    book = books.open(Call("anthropic", b""), meter)
    await book.begin(desk.target(), desk.provider)
    say(meter, "Hi", usage=Usage(10, output=1), end=True)
    await book.end()
    assert (await counts(desk.database))["entries"] == 0
    assert len(book.call_id) == 32


def sold_by(vendor: str, kind: str = "openai_compatible") -> Provider:
    """The provider, as somebody whose prices everybody knows."""
    return make_providers(settings_for(1, kind=kind, account={"vendor": vendor}))["fake"]


async def test_U11_a_price_per_request_is_not_paid_for_one_that_was_refused(desk: Desk) -> None:
    desk.provider = sold_by("perplexity")
    book, meter = desk.open()
    await desk.begin(book, meter, "sonar")
    book.attempt_failed(Failure("rate_limit", "slow down", status=429))
    await desk.begin(book, meter, "sonar")
    say(meter, "Hi", usage=Usage(1_000_000, output=0), end=True)
    await book.end()
    first, second = await rows(desk.database)
    assert (first["cost"], first["details"].get("bill")) == (0, None)
    assert second["cost"] == 1_000_000_000 + 12_000_000  # a dollar for a million tokens, twelve for a thousand calls


async def test_U11_a_deployment_is_charged_as_what_answered_and_not_as_what_its_name_suggests(desk: Desk) -> None:
    desk.provider = make_providers(
        settings_for(1, account={"kind": "azure_openai", "base_url": "https://x.openai.azure.com"})
    )["fake"]
    for model, answered, nano in (
        ("team-gpt-5-small", "gpt-5-mini-2025-08-07", 250_000_000),
        ("team-gpt-5-small", "nobody-knows", 1_250_000_000),
        ("gpt-5-mini", "gpt-5-2025-08-07", 250_000_000),  # a name with a price of its own stands
    ):
        book, meter = desk.open()
        await desk.begin(book, meter, model)
        say(meter, "Hi", usage=Usage(1_000_000, output=0))
        meter.record.upstream_model = answered
        meter.add(Finished([Finish("end")]))
        await book.end()
        assert (await rows(desk.database))[-1]["cost"] == nano


async def test_U08_every_pass_of_the_model_that_was_asked_is_as_fast(desk: Desk) -> None:
    """Who asks for speed pays for it in each pass; an advisor is another model with a price of its own."""
    desk.provider = make_providers(settings_for(1, kind="anthropic", account={"vendor": "anthropic"}))["fake"]
    fields = {
        "speed": "fast",
        "server_tool_use": {"web_search_requests": 1},
        "iterations": [
            {"type": "message", "input_tokens": 1_000_000, "output_tokens": 0},
            {"type": "compaction", "input_tokens": 1_000_000, "output_tokens": 0},
        ],
    }
    costs = {}
    for speed in ("fast", "standard"):
        book, meter = desk.open()
        await desk.begin(book, meter, "claude-opus-4-8")
        extras = {"anthropic": fields | {"speed": speed}}
        say(meter, "Hi", usage=Usage(1_000_000, output=0, extras=extras), end=True)
        await book.end()
        costs[speed] = (await rows(desk.database))[-1]["cost"]
    search = 10_000_000
    fast, plain = (
        PriceBook().find("anthropic", "anthropic", "claude-opus-4-8", desk.books.clock()),
        costs["standard"] - search,
    )
    assert fast is not None
    rate = next(rates["input"].nano for when, rates in fast.variants if when.get("speed") == "fast")
    assert costs["fast"] - search == 2 * rate
    assert plain == 2 * fast.rates["input"].nano


async def test_I6_a_report_with_its_passes_is_the_last_word(desk: Desk) -> None:
    """The client leaves between Anthropic's last report and the end; more was relayed than output was counted."""
    book, meter = desk.open()
    await desk.begin(book, meter)
    passes = [{"input_tokens": 10, "output_tokens": 1}, {"input_tokens": 5, "output_tokens": 2}]
    say(meter, "x" * 400, usage=Usage(5, output=2, extras={"anthropic": {"iterations": passes}}))
    meter.left()
    await book.end()
    row = await desk.only()
    assert (row["input"], row["output"], row["usage_source"]) == (15, 3, "provider")


@pytest.mark.parametrize(("size", "rates"), [(4_000, (10, 100)), (4_000_000, (20, 150))])
async def test_K05_U11_what_may_be_recovered_has_the_price_of_so_long_a_prompt(
    desk: Desk, size: int, rates: tuple[int, int]
) -> None:
    """All that is left of a process that died is what its intents say."""
    desk.books.prices.adopt({"fake/big": {"in": 10, "out": 100, "above": {200_000: {"in": 20, "out": 150}}}})
    book, meter = desk.open(size)
    await desk.begin(book, meter)
    facts = await desk.database.read(lambda connection: connection.execute(intents.select()).one().facts)
    assert (facts["rate_in"], facts["rate_out"]) == tuple(rate * 1_000_000_000 for rate in rates)
    await book.end()


async def test_K05_what_fails_while_a_call_is_booked_leaves_no_hold(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Money that nobody gives back is money that nobody may spend."""
    settled: list[tuple[int, int | None]] = []

    class Held:
        async def settle(self, tokens: int, cost: int | None) -> None:
            settled.append((tokens, cost))

    async def broken(final: object) -> None:
        raise RuntimeError("a defect")

    record = Record(asked_model="big", stream=False)
    meter = Meter(record, 400)
    house: Any = type("House", (), {"books": desk.books, "providers": {"fake": desk.provider}, "admission": None})()
    purse = Purse(house, Call("anthropic", b"", {}, request_id="req-2"), meter)
    await desk.begin(purse._book, meter)
    say(meter, "Hi", usage=Usage(10, output=1), end=True)
    purse._hold = Held()  # type: ignore[assignment]
    monkeypatch.setattr(desk.ledger, "settle", broken)
    await purse.settled()
    assert settled == [(11, 200_000)]
