"""What each environment variable means: names that earlier proxies made known, and ours.

Turns them into the same tree that the file has, together with the providers they make. A wrong value
is one clear line; a doubtful one a note. It must not know the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from dragoman.settings.addresses import check_base, reach_of_host
from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError

TRUE = frozenset({"true", "1", "yes", "on"})
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
_LEVEL_NAMES = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG", "VERBOSE": "DEBUG"}
_WORDS = ("openai", "google", "azure", "anthropic")
_ENDPOINT = re.compile(r"/+(chat/completions|responses|messages)/*$")

_CHOICES = {
    "DRAGOMAN_AUTH": (("auth", "mode"), ("auto", "required", "open")),
    "DRAGOMAN_UNMAPPED_MODEL": (("models", "unmapped"), ("error", "default", "passthrough", "small")),
    "DRAGOMAN_REASONING": (("reasoning",), ("thinking", "text", "drop")),
}
_TEXTS = {
    "DRAGOMAN_CONTENT_FILTER_STOP": ("content_filter_stop",),
    "DRAGOMAN_DB": ("database",),
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
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
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
    _make_providers(variables, said)
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
    if ("BIG_MODEL_NAME" in variables) != ("SMALL_MODEL_NAME" in variables) and not variables.first(
        "BIG_MODEL", "SMALL_MODEL"
    ):
        said.notes.append("only one of BIG_MODEL_NAME and SMALL_MODEL_NAME is set; it serves both")


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
    for name, key in _WHOLE.items():
        if name in variables:
            said.put(key, _whole(variables, name, "a whole number"), variables.origin(name))
    if "TIMEOUT" in variables:
        said.put(("timeout",), variables["TIMEOUT"], variables.origin("TIMEOUT"))
    token = variables.first("ANTHROPIC_AUTH_TOKEN", "AUTH_TOKEN")
    if token:
        said.put(("auth", "token"), variables[token], variables.origin(token))
    _read_nested(variables, said)


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
    if variables["DEBUG"].lower() in TRUE:
        said.put(("log", "level"), "DEBUG", variables.origin("DEBUG"))
    if variables["DRAGOMAN_LOG_BODIES"].lower() in TRUE:
        said.put(("log", "bodies"), True, variables.origin("DRAGOMAN_LOG_BODIES"))


# ---------------------------------------------------------------- providers


def _make_providers(variables: Variables, said: Said) -> None:
    preferred = variables["PREFERRED_PROVIDER"].lower()
    if preferred == "openai" or variables.first(
        "OPENAI_API_KEY", "OPENAI_BASE_URL", "BASE_URL", "OPENAI_MODEL", "BIG_MODEL_NAME", "SMALL_MODEL_NAME"
    ):
        said.providers["openai"] = _openai(variables)
    if preferred == "azure" or variables.first("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"):
        said.providers["azure"] = _azure(variables)
    if variables["USE_VERTEX_AUTH"].lower() in TRUE:
        said.providers["vertex"] = _vertex(variables)
    elif preferred == "google" or "GEMINI_API_KEY" in variables:
        said.providers["gemini"] = _keyed(variables, "gemini", "GEMINI_API_KEY")
    if preferred == "anthropic" or "ANTHROPIC_API_KEY" in variables:
        said.providers["anthropic"] = _keyed(variables, "anthropic", "ANTHROPIC_API_KEY")


def _keyed(variables: Variables, kind: str, name: str) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": kind, "origin": name, "allow_private": True}
    if name in variables:
        said["api_key"] = variables[name]
    else:
        said["missing"] = name
    return said


def _openai(variables: Variables) -> dict[str, Any]:
    said = _keyed(variables, "openai", "OPENAI_API_KEY")
    name = variables.first("OPENAI_BASE_URL", "BASE_URL")
    if name:
        url = _ENDPOINT.sub("", variables[name].rstrip("/")).rstrip("/")
        base = _checked(url, variables.origin(name))
        said["origin"] = "OPENAI_API_KEY" if "OPENAI_API_KEY" in variables else name
        # A bare host is meant as it stands here; a full endpoint says so.
        said["base_url"] = url if base.path else f"{url}/chat/completions"
        if base.host != "api.openai.com":
            said["kind"] = "openai_compatible"
        if reach_of_host(base.host) == "private":
            said.pop("missing", None)
    elif "OPENAI_API_KEY" not in variables:
        said["origin"] = (
            variables.first("OPENAI_MODEL", "BIG_MODEL_NAME", "SMALL_MODEL_NAME", "PREFERRED_PROVIDER")
            or "OPENAI_API_KEY"
        )
    headers = {"X-Title": variables["APP_NAME"], "HTTP-Referer": variables["REFERRER_URL"]}
    said["headers"] = {header: value for header, value in headers.items() if value}
    return said


def _azure(variables: Variables) -> dict[str, Any]:
    said = _keyed(variables, "azure_openai", "AZURE_OPENAI_API_KEY")
    said["origin"] = "AZURE_OPENAI_ENDPOINT"
    endpoint = variables["AZURE_OPENAI_ENDPOINT"]
    if endpoint:
        _checked(endpoint, variables.origin("AZURE_OPENAI_ENDPOINT"))
        said["base_url"] = endpoint
    else:
        said["missing"] = " and ".join(filter(None, ("AZURE_OPENAI_ENDPOINT", said.get("missing", ""))))
    said["api_version"] = variables["AZURE_API_VERSION"]
    return said


def _vertex(variables: Variables) -> dict[str, Any]:
    missing = [name for name in ("VERTEX_PROJECT", "VERTEX_LOCATION") if name not in variables]
    return {
        "kind": "vertex",
        "origin": "USE_VERTEX_AUTH",
        "allow_private": True,
        "project": variables["VERTEX_PROJECT"],
        "location": variables["VERTEX_LOCATION"],
        "missing": " and ".join(missing),
    }


def _checked(url: str, origin: str) -> Any:
    try:
        return check_base(url, allow_private=True)
    except ValueError as error:
        raise ConfigError(str(error), origin) from None
