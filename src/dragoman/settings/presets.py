"""Which defaults hold: chosen once from what is configured, and every explicit value wins over them.

A preset sets defaults only. More presets are more rows of ``choose_preset``; nothing else of the
house knows their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dragoman.settings.dotenv import Variables

_BIG_AND_SMALL = {
    "openai": ("gpt-4.1", "gpt-4.1-mini"),
    "azure": ("gpt-4.1", "gpt-4.1-mini"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
    "vertex": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
_ORDER = ("openai", "azure", "vertex", "gemini", "anthropic")


@dataclass(frozen=True, slots=True)
class Preset:
    """Defaults under a name. ``models`` are defaults of ModelSettings."""

    name: str
    reason: str
    models: dict[str, Any]


def choose_preset(variables: Variables, made: dict[str, dict[str, Any]], in_file: int) -> Preset:
    """The preset for what is configured; ``made`` are the providers that variables made, by name.

    Where the file names a single provider a bare model name can mean nothing else, so it passes;
    among several it has to be said which.
    """
    if in_file:
        alone: dict[str, Any] = {"unmapped": "passthrough"} if in_file == 1 and not made else {}
        return Preset("dragoman", "the configuration file names the providers", alone)
    if not made:
        return Preset("dragoman", "no provider is configured", {})
    preferred = _preferred(variables, made)
    models: dict[str, Any] = {"preferred": preferred, "unmapped": "passthrough"}
    if variables["OPENAI_MODEL"]:
        name = variables["OPENAI_MODEL"]
        models |= {"big": name, "small": name, "big_verbatim": True, "small_verbatim": True, "unmapped": "default"}
    elif preferred != "azure" or variables["PREFERRED_PROVIDER"]:
        big, small = _BIG_AND_SMALL.get(preferred, ("", ""))
        models |= {"big": big, "small": small}
    models |= _one_for_both(variables)
    reason = f"{variables.origin(made[preferred]['origin'])} is set"
    return Preset("environment", reason, models)


def _preferred(variables: Variables, made: dict[str, dict[str, Any]]) -> str:
    word = variables["PREFERRED_PROVIDER"].lower()
    if word == "google":
        return "vertex" if "vertex" in made else "gemini"
    if word in made:
        return word
    working = [name for name in _ORDER if name in made and not made[name].get("missing")]
    return working[0] if working else next(name for name in _ORDER if name in made)


def _one_for_both(variables: Variables) -> dict[str, Any]:
    """A set-up that knows only one of the long names means it for both, and for every other name too."""
    big, small = variables["BIG_MODEL_NAME"], variables["SMALL_MODEL_NAME"]
    if not big and not small:
        return {}
    return {
        "big": big or small,
        "small": small or big,
        "big_verbatim": True,
        "small_verbatim": True,
        "unmapped": "small",
    }
