"""Variables of the earlier proxies that mean nothing here: told once each, so that nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterator

from dragoman.settings.dotenv import Variables

_NAMES = frozenset({"ASPNETCORE_ENVIRONMENT", "SSY_API_KEY"})
_BEGINNINGS = ("LOGGING__LOGLEVEL__", "FIRECRAWL_", "ELEVENLABS_", "SERPAPI_", "TAVILY_")


def retired_variables(variables: Variables) -> Iterator[str]:
    """One sentence for each that is set."""
    for name in variables:
        # Windows knows only one case.
        upper = name.upper()
        if upper in _NAMES or upper.startswith(_BEGINNINGS):
            yield f"{variables.origin(name)} has no meaning here and is ignored"
