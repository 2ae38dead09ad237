"""What can go wrong with a database that is not the fault of what was asked. It must not know engines."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "locked",  # another program holds the file
    "full",  # no space is left
    "read_only",  # it can be read, not written
    "broken",  # the file is damaged, cannot be opened, or the disk fails
    "unreachable",  # no connection came about
    "lost",  # the connection ended in the middle
    "refused",  # the server does not let us in: password, database name
    "crowded",  # no connection is free, here or at the server
    "slow",  # it took longer than allowed
    "contended",  # two transactions were in one another's way; this one was undone
]


class StoreUnavailable(Exception):
    """The database cannot do it now. Nothing was done, unless ``uncertain``: then it may have been committed.

    What may have been committed has to be asked again in a form that does no harm twice.
    """

    def __init__(self, message: str, *, reason: Reason = "unreachable", uncertain: bool = False) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.uncertain = uncertain


class DatabaseInUse(StoreUnavailable):
    """Another server works on the database, and this one would need it alone."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="locked")
