"""What a coding agent says about its call in headers (traps C06, C07).

Hints are hints: nobody is identified by them, a missing one means nothing, a malformed one is no
error, and none of them is sent to a provider of another vendor. It must not know routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from dragoman.language.wire import decode
from dragoman.settings.routes import MaybeClass, RequestClass

_PREFIX = "x-claude-code-"
_MAX_DURATIONS = 32
_MAX_WORD = 256
_CLASSES: dict[str, RequestClass] = {
    "auxiliary": "background",
    "background": "background",
    "subagent": "subagent",
    "compaction": "compaction",
}


@dataclass(frozen=True, slots=True)
class Hints:
    """Words of the client, each empty when not said. ``durations`` are by tool, as the client counts."""

    session: str = ""
    agent: str = ""
    parent_agent: str = ""
    agent_type: str = ""
    prompt: str = ""
    request_class: MaybeClass = ""
    durations: Mapping[str, float] | None = None


NO_HINTS = Hints()


def read_hints(headers: Mapping[str, str]) -> Hints:
    """Hints of Claude Code and Codex."""
    codex = headers.get("x-codex-turn-metadata")
    if codex is None and not any(name.startswith(_PREFIX) for name in headers):
        return NO_HINTS
    agent = _word(headers, "agent-id")
    return Hints(
        session=_word(headers, "session-id") or headers.get("session-id", "")[:_MAX_WORD],
        agent=agent,
        parent_agent=_word(headers, "parent-agent-id"),
        agent_type=_word(headers, "agent-type"),
        prompt=_word(headers, "prompt-id"),
        request_class=_class_of(headers, agent, codex),
        durations=_durations(headers.get(_PREFIX + "prev-tool-durations", "")),
    )


def _word(headers: Mapping[str, str], name: str) -> str:
    return headers.get(_PREFIX + name, "").strip()[:_MAX_WORD]


def _class_of(headers: Mapping[str, str], agent: str, codex: str | None) -> MaybeClass:
    if _word(headers, "compaction").lower() in ("1", "true") or _codex_kind(codex) == "compaction":
        return "compaction"
    said = _CLASSES.get(_word(headers, "request-class").lower())
    return said or ("subagent" if agent else "")


def _codex_kind(metadata: str | None) -> str:
    if not metadata:
        return ""
    try:
        fields = decode(metadata.encode("utf-8", "surrogatepass"))
    except ValueError:
        return ""
    kind = fields.get("request_kind") if isinstance(fields, dict) else None
    return kind if isinstance(kind, str) else ""


def _durations(text: str) -> dict[str, float] | None:
    """``Bash=120;Read=5``: what is malformed is left out."""
    found: dict[str, float] = {}
    for entry in text.split(";")[:_MAX_DURATIONS]:
        name, equals, value = entry.partition("=")
        try:
            if equals and name.strip():
                found[unquote(name.strip())] = float(value)
        except ValueError:
            continue
    return found or None
