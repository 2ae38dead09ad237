"""What people, groups and keys may refuse. Messages hold names and never credentials."""

from __future__ import annotations


class AccountError(Exception):
    """Nothing was changed. ``field`` names what is wrong; the message is for whoever asked."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Invalid(AccountError):
    """A value that cannot be kept."""


class Taken(AccountError):
    """A name or a credential that somebody else has."""


class Missing(AccountError):
    """Somebody or something that is not there."""
