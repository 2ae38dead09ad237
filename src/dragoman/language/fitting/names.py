"""Tool names a target accepts, and the way back to the client's own.

A name goes out flattened (``namespace__name``) and shortened where the target needs it, always in
the same way, so that a conversation's prefix stays the same (T14), and never so that two tools meet
under one name (R19, C15). This module must not know any wire.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from dragoman.language.failures import Refused
from dragoman.language.ir import Tool, ToolKind
from dragoman.language.profiles import Profile

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_GEMINI = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


class Original(NamedTuple):
    """How the client knows a tool."""

    name: str
    namespace: str
    kind: ToolKind


class ToolNames:
    """What the target's tool names stand for.

    ``back`` maps a name on the target's wire to the client's tool, for tools whose name, namespace
    or kind differ; other names mean themselves.
    """

    __slots__ = ("_forward", "_profile", "back")

    def __init__(self, profile: Profile | None = None) -> None:
        self.back: dict[str, Original] = {}
        self._forward: dict[tuple[str, str], str] = {}
        self._profile = profile

    @property
    def empty(self) -> bool:
        """Every name means itself: nothing is to be restored."""
        return not self.back

    def wire(self, name: str, namespace: str = "") -> str:
        """The name under which the target knows a tool, defined or only remembered in history."""
        known = self._forward.get((namespace, name))
        if known is not None:
            return known
        if self._profile is None:
            return name
        return _spelled(_flat(name, namespace, self._profile), self._profile)

    def chosen(self, name: str) -> str | None:
        """The target's name of a defined tool that a choice names without its namespace."""
        known = self._forward.get(("", name))
        if known is not None:
            return known
        for (namespace, own), wire in self._forward.items():
            if name in (own, f"{namespace}__{own}", f"{namespace}.{own}"):
                return wire
        return None

    def define(self, tools: list[tuple[int, Tool]]) -> None:
        """Name the tools, given with their place in the client's list. Raises Refused on a collision."""
        assert self._profile is not None
        taken: dict[str, Tool] = {}
        odd: list[tuple[str, Tool]] = []
        for place, tool in tools:
            flat = _flat(tool.name, tool.namespace, self._profile)
            if not is_plain(flat, self._profile):
                odd.append((flat, tool))
            elif flat in taken and not self._profile.namespaces:
                raise Refused(f"tools[{place}]", f"two tools would both be called {flat}")
            else:
                taken[flat] = tool
                self._register(tool, flat)
        for flat, tool in odd:
            size = 8
            while (wire := _spelled(flat, self._profile, size)) in taken:
                size += 4
            taken[wire] = tool
            self._register(tool, wire)

    def _register(self, tool: Tool, wire: str) -> None:
        assert self._profile is not None
        self._forward[tool.namespace, tool.name] = wire
        flattened = bool(tool.namespace) and not self._profile.namespaces
        unwrapped = tool.kind == "custom" and not self._profile.custom_tools
        if wire != tool.name or flattened or unwrapped:
            self.back[wire] = Original(tool.name, tool.namespace, tool.kind)


def is_plain(name: str, profile: Profile) -> bool:
    """Whether the target takes the name as it is."""
    form = _GEMINI if profile.dialect == "gemini" else _PLAIN
    return len(name) <= profile.tool_name_limit and form.fullmatch(name) is not None


def _flat(name: str, namespace: str, profile: Profile) -> str:
    return f"{namespace}__{name}" if namespace and not profile.namespaces else name


def _spelled(flat: str, profile: Profile, size: int = 8) -> str:
    """A readable beginning and ``size`` digits that tell it from its like; a plain name stays."""
    if size == 8 and is_plain(flat, profile):
        return flat
    readable = _FOREIGN.sub("_", flat)
    if not readable[:1].isalpha():
        readable = f"_{readable}"
    digits = hashlib.sha256(flat.encode("utf-8", "surrogatepass")).hexdigest()[:size]
    return f"{readable[: profile.tool_name_limit - size - 1]}_{digits}"
