"""Rules and budgets as the API writes them: models, surfaces, limits and money, for groups, users and keys alike.

It must not know who they bind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, model_validator

from dragoman.store.accounts.model import Budget, ModelLimit, Rules, Window
from dragoman.store.accounts.rules import LARGEST
from dragoman.web.api.errors import ApiError
from dragoman.web.api.grants import Exceeds, bounded
from dragoman.web.api.words import Body, Moment, Pattern, write_moment

Count = Annotated[int, Field(ge=1, le=LARGEST)]
Amount = Annotated[int, Field(ge=0, le=LARGEST)]
Until = Annotated[Moment | None, PlainSerializer(lambda value: write_moment(value or None), return_type=str | None)]


class BudgetBody(Body):
    """At most so much per window: ``nano_usd`` (10⁻⁹ USD) or ``tokens``. No ``model``: all models together.

    ``once`` is added before the moment ``until``, and only then: to raise the window that runs.
    """

    window: Window
    nano_usd: Amount | None = None
    tokens: Amount | None = None
    model: Annotated[str, Field(max_length=512)] = ""
    once: Amount = 0
    until: Until = None

    @model_validator(mode="after")
    def _one(self) -> BudgetBody:
        if (self.nano_usd is None) == (self.tokens is None):
            raise ValueError("give nano_usd or tokens, one of them")
        if bool(self.once) != bool(self.until):
            raise ValueError("once and until go together")
        return self

    def budget(self) -> Budget:
        """The value."""
        return Budget(self.window, self.nano_usd, self.tokens, self.model, self.once, self.until or 0)


class ModelLimitBody(Body):
    """Limits of the models that ``model`` names: the provider's names, ``*`` for anything, snapshots included."""

    model: Pattern
    rpm: Count | None = None
    tpm: Count | None = None
    parallel: Count | None = None

    @model_validator(mode="after")
    def _some(self) -> ModelLimitBody:
        if self.rpm is None and self.tpm is None and self.parallel is None:
            raise ValueError("give rpm, tpm or parallel")
        return self

    def limit(self) -> ModelLimit:
        """The value."""
        return ModelLimit(self.model, self.rpm, self.tpm, self.parallel)


class RulesBody(Body):
    """What is allowed. Empty lists and null say nothing; a call must pass the rules of everybody, group, user and key.

    ``models`` and ``surfaces`` are allow-lists, ``*`` stands for anything. ``rpm`` and ``tpm`` are calls
    and tokens per minute, ``parallel`` calls at once; ``per_model`` says so of some models besides. ``strict``
    refuses any loss in translation.
    """

    models: list[Pattern] = Field(default=[], max_length=500)
    surfaces: list[Pattern] = Field(default=[], max_length=100)
    rpm: Count | None = None
    tpm: Count | None = None
    parallel: Count | None = None
    budgets: list[BudgetBody] = Field(default=[], max_length=50)
    strict: bool = False
    per_model: list[ModelLimitBody] = Field(default=[], max_length=50)

    @model_validator(mode="after")
    def _each_model_once(self) -> RulesBody:
        named = [limit.model.lower() for limit in self.per_model]
        if len(set(named)) < len(named):
            raise ValueError("per_model names a model twice")
        return self

    def rules(self) -> Rules:
        """The value."""
        return Rules(
            models=tuple(self.models),
            surfaces=tuple(self.surfaces),
            rpm=self.rpm,
            tpm=self.tpm,
            parallel=self.parallel,
            budgets=tuple(budget.budget() for budget in self.budgets),
            strict=self.strict,
            per_model=tuple(limit.limit() for limit in self.per_model),
        )


def shown_rules(rules: Rules) -> RulesBody:
    """Rules as clients see them."""
    data: dict[str, Any] = asdict(rules)
    data |= {"models": list(rules.models), "surfaces": list(rules.surfaces), "budgets": list(data["budgets"])}
    data["budgets"] = [BudgetBody.model_construct(**budget) for budget in data["budgets"]]
    data["per_model"] = [ModelLimitBody.model_construct(**limit) for limit in data["per_model"]]
    return RulesBody.model_construct(**data)


def granted(asked: RulesBody | None, bounds: Sequence[Rules]) -> Rules:
    """The rules that are given, within what binds the giver. Raises ApiError 403."""
    try:
        return bounded(asked.rules() if asked is not None else Rules(), bounds)
    except Exceeds as error:
        problem = {"field": f"rules.{error.field}", "problem": str(error)}
        raise ApiError(403, "grant_exceeds_granter", f"rules.{error.field}: {error}", [problem]) from None
