"""What the configuration says for everybody and for groups, as rules.

It must not know people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.settings.errors import ConfigError
from dragoman.settings.model import Settings
from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.model import Rules
from dragoman.store.accounts.rules import read_said_rules


@dataclass(frozen=True, slots=True)
class HouseRules:
    """``everybody`` is None where the configuration says nothing, so that the database may; ``groups`` go by name."""

    everybody: Rules | None = None
    groups: Mapping[str, Rules] = field(default_factory=dict)


def house_rules(settings: Settings) -> HouseRules:
    """``limits.default`` and ``groups`` of the configuration. Raises ConfigError naming the key."""
    said = settings.limits.default
    return HouseRules(
        _read("limits.default", said) if said else None,
        {name: _read(f"groups.{name}", group) for name, group in settings.groups.items()},
    )


def _read(key: str, said: object) -> Rules:
    if not isinstance(said, Mapping):
        raise ConfigError(f"{key} must be a mapping", key)
    try:
        return read_said_rules(said)
    except Invalid as error:
        place = error.field.removeprefix("rules.")
        raise ConfigError(f"{error}", f"{key}.{place}") from None
