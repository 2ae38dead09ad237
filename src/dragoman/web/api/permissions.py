"""The one table of who may ask for what: a row for each route of the management API, by method and pattern.

A route without a row is refused for everybody (SR2). What a role may see *within* a route is its
``Sight``, which goes into the query (SR4). It must not know what the routes do.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.routing import compile_path

from dragoman.store.accounts.model import Caller, Role

ROOT = "/api/v1"

_ALL: frozenset[Role] = frozenset({"admin", "manager", "user"})
_LEADS: frozenset[Role] = frozenset({"admin", "manager"})
_ADMIN: frozenset[Role] = frozenset({"admin"})

PERMISSIONS: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/openapi.json"): _ADMIN,
    ("GET", "/whoami"): _ALL,
    ("GET", "/whoami/usage"): _ALL,
    ("GET", "/users"): _LEADS,
    ("POST", "/users"): _LEADS,
    ("GET", "/users/{user_id}"): _ALL,
    ("PATCH", "/users/{user_id}"): _LEADS,
    ("DELETE", "/users/{user_id}"): _LEADS,
    ("GET", "/keys"): _ALL,
    ("POST", "/keys"): _ALL,
    ("GET", "/keys/{key_id}"): _ALL,
    ("PATCH", "/keys/{key_id}"): _ALL,
    ("POST", "/keys/{key_id}/rotate"): _ALL,
    ("POST", "/keys/{key_id}/deactivate"): _ALL,
    ("GET", "/groups"): _LEADS,
    ("POST", "/groups"): _ADMIN,
    ("GET", "/groups/{group_id}"): _LEADS,
    ("PATCH", "/groups/{group_id}"): _ADMIN,
    ("DELETE", "/groups/{group_id}"): _ADMIN,
    ("GET", "/providers"): _ADMIN,
    ("GET", "/providers/{name}"): _ADMIN,
    ("PUT", "/providers/{name}"): _ADMIN,
    ("DELETE", "/providers/{name}"): _ADMIN,
    ("GET", "/routes"): _LEADS,
    ("GET", "/routes/{name:path}"): _LEADS,
    ("PUT", "/routes/{name:path}"): _ADMIN,
    ("DELETE", "/routes/{name:path}"): _ADMIN,
    ("GET", "/prices"): _LEADS,
    ("GET", "/prices/{name:path}"): _LEADS,
    ("PUT", "/prices/{name:path}"): _ADMIN,
    ("DELETE", "/prices/{name:path}"): _ADMIN,
    ("GET", "/limits"): _LEADS,
    ("GET", "/limits/{name}"): _LEADS,
    ("PUT", "/limits/{name}"): _ADMIN,
    ("DELETE", "/limits/{name}"): _ADMIN,
    ("GET", "/entries"): _ALL,
    ("GET", "/entries/{entry_id}"): _ALL,
    ("GET", "/requests/{call_id}/receipt"): _ALL,
    ("GET", "/sums"): _ALL,
    ("GET", "/audit"): _ADMIN,
}


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose objects a caller may see: everybody's, those of a group, or one user's. No field set: nobody's.

    ``group_id`` comes with ``user_id``: who leads a group sees oneself, too.
    """

    everything: bool = False
    group_id: int | None = None
    user_id: int | None = None

    def sees(self, user_id: int | None, group_id: int | None) -> bool:
        """Whether something of that user, who is in that group, may be seen."""
        if self.everything:
            return True
        own = self.user_id is not None and user_id == self.user_id
        return own or (self.group_id is not None and group_id == self.group_id)


_PATHS = [(method, compile_path(f"{ROOT}{pattern}")[0]) for method, pattern in PERMISSIONS]


def methods_of(path: str) -> list[str]:
    """What may be asked of a path, by whomever. HEAD is asked like GET."""
    methods = [method for method, pattern in _PATHS if pattern.match(path)]
    return [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]


def permitted(method: str, pattern: str, role: Role) -> bool:
    """Whether the role may ask for the route; ``pattern`` is the matched route's, with the root."""
    roles = PERMISSIONS.get((method, pattern.removeprefix(ROOT)), frozenset())
    return role in roles


def sight_of(caller: Caller) -> Sight:
    """What the caller may see."""
    if caller.role == "admin":
        return Sight(everything=True)
    if caller.role == "manager":
        return Sight(group_id=caller.group_id, user_id=caller.user_id)
    return Sight(user_id=caller.user_id)
