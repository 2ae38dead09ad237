"""Providers. Credentials go in and never come out; they are sealed in the database, apart from the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from sqlalchemy import Connection

from dragoman.settings.model import ProviderSettings
from dragoman.store import objects
from dragoman.store.objects import Stored
from dragoman.web.api.desk import Asking, Desk, Working
from dragoman.web.api.errors import ApiError, invalid
from dragoman.web.api.lists import Format, Listed
from dragoman.web.api.paging import LIMIT, Cursor, Limit
from dragoman.web.api.resources.users import refuse_restricted
from dragoman.web.api.things import Fixed, Kind, ThingView, checked, get_thing, list_things, put_thing, remove_thing
from dragoman.web.api.things import storable as check_storable
from dragoman.web.api.words import PathName

router = APIRouter(tags=["providers"])

SECRETS = ("api_key", "api_keys", "client_secret", "headers")
"""Fields that are sealed and never shown."""

_OURS = frozenset({"origin", "from_file", "stand_in", "missing"})
_WHERE = ("kind", "base_url", "endpoint", "authority", "tenant_id", "location", "allow_private")
"""Where a credential goes: when one of these changes, the old credential stays behind (SR6)."""

_VERSIONED = re.compile(r"[^?]*\?api-version=[\w.-]+")

ProviderBody = Annotated[
    dict[str, Any],
    Body(
        description="Fields as below `providers:` in the configuration file. Secret fields (`api_key`, `api_keys`, "
        "`client_secret`, `headers`) that are left out stay as they are, null removes them.",
        examples=[{"kind": "openai", "api_key": "sk-..."}],
    ),
]


def _fixed(desk: Desk) -> Mapping[str, Fixed]:
    return {name: _shown(settings) for name, settings in desk.settings.providers.items()}


def _shown(settings: ProviderSettings) -> Fixed:
    data = settings.model_dump(mode="json", exclude={*SECRETS, *_OURS}, exclude_defaults=True)
    said = tuple(name for name in SECRETS if getattr(settings, name))
    if "base_url" in data:
        data["base_url"] = data["base_url"].partition("?")[0]  # some keep their keys there
    return Fixed({"kind": settings.kind, **data}, settings.origin or "the configuration", said)


KIND = Kind("provider", _fixed)


@router.get("/providers", response_model=Listed[ThingView])
async def list_providers(
    request: Request, desk: Working, limit: Limit = LIMIT, cursor: Cursor = None, format: Format = None
) -> Response:
    """Providers by name, those of the configuration file included."""
    return await list_things(request, desk, KIND, limit, cursor)


@router.get("/providers/{name}", response_model=ThingView)
async def get_provider(desk: Working, name: PathName) -> ThingView:
    """One provider, without its credentials."""
    return await get_thing(desk, KIND, name)


@router.put("/providers/{name}", response_model=ThingView)
async def put_provider(desk: Working, caller: Asking, name: PathName, body: ProviderBody) -> ThingView:
    """Make or replace a provider."""
    refuse_restricted(caller)
    check_storable(body)
    if "/" in name or not name.strip():
        raise invalid("name", "holds a slash or nothing")

    def keep(connection: Connection, old: Stored | None) -> dict[str, Any]:
        data = {field: value for field, value in body.items() if field not in SECRETS}
        secret = _secrets(connection, desk, name, old, body)
        for field in sorted(_OURS & data.keys()):
            raise invalid(field, "is not yours to say")
        said: ProviderSettings = checked(ProviderSettings, {**data, **secret})
        if "?" in said.base_url and not _VERSIONED.fullmatch(said.base_url):
            raise invalid("base_url", "holds a query, which everybody would be shown: a key belongs into api_key")
        objects.put(connection, "provider", name, data, at=desk.clock(), cipher=desk.cipher, secret=secret or None)
        return {"fields": data, "secrets": sorted(secret)}

    return await put_thing(desk, caller, KIND, name, keep)


@router.delete("/providers/{name}", status_code=204)
async def remove_provider(desk: Working, caller: Asking, name: PathName) -> Response:
    """Forget a provider of the database that no route of the database leads to."""
    refuse_restricted(caller)
    return await remove_thing(desk, caller, KIND, name, lambda connection: _refuse_used(connection, desk, name))


def _refuse_used(connection: Connection, desk: Desk, name: str) -> None:
    """Raises ApiError 409. Where the file names the provider too, routes go on leading to that one."""
    if name in desk.settings.providers:
        return
    routes = [route.name for route in objects.listed(connection, "route") if _leads_to(route, name)]
    if routes:
        raise ApiError(409, "in_use", f"the provider {name!r} serves the routes {', '.join(routes[:20])}")


def _leads_to(route: Stored, provider: str) -> bool:
    targets = route.data.get("targets") or []
    elsewhere = (route.data.get("when") or {}).values()
    return any(target.get("provider") == provider for target in targets) or any(
        str(name).startswith(f"{provider}/") for name in elsewhere
    )


def _secrets(
    connection: Connection, desk: Desk, name: str, old: Stored | None, body: Mapping[str, Any]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if old is not None and old.has_secret:
        kept = objects.open_secret(connection, "provider", name, desk.cipher)
        left = {field: value for field, value in kept.items() if field not in body}
        if left and any(old.data.get(field) != body.get(field) for field in _WHERE):
            names = ", ".join(sorted(left))
            raise ApiError(400, "secret_needed", f"where the credential goes has changed: send {names} again")
        kept = left
    kept |= {field: body[field] for field in SECRETS if body.get(field)}
    return kept
