"""Taking fields from a wire object, keeping the rest, and putting the rest back.

What nobody took is the owner's extras. A null is form, not meaning: it reads as absent and is
written back as null. This module must not know what any field means.
"""

from __future__ import annotations

from dragoman.language.failures import Refused
from dragoman.language.ir import Extras, Json

NAME = "anthropic"

Fields = dict[str, Json]

_WORDS: dict[type, str] = {str: "a string", int: "an integer", float: "a number", bool: "a boolean"}
_WORDS |= {list: "a list", dict: "an object"}


def take(fields: Fields, key: str) -> Json:
    """Remove a field and return it; a null stays where it is and reads as absent."""
    value = fields.get(key)
    if value is not None:
        del fields[key]
    return value


def expect(value: Json, kind: type, path: str) -> Json:
    """Return the value when it has the type (an integer is a number too); raise Refused otherwise."""
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise Refused(path, f"must be {_WORDS[kind]}")
    return value


def take_as(fields: Fields, key: str, kind: type, path: str = "") -> Json:
    """Remove and return a field of the type, ``None`` when absent; raises Refused at ``path.key``."""
    value = take(fields, key)
    return None if value is None else expect(value, kind, f"{path}.{key}" if path else key)


def take_words(fields: Fields, key: str, path: str) -> str:
    """Remove and return a required, non-empty string; raises Refused."""
    value = take_as(fields, key, str, path)
    if not value:
        raise Refused(f"{path}.{key}", "is required")
    return str(value)


def owned(fields: Fields, form: Fields | None = None) -> Extras:
    """Extras of this owner, its nulls listed as form. Never empty, so that it also marks the owner."""
    kept = {key: value for key, value in fields.items() if value is not None}
    if len(kept) != len(fields):
        kept["~null"] = [key for key, value in fields.items() if value is None]
    if form:
        kept.update(form)
    return {NAME: kept}


def rest(fields: Fields, form: Fields | None = None) -> Extras:
    """Extras of this owner, empty when nothing is left."""
    return owned(fields, form) if fields or form else {}


def own(extras: Extras) -> Fields:
    """The fields to be written back to this owner."""
    kept = extras.get(NAME)
    if not kept:
        return {}
    written = {key: value for key, value in kept.items() if key[:1] != "~"}
    for key in kept.get("~null", ()):
        written.setdefault(key, None)
    return written


def form(extras: Extras, key: str) -> Json:
    """How this owner spelt something; ``None`` when it did not say."""
    return extras.get(NAME, {}).get(key)


def spell(fields: Fields, extras: Extras) -> Fields:
    """Add the owner's other fields to what is spelt already, which stands."""
    if NAME in extras:
        for key, value in own(extras).items():
            fields.setdefault(key, value)
    return fields
