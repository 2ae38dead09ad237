"""Rules as they are kept and as people write them, and whether one set stays within another.

Kept: ``{"models": [...], "rpm": 60, "budgets": [{"window": "month", "nano_usd": 400000000000}], ...}``.
Written by people: ``{routes: ["*"], rpm: 60, tpm: 400k, budget: 400 USD/month}``. It must not know who
is bound by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from fnmatch import translate
from functools import lru_cache
from typing import Any, get_args

from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.model import NANO, Budget, ModelLimit, Rules, Window
from dragoman.store.moments import moment_of, time_of

LARGEST = 2**53
"""Above it a number would not survive every JSON reader."""

_NUMBERS = ("rpm", "tpm", "parallel")
_LISTS = ("models", "surfaces")
_SAID = ("budget", "per_model", *_LISTS, "strict")
_WINDOWS: tuple[str, ...] = get_args(Window)
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)", re.IGNORECASE | re.ASCII)
_BUDGET = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<scale>[kmg]?)\s*(?P<unit>usd|tokens?)\s*(?:/|per\s)\s*(?P<window>[a-z]+)"
    r"(?:\s+for\s+(?P<model>\S+))?",
    re.IGNORECASE | re.ASCII,
)
_ALL_TIME = {"all": "total", "ever": "total"}
_BUDGET_WORDS = {"window", "nano_usd", "tokens", "model", "once", "until"}


# ---------------------------------------------------------------- as they are kept


def write_rules(rules: Rules) -> dict[str, Any]:
    """The rules as JSON; what says nothing is left out."""
    data: dict[str, Any] = {name: list(value) for name in _LISTS if (value := getattr(rules, name))}
    data |= {name: value for name in _NUMBERS if (value := getattr(rules, name)) is not None}
    if rules.budgets:
        data["budgets"] = [_write_budget(budget) for budget in rules.budgets]
    if rules.strict:
        data["strict"] = True
    if rules.per_model:
        data["per_model"] = [_write_limit(limit) for limit in rules.per_model]
    return data


def read_rules(data: Any) -> Rules:
    """The rules of such JSON. Raises Invalid for anything that is not exactly it."""
    if not isinstance(data, Mapping):
        raise Invalid("rules", "must be an object")
    unknown = sorted(str(name) for name in data.keys() - {*_LISTS, *_NUMBERS, "budgets", "strict", "per_model"})
    if unknown:
        raise Invalid(f"rules.{unknown[0]}", "is not a rule")
    strict = data.get("strict", False)
    if not isinstance(strict, bool):
        raise Invalid("rules.strict", "must be true or false")
    rules = Rules(
        models=_names("models", data.get("models", ())),
        surfaces=_names("surfaces", data.get("surfaces", ())),
        rpm=_number("rpm", data.get("rpm")),
        tpm=_number("tpm", data.get("tpm")),
        parallel=_number("parallel", data.get("parallel")),
        budgets=tuple(_read_budget(at, budget) for at, budget in enumerate(_list("budgets", data))),
        strict=strict,
        per_model=tuple(_read_limit(at, limit) for at, limit in enumerate(_list("per_model", data))),
    )
    return check_rules(rules)


NOTHING = Rules(models=("",), surfaces=("",))
"""Fits no name: rules that cannot be read let nobody through."""


def readable_rules(data: Any) -> Rules:
    """As ``read_rules``, but NOTHING for rules that a later release wrote and this one cannot read."""
    try:
        return read_rules(data)
    except Invalid:
        return NOTHING


def kept_rules(rules: Rules) -> dict[str, Any]:
    """The column to write: none for rules that could not be read, which stay as they are. Raises Invalid."""
    return {} if rules == NOTHING else {"rules": write_rules(check_rules(rules))}


def _list(name: str, data: Mapping[str, Any]) -> Sequence[Any]:
    value = data.get(name, ())
    if not isinstance(value, list | tuple):
        raise Invalid(f"rules.{name}", "must be a list")
    return value


def check_rules(rules: Rules) -> Rules:
    """The same rules. Raises Invalid where one could not be kept or two budgets speak of the same."""
    if rules == NOTHING:
        raise Invalid("rules", "could not be read: say them anew")
    for name in _NUMBERS:
        _number(name, getattr(rules, name))
    for name in _LISTS:
        _names(name, getattr(rules, name))
    seen = set()
    for at, budget in enumerate(rules.budgets):
        _check_budget(f"rules.budgets.{at}", budget)
        subject = _subject(budget)
        if subject in seen:
            raise Invalid(f"rules.budgets.{at}", "speaks of the same window, model and unit as another")
        seen.add(subject)
    named = [limit.model.lower() for limit in rules.per_model]
    for at, limit in enumerate(rules.per_model):
        _check_limit(f"per_model.{at}", limit)
        if limit.model.lower() in named[:at]:
            raise Invalid(f"rules.per_model.{at}", "speaks of the same model as another")
    return rules


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise Invalid(f"rules.{name}", "must be a list of names")
    for one in value:
        if not one.strip() or len(one) > 512 or not one.isprintable():
            raise Invalid(f"rules.{name}", "holds a name that is empty, too long or not printable")
    return tuple(dict.fromkeys(value))


def _number(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise Invalid(f"rules.{name}", "must be a whole number above 0")
    return value


def _read_budget(at: int, data: Any) -> Budget:
    place = f"rules.budgets.{at}"
    if not isinstance(data, Mapping) or data.keys() - _BUDGET_WORDS:
        raise Invalid(place, "must be an object of window, nano_usd or tokens, model, once and until")
    window, model = data.get("window"), data.get("model", "")
    if not isinstance(window, str) or not isinstance(model, str):
        raise Invalid(place, "needs a window, and a model must be a name")
    once, until = data.get("once", 0), data.get("until")
    budget = Budget(
        window,  # type: ignore[arg-type]
        data.get("nano_usd"),
        data.get("tokens"),
        model,
        once,
        0 if until is None else _read_moment(f"{place}.until", until),
    )
    return _check_budget(place, budget)


def _read_moment(place: str, value: Any) -> int:
    """Microseconds since 1970 of a day or a time; without a zone it is UTC."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    text = value.isoformat() if isinstance(value, date) else value
    try:
        return max(0, moment_of(datetime.fromisoformat(text)))
    except (TypeError, ValueError):
        raise Invalid(place, "must be a time like 2026-12-01T00:00:00Z") from None


def _read_limit(at: int, data: Any) -> ModelLimit:
    place = f"rules.per_model.{at}"
    if not isinstance(data, Mapping) or data.keys() - {"model", *_NUMBERS}:
        raise Invalid(place, "must be an object of model, rpm, tpm and parallel")
    numbers = {name: _number(f"per_model.{at}.{name}", data.get(name)) for name in _NUMBERS}
    return _check_limit(f"per_model.{at}", ModelLimit(data.get("model", ""), **numbers))


def _check_limit(name: str, limit: ModelLimit) -> ModelLimit:
    for number in _NUMBERS:
        _number(f"{name}.{number}", getattr(limit, number))
    _names(f"{name}.model", [limit.model])
    if all(getattr(limit, number) is None for number in _NUMBERS):
        raise Invalid(f"rules.{name}", "needs rpm, tpm or parallel")
    return limit


def _write_limit(limit: ModelLimit) -> dict[str, Any]:
    return {"model": limit.model} | {name: value for name in _NUMBERS if (value := getattr(limit, name)) is not None}


def _check_budget(place: str, budget: Budget) -> Budget:
    if budget.window not in _WINDOWS:
        raise Invalid(f"{place}.window", f"must be one of {', '.join(_WINDOWS)}")
    amounts = [amount for amount in (budget.nano_usd, budget.tokens) if amount is not None]
    if len(amounts) != 1:
        raise Invalid(place, "needs one of nano_usd and tokens")
    # A budget of nothing is a way to say no.
    if isinstance(amounts[0], bool) or not isinstance(amounts[0], int) or not 0 <= amounts[0] <= 2**62:
        raise Invalid(place, "needs a whole amount that is not below 0")
    if len(budget.model) > 512 or not budget.model.isprintable():
        raise Invalid(f"{place}.model", "is too long or not printable")
    if isinstance(budget.once, bool) or not isinstance(budget.once, int) or not 0 <= budget.once <= 2**62:
        raise Invalid(f"{place}.once", "must be a whole amount that is not below 0")
    if bool(budget.once) != bool(budget.until):
        raise Invalid(f"{place}.until", "goes with once: more, before that time")
    return budget


def _write_budget(budget: Budget) -> dict[str, Any]:
    data: dict[str, Any] = {"window": budget.window}
    if budget.nano_usd is not None:
        data["nano_usd"] = budget.nano_usd
    if budget.tokens is not None:
        data["tokens"] = budget.tokens
    if budget.once:
        until = time_of(budget.until).isoformat().replace("+00:00", "Z")
        data |= {"once": budget.once, "until": until}
    return data | ({"model": budget.model} if budget.model else {})


# ---------------------------------------------------------------- as people write them


def read_said_rules(said: Mapping[str, Any]) -> Rules:
    """Rules of the configuration file. Raises Invalid, whose field is the key that is wrong."""
    left = dict(said)
    models = left.pop("routes", None)
    models = left.pop("models", None) if models is None else models
    budgets = left.pop("budget", None)
    budgets = left.pop("budgets", ()) if budgets is None else budgets
    data: dict[str, Any] = {
        "models": _listed(models),
        "surfaces": _listed(left.pop("surfaces", None)),
        "strict": _flag(left.pop("strict", False)),
    }
    for name in _NUMBERS:
        data[name] = _amount(name, left.pop(name, None))
    data["per_model"] = _said_limits(left.pop("per_model", None))
    if left:
        raise Invalid(sorted(left)[0], f"is not a rule; rules are {', '.join((*_SAID, *_NUMBERS))}")
    each = [budgets] if isinstance(budgets, str | Mapping) else budgets
    if not isinstance(each, list | tuple):
        raise Invalid("budget", "should look like 400 USD/month")
    data["budgets"] = [one if isinstance(one, Mapping) else _said_budget(one) for one in each]
    return read_rules(data)


def _listed(value: Any) -> Any:
    if value is None:
        return ()
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _amount(name: str, value: Any) -> Any:
    """``400k`` and digits of a variable as numbers."""
    if not isinstance(value, str):
        return value
    match = _AMOUNT.fullmatch(value.strip())
    amount = Decimal(match[1]) * _UNITS[match[2].lower()] if match is not None else Decimal("0.5")
    if amount != amount.to_integral_value():
        raise Invalid(name, "should look like 60 or 400k")
    return int(amount)


def _said_limits(said: Any) -> Any:
    """``{claude-opus-*: {rpm: 10, tpm: 100k}}`` as it is kept."""
    if not isinstance(said, Mapping):
        return said or ()
    if not all(isinstance(limit, Mapping) for limit in said.values()):
        raise Invalid("per_model", "should look like {claude-opus-*: {rpm: 10, tpm: 100k, parallel: 2}}")
    return [
        {"model": model} | {name: _amount(f"per_model.{model}.{name}", value) for name, value in limit.items()}
        for model, limit in said.items()
    ]


def _said_budget(text: Any) -> dict[str, Any]:
    match = _BUDGET.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise Invalid("budget", "should look like 400 USD/month or 2M tokens/day")
    in_usd = match["unit"].lower() == "usd"
    amount = Decimal(match["amount"]) * _UNITS[match["scale"].lower()] * (NANO if in_usd else 1)
    if amount != amount.to_integral_value():
        raise Invalid("budget", "has more decimal places than can be counted")
    window = match["window"].lower()
    return {
        "window": _ALL_TIME.get(window, window),
        "nano_usd" if in_usd else "tokens": int(amount),
        "model": match["model"] or "",
    }


# ---------------------------------------------------------------- one within another


def narrows(child: Rules, parent: Rules) -> bool:
    """Whether everything that ``child`` lets pass, ``parent`` lets pass too (X05).

    What a child leaves unsaid is without bound, so it is no narrowing of a parent that says something.
    """
    return not first_wider(child, parent)


def first_wider(child: Rules, parent: Rules) -> str:
    """The rule in which ``child`` goes beyond ``parent``; empty if it narrows it."""
    for name in _LISTS:
        if not _within(getattr(child, name), getattr(parent, name)):
            return name
    for name in _NUMBERS:
        bound, asked = getattr(parent, name), getattr(child, name)
        if bound is not None and (asked is None or asked > bound):
            return name
    if not all(any(_tighter(mine, bound) for mine in child.budgets) for bound in parent.budgets):
        return "budgets"
    if not all(_slower(child, bound) for bound in parent.per_model):
        return "per_model"
    return "strict" if parent.strict and not child.strict else ""


def _within(child: Sequence[str], parent: Sequence[str]) -> bool:
    if not parent:
        return True
    # A star in the child's name must be met by a star of the parent's, so that nothing more fits it.
    return bool(child) and all(any(matches(pattern, name) for pattern in parent) for name in child)


def _tighter(mine: Budget, bound: Budget) -> bool:
    if mine.window != bound.window or mine.model not in ("", bound.model):
        return False
    if (mine.nano_usd is None) != (bound.nano_usd is None):
        return False
    return all(mine.limit(at) <= bound.limit(at) for at in (0, mine.until, bound.until))


def _slower(child: Rules, bound: ModelLimit) -> bool:
    """Whether what the child says of the same models, or of all, is within the bound."""
    said = [child, *(limit for limit in child.per_model if limit.model.lower() == bound.model.lower())]
    for name in _NUMBERS:
        most = getattr(bound, name)
        if most is not None and not any(getattr(one, name) is not None and getattr(one, name) <= most for one in said):
            return False
    return True


def _subject(budget: Budget) -> tuple[str, str, bool]:
    return budget.window, budget.model.lower(), budget.tokens is None


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Callable[[str], Any]:
    return re.compile(translate(text.lower().replace("[", "[[]").replace("?", "[?]"))).match


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern, in which ``*`` stands for anything, fits the name. Case does not matter."""
    return _pattern(pattern)(name.lower()) is not None
