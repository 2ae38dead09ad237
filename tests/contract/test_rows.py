"""Every dialect stands in every table of the contract and has recordings, so that none passes untried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dragoman.language.registry import DIALECTS
from tests import corpus
from tests.contract import sdks, views, wires
from tests.contract.test_identity import exchanges


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_dialect_stands_in_every_table(dialect: str) -> None:
    tables: dict[str, Mapping[str, Any]] = {
        "wires.CLIENT_REQUESTS": wires.CLIENT_REQUESTS,
        "wires.FINISH": wires.FINISH,
        "wires.TARGETS": wires.TARGETS,
        "views.STREAM_VIEWS": views.STREAM_VIEWS,
        "views.BODY_VIEWS": views.BODY_VIEWS,
        "sdks.STREAM_SDKS": sdks.STREAM_SDKS,
        "sdks.BODY_SDKS": sdks.BODY_SDKS,
    }
    assert not [name for name, table in tables.items() if dialect not in table]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_dialect_has_recordings(dialect: str) -> None:
    lacking = [kind for kind in ("request", "body", "stream", "error") if not exchanges(dialect, kind)]
    if dialect in ("anthropic", "openai_chat", "openai_responses", "gemini") and not corpus.available():
        pytest.skip("the recorded corpus (../shared/corpus) is not here")
    assert not lacking, f"tests/recordings needs a {' and a '.join(lacking)} of {dialect}"
