"""What an import does and tells. It must not know any source's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Imported:
    """What one import came to. ``already`` tells when the same source was imported before; then nothing was done.

    ``renumbered`` holds lines such as ``user 3 is 17 now``, ``notes`` what somebody should know. There is
    no credential in any of it.
    """

    kind: str
    file: str
    already: str = ""
    users: int = 0
    keys: int = 0
    usage: int = 0
    providers: int = 0
    orphans: int = 0
    renumbered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.already:
            yield f"{self.file} ({self.kind}) was imported already ({self.already}): nothing was changed"
            return
        counted = [f"{self.users} users", f"{self.keys} keys"]
        counted += [f"{self.usage} usage rows"] if self.kind == "infiniproxy" else []
        counted += [f"{self.providers} providers"] if self.providers else []
        yield f"imported {self.file} ({self.kind}): {', '.join(counted)}"
        if self.orphans:
            yield f"  {self.orphans} users were missing and stand as inactive orphan-<id>"
        for line in (*self.renumbered, *self.notes):
            yield f"  {line}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One source to import. ``merge`` joins users of one name instead of renaming the second."""

    kind: str
    path: Path
    merge: bool = False
