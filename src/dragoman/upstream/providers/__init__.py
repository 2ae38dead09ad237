"""The kinds of provider, by name. To add one: a small class, its line in PROVIDERS, its name in ``ProviderKind``."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.settings.model import Settings
from dragoman.upstream.calls import Operation, UpstreamCall
from dragoman.upstream.providers.anthropic import Anthropic
from dragoman.upstream.providers.azure import AzureOpenAI
from dragoman.upstream.providers.base import Provider
from dragoman.upstream.providers.google import Gemini, Vertex
from dragoman.upstream.providers.openai_like import OpenAI, OpenAICompatible
from dragoman.upstream.providers.sim import SimProvider

PROVIDERS: dict[str, type[Provider]] = {
    "openai": OpenAI,
    "openai_compatible": OpenAICompatible,
    "azure_openai": AzureOpenAI,
    "anthropic": Anthropic,
    "gemini": Gemini,
    "vertex": Vertex,
    "sim": SimProvider,
}


def make_providers(settings: Settings, before: Mapping[str, Provider] | None = None) -> dict[str, Provider]:
    """Every configured provider by name. Raises ConfigError for an address that is not allowed.

    Those of ``before`` whose settings are the same stay, with the tokens they hold.
    """
    made: dict[str, Provider] = {}
    for name, said in settings.providers.items():
        known = (before or {}).get(name)
        said = said.model_copy(update={"families": settings.models.families | said.families})
        made[name] = known if known is not None and known.settings == said else PROVIDERS[said.kind](name, said)
    return made


__all__ = ["PROVIDERS", "Operation", "Provider", "SimProvider", "UpstreamCall", "make_providers"]
