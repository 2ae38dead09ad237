"""Reads the recorded provider traffic in place; tests that need it skip, saying so, where it is absent."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpus" / "exchanges"

DIALECT_OF = {
    "anthropic-messages": "anthropic",
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "gemini": "gemini",
}
"""Dialect module for each protocol of the corpus."""


def available() -> bool:
    """Whether the recordings are beside the checkout."""
    return FOLDER.is_dir()


@functools.cache
def identifiers() -> tuple[str, ...]:
    """Ids of all exchanges, sorted; empty where the corpus is absent."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json"))) if available() else ()


@functools.lru_cache(maxsize=2048)
def _load(identifier: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{identifier}.json").read_text("utf-8"))
    return loaded


def exchange(identifier: str) -> dict[str, Any]:
    """One exchange by id; skips the test where the corpus is absent."""
    if not available():
        pytest.skip("the recorded corpus (../shared/corpus) is not here")
    return _load(identifier)


def sse_bytes(identifier: str) -> bytes:
    """The raw stream of one exchange."""
    sse: str = exchange(identifier)["response"]["sse"]
    return sse.encode("utf-8", "surrogatepass")


def body_bytes(identifier: str) -> bytes:
    """The raw body of one exchange: JSON, or the text of a body that was none."""
    body = exchange(identifier)["response"]["body"]
    if isinstance(body, dict) and set(body) == {"_raw_text"}:
        return str(body["_raw_text"]).encode()
    return json.dumps(body).encode()
