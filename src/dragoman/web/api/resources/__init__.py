"""The resources of the management API, a module each. To add one: its module here, its rows in ``permissions``."""

from dragoman.web.api.resources import (
    audit,
    document,
    entries,
    groups,
    keys,
    limits,
    prices,
    providers,
    routes,
    sums,
    users,
    whoami,
)

_MODULES = (document, whoami, users, keys, groups, providers, routes, prices, limits, entries, sums, audit)

ROUTERS = [module.router for module in _MODULES]
"""In the order of the document."""
