"""What a target accepts, as data: one row per model family and per vendor, defaults per dialect.

A profile belongs to a target (provider dialect + model name), never to a client. This room must not
know any wire's bytes nor any provider's address: rows are facts, fitting and writers act on them.

``find_profile`` lays three layers over each other: the dialect's default, the first family row whose
name test matches (or that was named by configuration, since a deployment's name need not reveal its
model), and the vendor's row. Later layers win. To add a quirk: one row, or one fact in a row.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from dragoman.language.profiles.facts import EFFORTS, Profile, ReasoningControl, ThinkingSwitch
from dragoman.language.profiles.families import DEFAULTS, FAMILIES, Row
from dragoman.language.profiles.vendors import OPENAI_VENDORS, VENDORS, Vendor, named_vendor

_OPENAI_SURFACES = frozenset({"openai_chat", "openai_responses"})
_PLAIN_SURFACE: dict[str, Any] = {
    "custom_tools": False,
    "namespaces": False,
    "cache_key": False,
    "cache_breakpoints": False,
    "refuses_thoughts": False,
}
"""What only OpenAI's own surfaces are known to take."""


@lru_cache(maxsize=4096)
def find_profile(dialect: str, model: str, family: str | None = None, vendor: str = "") -> Profile:
    """The profile of a target.

    ``family`` is a family's name, or a well-known model name to be taken for, and overrules the name
    test. ``vendor`` is a word for who runs the model (``deepseek``, ``azure``, ...) or empty. An
    unknown dialect raises KeyError; an unknown model gets the family ``other``.
    """
    profile = DEFAULTS[dialect]
    row = _find_row(FAMILIES.get(dialect, ()), model.lower(), (family or "").lower())
    if row is not None:
        profile = replace(profile, family=row.family, **row.facts)
    vendor = named_vendor(vendor)
    if dialect in _OPENAI_SURFACES and vendor not in OPENAI_VENDORS:
        profile = replace(profile, **_PLAIN_SURFACE, choices=profile.choices - {"subset"})
    said = VENDORS.get(dialect, {}).get(vendor)
    return profile if said is None else _of_vendor(profile, said)


def _of_vendor(profile: Profile, vendor: Vendor) -> Profile:
    profile = replace(profile, **vendor.facts)
    for name, facts in vendor.families.items():
        if profile.family.startswith(name):
            profile = replace(profile, **facts)
            break
    return replace(profile, **{name: _narrowed(getattr(profile, name), most) for name, most in vendor.at_most.items()})


def _narrowed(value: Any, most: Any) -> Any:
    """What is left of ``value`` within the bound: a set's share, per kind in a mapping, the lower number."""
    if isinstance(value, dict):
        shares = {key: taken & most[key] for key, taken in value.items() if key in most}
        return {key: taken for key, taken in shares.items() if taken}
    if isinstance(value, frozenset):
        return value & most
    return most if value is None else min(value, most)


def _find_row(rows: tuple[Row, ...], model: str, family: str) -> Row | None:
    for row in rows:
        if family and row.family == family:
            return row
    if family == "other":
        return None
    return next((row for row in rows if row.test.search(family or model)), None)


__all__ = ["EFFORTS", "Profile", "ReasoningControl", "ThinkingSwitch", "find_profile"]
