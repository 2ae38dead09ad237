"""Every row of the compatibility contract, and every trap of keys and usage, that must hold has a test with its id.

Ids of rows stand in test names with an underscore (``test_T_12_...``, ``test_C_44_...``) or, of cases of one test,
in its parameters (``"C-46 Azure"``); ids of traps without (``test_K03_...``). A row without one is an open promise.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

REQUIRED = [
    *(f"T-{number:02}" for number in range(1, 61)),
    *(f"T-{number:02}" for number in range(62, 68)),
    *(f"C-{number:02}" for number in range(1, 65)),
    "C-67",
    *(f"C-{number:02}" for number in range(68, 83)),
    "T-68", "T-69", "T-70", "C-83", "C-84", "C-87", "C-88", "C-89", "C-90", "C-94", "C-97", "C-104",
]  # fmt: skip

BEGUN = ["C-65", "C-66", "T-61"]
"""Rows of which a half holds now, the calls behind the page, and the other with the page."""

TRAPS = [*(f"K{number:02}" for number in range(1, 12)), *(f"U{number:02}" for number in range(1, 12))]
"""Keys, budgets, metering, operations; usage and token counting."""

LATER = {
    "the admin page": [65, 66],
    "packaging and images": [85, 86, 91],
    "the command line: reload, doctor, live suites": [92, 93, 98, 99, 101],
    "the manual and the package": [95, 96, 100, 102, 103, 105, 106, 107, 108],
}
"""C rows of later parts."""

LATER_TRAPS = {
    "the admin page": [61],
    "load and soak": [71, 72],
    "packaging and images": [73, 74],
    "the command line": [75],
}
"""T rows of later parts."""

_NAME = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
_ID = re.compile(r"(?<![A-Za-z0-9])([TC])_(\d\d\d?)(?=_|$)")
_TRAP = re.compile(r"(?<![A-Za-z0-9])([KU]\d\d)(?=_|$)")
_CASE = re.compile(r'^    "((?:[TC]-\d\d\d?\b[^"]*))"', re.MULTILINE)


def named() -> dict[str, list[str]]:
    """The tests of each id."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8")
        for name in _NAME.findall(text):
            for letter, number in _ID.findall(name):
                found.setdefault(f"{letter}-{number}", []).append(f"{path.name}::{name}")
            for trap in _TRAP.findall(name):
                found.setdefault(trap, []).append(f"{path.name}::{name}")
        for case in _CASE.findall(text):
            found.setdefault(case.split()[0], []).append(f"{path.name}[{case}]")
    return found


FOUND = named()


@pytest.mark.parametrize("row", [*REQUIRED, *BEGUN, *TRAPS])
def test_each_row_has_a_test_with_its_id(row: str) -> None:
    assert FOUND.get(row), f"no test carries {row}"


def test_every_row_is_either_required_or_of_a_later_part() -> None:
    later = {f"C-{number:02}" for numbers in LATER.values() for number in numbers}
    later |= {f"T-{number:02}" for numbers in LATER_TRAPS.values() for number in numbers}
    assert not later & set(REQUIRED)
    assert set(BEGUN) <= later
    every = {f"C-{number:02}" for number in range(1, 109)} | {f"T-{number:02}" for number in range(1, 76)}
    assert later | set(REQUIRED) == every


def test_no_test_carries_an_id_that_is_no_row() -> None:
    rows = {f"C-{number:02}" for number in range(1, 109)} | {f"T-{number:02}" for number in range(1, 76)}
    assert not FOUND.keys() - rows - set(TRAPS)
