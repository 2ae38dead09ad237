"""What the strict upstreams share: keyed signatures, what a model says, and what it was told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any


class StrictlyRefused(Exception):
    """The upstream's 400."""


def require(fits: object, why: str) -> None:
    """Refuse unless it fits."""
    if not fits:
        raise StrictlyRefused(why)


@dataclass
class Call:
    """A call a model makes; the upstream gives it an id of its own kind."""

    name: str
    arguments: dict[str, Any]


@dataclass
class Say:
    """What a model says in one turn."""

    thought: str = ""
    text: str = ""
    calls: list[Call] = field(default_factory=list)


@dataclass
class History:
    """What a model was told: calls as (id, name, arguments), results by place as (words, failed, images)."""

    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    results: dict[int, tuple[str, bool, int]] = field(default_factory=dict)
    images: int = 0
    thoughts: list[str] = field(default_factory=list)

    def answer(self, identifier: str, words: str, failed: bool, images: int) -> None:
        """Give the result to the latest call of the id."""
        place = max(at for at, (known, _, _) in enumerate(self.calls) if known == identifier)
        self.results[place] = words, failed, images


class Strict(ABC):
    """One account. ``secret`` signs; ``family`` of a model is part of what is signed."""

    def __init__(self, account: str, secret: str = "") -> None:
        self.account = account
        self._secret = (secret or account).encode()
        self._count = 0

    @abstractmethod
    def check(self, model: str, body: dict[str, Any]) -> History:
        """What the model was told. Raises StrictlyRefused."""

    @abstractmethod
    def answer(self, model: str, body: dict[str, Any], say: Say) -> dict[str, Any]:
        """The whole answer."""

    @abstractmethod
    def stream(self, answer: dict[str, Any]) -> list[bytes]:
        """The same answer in pieces."""

    @abstractmethod
    def refusal(self, why: str) -> dict[str, Any]:
        """The body of a 400."""

    def sign(self, model: str, *facts: str) -> str:
        """A signature only this account's family can have made."""
        text = "\0".join((family_of(model), *facts))
        return base64.b64encode(hmac.new(self._secret, text.encode(), hashlib.sha256).digest()).decode()

    def number(self) -> int:
        """A number nobody here has had."""
        self._count += 1
        return self._count


FAMILIES = (
    "haiku-4-5", "opus-4-8", "sonnet-4-6", "gpt-5", "o3", "gpt-4.1", "gemini-2.5", "gemini-3", "kimi", "mistral",
    "deepseek", "claude-sonnet-4.5",
)  # fmt: skip


def family_of(model: str) -> str:
    """The family a model belongs to."""
    return next(family for family in FAMILIES if family in model)


def words_of(content: Any, kind: str = "text") -> str:
    """The words of a string or a list of blocks."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if kind in block.get("type", "text"))


def fits(identifier: str, pattern: str) -> bool:
    """Whether an id or name is of the form."""
    return re.fullmatch(pattern, identifier) is not None


def sse(*payloads: Any, done: bool = False, named: bool = False) -> list[bytes]:
    """Payloads as events."""
    frames = []
    for payload in payloads:
        head = f"event: {payload['type']}\n" if named else ""
        frames.append(f"{head}data: {json.dumps(payload)}\n\n".encode())
    return frames + ([b"data: [DONE]\n\n"] if done else [])


def halves(text: str) -> list[str]:
    """A text in two pieces."""
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]
