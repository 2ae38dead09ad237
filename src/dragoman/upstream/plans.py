"""Who may serve a call: values that resolution makes and routing orders.

It must not know settings, clients or the state of any provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_BYTE = 120.0
"""Seconds a target may be silent while another is left."""

DEADLINE = 180.0
"""Seconds from the start of a call until which another target may be tried."""


@dataclass(frozen=True, slots=True)
class Overriding:
    """What a route says of every call: see ``settings.routes.Overrides``. ``headers`` hold their plain values."""

    effort: str = ""
    max_output: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


NOTHING = Overriding()


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a name goes.

    ``rule`` is one of route, deployment, sim, prefix, anthropic, big, small, default, passthrough,
    fallback_small. ``effort`` is BIG_EFFORT or SMALL_EFFORT when its rule caught the name and it was
    set, else None. ``family`` overrides the provider's own families when a route names a profile.
    ``weight`` is a target's share among its neighbours that have one.
    """

    provider_name: str
    upstream_model: str
    rule: str
    effort: str | None = None
    family: str = ""
    weight: int | None = None
    overriding: Overriding = NOTHING


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may serve a call, in order. ``route`` is empty when no route of the file matched; times are in seconds."""

    candidates: tuple[Resolved, ...]
    route: str = ""
    first_byte: float = FIRST_BYTE
    deadline: float = DEADLINE
    sticky: bool = True
