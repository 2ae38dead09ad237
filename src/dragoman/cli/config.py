"""``dragoman config check``: whether the configuration can be used, and what it says about providers."""

from __future__ import annotations

import sys

from dragoman.cli.summary import provider_lines
from dragoman.settings import ConfigError, load_settings
from dragoman.upstream.providers import make_providers


def run_check(*, config: str | None, strict: bool) -> int:
    """Print what was found; the exit code."""
    try:
        settings = load_settings(config=config)
        make_providers(settings)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for line in provider_lines(settings):
        print(line)
    for note in settings.notes:
        print(f"warning: {note}", file=sys.stderr)
    missing = [name for name, provider in settings.providers.items() if provider.missing]
    print(f"ok: {settings.config_path or 'no file'}, {len(settings.providers)} provider(s)")
    return 1 if strict and (missing or settings.notes) else 0
