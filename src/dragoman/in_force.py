"""The configuration in force: that of the file and the variables, and below it what the database keeps.

``InForce`` follows the key ring, which hears of every change; whoever serves follows ``InForce``. It wires
rooms together, and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from dragoman.observe.logs import get_logger, redact
from dragoman.settings import ConfigError, Settings
from dragoman.settings.kept import KeptObjects, with_kept
from dragoman.store.database import Database
from dragoman.store.ledger.overrides import read_overrides
from dragoman.store.objects import Stored, listed, open_secret, version
from dragoman.store.secrets import Cipher, SecretUnusable

Follow = Callable[[Settings], Awaitable[None]]
_Objects = Mapping[str, Mapping[str, Any]]
_log = get_logger("configuration")


class InForce:
    """``settings`` is what holds now; ``renew`` looks whether that has changed."""

    def __init__(self, fixed: Settings, database: Database, cipher: Cipher) -> None:
        self.settings = fixed
        self._fixed = fixed
        self._database = database
        self._cipher = cipher
        self._version = -1
        self._opened: dict[str, Mapping[str, Any]] = {}
        self._followers: list[Follow] = []

    def follow(self, follow: Follow) -> None:
        """Call this with every configuration that comes to hold from now on."""
        self._followers.append(follow)

    async def renew(self) -> None:
        """Take up what was changed in the database. Raises StoreUnavailable; then what held goes on holding."""
        found = await self._database.read(self._read)
        if found is None:
            return
        self._version, kept, unread = found
        settings, complaints = with_kept(self._fixed, kept)
        for complaint in [*unread, *complaints]:
            _log.error("a kept object is left out", why=complaint)
        if settings == self.settings:
            return
        redact.know(settings.all_secrets())
        try:
            for follow in self._followers:
                await follow(settings)
        except ConfigError as error:
            _log.error("the changed configuration is not taken up", why=str(error))
            return
        self.settings = settings
        _log.info("configuration changed", providers=len(settings.providers), routes=len(settings.routes))

    def _read(self, connection: Connection) -> tuple[int, KeptObjects, list[str]] | None:
        # The version comes first: what follows is at least as new.
        found = version(connection)
        if found == self._version:
            return None
        unread: list[str] = []
        providers = {one.name: self._whole(connection, one, unread) for one in listed(connection, "provider")}
        routes = {one.name: one.data for one in listed(connection, "route")}
        prices = {one.name: one.data.get("rows") for one in listed(connection, "price") if _readable(one, unread)}
        return found, KeptObjects(_there(providers), routes, prices), unread

    def _whole(self, connection: Connection, one: Stored, unread: list[str]) -> Mapping[str, Any] | None:
        """A provider with its credentials, or None. While another replica seals anew, the last known serve."""
        if not one.has_secret:
            return one.data
        try:
            whole = {**one.data, **open_secret(connection, one.kind, one.name, self._cipher)}
        except SecretUnusable:
            unread.append(f"provider {one.name}: its credential was sealed with another secret")
            return self._opened.get(one.name)
        self._opened[one.name] = whole
        return whole


def _readable(price: Stored, unread: list[str]) -> bool:
    try:
        read_overrides({price.name: price.data.get("rows")})
    except ConfigError as error:
        unread.append(f"price {price.name}: {error.message}")
        return False
    return True


def _there(found: Mapping[str, Mapping[str, Any] | None]) -> _Objects:
    return {name: data for name, data in found.items() if data is not None}
