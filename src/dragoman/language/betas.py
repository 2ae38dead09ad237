"""Beta features of Anthropic's wire, each a word in ``anthropic-beta`` and its fields in the body (C02).

A target that does not take a feature refuses the word as an unexpected value and the field as an extra
input, so the two halves go together. Anthropic itself gets everything as it came; only targets whose
profile names the ``betas`` they take come here. Pure; it must not know which target that is.

https://platform.claude.com/docs/en/api/beta-headers
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Fields = dict[str, Any]

_RENAMED = {"advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19"}
"""The first-party bundle, and the name of the part of it that other clouds take."""


def withhold(fields: Fields, words: str, taken: frozenset[str]) -> tuple[Fields, str, tuple[str, ...]]:
    """Body and header without the features a target does not take, and the names of what was left out.

    ``words`` is the header's value, ``taken`` the words the target takes. ``fields`` is not changed.
    """
    kept: list[str] = []
    dropped: list[str] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        name = word if word in taken else _RENAMED.get(word, word)
        if name not in taken:
            dropped.append(f"anthropic-beta: {word}")
        elif name not in kept:
            kept.append(name)
    for family, halves in _HALVES.items():
        if not any(word.startswith(family) for word in taken):
            for half in halves:
                fields, paths = half(fields)
                dropped += paths
    return fields, ",".join(kept), tuple(dropped)


_Half = Callable[[Fields], tuple[Fields, list[str]]]


def _top(*path: str) -> _Half:
    """Removes a field of the body, or of an object in it; an object that it empties goes, too."""

    def remove(fields: Fields) -> tuple[Fields, list[str]]:
        name, *rest = path
        if name not in fields:
            return fields, []
        if not rest:
            return {key: value for key, value in fields.items() if key != name}, [name]
        inner = fields[name]
        if not isinstance(inner, dict) or rest[0] not in inner:
            return fields, []
        less = {key: value for key, value in inner.items() if key != rest[0]}
        fields = {**fields, name: less}
        if not less:
            del fields[name]
        return fields, [".".join(path)]

    return remove


def _tool(name: str) -> _Half:
    """Removes a field of every tool."""

    def remove(fields: Fields) -> tuple[Fields, list[str]]:
        tools = fields.get("tools")
        if not isinstance(tools, list) or not any(isinstance(tool, dict) and name in tool for tool in tools):
            return fields, []
        less = [{k: v for k, v in tool.items() if k != name} if isinstance(tool, dict) else tool for tool in tools]
        return {**fields, "tools": less}, [f"tools[*].{name}"]

    return remove


def _cache_scope(fields: Fields) -> tuple[Fields, list[str]]:
    """Removes ``scope`` from every cache hint."""
    if not any("scope" in hint for hint in _hints(fields)):
        return fields, []
    return {name: _unscoped(fields[name]) if name in _CACHED else fields[name] for name in fields}, [
        "cache_control.scope"
    ]


_CACHED = ("system", "tools", "messages")


def _hints(value: Any) -> Iterator[Fields]:
    if isinstance(value, dict):
        hint = value.get("cache_control")
        if isinstance(hint, dict):
            yield hint
        for name in ("content", *_CACHED):
            yield from _hints(value.get(name))
    elif isinstance(value, list):
        for item in value:
            yield from _hints(item)


def _unscoped(value: Any) -> Any:
    if isinstance(value, list):
        return [_unscoped(item) for item in value]
    if not isinstance(value, dict):
        return value
    less = dict(value)
    hint = less.get("cache_control")
    if isinstance(hint, dict):
        less["cache_control"] = {key: item for key, item in hint.items() if key != "scope"}
    if isinstance(less.get("content"), list):
        less["content"] = _unscoped(less["content"])
    return less


_HALVES: dict[str, tuple[_Half, ...]] = {
    "context-management-": (_top("context_management"),),
    "structured-outputs-": (_top("output_format"), _top("output_config", "format"), _tool("strict")),
    "tool-search-tool-": (_tool("defer_loading"),),
    "tool-examples-": (_tool("input_examples"),),
    "fine-grained-tool-streaming-": (_tool("eager_input_streaming"),),
    "prompt-caching-scope-": (_cache_scope,),
    "mcp-client-": (_top("mcp_servers"),),
    "skills-": (_top("container"),),
    "fast-mode-": (_top("speed"),),
}
"""What stands in the body for a feature, by the undated beginning of its word."""
