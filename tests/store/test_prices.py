"""Prices and bills: golden invoices, and what is never charged."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from dragoman.language.events import Finished, Started, UsageReported
from dragoman.language.ir import Usage
from dragoman.language.registry import DIALECTS
from dragoman.language.wire import decode
from dragoman.settings.errors import ConfigError
from dragoman.store.ledger.bills import Price, Rate, charge_of
from dragoman.store.ledger.measures import Measured, measured
from dragoman.store.ledger.model import Tokens
from dragoman.store.ledger.prices import PriceBook
from tests.corpus import DIALECT_OF, exchange

AT = 1_762_000_000_000_000
"""In November 2025."""

LATER = 1_777_000_000_000_000
"""In April 2026."""

DAY = 86_400_000_000
BOOK = PriceBook()
TEN = PriceBook({"m": {"in": 10, "cache_read": 1, "cache_write": 12.5, "cache_write_1h": 20, "out": 50}})


def usage_of(identifier: str) -> tuple[Usage, dict[str, Any], str]:
    """Usage, envelope and model of a recorded answer."""
    recorded = exchange(identifier)
    dialect = DIALECTS[DIALECT_OF.get(recorded["protocol"], "openai_chat")]
    response = recorded["response"]
    if "body" in response:
        read = dialect.read_response(response["body"])
        return read.usage, next(iter(read.extras.values()), {}), read.model
    reader, usage, model = dialect.StreamReader(), Usage(), ""
    beside: dict[str, Any] = {}
    for event in reader.feed(response["sse"].encode()) + reader.close():
        if isinstance(event, UsageReported):
            usage = usage.merged(event.usage)
        if isinstance(event, Started | Finished):
            beside.update(next(iter(event.extras.values()), {}))
        if isinstance(event, Started):
            model = event.model
    return usage, beside, model


def charged(book: PriceBook, seen: Measured, kind: str, vendor: str, model: str, at: int = LATER) -> int | None:
    price = book.find(kind, vendor, model, at)
    return book.charge(price, seen, provider_kind=kind, vendor=vendor, at=at).cost


# ---------------------------------------------------------------- golden invoices


def test_U11_each_kind_of_token_has_its_own_rate() -> None:
    usage = Usage(1_000, 10_000, 4_000, 500, 200, extras={"anthropic": {"cache_creation": {
        "ephemeral_5m_input_tokens": 3_000, "ephemeral_1h_input_tokens": 1_000}}})  # fmt: skip
    price = TEN.find("anthropic", "", "m", AT)
    charge = TEN.charge(price, measured(usage), provider_kind="anthropic", vendor="", at=AT)
    assert charge.bill == [
        ["input", 1_000, 10_000_000_000, 1_000_000],
        ["cache_read", 10_000, 1_000_000_000, 1_000_000],
        ["cache_write", 3_000, 12_500_000_000, 1_000_000],
        ["cache_write_1h", 1_000, 20_000_000_000, 1_000_000],
        ["output", 500, 50_000_000_000, 1_000_000],
    ]
    assert charge.cost == 10_000_000 + 10_000_000 + 37_500_000 + 20_000_000 + 25_000_000
    assert charge.version == "config:m"


def test_K02_U11_a_long_prompt_is_charged_higher_as_a_whole() -> None:
    price = BOOK.find("anthropic", "anthropic", "claude-sonnet-4-5-20250929", AT)
    assert price is not None
    assert price.cost(Tokens(100_000, 100_000, 0, 1_000), {}) == 300_000_000 + 30_000_000 + 15_000_000
    assert price.cost(Tokens(100_000, 100_001, 0, 1_000), {}) == 600_000_000 + 60_000_600 + 22_500_000
    assert (price.unit_in, price.unit_out) == (3_750, 15_000)
    assert price.units(200_001) == (7_500, 22_500)


def test_U11_an_hour_in_the_cache_costs_twice_the_prompt_where_only_five_minutes_are_priced() -> None:
    price = Price("v", {"input": Rate(3_000_000_000), "cache_write": Rate(3_750_000_000), "output": Rate(1)})
    assert price.cost(Tokens(0, 0, 1000, 0), {"cache_write_1h": 400}) == 600 * 3_750 + 400 * 6_000


def test_U11_prices_are_those_of_their_day() -> None:
    before = BOOK.find("openai", "openai", "o3", 1_740_000_000_000_000)
    after = BOOK.find("openai", "openai", "o3", AT)
    assert before is not None
    assert after is not None
    assert (before.unit_in, after.unit_in) == (10_000, 2_000)


def test_U11_service_tiers_are_charged_as_they_served() -> None:
    price = BOOK.find("openai", "openai", "gpt-5.2", 1_795_000_000_000_000)
    if price is None or not price.variants:
        pytest.skip("the installed price data know no tiers")
    tokens = Tokens(1_000_000, 0, 0, 0)
    assert price.cost(tokens, {"service_tier": "default"}) == 1_750_000_000
    assert price.cost(tokens, {"service_tier": "flex"}) == 875_000_000
    assert price.cost(tokens, {"service_tier": "priority"}) == 3_500_000_000
    seen = measured(Usage(1_000_000, output=0), {"service_tier": "flex"})
    assert charged(BOOK, seen, "openai", "openai", "gpt-5.2", 1_795_000_000_000_000) == 875_000_000


def test_U11_audio_and_images_have_their_own_rates_and_are_not_counted_twice() -> None:
    rates = {"input": Rate(1_000_000_000), "audio_in": Rate(3_000_000_000), "output": Rate(2_000_000_000)}
    price = Price("v", {**rates, "image_out": Rate(30_000_000_000)})
    details = {"prompt_tokens_details": {"audio_tokens": 400}, "completion_tokens_details": {"audio_tokens": 100}}
    usage = Usage(1_000, 0, None, 500, extras={"openai_chat": details})
    assert price.cost(Tokens(1_000, 0, None, 500), measured(usage).details) == 600 * 1000 + 400 * 3000 + 500 * 2000
    gemini = Usage(1_000, 500, None, 1_290, extras={"gemini": {
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 600}, {"modality": "AUDIO", "tokenCount": 900}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 500}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}]}})  # fmt: skip
    told = measured(gemini).details
    assert told == {"audio_cache_read": 500, "audio_in": 400, "image_out": 1_290}
    lines = price.lines(Tokens(1_000, 500, None, 1_290), told)
    assert [(line[0], line[1]) for line in lines] == [
        ("input", 600), ("audio_in", 400), ("cache_read", 500), ("image_out", 1_290),
    ]  # fmt: skip


def test_U11_what_has_no_rate_of_its_own_is_never_free() -> None:
    price = Price("v", {"input": Rate(2_000_000_000), "output": Rate(8_000_000_000)})
    assert price.cost(Tokens(1, 10, 100, 1000, 900), {"audio_in": 1, "cache_write_1h": 0}) == 111 * 2000 + 8_000_000


def test_U11_a_share_larger_than_the_whole_is_cut() -> None:
    price = Price("v", {"input": Rate(1_000_000_000), "audio_in": Rate(5_000_000_000)})
    assert price.cost(Tokens(100), {"audio_in": 5_000}) == 100 * 5_000


def test_U11_a_bill_is_rounded_once() -> None:
    assert charge_of([["input", 1, 87_500_000, 1_000_000]] * 2) == 175
    assert charge_of([["input", 1, 500_000, 1_000_000]]) == 1
    assert charge_of([["input", 1, 499_999, 1_000_000]]) == 0


# ---------------------------------------------------------------- passes


@pytest.mark.parametrize(
    ("identifier", "model", "nano"),
    [
        # 1128+1262 at 2 USD, 110+11 at 10 USD; the advisor's 2518 at 5 USD and 22 at 25 USD
        ("anthropic-messages--pydai--test_anthropic_advisor_tool--0", "claude-sonnet-5",
         2390 * 2_000 + 121 * 10_000 + 2518 * 5_000 + 22 * 25_000),
        # compaction: 100 fresh, 55096 written for five minutes, 131 out; then 229 and 5
        ("anthropic-messages--pydai--test_anthropic_compaction_usage_with_cache--0", "claude-sonnet-4-6",
         329 * 3_000 + 55_096 * 3_750 + 136 * 15_000),
        # the same, streamed, from the cache
        ("anthropic-messages--pydai--test_anthropic_compaction_usage_with_cache_streaming--0", "claude-sonnet-4-6",
         281 * 3_000 + 55_096 * 300 + 91 * 15_000),
    ],
)  # fmt: skip
def test_U08_each_pass_is_charged_at_its_own_models_price(identifier: str, model: str, nano: int) -> None:
    usage, beside, _ = usage_of(identifier)
    seen = measured(usage, beside)
    assert len(seen.passes) in (2, 3)
    assert charged(BOOK, seen, "anthropic", "anthropic", model) == nano
    assert seen.tokens.total > usage.prompt + (usage.output or 0)


def test_U08_K02_a_pass_of_a_model_nobody_prices_costs_what_the_calls_own_does() -> None:
    usage = Usage(5, output=5, extras={"anthropic": {"iterations": [
        {"type": "message", "input_tokens": 5, "output_tokens": 5},
        {"type": "advisor_message", "model": "nobody-knows", "input_tokens": 5, "output_tokens": 5}]}})  # fmt: skip
    assert charged(BOOK, measured(usage), "anthropic", "anthropic", "claude-sonnet-4-6") == 10 * 3_000 + 10 * 15_000
    assert charged(BOOK, measured(usage), "anthropic", "anthropic", "nobody-knows-either") is None


# ---------------------------------------------------------------- tools, and the provider's own word


def test_U09_searches_are_counted_and_priced() -> None:
    usage, beside, _ = usage_of("anthropic-messages--fantasy--testdata-TestAnthropicWebSearch-stream--0")
    seen = measured(usage, beside)
    assert seen.details["tools"] == {"web_search": 1}
    assert charged(BOOK, seen, "anthropic", "anthropic", "claude-sonnet-4-6") == (
        13_520 * 3_000 + 415 * 15_000 + 10_000_000
    )
    hosted = measured(Usage(0, output=0), {}, ["web_search_call", "web_search_call", "reasoning", "mcp_call"])
    assert hosted.details["tools"] == {"web_search": 2}
    assert charged(BOOK, hosted, "openai", "openai", "gpt-5.2") == 20_000_000


@pytest.mark.parametrize(
    ("identifier", "stated"),
    [
        ("compat.xai--rig--agent_tool_sessions-multimodal_image_input_mixed_text_ordering--0", 3_340_600),
        ("compat.vercel-gateway--fantasy--TestVercelCommon-gpt-5-multi_tool--0", 5_971_250),
        ("compat.openrouter--llm--test_tools_streaming_variant_c--0", 59_520),
        ("compat.github-copilot--rig--reasoning_roundtrip-nonstreaming--1", 16_976_750),
    ],
)
def test_U09_the_providers_own_cost_is_read(identifier: str, stated: int) -> None:
    usage, beside, _ = usage_of(identifier)
    assert measured(usage, beside).stated_cost == stated


def test_U09_ours_and_theirs_agree_where_nothing_else_is_charged() -> None:
    usage, beside, _ = usage_of("compat.xai--rig--agent_tool_sessions-multimodal_image_input_mixed_text_ordering--0")
    seen = measured(usage, beside)
    assert charged(BOOK, seen, "openai_compatible", "xai", "grok-4.3") == seen.stated_cost == 3_340_600
    usage, beside, _ = usage_of("compat.vercel-gateway--fantasy--TestVercelCommon-gpt-5-multi_tool--0")
    seen = measured(usage, beside)
    # They bought it at its priority price or charge on top: the gap is there to be seen.
    ours = charged(BOOK, seen, "openai_compatible", "vercel", "openai/gpt-5")
    assert ours == 113 * 1_250 + 327 * 10_000
    assert seen.stated_cost is not None
    assert seen.stated_cost > ours


@pytest.mark.parametrize("cost", ["x", True, float("nan"), float("inf"), -1, 1e40, [], {"total_cost": None}])
def test_U09_a_cost_that_is_none_is_none(cost: Any) -> None:
    assert measured(Usage(1, extras={"openai_chat": {"cost": cost}})).stated_cost is None


def test_U09_a_cost_is_read_as_it_was_written() -> None:
    assert measured(Usage(1, extras={"openai_chat": {"cost": decode(b"0.1")}})).stated_cost == 100_000_000
    assert measured(Usage(1, extras={"openai_chat": {"cost": decode(b"0.0012345678")}})).stated_cost == 1_234_568
    assert measured(Usage(1, extras={"openai_chat": {"cost": {"total_cost": 0.006}}})).stated_cost == 6_000_000
    assert measured(Usage(1, extras={"openai_chat": {"cost": 0}})).stated_cost == 0


# ---------------------------------------------------------------- finding


@pytest.mark.parametrize(
    ("kind", "vendor", "model", "more", "unit_in"),
    [
        ("openai", "openai", "gpt-4o-2024-08-06", {}, 2_500),
        ("openai", "openai", "GPT-4o", {}, 2_500),
        ("anthropic", "anthropic", "claude-sonnet-4-5[1m]", {}, 3_750),
        ("vertex", "vertex", "claude-sonnet-4@20250514", {}, 3_750),
        ("gemini", "", "models/gemini-2.5-pro", {}, 1_250),
        ("azure_openai", "azure", "prod-chat", {"family": "gpt-5"}, 1_250),
        ("azure_openai", "azure", "prod-chat", {"reported": "gpt-4o-2024-08-06"}, 2_500),
        ("openai_compatible", "openrouter", "anthropic/claude-sonnet-4.5", {}, 3_750),
        ("openai_compatible", "compatible", "openai/gpt-4o", {}, 2_500),
        ("openai_compatible", "groq", "llama-3.3-70b-versatile", {}, 590),
        ("openai_compatible", "xai", "grok-3-mini", {}, 300),
        ("sim", "", "anything", {}, 0),
    ],
)  # fmt: skip
def test_K02_a_price_is_found_by_who_sells_and_what_it_is(
    kind: str, vendor: str, model: str, more: dict[str, str], unit_in: int
) -> None:
    price = BOOK.find(kind, vendor, model, AT, **more)
    assert price is not None
    assert price.unit_in == unit_in
    assert 0 < len(price.version) <= 64


@pytest.mark.parametrize("model", ["deepseek/deepseek-chat-v3.1:free", "deepseek/deepseek-r1:free"])
def test_K02_what_openrouter_gives_away_costs_nothing_and_is_no_model_without_a_price(model: str) -> None:
    price = BOOK.find("openai_compatible", "openrouter", model, AT)
    assert price is not None
    assert (price.units(1_000), price.cost(Tokens(10, 20, None, 30), {})) == ((0, 0), 0)
    assert BOOK.find("openai_compatible", "compatible", "gpt-4o:free", AT) is None


@pytest.mark.parametrize(
    ("kind", "vendor", "model"),
    [
        ("openai_compatible", "compatible", "gpt-4o"),  # a machine of one's own may call its model that
        ("openai_compatible", "ollama", "deepseek-chat"),
        ("azure_openai", "azure", "prod-chat"),
        ("openai", "openai", "gpt-99"),
        ("openai", "openai", ""),
        ("openai_compatible", "nobody", "nothing/at-all"),
    ],
)
def test_K02_no_price_is_no_price(kind: str, vendor: str, model: str) -> None:
    assert BOOK.find(kind, vendor, model, AT) is None


def test_K02_the_configuration_has_the_first_word() -> None:
    given: dict[str, Any] = {
        "openai/gpt-5.2": {"in": 1, "out": 2},
        "prod/gpt-5.2": {"in": 3, "out": 4},
        "local/*": {"in": 0, "out": 0, "unit": "usd_per_million"},
        "local/big-*": {"in": 7, "out": 7},
        "dated": [
            {"in": 1, "out": 1},
            {"in": 2, "out": 2, "from": date(2026, 1, 1)},
            {"in": 3, "out": 3, "from": "2026-03-01"},
        ],
        "long": {"in": 1, "out": 1, "above": {200000: {"in": 2}}},
    }  # fmt: skip
    book = PriceBook(given)

    def unit(model: str, at: int = AT, **more: str) -> int | None:
        price = book.find("openai", "openai", model, at, **more)
        return None if price is None else price.unit_in

    assert unit("gpt-5.2") == 1_000
    assert unit("gpt-5.2", account="prod") == 3_000
    assert unit("gpt-4o") == 2_500
    assert unit("any", account="local") == 0
    assert unit("big-one", account="local") == 7_000
    first, third = 1_767_225_600_000_000, 1_772_323_200_000_000
    assert [unit("dated", at) for at in (AT, first - 1, first, third)] == [1_000, 1_000, 2_000, 3_000]
    price = book.find("openai", "openai", "dated", third)
    assert price is not None
    assert price.version == "config:dated@2026-03-01"
    long = book.find("openai", "openai", "long", AT)
    assert long is not None
    assert long.units(200_001) == (2_000, 1_000)
    assert BOOK.find("openai", "openai", "gpt-5.2", AT) != book.find("openai", "openai", "gpt-5.2", AT)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"in": 1}, "out is needed"),
        ({"in": 1, "out": 1, "input": 2}, "'input' is unknown here"),
        ({"in": "a", "out": 1}, "number"),
        ({"in": True, "out": 1}, "number"),
        ({"in": -1, "out": 1}, "between"),
        ({"in": float("nan"), "out": 1}, "between"),
        ({"in": float("inf"), "out": 1}, "between"),
        ({"in": 1, "out": 1, "unit": "usd_per_token"}, "usd_per_million"),
        ({"in": 1, "out": 1, "from": "soon"}, "2026-10-01"),
        ({"in": Decimal("0.0000000001"), "out": 1}, "nine decimals"),
        ({"in": 1, "out": 1, "above": {"x": {}}}, "200000"),
        ("1.5", "should look like"),
        ([], "should be a price"),
        ([{"in": 1, "out": 1}, {"in": 2, "out": 2}], "same day"),
    ],
)
def test_a_price_of_the_configuration_is_read_strictly(row: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as raised:
        PriceBook({"some/model": row})
    assert raised.value.where.startswith("prices.some/model")


def test_money_is_never_a_float() -> None:
    usage = Usage(1_234, 17, 5, 678, extras={"openai_chat": {"cost": 0.1}})
    seen = measured(usage)
    charge = BOOK.charge(BOOK.find("openai", "openai", "gpt-5.2", AT), seen, provider_kind="openai", vendor="", at=AT)
    numbers = [charge.cost, seen.stated_cost, *(number for line in charge.bill for number in line[1:])]
    assert all(type(number) is int for number in numbers)
    assert PriceBook({"m": {"in": 0.1, "out": 0.2}}).find("", "", "m", AT).rates["input"].nano == 100_000_000  # type: ignore[union-attr]


def test_K02_a_price_of_tomorrow_leaves_the_wider_one_of_today() -> None:
    book = PriceBook({"m-1": {"in": 9, "out": 9, "from": "2026-10-01"}, "m-*": {"in": 1, "out": 1}})
    for at, dollars in ((LATER, 1), (LATER + 365 * DAY, 9)):
        price = book.find("openai_compatible", "", "m-1", at)
        assert price is not None
        assert price.unit_in == dollars * 1000
