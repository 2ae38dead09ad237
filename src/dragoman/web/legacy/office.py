"""What the calls of the earlier proxies work with. It must not know calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dragoman.web.legacy.login import Login
from dragoman.web.surfaces import SURFACES
from dragoman.web.workroom import Workroom


@dataclass(frozen=True, slots=True, kw_only=True)
class Office(Workroom):
    """``login`` checks the configuration's admin password."""

    login: Login


def _paths() -> Mapping[str, str]:
    paths: dict[str, str] = {}
    for row in SURFACES:
        paths.setdefault(row.name, row.pattern)
    return paths


ENDPOINTS = _paths()
"""The path that a surface's usage was reported under, by the surface's name."""
