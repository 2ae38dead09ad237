"""What a model costs: the configuration's word first, then the installed price data.

Dated prices, long prompts, cache reads and writes, service tiers, audio and images each at their own
rate (trap U11). No price is no price: never nothing, and never somebody else's. It must not know calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.store.ledger import public_prices
from dragoman.store.ledger.bills import Line, Price, Rate, charge_of
from dragoman.store.ledger.measures import Measured
from dragoman.store.ledger.overrides import Override, read_fallback, read_overrides

SIMULATED = Price("sim", {"input": Rate(0), "output": Rate(0)})
"""What the simulated provider costs."""

_FREE = Price("free", {"input": Rate(0), "output": Rate(0)})
"""What OpenRouter gives away under a name of its own: https://openrouter.ai/docs/faq"""

_KINDS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex": "google",
    "azure_openai": "azure",
}
_VENDORS = {
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "bedrock": "aws",
    "vertex": "google",
    "gemini-openai": "google",
    "zhipu": "zhipuai",
    "bigmodel": "zhipuai",
    "togetherai": "together",
}
_MAKERS = {"xai": "x-ai", "mistralai": "mistral", "moonshot": "moonshotai", "z-ai": "zai", "vertex": "google"}
"""First halves of ``maker/model``, where gateways and price data differ."""

_SLOT = 1_800_000_000
"""Prices change on the half hour at most: as long as one is kept."""

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Charge:
    """What an answer costs. ``cost`` is nano-USD, None where no price is known; then ``bill`` is empty."""

    cost: int | None
    version: str
    bill: list[Line]


class PriceBook:
    """Finds prices. ``overrides`` are ``settings.prices``; raises ConfigError for one that cannot be read.

    ``fallback`` is written like one of them: the price of whatever has none, for holds and charges alike (K02).
    """

    def __init__(self, overrides: Mapping[str, Any] | None = None, fallback: Mapping[str, Any] | None = None) -> None:
        self._overrides = read_overrides(overrides or {})
        self.fallback = read_fallback(fallback) if fallback else None
        self._kept: dict[tuple[str, ...], Price | None] = {}

    def adopt(self, overrides: Mapping[str, Any]) -> None:
        """From now on these are the configuration's prices. Raises ConfigError, and keeps those that were."""
        self._overrides = read_overrides(overrides)
        self._kept = {}

    def load(self) -> None:
        """Read the price data now; blocking, a third of a second."""
        public_prices.load()

    def find(
        self,
        provider_kind: str,
        vendor: str,
        model: str,
        at: int,
        *,
        account: str = "",
        family: str = "",
        reported: str = "",
    ) -> Price | None:
        """The price of a model at a time (microseconds); where nobody knows one the fallback, if there is one.

        ``account`` is the provider's name in the configuration. ``family`` (the profile's name) and
        ``reported`` (the model an answer names) tell what a deployment really is.
        """
        key = (str(at // _SLOT), provider_kind, vendor, model, account, family, reported)
        try:
            return self._kept[key]
        except KeyError:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            price = self._found(provider_kind, vendor, model, at, account, family, reported) or self.fallback
            self._kept[key] = price
            return price

    def _found(
        self, kind: str, vendor: str, model: str, at: int, account: str, family: str, reported: str
    ) -> Price | None:
        named = list(dict.fromkeys(name for name in (model, reported) if name))
        for name in named:
            if (price := self._overridden(_names(kind, vendor, account, name), at)) is not None:
                return price
        if kind == "sim":
            return SIMULATED
        if vendor == "openrouter" and model.endswith(":free"):
            return _FREE
        # A deployment is called what somebody liked; what it is, its profile or its answers tell.
        guesses = [*named, family] if kind == "azure_openai" and family not in ("", "other") else named
        for name in guesses:
            if (price := _public(kind, vendor, name, at)) is not None:
                return price
        return None

    def _overridden(self, names: Iterable[str], at: int) -> Price | None:
        for name in names:
            for row in (*self._overrides.get(name, ()), *self._starred(name)):
                if row.start <= at:
                    return row.price
        return None

    def _starred(self, name: str) -> tuple[Override, ...]:
        """The longest name that ends in a star and begins like this one."""
        fitting = [given for given in self._overrides if given.endswith("*") and name.startswith(given[:-1])]
        return self._overrides[max(fitting, key=len)] if fitting else ()

    def charge(
        self,
        price: Price | None,
        measured: Measured,
        *,
        provider_kind: str,
        vendor: str,
        at: int,
        account: str = "",
    ) -> Charge:
        """What an answer costs: each pass at its own model's price (U08).

        A pass of a model nobody prices costs what the call's own model does: a guess that no budget is dodged
        with (K02). Without that price there is none for the whole.
        """
        bill: list[Line] = []
        for one in measured.passes:
            its = (self.find(provider_kind, vendor, one.model, at, account=account) if one.model else None) or price
            if its is None:
                if not one.tokens.total:
                    continue
                return Charge(None, "", [])
            bill += its.lines(one.tokens, one.details)
        return Charge(charge_of(bill), price.version if price is not None else "", bill)


def _names(kind: str, vendor: str, account: str, model: str) -> Iterator[str]:
    """What an override may call a model, the most particular first."""
    low = model.lower()
    for place in dict.fromkeys((account, vendor, kind)):
        if place:
            yield f"{place.lower()}/{low}"
    yield low


def _public(kind: str, vendor: str, model: str, at: int) -> Price | None:
    for provider_id, name in _places(kind, vendor, model):
        found = public_prices.find_model(provider_id, name)
        if found is not None and (price := public_prices.price_of(*found, at)) is not None:
            return price
    return None


def _places(kind: str, vendor: str, model: str) -> Iterator[tuple[str, str]]:
    """Whose prices hold, in order: those of whoever sells it, then for ``maker/model`` the maker's."""
    seller = _KINDS.get(kind) or _VENDORS.get(vendor, vendor)
    # A wire is spoken by others, too: an Anthropic account at another address is that vendor's.
    if kind == "anthropic" and vendor not in ("", "anthropic", "compatible"):
        seller = _VENDORS.get(vendor, vendor)
    if seller and public_prices.provider_known(seller):
        yield seller, model
    maker, slash, name = model.partition("/")
    if slash and seller not in ("openrouter",):
        maker = _MAKERS.get(maker.lower(), maker.lower())
        if public_prices.provider_known(maker):
            yield maker, name
