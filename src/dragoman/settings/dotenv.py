"""Variables: the process environment over the nearest ``.env``, with one rule for quotes in both.

Empty means unset. ``docker --env-file`` hands quotes and comments on as they stand, so a value that
begins with a quote ends at the matching one wherever it came from. It must not know what any variable
means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dragoman.settings.errors import ConfigError

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=[ \t]*(.*)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_ESCAPED = re.compile(r'\\(["\\$])')


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable that is set. ``origin`` is ``NAME`` or ``NAME in .env:3``."""

    value: str
    origin: str


class Variables:
    """What is set. Reading a name that is not gives an empty text."""

    def __init__(self, found: Mapping[str, Variable], blank: Iterable[str] = ()) -> None:
        self._found = {name: variable for name, variable in found.items() if variable.value}
        self._blank = frozenset(blank) | (found.keys() - self._found.keys())

    def __getitem__(self, name: str) -> str:
        variable = self._found.get(name)
        return variable.value if variable is not None else ""

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def origin(self, name: str) -> str:
        """Where a variable was set, for messages."""
        variable = self._found.get(name)
        return variable.origin if variable is not None else name

    def blank(self, name: str) -> bool:
        """Whether a variable stands somewhere, empty, and is set nowhere: for those to which empty means off."""
        return name in self._blank and name not in self._found

    def first(self, *names: str) -> str:
        """The first of the names that is set, or an empty text."""
        return next((name for name in names if name in self._found), "")


def read_variables(environment: Mapping[str, str], folder: Path) -> Variables:
    """The environment over the nearest ``.env`` from ``folder`` upwards. Raises ConfigError for an unreadable file."""
    found: dict[str, Variable] = {}
    path = nearest_dotenv(folder)
    if path is not None:
        found.update(_read_file(path))
    blank = set()
    for name, text in environment.items():
        value = unquoted(text.strip())
        if value:
            found[name] = Variable(value, name)
        else:
            blank.add(name)
    return Variables(found, blank)


def nearest_dotenv(folder: Path) -> Path | None:
    """The ``.env`` of the folder or of the nearest one above."""
    for place in (folder, *folder.parents):
        path = place / ".env"
        try:
            if path.is_file():
                return path
        except OSError:
            continue
    return None


def _read_file(path: Path) -> dict[str, Variable]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({type(error).__name__})", str(path)) from None
    found = {}
    for number, line in _logical_lines(text):
        match = _LINE.fullmatch(line)
        if match is not None:
            found[match[1]] = Variable(_value(match[2]), f"{match[1]} in {path.name}:{number}")
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; a quoted value may go on over several."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        match = _LINE.fullmatch(line)
        if match is not None and _open_quote(match[2]):
            closing = next((i for i in range(at, len(lines)) if _closing(lines[i], match[2][0], 0) >= 0), None)
            if closing is not None:
                line = "\n".join([line, *lines[at : closing + 1]])
                at = closing + 1
        yield number, line


def _open_quote(text: str) -> bool:
    return text[:1] in ("'", '"') and _closing(text, text[0], 1) < 0


def _closing(text: str, quote: str, start: int) -> int:
    at = start
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 1
        elif text[at] == quote:
            return at
        at += 1
    return -1


def unquoted(text: str) -> str:
    """A value that begins with a quote ends at the matching one; anything else, and a lone quote, stays."""
    if text[:1] not in ("'", '"'):
        return text
    end = _closing(text, text[0], 1)
    if end < 0:
        return text
    inner = text[1:end]
    return _ESCAPED.sub(r"\1", inner) if text[0] == '"' else inner


def _value(text: str) -> str:
    if text[:1] in ("'", '"') and _closing(text, text[0], 1) >= 0:
        return unquoted(text)
    return _COMMENT.sub("", text).strip()
