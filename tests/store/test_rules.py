"""Rules as JSON and as people write them, and that a grant never exceeds its grantor (X05, SR3)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.settings import ConfigError, Settings
from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.house import house_rules
from dragoman.store.accounts.model import NANO, Budget, ModelLimit, Rules
from dragoman.store.accounts.rules import (
    check_rules,
    first_wider,
    matches,
    narrows,
    read_rules,
    read_said_rules,
    write_rules,
)

FULL = Rules(
    models=("sonnet", "openai/*"),
    surfaces=("messages",),
    rpm=60,
    tpm=200_000,
    parallel=4,
    budgets=(Budget("month", nano_usd=400 * NANO), Budget("day", tokens=5, model="opus")),
    strict=True,
    per_model=(ModelLimit("claude-opus-*", rpm=10, parallel=2),),
)

names = st.sampled_from(["sonnet", "haiku", "*", "son*", "openai/*", "openai/gpt-5", "gpt-*", "gpt-5"])
amounts = st.integers(0, 4)
budgets = st.builds(
    lambda window, money, amount, model, raised: Budget(
        window, nano_usd=amount if money else None, tokens=None if money else amount, model=model,
        once=raised[0], until=raised[1],
    ),
    st.sampled_from(["day", "month"]),
    st.booleans(),
    amounts,
    st.sampled_from(["", "sonnet"]),
    st.just((0, 0)) | st.tuples(st.integers(1, 2), st.sampled_from([10, 20])),
)  # fmt: skip
model_limits = st.builds(
    lambda model, name, most: ModelLimit(model, **{name: most}),
    st.sampled_from(["sonnet", "gpt-*"]),
    st.sampled_from(["rpm", "tpm", "parallel"]),
    st.integers(1, 3),
)
rules = st.builds(
    Rules,
    models=st.lists(names, max_size=3, unique=True).map(tuple),
    surfaces=st.lists(st.sampled_from(["messages", "chat", "*"]), max_size=2, unique=True).map(tuple),
    rpm=st.none() | st.integers(1, 3),
    tpm=st.none() | st.integers(1, 3),
    parallel=st.none() | st.integers(1, 3),
    budgets=st.lists(budgets, max_size=2, unique_by=lambda one: (one.window, one.model, one.tokens is None)).map(tuple),
    strict=st.booleans(),
    per_model=st.lists(model_limits, max_size=2, unique_by=lambda one: one.model).map(tuple),
)


@given(rules)
def test_rules_survive_their_json(some: Rules) -> None:
    assert read_rules(write_rules(some)) == some


def test_what_says_nothing_is_left_out() -> None:
    assert write_rules(Rules()) == {}
    assert write_rules(FULL)["budgets"] == [
        {"window": "month", "nano_usd": 400 * NANO},
        {"window": "day", "tokens": 5, "model": "opus"},
    ]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "rules"),
        ({"model": ["a"]}, "rules.model"),
        ({"models": "sonnet"}, "rules.models"),
        ({"models": [1]}, "rules.models"),
        ({"models": [""]}, "rules.models"),
        ({"models": ["a\x00b"]}, "rules.models"),
        ({"surfaces": [None]}, "rules.surfaces"),
        ({"rpm": 0}, "rules.rpm"),
        ({"rpm": True}, "rules.rpm"),
        ({"rpm": 1.5}, "rules.rpm"),
        ({"tpm": "60"}, "rules.tpm"),
        ({"parallel": 2**60}, "rules.parallel"),
        ({"strict": 1}, "rules.strict"),
        ({"budgets": {}}, "rules.budgets"),
        ({"budgets": [{"window": "month"}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "month", "nano_usd": 1, "tokens": 1}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "year", "tokens": 1}]}, "rules.budgets.0.window"),
        ({"budgets": [{"window": "day", "tokens": -1}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "day", "tokens": True}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "day", "nano_usd": 0.5}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "day", "tokens": 1, "usd": 1}]}, "rules.budgets.0"),
        ({"budgets": [{"window": "day", "tokens": 1}, {"window": "day", "tokens": 2}]}, "rules.budgets.1"),
        ({"budgets": [{"window": "day", "tokens": 1, "once": 1}]}, "rules.budgets.0.until"),
        ({"budgets": [{"window": "day", "tokens": 1, "until": "2026-12-01"}]}, "rules.budgets.0.until"),
        ({"budgets": [{"window": "day", "tokens": 1, "once": 1, "until": "soon"}]}, "rules.budgets.0.until"),
        ({"budgets": [{"window": "day", "tokens": 1, "once": -1, "until": "2026-12-01"}]}, "rules.budgets.0.once"),
        ({"per_model": {}}, "rules.per_model"),
        ({"per_model": [{"model": "opus"}]}, "rules.per_model.0"),
        ({"per_model": [{"rpm": 1}]}, "rules.per_model.0.model"),
        ({"per_model": [{"model": 7, "rpm": 1}]}, "rules.per_model.0.model"),
        ({"per_model": [{"model": "opus", "rpm": 0}]}, "rules.per_model.0.rpm"),
        ({"per_model": [{"model": "opus", "budget": 1}]}, "rules.per_model.0"),
        ({"per_model": [{"model": "a", "rpm": 1}, {"model": "A", "tpm": 1}]}, "rules.per_model.1"),
    ],
)
def test_X05_anything_else_is_refused_by_name(data: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_rules(data)
    assert caught.value.field == field


def test_X05_values_are_checked_as_their_json_is() -> None:
    for wrong in (Rules(rpm=0), Rules(models=("",)), Rules(budgets=(Budget("day"),))):
        with pytest.raises(Invalid):
            check_rules(wrong)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"routes": ["*"], "rpm": 120, "tpm": "400k", "parallel": 20}, Rules(("*",), (), 120, 400_000, 20)),
        ({"models": "sonnet, haiku"}, Rules(("sonnet", "haiku"))),
        ({"rpm": "60", "strict": "true"}, Rules(rpm=60, strict=True)),
        ({"budget": "400 USD/month"}, Rules(budgets=(Budget("month", 400 * NANO),))),
        ({"budget": "12.50 usd/day"}, Rules(budgets=(Budget("day", 12_500_000_000),))),
        ({"budget": "2M tokens per week for opus"}, Rules(budgets=(Budget("week", tokens=2_000_000, model="opus"),))),
        (
            {"budget": ["1 USD/day", "20 USD/total"]},
            Rules(budgets=(Budget("day", NANO), Budget("total", 20 * NANO))),
        ),
        ({"budgets": [{"window": "day", "tokens": 7}]}, Rules(budgets=(Budget("day", tokens=7),))),
        (
            {"budgets": [{"window": "day", "tokens": 7, "once": 2, "until": date(1970, 1, 2)}]},
            Rules(budgets=(Budget("day", tokens=7, once=2, until=86_400_000_000),)),
        ),
        (
            {"per_model": {"claude-opus-*": {"rpm": 10, "tpm": "100k"}, "gpt-5": {"parallel": "2"}}},
            Rules(per_model=(ModelLimit("claude-opus-*", 10, 100_000), ModelLimit("gpt-5", parallel=2))),
        ),
    ],
)
def test_people_write_rules_in_words(said: dict[str, Any], meant: Rules) -> None:
    assert read_said_rules(said) == meant


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"budget": "much"}, "groups.core.budget"),
        ({"budget": "1 EUR/month"}, "groups.core.budget"),
        ({"budget": "1 USD/decade"}, "groups.core.budgets.0.window"),
        ({"budget": "0.0000000001 USD/day"}, "groups.core.budget"),
        ({"rpm": "lots"}, "groups.core.rpm"),
        ({"rpm": "1.5"}, "groups.core.rpm"),
        ({"rmp": 6}, "groups.core.rmp"),
        ({"routes": 7}, "groups.core.models"),
        ({"per_model": {"opus": 7}}, "groups.core.per_model"),
        ({"per_model": {"opus": {"rpm": "lots"}}}, "groups.core.per_model.opus.rpm"),
    ],
)
def test_wrong_words_name_their_key(said: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        house_rules(Settings.model_validate({"groups": {"core": said}}))
    assert caught.value.where == key


def test_the_configuration_has_rules_for_everybody_and_for_groups() -> None:
    said = {"limits": {"default": {"rpm": 60, "budget": "50 USD/month"}}, "groups": {"lab": {"routes": ["haiku"]}}}
    house = house_rules(Settings.model_validate(said))
    assert house.everybody == Rules(rpm=60, budgets=(Budget("month", 50 * NANO),))
    assert house.groups == {"lab": Rules(models=("haiku",))}
    assert house_rules(Settings()).everybody is None


# ---------------------------------------------------------------- within


@pytest.mark.parametrize(
    ("child", "parent", "wider"),
    [
        (Rules(), Rules(), ""),
        (FULL, Rules(), ""),
        (FULL, FULL, ""),
        (Rules(), FULL, "models"),
        (Rules(models=("sonnet",)), Rules(models=("*",)), ""),
        (Rules(models=("*",)), Rules(models=("sonnet",)), "models"),
        (Rules(models=("son*",)), Rules(models=("s*",)), ""),
        (Rules(models=("s*",)), Rules(models=("son*",)), "models"),
        (Rules(models=("a*b",)), Rules(models=("a?b",)), "models"),
        (Rules(models=("SONNET",)), Rules(models=("sonnet",)), ""),
        (Rules(models=("sonnet", "opus")), Rules(models=("sonnet",)), "models"),
        (Rules(surfaces=("chat",)), Rules(surfaces=("messages",)), "surfaces"),
        (Rules(rpm=61), Rules(rpm=60), "rpm"),
        (Rules(), Rules(tpm=60), "tpm"),
        (Rules(parallel=1), Rules(parallel=1), ""),
        (Rules(), Rules(strict=True), "strict"),
        (Rules(budgets=(Budget("day", 2),)), Rules(budgets=(Budget("day", 1),)), "budgets"),
        (Rules(budgets=(Budget("month", 1),)), Rules(budgets=(Budget("day", 1),)), "budgets"),
        (Rules(budgets=(Budget("day", tokens=1),)), Rules(budgets=(Budget("day", 1),)), "budgets"),
        (Rules(budgets=(Budget("day", 1, model="a"),)), Rules(budgets=(Budget("day", 1),)), "budgets"),
        (Rules(budgets=(Budget("day", 1),)), Rules(budgets=(Budget("day", 1, model="a"),)), ""),
        (Rules(budgets=(Budget("day", 1, once=1, until=9),)), Rules(budgets=(Budget("day", 1),)), "budgets"),
        (Rules(budgets=(Budget("day", 1, once=1, until=9),)), Rules(budgets=(Budget("day", 2),)), ""),
        (Rules(budgets=(Budget("day", 2),)), Rules(budgets=(Budget("day", 1, once=1, until=9),)), "budgets"),
        (Rules(), Rules(per_model=(ModelLimit("a", rpm=2),)), "per_model"),
        (Rules(rpm=2), Rules(per_model=(ModelLimit("a", rpm=2),)), ""),
        (Rules(per_model=(ModelLimit("A", rpm=2),)), Rules(per_model=(ModelLimit("a", rpm=2),)), ""),
        (Rules(per_model=(ModelLimit("a", rpm=3),)), Rules(per_model=(ModelLimit("a", rpm=2),)), "per_model"),
        (Rules(per_model=(ModelLimit("a", rpm=2),)), Rules(rpm=2), "rpm"),
    ],
)
def test_X05_where_a_grant_is_wider_than_its_grantor(child: Rules, parent: Rules, wider: str) -> None:
    assert first_wider(child, parent) == wider
    assert narrows(child, parent) is (wider == "")


CALLS = [
    (name, surface) for name in ("sonnet", "haiku", "gpt-5", "openai/gpt-5", "x") for surface in ("messages", "chat")
]


def lets_pass(some: Rules, name: str, surface: str, rate: int, spent: tuple[str, int, int, str], now: int) -> bool:
    """A call under rules, as plainly as it can be told; ``spent`` is a window, money, tokens and a model."""
    window, money, tokens, model = spent
    for budget in some.budgets:
        if budget.window == window and budget.model in ("", model):
            bound, used = (budget.nano_usd, money) if budget.tokens is None else (budget.tokens, tokens)
            if bound is not None and used > bound + (budget.once if now < budget.until else 0):
                return False
    limits: list[Rules | ModelLimit] = [some, *(limit for limit in some.per_model if limit.model == model)]
    numbers = all(bound is None or rate <= bound for one in limits for bound in (one.rpm, one.tpm, one.parallel))
    named = not some.models or any(matches(rule, name) for rule in some.models)
    allowed = not some.surfaces or any(matches(rule, surface) for rule in some.surfaces)
    return numbers and named and allowed


@settings(max_examples=400, deadline=None)
@given(st.lists(rules, min_size=2, max_size=4), st.integers(0, 5), st.integers(0, 5))
def test_X05_no_chain_of_grants_ever_widens(chain: list[Rules], rate: int, used: int) -> None:
    """Where each grant stays within the one before, the last lets nothing pass that the first does not."""
    kept = [chain[0]]
    for some in chain[1:]:
        if narrows(some, kept[-1]):
            kept.append(some)
    first, last = kept[0], kept[-1]
    assert narrows(last, first)
    for name, surface in CALLS:
        for spent, now in ((("day", used, 0, "sonnet"), 9), (("month", 0, used, "x"), 9), (("day", used, 0, "x"), 19)):
            if lets_pass(last, name, surface, rate, spent, now):
                assert lets_pass(first, name, surface, rate, spent, now)


@given(rules, rules, rules)
def test_X05_within_is_an_order(one: Rules, two: Rules, three: Rules) -> None:
    assert narrows(one, one)
    assert narrows(one, Rules())
    if narrows(one, two) and narrows(two, three):
        assert narrows(one, three)
