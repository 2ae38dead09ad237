"""Puts administration together: the management API and the calls of the earlier proxies, behind one sign-in.

It must not know what either does.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.settings import Settings
from dragoman.settings.parts import revealed
from dragoman.store.database import Database
from dragoman.store.secrets import Cipher
from dragoman.web.api.application import Api
from dragoman.web.api.desk import Desk
from dragoman.web.asgi import Mount
from dragoman.web.attempts import Attempts
from dragoman.web.legacy.application import Legacy
from dragoman.web.legacy.login import Login
from dragoman.web.legacy.office import Office
from dragoman.web.sessions import Sessions
from dragoman.web.signin import Clock, Ring, SignIn

ATTEMPTS = 10
"""Wrong guesses in a minute from one address, whatever they were at."""


def management(
    settings: Settings,
    database: Database,
    ring: Ring,
    *,
    cipher: Cipher,
    clock: Clock,
    attempts: int = ATTEMPTS,
) -> Sequence[Mount]:
    """What to mount on the gateway. ``clock`` gives microseconds since 1970."""
    signin = SignIn(
        ring,
        Attempts(attempts, clock),
        Sessions(database, clock, bond=revealed(settings.admin.password) or ""),
        admin_key=revealed(settings.admin.key),
        shared_token=revealed(settings.auth.token),
        trusted=settings.server.trusted_proxies,
    )
    desk = Desk(database=database, signin=signin, settings=settings, clock=clock, cipher=cipher)
    login = Login(settings.admin, clock)
    office = Office(database=database, signin=signin, settings=settings, clock=clock, login=login)
    return Api(desk), Legacy(office)
