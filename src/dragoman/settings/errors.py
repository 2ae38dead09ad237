"""The one error of the configuration: a line a person can act on."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration cannot be used. ``where`` is ``file:line``, a variable's name, or empty."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where
