"""The small form of the run of memory (``python -m tests.fault.memory``), and what cleans up (K10)."""

from __future__ import annotations

import sys

import pytest

from tests.fault import memory


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
async def test_K10_streams_while_the_store_takes_nothing_leave_memory_where_it_was() -> None:
    verdict = await memory.run(1_000, 30)
    assert verdict.good, verdict
    assert verdict.answered == 1_000
    assert verdict.connections <= 30, "connections to the provider are used again"
