"""Whether new calls should come here: what a balancer asks, not what a client does.

A provider that is away is no reason to send calls elsewhere, since every replica has the same providers. It must
not know databases or servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Check = Callable[[], bool]


class Readiness:
    """``checks`` tell by the name of what is missing whether it is there."""

    def __init__(self, checks: Mapping[str, Check] | None = None) -> None:
        self.draining = False
        self._checks = dict(checks or {})

    def missing(self) -> list[str]:
        """What new calls would want for; nothing when they are welcome."""
        found = [name for name, there in self._checks.items() if not there()]
        return [*found, "draining"] if self.draining else found
