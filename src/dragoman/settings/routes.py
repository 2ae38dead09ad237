"""Routes: public model names and the ordered targets that may serve each.

::

    routes:
      sonnet:
        aliases: [claude-sonnet-5, "claude-sonnet-4*"]
        targets:
          - {provider: azure-prod, model: prod-gpt5, profile: gpt-5}
          - {provider: openai, model: gpt-5.2, effort: medium}
        when: {background: haiku, compaction: openai/gpt-5-nano}
        first_byte: 60s

It must not know how a target is chosen or reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from dragoman.settings.parts import Part, Secret, check_headers
from dragoman.settings.scalars import Duration, Flag, Whole

RequestClass = Literal["background", "subagent", "compaction"]
"""What an agent's call is for, when its client says so: a side job, a sub-agent's turn, a summary of the history."""

MaybeClass = RequestClass | Literal[""]
"""A class, or nothing where nobody said."""

Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Overrides(Part):
    """What a route or a target says of every call it serves.

    ``effort`` replaces the client's reasoning effort, ``max_output`` caps the answer in tokens,
    ``headers`` are added to the provider's.
    """

    effort: Effort = ""
    max_output: Whole | None = Field(default=None, ge=1)
    headers: dict[str, Secret] = {}

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        return check_headers(value)


class TargetSettings(Overrides):
    """One provider and its name of the model.

    ``profile`` names the model family when the name does not tell it. Neighbouring targets that all
    have a ``weight`` share the conversations by it; the others are tried in order.
    """

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    profile: str = ""
    weight: Whole | None = Field(default=None, ge=0, le=1_000_000)


class RouteSettings(Overrides):
    """One public name.

    ``aliases`` are further names; ``*`` in one stands for anything. ``when`` sends calls of a class
    elsewhere: to another route, or to ``provider/model``. ``first_byte`` bounds, in seconds, how long
    a target may be silent while another is left, ``deadline`` until when another may be tried.
    ``sticky`` keeps a conversation on the target and key that served it last. ``display_name`` and
    ``description`` are what clients show; a route that is not ``listed`` works and is shown to nobody.
    """

    targets: list[TargetSettings] = Field(min_length=1)
    aliases: list[str] = []
    when: dict[RequestClass, str] = {}
    first_byte: Duration = 120.0
    deadline: Duration = 180.0
    sticky: Flag = True
    display_name: str = ""
    description: str = ""
    listed: Flag = True

    @model_validator(mode="after")
    def _weights(self) -> RouteSettings:
        if any(target.weight for target in self.targets):
            return self
        if any(target.weight == 0 for target in self.targets):
            raise ValueError("targets need one weight above 0")
        return self


def problems(routes: Mapping[str, RouteSettings], providers: Collection[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What only routes and providers together can tell: the place of each problem, and a sentence."""
    taken: dict[str, str] = {}
    for name, route in routes.items():
        for at, target in enumerate(route.targets):
            if target.provider not in providers:
                known = ", ".join(providers)
                yield ("routes", name, "targets", str(at), "provider"), f"{target.provider!r} is not one of {known}"
        for word, elsewhere in route.when.items():
            if elsewhere == name or not (elsewhere in routes or elsewhere.partition("/")[0] in providers):
                yield ("routes", name, "when", word), f"{elsewhere!r} is neither another route nor provider/model"
        for alias in (name, *route.aliases):
            other = taken.setdefault(alias.lower(), name)
            if other != name:
                yield ("routes", name, "aliases"), f"{alias!r} is a name of the route {other}, too"
