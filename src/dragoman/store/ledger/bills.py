"""What a call costs, line by line: how many of what at which rate, in whole numbers.

A rate is nano-USD for ``per`` of a unit (a million tokens, a thousand searches). A bill is rounded once,
at its end, so that it comes to the same in whatever order it is added up. It must not know where rates
come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.store.ledger.model import Tokens

MILLION = 1_000_000
THOUSAND = 1_000

Line = list[Any]
"""``[unit, quantity, rate, per]``"""

_TOKEN_FALLBACKS: dict[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_in": "input",
    "audio_cache_read": "cache_read",
    "image_in": "input",
    "image_cache_read": "cache_read",
    "video_in": "input",
    "reasoning": "output",
    "audio_out": "output",
    "image_out": "output",
    "video_out": "output",
}
"""At whose rate a kind of token is charged where it has none of its own: never for nothing."""

_SHARES: dict[str, tuple[str, ...]] = {
    "input": ("audio_in", "image_in", "video_in"),
    "cache_read": ("audio_cache_read", "image_cache_read"),
    "cache_write": ("cache_write_1h",),
    "output": ("audio_out", "image_out", "video_out", "reasoning"),
}
"""What tokens of a kind may be in part. Only shares with a rate of their own are told apart."""

COUNTED: tuple[str, ...] = ("web_search", "file_search", "code_execution", "x_search")
"""What is charged by the piece."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``nano`` USD for ``per`` of the unit; ``tiers`` are (more than so many tokens of prompt, rate), ascending.

    A tier holds for the whole request, not for what is above it.
    """

    nano: int
    per: int = MILLION
    tiers: tuple[tuple[int, int], ...] = ()

    def at(self, prompt: int) -> int:
        """The rate for a prompt of so many tokens."""
        nano = self.nano
        for start, rate in self.tiers:
            if prompt > start:
                nano = rate
        return nano


Rates = Mapping[str, Rate]


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs at one time. ``version`` is written on every row charged at it.

    ``rates`` are by unit: the kinds of tokens and of calls above. ``variants`` replace some of them when
    everything in their condition holds of the details (``service_tier``, ``speed``).
    """

    version: str
    rates: Rates
    variants: tuple[tuple[Mapping[str, str], Rates], ...] = ()

    @property
    def unit_in(self) -> int:
        """Nano-USD per token of a short prompt, rounded up, for holds. What goes into the cache may cost more."""
        return self.units(0)[0]

    @property
    def unit_out(self) -> int:
        """Nano-USD per token of an answer to a short prompt, rounded up."""
        return self.units(0)[1]

    def units(self, prompt: int, asked: Mapping[str, Any] | None = None) -> tuple[int, int]:
        """Nano-USD per token of a prompt of so many tokens, and of its answer, rounded up, for holds (K02).

        ``asked`` is the service the request names. A dearer one is held for; a cheaper one may not be had.
        """
        every = (self.rates, self._rates_for(asked)) if asked else (self.rates,)
        dear = max(_at(rates, unit, prompt) for rates in every for unit in ("input", "cache_write"))
        return -(-dear // MILLION), -(-max(_at(rates, "output", prompt) for rates in every) // MILLION)

    def rates_at(self, prompt: int) -> tuple[int, int]:
        """Nano-USD for a million tokens of a prompt of so many tokens, and of its answer."""
        return _at(self.rates, "input", prompt), _at(self.rates, "output", prompt)

    def cost(self, tokens: Tokens, details: Mapping[str, Any]) -> int:
        """Nano-USD for one request. ``details`` are those of ``measures``."""
        return charge_of(self.lines(tokens, details))

    def lines(self, tokens: Tokens, details: Mapping[str, Any]) -> list[Line]:
        """The bill for one request."""
        rates = self._rates_for(details)
        prompt = sum(one or 0 for one in (tokens.input, tokens.cache_read, tokens.cache_write))
        lines: list[Line] = []
        for kind in ("input", "cache_read", "cache_write", "output"):
            whole = getattr(tokens, kind) or 0
            for unit, quantity in _split(kind, whole, tokens, details, rates):
                if quantity and (rate := _rate(unit, rates)) is not None:
                    lines.append([unit, quantity, rate.at(prompt), rate.per])
        for unit in COUNTED:
            count = _whole((details.get("tools") or {}).get(unit))
            if count and (rate := rates.get(unit)) is not None:
                lines.append([unit, count, rate.nano, rate.per])
        if (rate := rates.get("request")) is not None:
            lines.append(["request", 1, rate.nano, rate.per])
        return lines

    def _rates_for(self, details: Mapping[str, Any]) -> Rates:
        rates: dict[str, Rate] | None = None
        for when, instead in self.variants:
            if all(details.get(name) == value for name, value in when.items()):
                rates = {**instead, **(rates or {})}
        return self.rates if not rates else {**self.rates, **rates}


def _at(rates: Rates, unit: str, prompt: int) -> int:
    rate = rates.get(unit)
    return 0 if rate is None else rate.at(prompt)


def charge_of(bill: Iterable[Sequence[Any]]) -> int:
    """What a bill comes to, in nano-USD, half of one rounded up."""
    total = 0
    for _, quantity, rate, per in bill:
        total += quantity * rate * (MILLION // per)
    return (total + MILLION // 2) // MILLION


def _split(kind: str, whole: int, tokens: Tokens, details: Mapping[str, Any], rates: Rates) -> list[tuple[str, int]]:
    """Tokens of a kind, apart by what has a rate of its own; the shares never exceed the whole."""
    parts: list[tuple[str, int]] = []
    left = whole
    for share in _SHARES.get(kind, ()):
        if share not in rates and share != "cache_write_1h":
            continue
        said = (tokens.reasoning or 0) if share == "reasoning" else _whole(details.get(share))
        quantity = min(said, left)
        if quantity:
            parts.append((share, quantity))
            left -= quantity
    return [(kind, left), *parts]


def _rate(unit: str, rates: Rates) -> Rate | None:
    """The unit's rate, or that of what it is nearest to."""
    if unit == "cache_write_1h" and unit not in rates:
        return _hour_long(rates)
    while unit not in rates:
        if unit not in _TOKEN_FALLBACKS:
            return None
        unit = _TOKEN_FALLBACKS[unit]
    return rates[unit]


def _hour_long(rates: Rates) -> Rate | None:
    """Where only five minutes are priced: an hour in the cache costs twice the prompt, as at the one who sells it.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing
    """
    plain = rates.get("input")
    if plain is None:
        return None
    return Rate(2 * plain.nano, plain.per, tuple((start, 2 * nano) for start, nano in plain.tiers))


def _whole(value: Any) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0
