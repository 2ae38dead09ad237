"""Names of log files by day: what a closed file is called, and which names are ours.

It must not touch files.

https://docs.python.org/3/library/time.html#time.strftime
"""

from __future__ import annotations

import re
import time

Date = tuple[int, int, int]
_NEVER = (0, 0, 0)
_DATE = re.compile(r"(.+)\.(\d{4})-(\d\d)-(\d\d)")
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%D": "%m/%d/%y", "%R": "%H:%M", "%h": "%b"}
"""Codes that some systems know when writing and none when reading."""


def expanded(template: str, day: time.struct_time) -> str:
    """A strftime template for a day. A template that cannot be rendered stays as it is."""
    template = _spelled_out(template)
    try:
        return time.strftime(template, day) if "%" in template else template
    except ValueError:
        return template


def _spelled_out(template: str) -> str:
    return re.sub(r"%[%A-Za-z]", lambda code: _SHORT.get(code[0], code[0]), template)


class Names:
    """Names of one log: ``active`` is the open file's, rendered from ``template``; ``pattern`` is for closed ones."""

    def __init__(self, active: str, template: str, pattern: str) -> None:
        self.active = active
        self._template = _spelled_out(template) if template != active else ""
        # In the same folder, always.
        self._pattern = _spelled_out(re.split(r"[/\\]", pattern)[-1])

    def closed(self, day: time.struct_time) -> str:
        """The name for the file of a day that is over."""
        if self._pattern:
            return expanded(self._pattern, day)
        return f"{self.active}.{time.strftime('%Y-%m-%d', day)}"

    def day_of(self, name: str, *, numbered: bool = False) -> Date | None:
        """The day of a closed file of ours; None for the open one and for what is not ours.

        ``numbered``: a number was taken off the name, so that the open file's name may be one as well.
        """
        if name == self.active and not numbered:
            return None
        dated = _DATE.fullmatch(name)
        if dated is not None and (dated[1] == self.active or _read(dated[1], self._template)):
            return int(dated[2]), int(dated[3]), int(dated[4])
        return _read(name, self._pattern) or _read(name, self._template)


def _read(name: str, template: str) -> Date | None:
    """The day in a name, when it is exactly what the template says for that day."""
    if not template:
        return None
    if name == template:
        return _NEVER
    try:
        day = time.strptime(name, template)
        same = time.strftime(template, day) == name
    except (ValueError, re.error):
        return None
    return (day.tm_year, day.tm_mon, day.tm_mday) if same else None
