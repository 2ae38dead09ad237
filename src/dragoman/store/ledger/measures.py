"""What a provider reported, as the ledger counts it: tokens, their parts, passes, tools, and its own word on cost.

Fields of every wire are read here and nowhere else. Money in JSON is read as decimals and becomes whole
nano-USD at once. It must not know prices.

https://platform.claude.com/docs/en/api/messages#response-usage
https://ai.google.dev/api/generate-content#UsageMetadata
https://docs.x.ai/docs/api-reference
https://openrouter.ai/docs/use-cases/usage-accounting
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from dragoman.language.ir import Json, Usage
from dragoman.store.ledger.model import Tokens

NANO = 1_000_000_000
COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning")
"""What a usage counts, as entries have it."""

_MOST = 2**40
"""Tokens that no request comes to: what says more is no count."""

_TICKS = 10
"""xAI counts ten billion ticks in a dollar, so ten in a nano-dollar."""

_CREDIT = 100
"""Copilot's unit is a cent: a hundred of its nano-units are one nano-dollar."""

_TIERS = {"on_demand_flex": "flex", "on_demand_priority": "priority"}
_MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "VIDEO": "video"}
_TOOLS = {
    "web_search_requests": "web_search",
    "web_search_calls": "web_search",
    "x_search_calls": "x_search",
    "web_fetch_requests": "web_fetch",
    "code_execution_requests": "code_execution",
    "code_interpreter_calls": "code_execution",
    "file_search_calls": "file_search",
    "document_search_calls": "file_search",
}
HOSTED = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
}
"""Parts of an answer that are calls a provider charges for, where its usage does not count them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """``tokens`` are the sum of all ``passes``, of which there is at least one. ``details`` are for prices and people.

    ``stated_cost`` is nano-USD, None where the provider says nothing.
    """

    tokens: Tokens
    passes: tuple[Pass, ...]
    details: dict[str, Any] = field(default_factory=dict)
    stated_cost: int | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of one model; ``model`` is empty for the one that was asked."""

    model: str
    tokens: Tokens
    details: dict[str, Any] = field(default_factory=dict)


def believable(usage: Usage) -> Usage:
    """The usage, of which nothing counts that no request can come to."""
    wrong: dict[str, Any] = {name: None for name in COUNTS if (getattr(usage, name) or 0) > _MOST}
    return replace(usage, **wrong) if wrong else usage


def measured(
    usage: Usage, envelope: Mapping[str, Json] | None = None, hosted: Iterable[str] = (), model: str = ""
) -> Measured:
    """Read a usage. ``envelope`` are fields of the answer around it, ``hosted`` types of the parts providers run.

    ``model`` is the one that answered.
    """
    tokens = Tokens(usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning)
    fields = {key: value for owned in usage.extras.values() for key, value in owned.items()}
    details = {**_parts(fields), **service(fields, envelope)}
    if tools := _tools(fields, hosted) or _grounded(envelope or {}, model):
        details["tools"] = tools
    stated = _stated(fields, envelope or {})
    # A bill for a hundred passes is a mistake of theirs or an attack on us.
    iterations = [one for one in _list(fields.get("iterations"))[:100] if isinstance(one, dict)]
    if not iterations:
        return Measured(tokens, (Pass("", tokens, details),), details, stated)
    passes = [_pass(one, details, first=at == 0) for at, one in enumerate(iterations)]
    return Measured(_summed([one.tokens for one in passes], tokens), tuple(passes), details, stated)


def _pass(fields: Mapping[str, Json], whole: Mapping[str, Any], *, first: bool) -> Pass:
    """One of Anthropic's ``iterations`` (U08). Tools, counted for all passes, stand in the first.

    The tier is that of every pass of the model that was asked; another's is not told.
    """
    tokens = Tokens(
        input=_count(fields.get("input_tokens")),
        cache_read=_count(fields.get("cache_read_input_tokens")),
        cache_write=_count(fields.get("cache_creation_input_tokens")),
        output=_count(fields.get("output_tokens")),
    )
    model = fields.get("model")
    model = model if isinstance(model, str) else ""
    names = [*(("tools",) if first else ()), *(("service_tier", "speed") if first or not model else ())]
    return Pass(model, tokens, {**{name: whole[name] for name in names if name in whole}, **_parts(fields)})


def _summed(passes: list[Tokens], told: Tokens) -> Tokens:
    def total(name: str) -> int | None:
        known: list[int] = [count for one in passes if (count := getattr(one, name)) is not None]
        otherwise: int | None = getattr(told, name)
        return sum(known) if known else otherwise

    return Tokens(total("input"), total("cache_read"), total("cache_write"), total("output"), told.reasoning)


# ---------------------------------------------------------------- parts with prices of their own


def _parts(fields: Mapping[str, Json]) -> dict[str, int]:
    """Shares of prompt and answer that may cost something else."""
    parts: dict[str, int] = {}
    if hour := _count(_inside(fields, "cache_creation").get("ephemeral_1h_input_tokens")):
        parts["cache_write_1h"] = hour
    for place, end in (("prompt_tokens_details", "in"), ("input_tokens_details", "in"),
                       ("completion_tokens_details", "out"), ("output_tokens_details", "out")):  # fmt: skip
        inside = _inside(fields, place)
        for kind in ("audio", "image", "video"):
            if count := _count(inside.get(f"{kind}_tokens")):
                parts[f"{kind}_{end}"] = count
    cached = _modalities(fields, "cacheTokensDetails")
    for kind, count in cached.items():
        parts[f"{kind}_cache_read"] = count
    for kind, count in _modalities(fields, "promptTokensDetails").items():
        parts[f"{kind}_in"] = max(0, count - cached.get(kind, 0))
    for kind, count in _modalities(fields, "candidatesTokensDetails").items():
        parts[f"{kind}_out"] = count
    return parts


def _modalities(fields: Mapping[str, Json], place: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in _list(fields.get(place)):
        kind = _MODALITIES.get(str(one.get("modality"))) if isinstance(one, dict) else None
        if kind is not None and (count := _count(one.get("tokenCount"))):
            counts[kind] = counts.get(kind, 0) + count
    return counts


def service(fields: Mapping[str, Json], envelope: Mapping[str, Json] | None = None) -> dict[str, str]:
    """Which tier served: an answer says so in its usage, or beside it. Of a request's fields: which it asks for."""
    found: dict[str, str] = {}
    for name in ("service_tier", "serviceTier", "trafficType"):
        tier = fields.get(name) or (envelope or {}).get(name)
        if isinstance(tier, str) and tier:
            word = tier.lower()
            found.setdefault("service_tier", _TIERS.get(word, word)[:32])
    speed = fields.get("speed")
    if isinstance(speed, str) and speed:
        found["speed"] = speed[:32]
    return found


def _tools(fields: Mapping[str, Json], hosted: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for place in ("server_tool_use", "server_side_tool_usage_details"):
        for name, value in _inside(fields, place).items():
            if (tool := _TOOLS.get(name)) and (count := _count(value)):
                counts[tool] = counts.get(tool, 0) + count
    if not counts:
        for kind in hosted:
            if tool := HOSTED.get(kind):
                counts[tool] = counts.get(tool, 0) + 1
    return counts


def _grounded(envelope: Mapping[str, Json], model: str) -> dict[str, int]:
    """Searches of a Gemini: the first generations are paid by the grounded prompt, later ones by the query.

    https://ai.google.dev/gemini-api/docs/google-search#pricing
    """
    said = _list(_inside(envelope, "groundingMetadata").get("webSearchQueries"))
    queries = sum(1 for query in said if isinstance(query, str) and query.strip())
    if model.rpartition("/")[2].startswith(("gemini-1", "gemini-2")):
        queries = min(1, queries)
    return {"web_search": queries} if queries else {}


# ---------------------------------------------------------------- the provider's own word


def _stated(fields: Mapping[str, Json], envelope: Mapping[str, Json]) -> int | None:
    """What the provider says it costs (U09), in nano-USD."""
    ticks = _decimal(fields.get("cost_in_usd_ticks"))
    if ticks is not None:
        return _nano(ticks / _TICKS / NANO)
    cost = fields.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    for said in (cost, fields.get("market_cost"), fields.get("estimated_cost")):
        if (value := _decimal(said)) is not None:
            return _nano(value)
    credits = _decimal(_inside(envelope, "copilot_usage").get("total_nano_aiu"))
    return None if credits is None else _nano(credits / _CREDIT / NANO)


def _nano(dollars: Decimal) -> int | None:
    nano = int((dollars * NANO).to_integral_value())
    return nano if 0 <= nano < 2**62 else None


def _decimal(value: Json) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < 30 else None


def _inside(fields: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _count(value: Json) -> int | None:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) and value <= _MOST else None
