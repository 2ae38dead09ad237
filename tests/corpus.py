"""Reads recorded provider traffic: the corpus beside the checkout, and what ``tests/recordings`` holds.

Tests that need the corpus skip, saying so, where it is absent. A file of ``tests/recordings`` is one exchange
of a dialect that the corpus does not know::

    {"protocol": "<dialect>", "model": "...",
     "request": {"body": {...}},
     "response": {"status": 200, "body": {...}}}

``sse`` instead of ``body`` holds the raw text of a stream; ``headers_subset`` may hold an answer's headers.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.language.registry import DIALECTS

FOLDER = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpus" / "exchanges"
OWN = Path(__file__).with_name("recordings")

DIALECT_OF = {
    "anthropic-messages": "anthropic",
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    **{name: name for name in DIALECTS},
}
"""Dialect module for each protocol of the corpus, and for itself."""


def available() -> bool:
    """Whether the recordings are beside the checkout."""
    return FOLDER.is_dir()


@functools.cache
def identifiers() -> tuple[str, ...]:
    """Ids of all exchanges, sorted; only those of our own where the corpus is absent."""
    return tuple(sorted(path.stem for folder in (FOLDER, OWN) for path in folder.glob("*.json")))


@functools.lru_cache(maxsize=2048)
def _load(identifier: str) -> dict[str, Any]:
    own = OWN / f"{identifier}.json"
    path = own if own.exists() else FOLDER / own.name
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def exchange(identifier: str) -> dict[str, Any]:
    """One exchange by id; skips the test where the corpus is absent."""
    if not available() and identifier not in identifiers():
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
