"""The price data of ``genai-prices`` as it is installed; nothing is ever fetched.

https://github.com/pydantic/genai-prices

Decimals become whole nano-USD on reading. It must not know overrides or accounts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.metadata import version
from typing import Any

from dragoman.store.ledger.bills import MILLION, THOUSAND, Price, Rate, Rates
from dragoman.store.moments import time_of

_UNITS: dict[str, tuple[str, int]] = {
    "input_mtok": ("input", MILLION),
    "cache_read_mtok": ("cache_read", MILLION),
    "cache_write_mtok": ("cache_write", MILLION),
    "cache_write_5m_mtok": ("cache_write", MILLION),
    "cache_write_1h_mtok": ("cache_write_1h", MILLION),
    "output_mtok": ("output", MILLION),
    "output_reasoning_mtok": ("reasoning", MILLION),
    "input_audio_mtok": ("audio_in", MILLION),
    "cache_audio_read_mtok": ("audio_cache_read", MILLION),
    "output_audio_mtok": ("audio_out", MILLION),
    "input_image_mtok": ("image_in", MILLION),
    "cache_image_read_mtok": ("image_cache_read", MILLION),
    "output_image_mtok": ("image_out", MILLION),
    "input_video_mtok": ("video_in", MILLION),
    "output_video_mtok": ("video_out", MILLION),
    "web_searches_kcount": ("web_search", THOUSAND),
    "social_searches_kcount": ("x_search", THOUSAND),
    "storage_searches_kcount": ("file_search", THOUSAND),
    "code_executions_kcount": ("code_execution", THOUSAND),
    "requests_kcount": ("request", THOUSAND),
}
_TOLD = frozenset({"service_tier", "speed"})
"""Conditions of variants that an answer tells; others (a batch) are no calls of ours."""

_DATED = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest|default)$")
_LONGEST = 64


@cache
def _providers() -> Mapping[str, Any]:
    from genai_prices.data import providers  # takes a third of a second

    return {provider.id: provider for provider in providers}


@cache
def _release() -> str:
    return version("genai-prices")


def load() -> None:
    """Read the data now, which takes a third of a second: call it in a thread."""
    _providers()


def provider_known(name: str) -> bool:
    """Whether there are prices of a provider."""
    return name in _providers()


def find_model(provider_id: str, model: str) -> tuple[str, Any] | None:
    """The provider and the entry of a model, whatever its name is dated or decorated with."""
    provider = _providers().get(provider_id)
    if provider is None:
        return None
    for name in _spellings(model):
        found = provider.find_model(name, all_providers=list(_providers().values()))
        if found is not None:
            return provider_id, found
    return None


def _spellings(model: str) -> Iterator[str]:
    """As it is, then without what decorates it: a context size in brackets, a folder, a date, a variant."""
    seen = set()
    name = model.strip().lower()
    bare = name.partition("[")[0]
    last = bare.rpartition("/models/")[2].removeprefix("models/")
    for spelling in (name, bare, last, _DATED.sub("", last), last.partition(":")[0]):
        if spelling and spelling not in seen:
            seen.add(spelling)
            yield spelling


def price_of(provider_id: str, entry: Any, at: int) -> Price | None:
    """The price of an entry at a time; None where it is not sold by what we count."""
    moment = time_of(at)
    rates = _rates(entry.get_prices(moment))
    if "input" not in rates and "output" not in rates:
        return None
    # What one provider asks for a tier says nothing of another that sells the same model.
    own = any(entry is one for one in _providers()[provider_id].models)
    return Price(_version(provider_id, entry.id), rates, tuple(_variants(entry, moment)) if own else ())


def _version(provider_id: str, model: str) -> str:
    whole = f"gp{_release()}:{provider_id}/{model}"
    if len(whole) <= _LONGEST:
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: _LONGEST - 9]}~{mark}"


def _variants(entry: Any, moment: datetime) -> Iterable[tuple[Mapping[str, str], Rates]]:
    for variant in getattr(entry, "price_variants", None) or ():
        if set(variant.when) <= _TOLD and (variant.constraint is None or variant.constraint.active(moment)):
            rates = _rates(variant.prices)
            if rates:
                yield dict(variant.when), rates


def _rates(prices: Any) -> dict[str, Rate]:
    rates: dict[str, Rate] = {}
    for key, value in vars(prices).items():
        if value is not None and key in _UNITS:
            unit, per = _UNITS[key]
            rates[unit] = _rate(value, per)
    return rates


def _rate(value: Any, per: int) -> Rate:
    if isinstance(value, Decimal):
        return Rate(_nano(value), per)
    return Rate(_nano(value.base), per, tuple((tier.start, _nano(tier.price)) for tier in value.tiers))


def _nano(dollars: Decimal) -> int:
    return int((dollars * 1_000_000_000).to_integral_value(ROUND_HALF_UP))
