"""What the whole suite shares: the table of pass rates at the end of a run."""

from __future__ import annotations

from typing import Any

from tests import corpus
from tests.contract import rates


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many recorded exchanges hold each part of the contract."""
    if rates.TABLE:
        terminalreporter.section("recorded exchanges")
        terminalreporter.write_line(rates.rendered())
    elif not corpus.available():
        terminalreporter.write_line("the recorded corpus (../shared/corpus) is not here: its tests were skipped")
