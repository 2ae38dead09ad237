"""The one error of the configuration: a line a person can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class ConfigError(Exception):
    """The configuration cannot be used. ``where`` is ``file:line``, a variable's name, or empty."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where


@contextlib.contextmanager
def extra(name: str, asked_by: str) -> Iterator[None]:
    """Around what needs the packages of one of our extras: without them ConfigError says what to install."""
    try:
        yield
    except ImportError:
        raise ConfigError(f"{asked_by} needs the extra {name!r}: pip install 'dragoman[{name}]'") from None
