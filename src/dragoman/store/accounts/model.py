"""Who there is and what each may do: values shared by the store, the entrance, admission and administration.

Rules narrow down a ladder, everybody → group → user → key: a call must pass all four. It must not know SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["admin", "manager", "user"]
Window = Literal["day", "week", "month", "total"]

NANO = 1_000_000_000
"""Nano-units in one USD."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so much per window. One of ``nano_usd`` and ``tokens`` is set; ``model`` empty means all models.

    ``once`` comes on top before the moment ``until``: a window that is raised, without a change of the rule.
    """

    window: Window
    nano_usd: int | None = None
    tokens: int | None = None
    model: str = ""
    once: int = 0
    until: int = 0

    def limit(self, now: int) -> int:
        """The amount at a moment."""
        amount = self.tokens if self.nano_usd is None else self.nano_usd
        return (amount or 0) + (self.once if now < self.until else 0)


@dataclass(frozen=True, slots=True)
class ModelLimit:
    """Calls and tokens per minute, and calls at once, of the models that ``model`` names (as for a budget)."""

    model: str
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a scope allows. None and empty mean: nothing said here.

    ``models`` and ``surfaces`` are allow-lists of names, ``*`` standing for anything (a route's name, an
    alias, or ``provider/model``). ``rpm``, ``tpm`` and ``parallel`` are calls and tokens per minute, and
    calls at once; ``per_model`` bounds some models besides. ``strict`` refuses any loss in translation.
    """

    models: tuple[str, ...] = ()
    surfaces: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    budgets: tuple[Budget, ...] = ()
    strict: bool = False
    per_model: tuple[ModelLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """One step of the ladder: ``name`` is ``global``, ``group:3``, ``user:7`` or ``key:12``."""

    name: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls. ``owner`` keeps one caller's leavings from all others; ids are None for nobody in the store.

    ``name`` is the user's, ``shared`` for the shared token, ``anonymous`` without any. ``scopes`` is the
    whole ladder, widest first.
    """

    name: str
    owner: str
    user_id: int | None = None
    key_id: int | None = None
    group_id: int | None = None
    role: Role = "user"
    default_model: str = ""
    scopes: tuple[Scope, ...] = ()


ANONYMOUS = Caller("anonymous", "anonymous")
SHARED = Caller("shared", "shared")


@dataclass(frozen=True, slots=True)
class Group:
    """People who share rules and a budget."""

    id: int
    name: str
    rules: Rules = field(default_factory=Rules)
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """One user. Times are microseconds since 1970, None where an import could not read one."""

    id: int
    name: str
    email: str | None
    role: Role
    active: bool
    group_id: int | None
    rules: Rules = field(default_factory=Rules)
    opening_balance: int = 0
    origin: str = ""
    created_at: int | None = 0


@dataclass(frozen=True, slots=True)
class Key:
    """One credential of a user, without the credential: that is shown once, when it is made."""

    id: int
    user_id: int
    name: str
    prefix: str
    active: bool
    rules: Rules = field(default_factory=Rules)
    default_model: str | None = None
    expires_at: int | None = None
    last_used_at: int | None = None
    replaced_by: int | None = None
    origin: str = ""
    created_at: int = 0
