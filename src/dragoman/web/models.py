"""The list of models, in the shape the asking client knows (trap C05).

https://docs.anthropic.com/en/api/models-list
https://platform.openai.com/docs/api-reference/models/list
https://ai.google.dev/api/models

It must not know providers: names come from a source it is given.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dragoman.store.accounts.model import ANONYMOUS, Caller
from dragoman.web.surfaces import ANTHROPIC, CHAT, GEMINI

_PERMISSION = {
    "id": "modelperm-dragoman",
    "object": "model_permission",
    "created": 1700000000,
    "allow_create_engine": False,
    "allow_sampling": True,
    "allow_logprobs": True,
    "allow_search_indices": False,
    "allow_view": True,
    "allow_fine_tuning": False,
    "organization": "*",
    "group": None,
    "is_blocking": False,
}
_WORDS = re.compile(r"[-_/]+")


@dataclass(frozen=True, slots=True)
class Model:
    """One name a client may ask for.

    ``display_name`` is made from the id where nobody gave one. ``claude_id`` is another name of the
    same model, for clients that list only what is called after Claude.
    """

    id: str
    description: str = ""
    display_name: str = ""
    claude_id: str = ""


Names = Callable[[], Awaitable[Sequence[Model]]]
Permitted = Callable[[str, Caller], bool]
"""Whether a caller may use a name."""


def client_shape(dialect: str, headers: Mapping[str, str]) -> str:
    """The dialect in which a client wants its list."""
    if "anthropic-version" in headers:
        return ANTHROPIC
    return GEMINI if dialect == GEMINI or "x-goog-api-key" in headers else CHAT


class Catalog:
    """The list. ``created`` is one fixed time, so that the list does not change between two askings.

    A caller is shown what it is ``permitted``, and nothing else.
    """

    def __init__(self, names: Names, created: int, permitted: Permitted = lambda name, caller: True) -> None:
        self._names = names
        self._created = created
        self._permitted = permitted

    async def listed(self, shape: str, caller: Caller = ANONYMOUS) -> dict[str, Any]:
        """The caller's whole list in a dialect's shape."""
        models = await self._of(caller)
        if shape == ANTHROPIC:
            models = list(_with_claude_ids(models))
        entries = [self._entry(model, shape) for model in models]
        if shape == ANTHROPIC:
            ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
            return {"data": entries, "has_more": False, "first_id": None, "last_id": None, **ends}
        if shape == GEMINI:
            return {"models": entries}
        return {"object": "list", "data": entries}

    async def listed_for_cursor(self, caller: Caller = ANONYMOUS) -> dict[str, Any]:
        """The caller's list as it stands on Cursor's own path."""
        entries = [
            {"id": model.id, "object": "model", "created": 0, "owned_by": "cursor"} for model in await self._of(caller)
        ]
        return {"object": "list", "data": entries}

    async def _of(self, caller: Caller) -> list[Model]:
        models = await self._names()
        if not any(scope.rules.models for scope in caller.scopes):
            return list(models)
        return [model for model in models if self._permitted(model.id, caller)]

    async def one(self, name: str, shape: str, caller: Caller = ANONYMOUS) -> dict[str, Any] | None:
        """One entry, or None."""
        models = await self._of(caller)
        return next((self._entry(model, shape) for model in _with_claude_ids(models) if model.id == name), None)

    def _entry(self, model: Model, shape: str) -> dict[str, Any]:
        if shape == ANTHROPIC:
            moment = datetime.fromtimestamp(self._created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return {
                "type": "model",
                "id": model.id,
                "display_name": model.display_name or display_name(model.id),
                "description": model.description,
                "created_at": moment,
            }
        if shape == GEMINI:
            return {
                "name": f"models/{model.id}",
                "version": "1",
                "displayName": model.display_name or display_name(model.id),
                "description": model.description,
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            }
        return {
            "id": model.id,
            "object": "model",
            "created": self._created,
            "owned_by": "openai",  # whoever serves it: clients know no other word
            "permission": [_PERMISSION],
            "root": model.id,
            "parent": None,
        }


def _with_claude_ids(models: Sequence[Model]) -> Iterator[Model]:
    """Every model, and behind it once more under its Claude-like name where that differs."""
    seen = {model.id for model in models}
    for model in models:
        yield model
        if model.claude_id and model.claude_id not in seen:
            seen.add(model.claude_id)
            shown = model.display_name or display_name(model.id)
            yield replace(model, id=model.claude_id, display_name=shown)


def display_name(name: str) -> str:
    """A readable name: ``claude-sonnet-4-5`` becomes ``Claude Sonnet 4 5``."""
    return " ".join(word[:1].upper() + word[1:] for word in _WORDS.split(name) if word)
