"""Which conversation a call belongs to, so that it stays where its prompt is cached (traps K06, T15).

Nothing here identifies a person, and an id that changes with every request is never used. It must
not know targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from dragoman.language.ir import Json, Media, Request, Text
from dragoman.language.wire import decode

_HEADERS = ("x-claude-code-session-id",)
_LATER_HEADERS = ("session-id", "session_id", "thread-id", "x-session-id", "x-codex-window-id")
_COMPACTED = "x-claude-code-context-compacted"
_HEAD = 4096
"""Characters of the first words that tell one conversation from another."""


def conversation_of(headers: Mapping[str, str], body: Mapping[str, Json], request: Request) -> str:
    """A short stable name of the conversation: 32 hexadecimal digits. Never empty.

    The client's own word counts first: a session header, the session in ``metadata.user_id``,
    ``prompt_cache_key``, ``conversation``; else the beginning of the conversation itself.
    """
    return _short(session_of(headers, body) or _beginning(request))


def session_of(headers: Mapping[str, str], body: Mapping[str, Json]) -> str:
    """The client's own word for the conversation, empty when it has none."""
    return _from(headers, _HEADERS) or _session(body) or _from(headers, _LATER_HEADERS) or _named(body)


def was_compacted(headers: Mapping[str, str]) -> bool:
    """Whether the client has just rewritten its history, so that no cache of it is worth a visit (trap C07)."""
    return headers.get(_COMPACTED, "").strip().lower() in ("1", "true")


def _from(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((headers[name] for name in names if headers.get(name)), "")


def _session(body: Mapping[str, Json]) -> str:
    """Claude Code's ``metadata.user_id``: a JSON text, or words joined by ``_session_`` in older versions."""
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str):
        return ""
    if user.startswith("{"):
        try:
            fields = decode(user.encode("utf-8", "surrogatepass"))
        except ValueError:
            return ""
        session = fields.get("session_id") if isinstance(fields, dict) else None
        return session if isinstance(session, str) else ""
    return user.rpartition("_session_")[2] if "_session_" in user else ""


def _named(body: Mapping[str, Json]) -> str:
    key = body.get("prompt_cache_key")
    if isinstance(key, str) and key:
        return key
    conversation = body.get("conversation")
    named = conversation.get("id") if isinstance(conversation, dict) else conversation
    return named if isinstance(named, str) else ""


def _beginning(request: Request) -> str:
    """The first words of the system and of the user: they stay while the conversation grows."""
    seen: list[str] = []
    for message in request.messages:
        if message.role not in ("system", "user"):
            break
        for part in message.parts:
            if isinstance(part, Text):
                # Claude Code's first system block changes with every run.
                if not part.text.startswith("x-anthropic-billing-header"):
                    seen.append(part.text[:_HEAD])
            elif isinstance(part, Media):
                seen.append(part.value[:_HEAD])
        if message.role == "user":
            break
    return "\x00".join(seen)


def _short(word: str) -> str:
    return blake2b(word.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
