"""The small forms of the fault runs; the large ones are commands (``python -m tests.fault.exactness``, ``.kill``)."""

from __future__ import annotations

import pytest

from tests.fault import exactness, kill
from tests.store.engines import ENGINES, Postgres, postgres, run_apart

__all__ = ["postgres"]


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    """Empty for SQLite, which gets a file of its own."""
    if request.param == "sqlite":
        return ""
    server: Postgres = request.getfixturevalue("postgres")
    made: str = run_apart(server.make(template="template0"))
    return made


@pytest.mark.slow
async def test_K04_K05_N2_mixed_calls_are_booked_to_the_token(url: str) -> None:
    verdict, lines = await exactness.run(400, 50, 3, url)
    assert verdict.wrong == [], "\n".join(lines)
    assert (verdict.open, verdict.quarantined) == (0, 0)
    assert verdict.rows > 400


@pytest.mark.slow
async def test_D4_D5_K05_after_kills_every_call_is_booked(url: str) -> None:
    verdict, lines = await kill.run(3, 20, 4, url)
    assert verdict.wrong == [], "\n".join(lines)
    assert (verdict.open, verdict.quarantined) == (0, 0)
    assert verdict.kinds.get("recovered", 0) > 0
