"""Pass rates of the contract: gathered while tests run, printed at the end, held to a committed list.

``explained.txt`` holds one line per exchange below the mark: ``check exchange reason``, the check with
dashes for blanks. A
test fails when an exchange fails that is not explained, and when one is explained that passes.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

LIST = Path(__file__).with_name("explained.txt")
TABLE: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
"""(check, column) -> [passed, total]."""


@functools.lru_cache(maxsize=1)
def explained() -> dict[tuple[str, str], str]:
    """The committed list: (check, exchange) -> reason."""
    lines = [line.split(maxsplit=2) for line in LIST.read_text("utf-8").splitlines() if line and line[0] != "#"]
    return {(check, exchange): reason for check, exchange, reason in lines}


def hold(check: str, column: str, names: Iterable[str], attempt: Callable[[str], None]) -> None:
    """Try every exchange; fail unless exactly the explained ones fail."""
    key = check.replace(" ", "-")
    unexpected, healed = {}, []
    for name in names:
        TABLE[check, column][1] += 1
        try:
            attempt(name)
        except Exception as error:
            if (key, name) not in explained():
                unexpected[name] = f"{type(error).__name__}: {error}"
        else:
            TABLE[check, column][0] += 1
            if (key, name) in explained():
                healed.append(name)
    lines = [f"  {name}: {message[:300]}" for name, message in unexpected.items()]
    assert not unexpected, f"{check}: {len(unexpected)} exchanges fail and are not explained\n" + "\n".join(lines)
    assert not healed, f"{check}: explained but passing, take them off the list: {healed}"


def rendered() -> str:
    """The table of pass rates."""
    columns = sorted({column for _, column in TABLE})
    checks = list(dict.fromkeys(check for check, _ in TABLE))
    rows = ["{:32}".format("passed / exchanges") + "".join(f"{column:>20}" for column in columns)]
    for check in checks:
        cells = [TABLE.get((check, column)) for column in columns]
        rows.append(f"{check:32}" + "".join(f"{f'{c[0]}/{c[1]}' if c else '-':>20}" for c in cells))
    return "\n".join(rows)
