"""What the whole suite shares: the table of pass rates at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from tests import corpus
from tests.contract import rates


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many recorded exchanges hold each part of the contract."""
    if rates.TABLE:
        terminalreporter.section("recorded exchanges")
        terminalreporter.write_line(rates.rendered())
    elif not corpus.available():
        terminalreporter.write_line("the recorded corpus (../shared/corpus) is not here: its tests were skipped")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its part of the table to whoever prints it."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["rates"] = [[*place, *counts] for place, counts in rates.TABLE.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's part."""
    for check, column, passed, total in getattr(node, "workeroutput", {}).get("rates", []):
        counts = rates.TABLE[check, column]
        counts[0] += passed
        counts[1] += total
