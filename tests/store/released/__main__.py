"""Writes the files of the present schema: ``python -m tests.store.released``, once, for a release that has a step."""

from __future__ import annotations

from dragoman.store.migrate import steps
from tests.store.released import write

for path in write(steps()[-1]):
    print(path.name)
