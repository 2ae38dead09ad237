"""Taking fields from a wire object and keeping the rest, and what both halves share of Chat's spelling.

What nobody took is the owner's extras. A null reads as absent and is written back as null. This
module must not know what any field means.
"""

from __future__ import annotations

import hashlib
from typing import Any

from dragoman.language.failures import Refused
from dragoman.language.ir import Extras, Json
from dragoman.language.issuers import ISSUER

NAME = "openai_chat"

Fields = dict[str, Json]

ERROR_MARK = "[ERROR] "
"""Head of the text of a tool result that failed (R26): Chat has no field for it."""

_WORDS: dict[type, str] = {str: "a string", int: "an integer", float: "a number", bool: "a boolean"}
_WORDS |= {list: "a list", dict: "an object"}


def expect(value: Json, kind: type, path: str) -> Any:
    """Return the value when it has the type (an integer is a number too); raise Refused otherwise."""
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise Refused(path, f"must be {_WORDS[kind]}")
    return value


def take(fields: Fields, key: str, kind: type, path: str = "") -> Any:
    """Remove a field and return it; ``None`` when it is absent, or null, which stays where it is."""
    value = fields.get(key)
    if value is None:
        return None
    del fields[key]
    return expect(value, kind, f"{path}.{key}" if path else key)


def packed(fields: Fields) -> Extras:
    """Extras of this owner; empty when there is nothing to keep."""
    return {NAME: fields} if fields else {}


def own(extras: Extras) -> Fields:
    """Everything kept for this owner, form included."""
    return extras.get(NAME, {})


def plain(extras: Extras) -> Fields:
    """The fields kept for this owner, without form."""
    return {key: value for key, value in own(extras).items() if key[:1] != "~"}


def strangers(extras: Extras) -> Extras:
    """What other owners keep here and would want back: everything but this owner's, form left out."""
    kept = {}
    for owner, fields in extras.items():
        if owner != NAME and (meant := {key: value for key, value in fields.items() if key[:1] != "~"}):
            kept[owner] = meant
    if kept and ISSUER in extras:
        kept[ISSUER] = extras[ISSUER]
    return kept


def said(value: Json) -> str:
    """The value when it is a string, else nothing: vendors send null, objects and numbers for words."""
    return value if isinstance(value, str) else ""


def made_id(*facts: object) -> str:
    """A call id for a wire that gave none: the same for the same facts, unlike for others (R04, S07)."""
    text = "\x00".join(str(fact) for fact in facts)
    return "call_" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
