"""Which preset holds: the first whose marker is set, and what it means for model names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.presets.chat_azure import Resource
from dragoman.settings.presets.rows import PRESETS, Preset

Marker = Callable[[Variables], str]
_GEMINI = ("gemini-2.5-pro", "gemini-2.5-flash")
_RESOURCE_VARIABLES = ("RESOURCENAME", "MAPPER_GPT35TUBER")


@dataclass(frozen=True, slots=True)
class Choice:
    """``reason`` is for people; ``marker`` the variable that decided, empty when it was none."""

    preset: Preset
    reason: str
    marker: str = ""


def _any_of(*names: str) -> Marker:
    return lambda variables: variables.first(*names)


def _whole_url(variables: Variables) -> str:
    named = variables.first("OPENAI_MODEL", "PROXY_HOST", "PROXY_PORT")
    full = variables["OPENAI_BASE_URL"].rstrip("/").endswith("/chat/completions")
    return named or ("OPENAI_BASE_URL" if full else "")


def _azure(variables: Variables) -> str:
    named = variables.first("CURSOR_AZURE_DEPLOYMENT", "BIG_EFFORT", "SMALL_EFFORT", "ASPNETCORE_URLS")
    if named or "OPENAI_API_KEY" in variables:
        return named
    return variables.first("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")


_MARKERS: tuple[tuple[str, Marker], ...] = (
    ("chat_azure", _any_of(*_RESOURCE_VARIABLES)),
    ("infiniproxy", _whole_url),
    ("claude-code-provider-proxy", _any_of("BIG_MODEL_NAME", "SMALL_MODEL_NAME", "BASE_URL")),
    ("claude-code-gpt-proxy", _any_of("PREFERRED_PROVIDER", "GEMINI_API_KEY", "USE_VERTEX_AUTH")),
    ("azuregptproxy", _azure),
    ("claude-code-gpt-proxy", _any_of("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL")),
)
"""In this order, the first that names a variable wins."""


def choose_preset(variables: Variables, resource: Resource | None, *, file_names_providers: bool) -> Choice:
    """The preset for what is configured. Raises ConfigError for a name that is none."""
    said = variables["DRAGOMAN_PRESET"].lower()
    if said and said != "auto":
        if said not in PRESETS:
            names = ", ".join(["auto", *PRESETS])
            raise ConfigError(
                f"{variables['DRAGOMAN_PRESET']!r} is not one of {names}", variables.origin("DRAGOMAN_PRESET")
            )
        return Choice(PRESETS[said], f"{variables.origin('DRAGOMAN_PRESET')} says so")
    if file_names_providers:
        return Choice(PRESETS["dragoman"], "the configuration file names the providers")
    if resource is not None and resource.file:
        return Choice(PRESETS["chat_azure"], f"{resource.file} is of its kind")
    for name, marker in _MARKERS:
        variable = marker(variables)
        if variable:
            return Choice(PRESETS[name], f"{variables.origin(variable)} is set", variable)
    return Choice(PRESETS["dragoman"], "no provider is configured")


def model_defaults(preset: Preset, variables: Variables, preferred: str) -> dict[str, Any]:
    """Defaults of the models' branch. ``preferred`` is the account that bare names go to, empty for none."""
    models: dict[str, Any] = {"unmapped": preset.unmapped, "preferred": preferred}
    if preferred in ("gemini", "vertex"):
        return models | {"big": _GEMINI[0], "small": _GEMINI[1]}
    if preferred in ("openai", "azure"):
        models |= {"big": preset.big, "small": preset.small}
    if preset.model:
        name = variables["OPENAI_MODEL"] or preset.model
        models |= {"default": name, "default_verbatim": True}
        if preferred == "openai":
            models |= {"big": name, "small": name, "big_verbatim": True, "small_verbatim": True}
    if preset.one_for_both and preferred == "openai":
        models |= _one_for_both(variables)
    return models


def model_notes(preset: Preset, variables: Variables) -> list[str]:
    """What is worth a word about the names that were given."""
    name = _only_size(variables) if preset.one_for_both else ""
    return [f"{variables.origin(name)} is the only model that is named; it serves big and small"] if name else []


def _only_size(variables: Variables) -> str:
    """The variable that names the one model, when only one of big and small is named; else empty."""
    big = variables.first("BIG_MODEL", "BIG_MODEL_NAME")
    small = variables.first("SMALL_MODEL", "SMALL_MODEL_NAME")
    return "" if big and small else big or small


def _one_for_both(variables: Variables) -> dict[str, Any]:
    name = _only_size(variables)
    if not name:
        return {}
    verbatim = name.endswith("_NAME")
    model = variables[name]
    return {"big": model, "small": model, "big_verbatim": verbatim, "small_verbatim": verbatim}
