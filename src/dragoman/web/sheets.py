"""Lists as CSV for spreadsheets: a cell that would be taken for a formula is written as text.

https://owasp.org/www-community/attacks/CSV_Injection
It must not know what is listed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, heading: bool = True) -> str:
    """A line for each row, below a line of headings."""
    out = io.StringIO()
    writer = csv.writer(out)
    if heading:
        writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(column)) for column in columns])
    return out.getvalue()


def cell(value: Any) -> str:
    """A value as a cell: numbers as they are, nothing for None, no formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
