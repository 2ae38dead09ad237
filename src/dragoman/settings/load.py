"""Puts the configuration together: command line over variables over file over defaults, then checks it whole.

Every complaint names where the value stands: a variable, or file and line, and the nearest known key.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dragoman.settings.dotenv import Variables, read_variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.model import (
    AuthSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
)
from dragoman.settings.presets import choose_preset
from dragoman.settings.variables import Said, understand
from dragoman.settings.yamlfile import ConfigFile, Key, read_config_file

_INNER = frozenset({"preset", "preset_reason", "config_path", "notes"})
_INNER_OF_PROVIDER = frozenset({"origin", "from_file", "missing"})
_PARTS: dict[str, type[BaseModel]] = {
    "server": ServerSettings,
    "models": ModelSettings,
    "auth": AuthSettings,
    "log": LogSettings,
    "limits": LimitSettings,
}
_WORDS = frozenset({"openai", "google", "azure", "anthropic"})


def load_settings(
    *,
    config: str | None = None,
    host: str | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Read everything and return the one configuration. Raises ConfigError.

    ``config``, ``host`` and ``port`` are the command line's; ``environment`` and ``folder`` stand for
    the process's own when not given.
    """
    folder = folder or Path.cwd()
    variables = read_variables(os.environ if environment is None else environment, folder)
    file = _find_file(config, variables, folder)
    said = understand(variables)
    if host:
        said.put(("server", "host"), host, "--host")
    if port is not None:
        said.put(("server", "port"), port, "--port")
    return _Assembly(variables, file, said).settings()


def _find_file(config: str | None, variables: Variables, folder: Path) -> ConfigFile | None:
    named = config or variables["DRAGOMAN_CONFIG"]
    if named:
        return read_config_file(folder / Path(named).expanduser(), variables)
    path = folder / "config.yaml"
    if not path.is_file():
        return None
    file = read_config_file(path, variables)
    # Another proxy's file may bear the same name.
    return file if "version" in file.tree else None


class _Assembly:
    """One run of putting together."""

    def __init__(self, variables: Variables, file: ConfigFile | None, said: Said) -> None:
        self._variables = variables
        self._file = file
        self._said = said
        self._notes = said.notes
        self._tree: dict[str, Any] = file.tree if file is not None else {}

    def settings(self) -> Settings:
        """The result."""
        self._refuse_inner_keys()
        self._note_unset()
        named = self._tree.get("providers")
        preset = choose_preset(self._variables, self._said.providers, len(named or ()))
        self._join_providers(named)
        tree = _overlaid(self._tree, self._said.tree)
        tree["models"] = _overlaid({**preset.models}, tree.get("models") or {})
        if not tree["providers"]:
            tree["providers"] = {"sim": {"kind": "sim", "origin": "nothing else is configured", "allow_private": True}}
        tree |= {"preset": preset.name, "preset_reason": preset.reason}
        tree["config_path"] = str(self._file.path) if self._file is not None else ""
        settings = self._validated(tree)
        self._check_preferred(settings)
        return settings.model_copy(update={"notes": tuple(self._notes)})

    # ------------------------------------------------------------ the file

    def _refuse_inner_keys(self) -> None:
        for name in _INNER & self._tree.keys():
            self._unknown((name,))
        providers = self._tree.get("providers")
        for name, provider in (providers if isinstance(providers, dict) else {}).items():
            for inner in _INNER_OF_PROVIDER & (provider.keys() if isinstance(provider, dict) else set()):
                self._unknown(("providers", name, inner))

    def _unknown(self, key: Key) -> None:
        raise ConfigError(_unknown_key(key), self._where(key))

    def _note_unset(self) -> None:
        """A variable that the file needs and that is not set: a missing key can wait for the first call."""
        if self._file is None:
            return
        for key, name in self._file.unset.items():
            if len(key) != 3 or key[0] != "providers" or key[2] != "api_key":
                raise ConfigError(f"{'.'.join(key)} needs the variable {name}, which is not set", self._where(key))
            provider = self._tree["providers"][key[1]]
            del provider["api_key"]
            provider["missing"] = name

    def _join_providers(self, named: Any) -> None:
        """Providers of the file, and those that variables make under names the file leaves free."""
        if named is None:
            named = {}
        if not isinstance(named, dict):
            raise ConfigError("providers must be a mapping of names", self._where(("providers",)))
        joined: dict[str, Any] = {}
        for name, provider in named.items():
            if not isinstance(provider, dict):
                raise ConfigError(f"providers.{name} must be a mapping", self._where(("providers", name)))
            joined[name] = {**provider, "origin": self._where(("providers", name)), "from_file": True}
        for name, made in self._said.providers.items():
            if name not in joined:
                joined[name] = made
            elif not self._sharpens(joined[name], made):
                self._notes.append(f"{made['origin']} is not used: {joined[name]['origin']} defines {name}")
        self._tree["providers"] = joined

    def _sharpens(self, provider: dict[str, Any], made: dict[str, Any]) -> bool:
        """Lay the variable's key over the file's, unless the file sends it elsewhere: a key belongs to its origin."""
        if provider.get("kind") != made["kind"] or "api_key" not in made:
            return False
        if provider.get("base_url") or provider.get("endpoint"):
            return False
        provider["api_key"] = made["api_key"]
        provider.pop("missing", None)
        return True

    # ------------------------------------------------------------ checking

    def _validated(self, tree: dict[str, Any]) -> Settings:
        try:
            return Settings.model_validate(tree)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
        unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
        if len(unknown) == len(problems) and self._file is not None and "version" not in self._file.tree:
            for problem in unknown:
                key = _key(problem["loc"])
                self._notes.append(f"{self._where(key)}: {_unknown_key(key)}; ignored")
                _remove(tree, key)
            return self._validated(tree)
        raise ConfigError("\n".join(self._sentence(problem) for problem in problems))

    def _sentence(self, problem: Any) -> str:
        key = _key(problem["loc"])
        if problem["type"] == "extra_forbidden":
            return f"{self._where(key)}: {_unknown_key(key)}"
        message = problem["msg"].removeprefix("Value error, ")
        # A check over several fields begins its message with the one it means.
        first = message.split(" ", 1)[0]
        where = self._where((*key, first)) if self._has((*key, first)) else self._where(key)
        return f"{where}: {'.'.join(key)}: {message[:1].lower()}{message[1:]}"

    def _has(self, key: Key) -> bool:
        return key in self._said.origins or (self._file is not None and key in self._file.lines)

    def _where(self, key: Key) -> str:
        if key in self._said.origins:
            return self._said.origins[key]
        if len(key) > 1 and key[0] == "providers" and key[1] in self._said.providers:
            return str(self._said.providers[key[1]]["origin"])
        return self._file.where(key) if self._file is not None else "configuration"

    def _check_preferred(self, settings: Settings) -> None:
        word = settings.models.preferred
        if word and word not in _WORDS and word not in settings.providers:
            names = ", ".join([*sorted(_WORDS), *(name for name in settings.providers if name not in _WORDS)])
            raise ConfigError(f"{word!r} is not one of {names}", self._where(("models", "preferred")))


def _key(location: tuple[int | str, ...]) -> Key:
    return tuple(str(piece) for piece in location)


def _unknown_key(key: Key) -> str:
    names = _known_names(key[:-1])
    near = difflib.get_close_matches(key[-1], names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(names))}"
    return f"unknown key {'.'.join(key)}; {hint}"


def _known_names(key: Key) -> list[str]:
    if not key:
        return [name for name in Settings.model_fields if name not in _INNER]
    if key[0] == "providers" and len(key) == 2:
        return [*(name for name in ProviderSettings.model_fields if name not in _INNER_OF_PROVIDER), "endpoint"]
    part = _PARTS.get(key[0]) if len(key) == 1 else None
    return list(part.model_fields) if part is not None else []


def _overlaid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` on ``base``, branch by branch. Names that differ only by case or dash are one."""
    result = dict(base)
    for name, value in over.items():
        known = next((key for key in result if key.lower().replace("-", "_") == name.replace("-", "_")), name)
        if isinstance(value, dict) and isinstance(result.get(known), dict):
            result[known] = _overlaid(result[known], value)
        else:
            result[known] = value
    return result


def _remove(tree: dict[str, Any], key: Key) -> None:
    for name in key[:-1]:
        tree = tree[name]
    tree.pop(key[-1], None)
