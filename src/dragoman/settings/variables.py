"""What each environment variable means: names that earlier proxies made known, and ours.

Turns them into the same tree that the file has; the accounts they describe are made next door. A
wrong value is one clear line; a doubtful one a note. It must not know the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.presets import retired_variables
from dragoman.settings.scalars import FALSE, TRUE, read_size

_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
_LEVEL_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG", "VERBOSE": "DEBUG"}

_CHOICES = {
    "DRAGOMAN_AUTH": (("auth", "mode"), ("auto", "required", "open")),
    "DRAGOMAN_UNMAPPED_MODEL": (("models", "unmapped"), ("error", "default", "passthrough", "small")),
    "DRAGOMAN_REASONING": (("reasoning",), ("thinking", "text", "drop")),
}
_TEXTS = {
    "DRAGOMAN_CONTENT_FILTER_STOP": ("content_filter_stop",),
    "DRAGOMAN_DB": ("database",),
    "DRAGOMAN_REDIS": ("redis", "url"),
    "DB_ROOT": ("database_folder",),
    "DRAGOMAN_SECRET": ("secrets", "key"),
    "DRAGOMAN_SECRET_PREVIOUS": ("secrets", "previous"),
    "CURSOR_AZURE_DEPLOYMENT": ("models", "cursor_deployment"),
    "APP_NAME": ("about", "name"),
    "APP_VERSION": ("about", "version"),
    "DRAGOMAN_ADMIN_KEY": ("admin", "key"),
    "ADMIN_USERNAME": ("admin", "username"),
    "ADMIN_PASSWORD": ("admin", "password"),
    "INIT_ADMIN_USER": ("admin", "init_user"),
    "INIT_ADMIN_TOKEN": ("admin", "init_token"),
    "SMTP_SERVER": ("smtp", "server"),
    "SMTP_USER": ("smtp", "user"),
    "SMTP_PASSWORD": ("smtp", "password"),
    "LOG_FILE": ("log", "file"),
    "LOG_FILE_PATTERN": ("log", "pattern"),
    "LOG_FILE_PATH": ("log", "json_file"),
}
_FLAGS = {
    "RELOAD": ("server", "reload"),
    "OPEN_CLAUDE_CACHE": ("models", "open_claude_cache"),
    "SMTP_USE_SSL": ("smtp", "use_ssl"),
    "DRAGOMAN_LOG_BODIES": ("log", "bodies"),
}
_WHOLE = {
    "MAX_OUTPUT_TOKENS": ("max_output_tokens",),
    "MAX_INPUT_TOKENS": ("max_input_tokens",),
    "DRAGOMAN_RETRIES": ("retries",),
}


@dataclass(slots=True)
class Said:
    """What the variables say: ``tree`` overlays the file's, ``origins`` name the variable of each value."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, key: tuple[str, ...], value: Any, origin: str) -> None:
        """Set one value of the tree."""
        branch = self.tree
        for name in key[:-1]:
            branch = branch.setdefault(name, {})
        branch[key[-1]] = value
        self.origins[key] = origin


def understand(variables: Variables) -> Said:
    """Read every variable we know. Raises ConfigError naming the variable."""
    said = Said()
    _read_server(variables, said)
    _read_models(variables, said)
    _read_rest(variables, said)
    _read_log(variables, said)
    said.notes += retired_variables(variables)
    return said


def _whole(variables: Variables, name: str, what: str) -> int:
    text = variables[name]
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
        raise ConfigError(f"{text!r} is not {what}", variables.origin(name))
    return int(text)


def _choice(variables: Variables, name: str, choices: tuple[str, ...]) -> str:
    word = variables[name].lower()
    if word not in choices:
        raise ConfigError(f"{variables[name]!r} is not one of {', '.join(choices)}", variables.origin(name))
    return word


# ---------------------------------------------------------------- server


def _read_server(variables: Variables, said: Said) -> None:
    url_host, url_port = _aspnet(variables)
    host = variables.first("HOST", "PROXY_HOST")
    if host:
        said.put(("server", "host"), variables[host], variables.origin(host))
    elif url_host:
        said.put(("server", "host"), url_host, variables.origin("ASPNETCORE_URLS"))
    port = variables.first("PORT", "PROXY_PORT", "LISTEN_PORT")
    if port:
        number = _whole(variables, port, "a port (0 to 65535)")
        if number > 65535:
            raise ConfigError(f"{number} is not a port (0 to 65535)", variables.origin(port))
        said.put(("server", "port"), number, variables.origin(port))
    elif url_port is not None:
        said.put(("server", "port"), url_port, variables.origin("ASPNETCORE_URLS"))
    origins = [origin.strip().rstrip("/") for origin in variables["DRAGOMAN_CORS_ORIGINS"].split(",") if origin.strip()]
    if origins:
        said.put(("server", "cors_origins"), origins, variables.origin("DRAGOMAN_CORS_ORIGINS"))


def _aspnet(variables: Variables) -> tuple[str, int | None]:
    for entry in variables["ASPNETCORE_URLS"].split(";"):
        entry = entry.strip()
        if not entry.lower().startswith("http://"):
            continue
        # "+" and "*" stand for every address there.
        parts = urlsplit(re.sub(r"//[+*](?=[:/]|$)", "//0.0.0.0", entry))
        try:
            return parts.hostname or "", parts.port or 80
        except ValueError:
            raise ConfigError(f"{entry!r} has no valid port", variables.origin("ASPNETCORE_URLS")) from None
    return "", None


# ---------------------------------------------------------------- models


def _read_models(variables: Variables, said: Said) -> None:
    for size in ("big", "small"):
        short, long = f"{size.upper()}_MODEL", f"{size.upper()}_MODEL_NAME"
        name = variables.first(short, long)
        if name:
            said.put(("models", size), variables[name], variables.origin(name))
            said.put(("models", f"{size}_verbatim"), name == long, variables.origin(name))
        effort = f"{size.upper()}_EFFORT"
        if effort in variables:
            said.put(("models", f"{size}_effort"), _effort(variables, effort, said), variables.origin(effort))
    default = variables.first("DRAGOMAN_DEFAULT_MODEL", "OPENAI_MODEL")
    if default:
        said.put(("models", "default"), variables[default], variables.origin(default))
        said.put(("models", "default_verbatim"), default == "OPENAI_MODEL", variables.origin(default))
    if "PREFERRED_PROVIDER" in variables:
        said.put(
            ("models", "preferred"), variables["PREFERRED_PROVIDER"].lower(), variables.origin("PREFERRED_PROVIDER")
        )
    if "DRAGOMAN_FAMILIES" in variables:
        said.put(("models", "families"), _families(variables), variables.origin("DRAGOMAN_FAMILIES"))


def _effort(variables: Variables, name: str, said: Said) -> str:
    word = variables[name].lower()
    if word in _EFFORTS:
        return word
    said.notes.append(f"{variables.origin(name)}: {variables[name]!r} is not an effort; medium is used")
    return "medium"


def _families(variables: Variables) -> dict[str, str]:
    families = {}
    for entry in variables["DRAGOMAN_FAMILIES"].split(","):
        if not entry.strip():
            continue
        name, equals, family = (piece.strip() for piece in entry.partition("="))
        _, _, api = family.partition(":")
        if not name or not equals or not family or api not in ("", "chat", "responses"):
            raise ConfigError(
                f"{entry.strip()!r} should look like name=family or name=family:responses",
                variables.origin("DRAGOMAN_FAMILIES"),
            )
        families[name] = family
    return families


# ---------------------------------------------------------------- the rest


def _read_rest(variables: Variables, said: Said) -> None:
    for name, (key, choices) in _CHOICES.items():
        if name in variables:
            said.put(key, _choice(variables, name, choices), variables.origin(name))
    for name, key in _TEXTS.items():
        if name in variables:
            said.put(key, variables[name], variables.origin(name))
    for name, key in _FLAGS.items():
        if name in variables:
            said.put(key, _flag(variables, name, said), variables.origin(name))
    for name, key in _WHOLE.items():
        if name in variables:
            said.put(key, _whole(variables, name, "a whole number"), variables.origin(name))
    if "TIMEOUT" in variables:
        said.put(("timeout",), variables["TIMEOUT"], variables.origin("TIMEOUT"))
    token = variables.first("ANTHROPIC_AUTH_TOKEN", "AUTH_TOKEN")
    if token:
        said.put(("auth", "token"), variables[token], variables.origin(token))
    _read_count(variables, "SMTP_PORT", ("smtp", "port"), 465, said)
    _read_nested(variables, said)


def _flag(variables: Variables, name: str, said: Said) -> bool:
    word = variables[name].lower()
    if word not in TRUE | FALSE:
        said.notes.append(f"{variables.origin(name)}: {variables[name]!r} is neither true nor false; false is used")
    return word in TRUE


def _read_count(variables: Variables, name: str, key: tuple[str, ...], default: int, said: Said) -> None:
    """A number that is not worth a refusal to start."""
    text = variables[name]
    if re.fullmatch(r"\d{1,5}", text, re.ASCII):
        said.put(key, int(text), variables.origin(name))
    elif text:
        said.notes.append(f"{variables.origin(name)}: {text!r} is not a whole number; {default} is used")


def _read_nested(variables: Variables, said: Said) -> None:
    """``DRAGOMAN__LIMITS__BODY=16MiB`` sets ``limits.body``."""
    for name in variables:
        if not name.startswith("DRAGOMAN__"):
            continue
        key = tuple(piece.lower() for piece in name.removeprefix("DRAGOMAN__").split("__"))
        if not all(key):
            raise ConfigError("should look like DRAGOMAN__LIMITS__BODY", variables.origin(name))
        said.put(key, variables[name], variables.origin(name))


def _read_log(variables: Variables, said: Said) -> None:
    if "LOG_LEVEL" in variables:
        word = variables["LOG_LEVEL"].upper()
        level = _LEVEL_NAMES.get(word, word)
        if level not in _LEVELS:
            said.notes.append(
                f"{variables.origin('LOG_LEVEL')}: {variables['LOG_LEVEL']!r} is not a level; INFO is used"
            )
            level = "INFO"
        said.put(("log", "level"), level, variables.origin("LOG_LEVEL"))
    if "DEBUG" in variables and _flag(variables, "DEBUG", said):
        said.put(("log", "level"), "DEBUG", variables.origin("DEBUG"))
    if variables.blank("LOG_FILE_PATH"):
        said.put(("log", "json_file"), "", "LOG_FILE_PATH")
    _read_count(variables, "LOG_FILE_BACKUP_COUNT", ("log", "backup_count"), 7, said)
    if "LOG_FILE_MAX_BYTES" in variables:
        _read_max_bytes(variables, said)


def _read_max_bytes(variables: Variables, said: Said) -> None:
    name = "LOG_FILE_MAX_BYTES"
    try:
        size = read_size(variables[name])
    except ValueError as error:
        said.notes.append(f"{variables.origin(name)}: {error}; files are closed at midnight only")
        return
    if size:
        said.put(("log", "max_bytes"), size, variables.origin(name))
