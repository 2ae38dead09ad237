"""What a start tells a person: where, which providers and why, what is missing. No secret is ever part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dragoman.settings import ProviderSettings, Settings
from dragoman.settings.addresses import is_loopback

if TYPE_CHECKING:
    from dragoman.store.places import Place


def start_lines(
    settings: Settings, address: str, port: int, *, keys: bool = False, place: Place | None = None
) -> Iterator[str]:
    """The lines of a start. ``address`` and ``port`` are what is really listened on, ``place`` where the data lies.

    ``keys``: users have some.
    """
    because = f"{settings.preset} ({settings.preset_reason})" if settings.preset_reason else settings.preset
    yield f"dragoman listens on {shown_url(address, port)}"
    yield f"  preset {because}; {_sign_in(settings, keys)}"
    yield from provider_lines(settings)
    yield f"  {_names(settings)}"
    if place is not None:
        yield f"  database {place.shown}"
    for note in (*settings.notes, *([place.warning] if place is not None and place.warning else [])):
        yield f"  warning: {note}"
    if not settings.auth.required and not keys and not is_loopback(address):
        yield "  warning: whoever reaches this address may use it; set ANTHROPIC_AUTH_TOKEN to require a token"


def provider_lines(settings: Settings) -> Iterator[str]:
    """One line for each provider: name, kind, where it is, who defined it, what it lacks."""
    for name, provider in settings.providers.items():
        lacks = f"; NOT READY, set {provider.missing}" if provider.missing else ""
        yield f"  provider {name}: {provider.kind}{_place(provider)} ({provider.origin or 'configuration'}){lacks}"


def shown_url(address: str, port: int) -> str:
    """A URL that a person can open."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)
    return f"http://{host}:{port}"


def _place(provider: ProviderSettings) -> str:
    host = urlsplit(provider.base_url).netloc if provider.kind != "sim" else ""
    return f" at {host}" if host else ""


def _sign_in(settings: Settings, keys: bool) -> str:
    auth = settings.auth
    if keys and auth.mode != "open":
        return "a key or token is required"
    if auth.required and auth.token is None:
        because = f" ({auth.because})" if auth.mode == "auto" else ""
        return (
            f"a token is required{because}, but none is set: every call will be refused;"
            " set ANTHROPIC_AUTH_TOKEN, or DRAGOMAN_AUTH=open to let everybody in"
        )
    return "token required" if auth.required else "no token required"


def _names(settings: Settings) -> str:
    if settings.simulated:
        return "no provider is configured: every model name is answered by the simulated one"
    models = settings.models
    if settings.routes:
        return f"routes: {', '.join(settings.routes)}; {_other_names(models.unmapped)}"
    said = [f"haiku → {models.small}"] if models.small else []
    said += [f"sonnet, opus → {models.big}"] if models.big else []
    said += ["mapped: " + ", ".join(names)] if (names := _mapped(settings)) else []
    return "; ".join([*said, _other_names(models.unmapped)])


def _mapped(settings: Settings) -> list[str]:
    return [name for provider in settings.providers.values() for name in provider.deployments]


def _other_names(policy: str) -> str:
    return {
        "error": "other names are refused",
        "passthrough": "other names pass",
        "small": "other names mean the small model",
        "default": "other claude names mean the default model, and other names pass",
    }[policy]
