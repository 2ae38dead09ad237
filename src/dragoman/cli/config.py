"""``dragoman config check`` and ``show``: whether the configuration can be used, and where each value comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from dragoman.cli.exits import DONE, REFUSED, WRONG
from dragoman.cli.summary import provider_lines
from dragoman.observe.redaction import MASK, Redactor
from dragoman.settings import ConfigError, Secret, Settings, load_settings
from dragoman.settings.complaints import settable_fields
from dragoman.settings.errors import extra
from dragoman.settings.load import explain_settings
from dragoman.settings.parts import revealed


def run_check(*, config: str | None, strict: bool) -> int:
    """Print what was found; the exit code."""
    try:
        settings = load_settings(config=config)
        check_use(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return WRONG
    for line in provider_lines(settings):
        print(line)
    for note in settings.notes:
        print(f"warning: {note}", file=sys.stderr)
    missing = [name for name, provider in settings.providers.items() if provider.missing]
    print(f"ok: {settings.config_path or 'no file'}, {len(settings.providers)} provider(s)")
    return REFUSED if strict and (missing or settings.notes) else DONE


def check_use(settings: Settings) -> None:
    """Refuse what only those who use it can tell, before anything is opened. Raises ConfigError."""
    from dragoman.store.accounts.house import house_rules
    from dragoman.store.database import check_address
    from dragoman.store.ledger.prices import PriceBook
    from dragoman.upstream.providers import make_providers

    make_providers(settings)
    house_rules(settings)
    PriceBook(settings.prices, settings.limits.fallback_price)
    check_address(revealed(settings.database) or "")
    if settings.redis is not None:
        with extra("redis", "Redis"):
            import redis  # noqa: F401


def run_show(*, config: str | None, every: bool, candidates: bool) -> int:
    """Print each value with its origin; the exit code.

    ``every`` shows defaults too, ``candidates`` what was overruled.
    """
    try:
        explained = explain_settings(config=config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return WRONG
    redact = Redactor()
    redact.know(explained.settings.all_secrets())
    print(f"preset = {explained.settings.preset}  ({explained.settings.preset_reason})")
    for key, value in _leaves(explained.settings, (), every=every):
        origins = explained.origins(key)
        if origins == ["default"] and not every:
            continue
        shown = origins if candidates else origins[:1]
        print(f"{'.'.join(key)} = {redact(value)}  ({', over '.join(shown)})")
    return DONE


def _leaves(value: Any, key: tuple[str, ...], *, every: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every value that somebody set with its key, or every one there is; of secrets only that they are there."""
    if isinstance(value, BaseModel):
        fields = settable_fields(type(value))
        value = {name: getattr(value, name) for name in fields if every or name in value.model_fields_set}
    if isinstance(value, list | tuple) and any(isinstance(item, BaseModel | dict) for item in value):
        value = {str(at): item for at, item in enumerate(value)}
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, (*key, name), every=every)
        return
    if every or value != {}:
        yield key, json.dumps(value, ensure_ascii=False, default=_masked)


def _masked(item: Any) -> str:
    return MASK if isinstance(item, Secret) else str(item)
