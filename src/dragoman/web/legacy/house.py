"""What an earlier proxy told about itself and let a key settle: its default model, the state, whether a key is good."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection

from dragoman import __version__
from dragoman.store.accounts import keys
from dragoman.store.accounts.errors import Invalid
from dragoman.store.accounts.model import Key
from dragoman.web.legacy.answers import Answer, Refused
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import Office


async def read_model(office: Office, asked: Asked) -> Answer:
    """The default model of the key that asks."""
    return _told(office, await office.read(lambda connection: _key(connection, asked)))


async def write_model(office: Office, asked: Asked) -> Answer:
    """``{model_name}``: a name, or null for the gateway's own default."""
    if "model_name" not in asked.said:
        raise Refused(400, "model_name is missing")
    name = asked.said["model_name"]
    if name is not None and not isinstance(name, str):
        raise Refused(400, "model_name must be a text or null")

    def work(connection: Connection) -> Key:
        key = _key(connection, asked)
        try:
            made = keys.replace(connection, dataclasses.replace(key, default_model=(name or "").strip() or None))
        except Invalid as error:
            raise Refused(400, f"model_name {error}") from None
        office.note(connection, asked.caller, "key.change", f"key:{key.id}", default_model=name)
        return made

    return _told(office, await office.write(work))


def _key(connection: Connection, asked: Asked) -> Key:
    key = keys.find(connection, asked.caller.key_id) if asked.caller.key_id is not None else None
    if key is None:
        raise Refused(403, "this needs the key of a user")
    return key


def _told(office: Office, key: Key) -> Answer:
    return Answer(
        {
            "api_key_id": key.id,
            "api_key_name": key.name,
            "model_name": key.default_model or office.settings.models.default or None,
            "using_default": key.default_model is None,
        }
    )


async def status(office: Office, asked: Asked) -> Answer:
    """The configuration in words, without secrets and addresses."""
    settings = office.settings
    providers = {
        name: {"kind": provider.kind, "ready": not provider.missing} for name, provider in settings.providers.items()
    }
    models = {"big": settings.models.big, "small": settings.models.small, "default": settings.models.default}
    return Answer(
        {
            "status": settings.about.status,
            "version": __version__,
            "preset": settings.preset,
            "auth": settings.auth.mode,
            "providers": providers,
            "routes": list(settings.routes),
            "models": models,
            "database": office.database.kind,
        }
    )


async def validate(office: Office, asked: Asked) -> Answer:
    """Whoever gets here has shown a good credential."""
    return Answer({"valid": True})
