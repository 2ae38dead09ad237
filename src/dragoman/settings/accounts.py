"""Accounts that variables describe, and which of them bare model names go to.

A variable that is still missing does not stop the start: the account says what it lacks. It must not
know the configuration file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from dragoman.settings.addresses import Base, check_base, reach_of_host
from dragoman.settings.dotenv import Variables
from dragoman.settings.errors import ConfigError
from dragoman.settings.presets import Choice, Resource
from dragoman.settings.scalars import TRUE

_ORDER = ("openai", "azure", "vertex", "gemini", "anthropic")
_ENDPOINT = re.compile(r"/+(chat/completions|responses|messages)/*$")
_OWN_PAGE = "http://localhost:8080/claude_proxy"
_OWN_NAME = "AnthropicProxy"


@dataclass(slots=True)
class Accounts:
    """``made`` are provider settings by name; ``preferred`` is one of their names, or empty."""

    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    preferred: str = ""
    notes: list[str] = field(default_factory=list)


def make_accounts(variables: Variables, choice: Choice, resource: Resource | None, *, alone: bool) -> Accounts:
    """The accounts of the variables. Raises ConfigError for an address that cannot be one.

    ``alone``: no file names providers, so the account that bare names go to is made even while
    nothing of it is set.
    """
    found = Accounts()
    touched = _touched(variables, resource)
    found.preferred = _preferred(variables, choice, touched, found)
    wanted = {*touched, *([found.preferred] if alone else [])}
    if "CURSOR_AZURE_DEPLOYMENT" in variables and alone:
        wanted.add("azure")
    makers = {
        "openai": lambda: _openai(variables, choice),
        "azure": lambda: _azure(variables, resource, choice),
        "vertex": lambda: _vertex(variables),
        "gemini": lambda: _keyed(variables, "gemini", "GEMINI_API_KEY"),
        "anthropic": lambda: _keyed(variables, "anthropic", "ANTHROPIC_API_KEY"),
    }
    found.made = {name: makers[name]() for name in _ORDER if name in wanted}
    if found.preferred not in found.made:
        found.preferred = ""
    return found


def _touched(variables: Variables, resource: Resource | None) -> list[str]:
    vertex = variables["USE_VERTEX_AUTH"].lower() in TRUE
    said = {
        "openai": bool(variables.first("OPENAI_API_KEY", "OPENAI_BASE_URL", "BASE_URL")),
        "azure": resource is not None or bool(variables.first("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")),
        "vertex": vertex,
        "gemini": "GEMINI_API_KEY" in variables and not vertex,
        "anthropic": "ANTHROPIC_API_KEY" in variables,
    }
    return [name for name in _ORDER if said[name]]


def _preferred(variables: Variables, choice: Choice, touched: list[str], found: Accounts) -> str:
    word = variables["PREFERRED_PROVIDER"].lower()
    if word:
        google = "vertex" if "vertex" in touched else "gemini"
        return google if word == "google" else word
    name = choice.preset.provider
    if not name:
        return touched[0] if len(touched) == 1 else ""
    if name not in touched and choice.preset.moves and touched:
        return touched[0]
    if name == "openai" and "azure" in touched and choice.preset.moves:
        found.notes.append("OpenAI and Azure are both set up; openai is used (PREFERRED_PROVIDER=azure for the other)")
    return name


# ---------------------------------------------------------------- one account


def _keyed(variables: Variables, kind: str, name: str) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": kind, "origin": name, "allow_private": True}
    if name in variables:
        said["api_key"] = variables[name]
    else:
        said["missing"] = name
    return said


def _openai(variables: Variables, choice: Choice) -> dict[str, Any]:
    said = _keyed(variables, "openai", "OPENAI_API_KEY")
    name = variables.first("OPENAI_BASE_URL", "BASE_URL")
    url = variables[name] if name else choice.preset.base_url
    if url:
        _settle(said, url, variables.origin(name))
    if "OPENAI_API_KEY" not in variables:
        said["origin"] = name or choice.marker or "OPENAI_API_KEY"
    said["headers"] = _introduction(variables, introduces=choice.preset.introduces)
    return said


def _settle(said: dict[str, Any], url: str, origin: str) -> None:
    url = _ENDPOINT.sub("", url.rstrip("/")).rstrip("/")
    base = _checked(url, origin)
    # A bare host is meant as it stands here; a full endpoint says so.
    said["base_url"] = url if base.path else f"{url}/chat/completions"
    if base.host != "api.openai.com":
        said["kind"] = "openai_compatible"
    if reach_of_host(base.host) == "private":
        said.pop("missing", None)


def _introduction(variables: Variables, *, introduces: bool) -> dict[str, str]:
    name = variables["APP_NAME"] or (_OWN_NAME if introduces else "")
    page = variables["REFERRER_URL"] or (_OWN_PAGE if introduces else "")
    return {header: value for header, value in (("X-Title", name), ("HTTP-Referer", page)) if value}


def _azure(variables: Variables, resource: Resource | None, choice: Choice) -> dict[str, Any]:
    said: dict[str, Any] = {
        "kind": "azure_openai",
        "allow_private": True,
        "api_version": variables["AZURE_API_VERSION"],
    }
    endpoint, key = variables["AZURE_OPENAI_ENDPOINT"], variables["AZURE_OPENAI_API_KEY"]
    names = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")
    said["origin"] = variables.first(*names) or choice.marker or names[0]
    if endpoint:
        _checked(endpoint, variables.origin(names[0]))
    if resource is not None:
        said["deployments"] = resource.deployments
        if "api-version=" not in endpoint.lower():
            said["api_version"] = said["api_version"] or resource.api_version
        if not endpoint:
            # A key goes only where it belongs: the resource's never to an endpoint that a variable names.
            endpoint, key, names = resource.endpoint, key or resource.api_key, resource.names
            said["origin"] = resource.origin
    said["base_url"] = endpoint
    if key:
        said["api_key"] = key
    said["missing"] = " and ".join(name for name, value in zip(names, (endpoint, key), strict=True) if not value)
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


def _checked(url: str, origin: str) -> Base:
    try:
        return check_base(url, allow_private=True)
    except ValueError as error:
        raise ConfigError(str(error), origin) from None
