"""What all halves of the Responses dialect share: its name, its extras, its marks.

Every node read from a Responses wire carries extras under NAME, an empty ``~item`` included, so that
its writer can tell its own nodes from foreign ones. This module must not know any item.

Wire: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Any

from dragoman.language.failures import Refused
from dragoman.language.ir import Extras, Json

NAME = "openai_responses"

MADE = "dgm"
"""Follows the prefix of every id this dialect makes, so that it is known again when a client echoes it."""

ERROR_MARK = "[ERROR] "
"""Head of a failed tool's output: the wire has no field for it (R26)."""

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"

Object = dict[str, Json]


def own(extras: Extras) -> Object:
    """The fields this dialect keeps on a node, form included; empty for a foreign node."""
    return extras.get(NAME, {})


def is_own(extras: Extras) -> bool:
    """Whether the node was read from a Responses wire."""
    return NAME in extras


def plain(extras: Extras) -> Object:
    """The fields to write back as they are."""
    return {name: value for name, value in extras.get(NAME, {}).items() if name[0] != "~" and name != "item"}


def packed(fields: Object) -> Extras:
    """Extras holding the fields, none for none."""
    return {NAME: fields} if fields else {}


def split_nulls(wire: Object) -> tuple[Object, Object]:
    """A shallow copy without its null fields, and the form that remembers which they were."""
    nulls = [name for name, value in wire.items() if value is None]
    if not nulls:
        return dict(wire), {}
    return {name: value for name, value in wire.items() if value is not None}, {"~nulls": nulls}


def nulls(fields: Object) -> Object:
    """The null fields that were remembered."""
    return dict.fromkeys(fields.get("~nulls", ()))


def taken(fields: Object, *names: str) -> Object:
    """Pop the named fields that are present."""
    return {name: fields.pop(name) for name in names if name in fields}


def made_id(prefix: str, seed: str, index: int) -> str:
    """An id for an item that came without one."""
    return f"{prefix}_{MADE}{seed}{index:02d}"


def is_made(identifier: object) -> bool:
    """Whether ``made_id`` made it."""
    return isinstance(identifier, str) and identifier.partition("_")[2].startswith(MADE)


def expect(value: Json, kind: type | tuple[type, ...], path: str, what: str) -> Any:
    """The value, refused unless it is of the kind."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, (int, float))):
        raise Refused(path, f"must be {what}")
    return value
