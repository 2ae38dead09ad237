"""The configuration file: YAML 1.2 read into plain values that remember their lines.

Only ``true`` and ``false`` are truth values, ``08`` is text, a key given twice is an error. Texts may
refer to variables (``${NAME}``, ``${NAME:-default}``) and a value may stand in a file (``{file: path}``).
It must not know any key of ours.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError

Key = tuple[str, ...]
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MAX_SECRET_FILE = 64 * 1024
_PREFIX = "tag:yaml.org,2002:"


class _CoreLoader(yaml.SafeLoader):
    """Knows the types of YAML 1.2's core schema and nothing else."""


_CoreLoader.yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _CoreLoader.add_implicit_resolver(_PREFIX + _tag, re.compile(f"(?:{_pattern})\\Z"), _first)

_READ_SCALAR: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text, 0) if text.startswith(("0o", "0x")) else int(text),
    "float": float,
}


@dataclass(slots=True)
class ConfigFile:
    """A file that was read. ``lines`` gives the line of each value; ``unset`` names variables that values lack."""

    path: Path
    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    unset: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """``file:line`` of the value, or of the nearest one around it."""
        while key and key not in self.lines:
            key = key[:-1]
        return f"{self.path.name}:{self.lines.get(key, 1)}"


def read_config_file(path: Path, variables: Variables) -> ConfigFile:
    """Read and expand a file. Raises ConfigError with file and line.

    A value that needs a variable which is not set becomes None and is listed in ``unset``.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("there is no such file", str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({type(error).__name__})", str(path)) from None
    file = ConfigFile(path)
    try:
        loader = _CoreLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"is not YAML: {error.problem or error.context}", f"{path.name}:{line}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"is not YAML ({type(error).__name__})", path.name) from None
    if node is None:
        return file
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("must be a mapping (key: value)", path.name)
    file.tree = _Builder(file, loader, variables).mapping(node, ())
    return file


class _Builder:
    """Walks the nodes of one file."""

    def __init__(self, file: ConfigFile, loader: _CoreLoader, variables: Variables) -> None:
        self._file = file
        self._loader = loader
        self._variables = variables
        self._inside: list[yaml.Node] = []

    def value(self, node: yaml.Node, key: Key) -> Any:
        self._file.lines[key] = node.start_mark.line + 1
        if any(node is outer for outer in self._inside):
            raise self._wrong(node, "refers to itself")
        if isinstance(node, yaml.MappingNode):
            mapping = self.mapping(node, key)
            return self._file_content(mapping["file"], node, key) if _names_file(mapping) else mapping
        if isinstance(node, yaml.SequenceNode):
            self._inside.append(node)
            items = [self.value(item, (*key, str(at))) for at, item in enumerate(node.value)]
            self._inside.pop()
            return items
        return self._scalar(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        self._inside.append(node)
        self._refuse_twins(node)
        self._loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            name = self._name(key_node)
            found[name] = self.value(value_node, (*key, name))
            self._file.lines[(*key, name)] = key_node.start_mark.line + 1
        self._inside.pop()
        return found

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key_node, _ in node.value:
            name = self._name(key_node)
            if name in seen and name != "<<":
                raise self._wrong(key_node, f"{name!r} is given twice")
            seen.add(name)

    def _name(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, "a key must be a word")
        return str(node.value)

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if kind not in _READ_SCALAR:
            raise self._wrong(node, f"the tag {node.tag} is not known here")
        try:
            value = _READ_SCALAR[kind](node.value)
        except ValueError:
            raise self._wrong(node, f"{node.value!r} is not of the type {kind}") from None
        return self._expanded(value, key) if isinstance(value, str) else value

    def _expanded(self, text: str, key: Key) -> str | None:
        def filled(match: re.Match[str]) -> str:
            if match[1]:
                return "${"
            value = self._variables[match[2]] or match[3]
            if value is None:
                self._file.unset[key] = match[2]
                return ""
            return value

        if "${" not in text:
            return text
        full = _REFERENCE.sub(filled, text)
        return None if key in self._file.unset else full

    def _file_content(self, name: str, node: yaml.Node, key: Key) -> str:
        path = self._file.path.parent / Path(name).expanduser()
        try:
            with path.open("rb") as stream:
                content = stream.read(_MAX_SECRET_FILE + 1)
            if len(content) > _MAX_SECRET_FILE:
                raise self._wrong(node, f"the file of {'.'.join(key)} is too large")
            return content.decode("utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise self._wrong(node, f"the file of {'.'.join(key)} cannot be read ({type(error).__name__})") from None

    def _wrong(self, node: yaml.Node, message: str) -> ConfigError:
        return ConfigError(message, f"{self._file.path.name}:{node.start_mark.line + 1}")


def _names_file(mapping: dict[str, Any]) -> bool:
    return len(mapping) == 1 and isinstance(mapping.get("file"), str)
