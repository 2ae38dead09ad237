"""Files of what the database cannot take: what is promised stands in them, whole."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from dragoman.store.ledger.spool import Spool, SpoolFull


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.open()
    return made


def told(spool: Spool) -> list[object]:
    """Everything that waits."""
    path = spool.take()
    return [] if path is None else list(spool.read(path))


def test_D1_a_line_that_had_no_room_was_not_promised_and_spoils_no_other(spool: Spool) -> None:
    """A disk that is nearly full takes the beginning of a line and says so in a number only."""
    spool.append(["first"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(SpoolFull):
            spool.append(["x" * 500])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    spool.append(["last"])
    assert told(spool) == ["first", "last"]
