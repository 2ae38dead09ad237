"""Puts the configuration together: command line over variables over file over defaults, then checks it whole.

Every complaint names where the value stands: a variable, or file and line, and the nearest known key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dragoman.settings.accounts import Accounts, make_accounts
from dragoman.settings.complaints import INNER, unknown_key
from dragoman.settings.dotenv import Variables, read_variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.files import find_file, split
from dragoman.settings.model import (
    NO_EFFECT,
    AuthSettings,
    ModelSettings,
    ProviderSettings,
    ServerSettings,
    Settings,
)
from dragoman.settings.presets import Choice, choose_preset, model_defaults, model_notes, read_resource
from dragoman.settings.routes import problems
from dragoman.settings.variables import Said, understand
from dragoman.settings.yamlfile import ConfigFile, Key

_WORDS = frozenset({"openai", "google", "azure", "anthropic"})


@dataclass(frozen=True, slots=True)
class Explained:
    """A configuration and where its values come from."""

    settings: Settings
    _origins: Mapping[Key, str]
    _file: ConfigFile | None
    _defaults: Mapping[str, Any]

    def origins(self, key: Key) -> list[str]:
        """Everything that gives the value of a key, the winner first: variables, file, preset, default."""
        found = [self._origins[key]] if key in self._origins else []
        if self._file is not None and key in self._file.lines:
            found.append(self._file.where(key))
        if key[:1] == ("providers",) and not found:
            found.append(self.settings.providers[key[1]].origin)
        if _holds(self._defaults, key):
            found.append(f"preset {self.settings.preset}")
        return found or ["default"]


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
    return explain_settings(config=config, host=host, port=port, environment=environment, folder=folder).settings


def explain_settings(
    *,
    config: str | None = None,
    host: str | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Explained:
    """As ``load_settings``, with the origin of every value. Raises ConfigError."""
    folder = folder or Path.cwd()
    variables = read_variables(os.environ if environment is None else environment, folder)
    file = find_file(config, variables, folder)
    said = understand(variables)
    if host:
        said.put(("server", "host"), host, "--host")
    if port is not None:
        said.put(("server", "port"), port, "--port")
    return _Assembly(variables, file, said).explained()


class _Assembly:
    """One run of putting together."""

    def __init__(self, variables: Variables, file: ConfigFile | None, said: Said) -> None:
        self._variables = variables
        self._path = str(file.path) if file is not None else ""
        self._file, described = split(file)
        self._said = said
        self._notes = said.notes
        self._tree: dict[str, Any] = self._file.tree if self._file is not None else {}
        self._resource = read_resource(described, variables)
        self._accounts = Accounts()

    def explained(self) -> Explained:
        """The result."""
        self._refuse_inner_keys()
        self._note_no_effect()
        self._note_unset()
        named = self._named_providers()
        choice = choose_preset(self._variables, self._resource, file_names_providers=bool(named))
        self._accounts = make_accounts(self._variables, choice, self._resource, alone=not named)
        self._join_providers(named)
        self._notes += [*self._accounts.notes, *model_notes(choice.preset, self._variables)]
        if self._resource is not None:
            self._notes += self._resource.notes
        defaults = self._defaults(choice, named)
        settings = self._validated(self._whole_tree(choice, defaults))
        self._check_preferred(settings)
        self._check_routes(settings)
        settings = settings.model_copy(update={"notes": tuple(self._notes)})
        return Explained(settings, self._said.origins, self._file, defaults)

    def _defaults(self, choice: Choice, named: dict[str, Any]) -> dict[str, Any]:
        """What the preset says. A single provider of the file is what a bare name means."""
        host = _overlaid(self._tree, self._said.tree).get("server") or {}
        host = host.get("host") if isinstance(host, dict) else None
        tree = choice.preset.defaults(host if isinstance(host, str) else ServerSettings().host)
        tree["models"] = model_defaults(choice.preset, self._variables, self._accounts.preferred)
        if len(named) == 1 and not self._accounts.made:
            tree["models"]["unmapped"] = "passthrough"
        if self._resource is not None and self._resource.users:
            tree["init_users"] = self._resource.users
        return tree

    def _whole_tree(self, choice: Choice, defaults: dict[str, Any]) -> dict[str, Any]:
        said = _overlaid(self._tree, self._said.tree)
        tree = _overlaid(defaults, said)
        if _holds(said, ("models", "unmapped")):
            tree["models"]["unmapped_said"] = True
        if not tree["providers"]:
            stand_in = {"kind": "sim", "origin": "nothing else is configured", "allow_private": True, "stand_in": True}
            tree["providers"] = {"sim": stand_in}
        return tree | {"preset": choice.preset.name, "preset_reason": choice.reason, "config_path": self._path}

    # ------------------------------------------------------------ the file

    def _refuse_inner_keys(self) -> None:
        for name in INNER[Settings] & self._tree.keys():
            self._unknown((name,))
        for branch, model in (("auth", AuthSettings), ("models", ModelSettings)):
            said = self._tree.get(branch)
            for name in INNER[model] & (said.keys() if isinstance(said, dict) else set()):
                self._unknown((branch, name))
        providers = self._tree.get("providers")
        for name, provider in (providers if isinstance(providers, dict) else {}).items():
            for inner in INNER[ProviderSettings] & (provider.keys() if isinstance(provider, dict) else set()):
                self._unknown(("providers", name, inner))

    def _unknown(self, key: Key) -> None:
        raise ConfigError(unknown_key(key), self._where(key))

    def _note_no_effect(self) -> None:
        for key in NO_EFFECT:
            if _holds(self._tree, key) or _holds(self._said.tree, key):
                self._notes.append(f"{self._where(key)}: {'.'.join(key)} has no effect in this release")

    def _note_unset(self) -> None:
        """A variable that the file needs and that is not set: a missing key can wait for the first call."""
        if self._file is None:
            return
        for key, name in self._file.unset.items():
            if key[:1] != ("providers",) or key[2:3] not in (("api_key",), ("api_keys",)):
                raise ConfigError(f"{'.'.join(key)} needs the variable {name}, which is not set", self._where(key))
            provider = self._tree["providers"][key[1]]
            if key[2] == "api_key":
                del provider["api_key"]
                provider["missing"] = name
            else:
                self._notes.append(f"{self._where(key)}: {name} is not set; this key is left out")
        self._drop_unset_keys()

    def _drop_unset_keys(self) -> None:
        """Keys of a list that are there serve for those that are not; with none at all the account waits."""
        assert self._file is not None
        for name in {key[1] for key in self._file.unset if key[0] == "providers"}:
            provider = self._tree["providers"][name]
            listed = provider.get("api_keys")
            if isinstance(listed, list):
                provider["api_keys"] = [key for key in listed if key is not None]
                if provider["api_keys"]:
                    provider.pop("missing", None)
                elif "api_key" not in provider:
                    first = next(key for key in self._file.unset if key[:2] == ("providers", name))
                    provider["missing"] = self._file.unset[first]

    def _named_providers(self) -> dict[str, Any]:
        named = self._tree.get("providers")
        if named is None:
            return {}
        if not isinstance(named, dict):
            raise ConfigError("providers must be a mapping of names", self._where(("providers",)))
        for name, provider in named.items():
            if not isinstance(provider, dict):
                raise ConfigError(f"providers.{name} must be a mapping", self._where(("providers", name)))
        return named

    def _join_providers(self, named: dict[str, Any]) -> None:
        """Providers of the file, and those that variables make under names the file leaves free."""
        joined: dict[str, Any] = {}
        for name, provider in named.items():
            joined[name] = {**provider, "origin": self._where(("providers", name)), "from_file": True}
        for name, made in self._accounts.made.items():
            if name not in joined:
                joined[name] = made
            elif self._sharpens(joined[name], made):
                self._said.origins["providers", name, "api_key"] = self._variables.origin(made["origin"])
            else:
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
                self._notes.append(f"{self._where(key)}: {unknown_key(key)}; ignored")
                _remove(tree, key)
            return self._validated(tree)
        raise ConfigError("\n".join(self._sentence(problem) for problem in problems))

    def _sentence(self, problem: Any) -> str:
        key = _key(problem["loc"])
        if problem["type"] == "extra_forbidden":
            return f"{self._where(key)}: {unknown_key(key)}"
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
        if len(key) > 1 and key[0] == "providers" and key[1] in self._accounts.made and not self._has(key[:2]):
            return str(self._accounts.made[key[1]]["origin"])
        return self._file.where(key) if self._file is not None else "configuration"

    def _check_preferred(self, settings: Settings) -> None:
        word = settings.models.preferred
        if word and word not in _WORDS and word not in settings.providers:
            names = ", ".join([*sorted(_WORDS), *(name for name in settings.providers if name not in _WORDS)])
            raise ConfigError(f"{word!r} is not one of {names}", self._where(("models", "preferred")))

    def _check_routes(self, settings: Settings) -> None:
        found = [
            f"{self._where(key)}: {'.'.join(key)}: {why}" for key, why in problems(settings.routes, settings.providers)
        ]
        if found:
            raise ConfigError("\n".join(found))


def _key(location: tuple[int | str, ...]) -> Key:
    return tuple(str(piece) for piece in location)


def _holds(tree: Mapping[str, Any], key: Key) -> bool:
    found: Any = tree
    for name in key:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def _overlaid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` on ``base``, branch by branch. Names that differ only by case or dash are one."""
    result = dict(base)
    for name, value in over.items():
        known = next((key for key in result if key.lower().replace("-", "_") == name.replace("-", "_")), name)
        if isinstance(value, dict) and isinstance(result.get(known), dict):
            result[known] = _overlaid(result[known], value)
        elif value is not None or known not in result:
            result[known] = value
    return result


def _remove(tree: dict[str, Any], key: Key) -> None:
    for name in key[:-1]:
        tree = tree[name]
    tree.pop(key[-1], None)
