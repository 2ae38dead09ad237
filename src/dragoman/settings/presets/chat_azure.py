"""One Azure resource with a map of models, as chat_azure's ``config.yaml`` or three variables describe it.

::

    resourceName: acme
    apiKey: ...
    apiVersion: 2024-10-21
    mapper: {gpt-4o: prod-4o}
    initUsers: [{Username: ann, Token: ...}]

Keys are read in any case. It must not know the settings' tree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.yamlfile import ConfigFile

_KEYS = {"resourcename", "apiversion", "apikey", "mapper", "initusers"}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_DEFAULT_VERSION = "2023-05-15"
_MAPPED_NAME = "gpt-3.5-turbo"


@dataclass(slots=True)
class Resource:
    """What was described. ``file`` is the file's name, empty when variables alone did it.

    ``endpoint`` and ``api_key`` are empty when they are missing; ``names`` says how to set the two.
    """

    file: str = ""
    origin: str = ""
    endpoint: str = ""
    api_key: str = field(default="", repr=False)
    api_version: str = _DEFAULT_VERSION
    deployments: dict[str, str] = field(default_factory=dict)
    users: list[dict[str, str]] = field(default_factory=list, repr=False)
    names: tuple[str, str] = ("RESOURCENAME", "APIKEY")
    notes: list[str] = field(default_factory=list)


def is_resource_file(tree: Mapping[str, Any]) -> bool:
    """Whether a file is chat_azure's: it names one of its keys and is not marked as our own."""
    return "version" not in tree and any(key.lower() in _KEYS for key in tree)


def read_resource(file: ConfigFile | None, variables: Variables) -> Resource | None:
    """The resource, or None when neither file nor variables describe one. Raises ConfigError."""
    if file is None and not variables.first("RESOURCENAME", "APIKEY", "MAPPER_GPT35TUBER"):
        return None
    return _Reading(file, variables).resource()


class _Reading:
    """One reading: the file's values win over the variables', as they always did there."""

    def __init__(self, file: ConfigFile | None, variables: Variables) -> None:
        self._file = file
        self._variables = variables
        self._found = Resource(file=file.path.name if file is not None else "")
        self._keys = {} if file is None else {key.lower(): key for key in file.tree}

    def resource(self) -> Resource:
        found = self._found
        name = self._text("resourceName", "RESOURCENAME")
        if name:
            if not _NAME.fullmatch(name):
                raise ConfigError("resourceName must be the resource's bare name", self._where("resourceName"))
            found.endpoint = f"https://{name}.openai.azure.com"
        key = self._text("apiKey", "APIKEY")
        found.api_key = re.sub(r"^bearer\s+", "", key, flags=re.IGNORECASE)
        found.api_version = self._text("apiVersion", "") or _DEFAULT_VERSION
        found.deployments = self._mapper()
        found.users = list(self._users())
        if self._file is not None:
            found.names = (f"resourceName in {found.file}", f"apiKey in {found.file}")
        first = self._variables.first("RESOURCENAME", "MAPPER_GPT35TUBER", "APIKEY")
        found.origin = self._where("resourceName") if self._file is not None else first
        self._note_unknown()
        return found

    # ------------------------------------------------------------ values

    def _value(self, key: str) -> Any:
        return self._file.tree[self._keys[key.lower()]] if self._file and key.lower() in self._keys else None

    def _text(self, key: str, variable: str) -> str:
        value = self._value(key)
        if value is None or value == "":
            return self._variables[variable] if variable else ""
        if isinstance(value, dict | list):
            raise ConfigError(f"{key} must be a text", self._where(key))
        if variable and variable in self._variables:
            self._note(f"{self._variables.origin(variable)} is not used: {self._where(key)} gives {key}")
        return str(value).strip()

    def _mapper(self) -> dict[str, str]:
        value = self._value("mapper")
        variable = "MAPPER_GPT35TUBER"
        if value is None:
            return {_MAPPED_NAME: self._variables[variable]} if variable in self._variables else {}
        if not isinstance(value, dict):
            raise ConfigError("mapper must be a mapping of models to deployments", self._where("mapper"))
        if variable in self._variables:
            self._note(f"{self._variables.origin(variable)} is not used: {self._where('mapper')} gives the map")
        if any(isinstance(name, dict | list) for name in value.values()):
            raise ConfigError("mapper must map each model to the name of a deployment", self._where("mapper"))
        return {model: str(name) for model, name in value.items() if name is not None}

    def _users(self) -> list[dict[str, str]]:
        value = self._value("initUsers")
        if value is None:
            return []
        users: list[dict[str, str]] = []
        for at, entry in enumerate(value if isinstance(value, list) else [None]):
            fields = {key.lower(): item for key, item in entry.items()} if isinstance(entry, dict) else {}
            name, token = fields.get("username"), fields.get("token")
            if isinstance(name, dict | list | None) or isinstance(token, dict | list | None):
                self._note(f"{self._where('initUsers', str(at))}: a user needs Username and Token; ignored")
                continue
            if not isinstance(token, str):
                self._note(f"{self._where('initUsers', str(at))}: write the token in quotes, so that it stays a text")
            users.append({"username": str(name), "token": str(token)})
        return users

    # ------------------------------------------------------------ words

    def _note_unknown(self) -> None:
        for folded, key in self._keys.items():
            if folded not in _KEYS:
                self._note(f"{self._where(key)}: unknown key {key}; ignored")

    def _where(self, key: str, *inner: str) -> str:
        if self._file is None:
            return self._variables.origin("RESOURCENAME" if key == "resourceName" else key)
        return self._file.where((self._keys.get(key.lower(), key), *inner))

    def _note(self, text: str) -> None:
        self._found.notes.append(text)
