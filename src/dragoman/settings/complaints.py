"""What is wrong with a configuration, in sentences a person can act on.

Names of keys are found in the models themselves, so a new branch needs nothing here. It must not know
where values come from.
"""

from __future__ import annotations

import difflib
import types
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from dragoman.settings.model import AuthSettings, ModelSettings, ProviderSettings, Settings
from dragoman.settings.yamlfile import Key

INNER: dict[type[BaseModel], frozenset[str]] = {
    Settings: frozenset({"preset", "preset_reason", "config_path", "notes"}),
    ProviderSettings: frozenset({"origin", "from_file", "stand_in", "missing"}),
    AuthSettings: frozenset({"because"}),
    ModelSettings: frozenset({"unmapped_said"}),
}
"""Fields that the loader fills and nobody may set."""

_ALIASES: dict[type[BaseModel], tuple[str, ...]] = {ProviderSettings: ("endpoint",)}


def unknown_key(key: Key) -> str:
    """The sentence for a key that means nothing, with the nearest one that does."""
    names = known_names(key[:-1])
    near = difflib.get_close_matches(key[-1], names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(names))}" if names else ""
    return f"unknown key {'.'.join(key)}{hint}"


def known_names(key: Key) -> list[str]:
    """The keys that may stand below ``key``; empty where anything may."""
    model = _model_at(key)
    return [] if model is None else [*settable_fields(model), *_ALIASES.get(model, ())]


def settable_fields(model: type[BaseModel]) -> list[str]:
    """The fields of a branch that may be set."""
    hidden = INNER.get(model, frozenset())
    return [name for name in model.model_fields if name not in hidden]


def _model_at(key: Key) -> type[BaseModel] | None:
    found: Any = Settings
    for piece in key:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(piece)
            found = _inner(field.annotation) if field is not None else None
        else:
            found = _inner(get_args(found)[-1]) if get_args(found) else None
        if found is None:
            return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _inner(annotation: Any) -> Any:
    """The annotation without None."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [piece for piece in get_args(annotation) if piece is not type(None)]
        return rest[0] if len(rest) == 1 else None
    return annotation
