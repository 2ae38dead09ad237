"""The names of models that providers list themselves, for gateways that map none.

Asked rarely, kept for minutes, and never waited for long: a client's list of models must come at
once (trap C05). It must not know clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from dragoman.language.failures import Refused
from dragoman.language.ir import Json
from dragoman.language.wire import decode
from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.providers import Provider

PATIENCE = 2.0
LIFE = 300.0
LIFE_OF_FAILURE = 30.0
MOST = 1000


class ModelNames:
    """Names by provider, as the provider spells them."""

    def __init__(
        self, providers: Mapping[str, Provider], client: UpstreamClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._providers = providers
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def of(self, provider_name: str) -> list[str]:
        """The provider's names, empty when it does not tell them in time."""
        known = self._known.get(provider_name)
        if known is not None and known[0] > self._clock():
            return known[1]
        provider = self._providers.get(provider_name)
        names = await self._asked(provider) if provider is not None else []
        self._known[provider_name] = (self._clock() + (LIFE if names else LIFE_OF_FAILURE), names)
        return names

    async def _asked(self, provider: Provider) -> list[str]:
        profile = provider.profile("", "anthropic", None)
        try:
            async with asyncio.timeout(PATIENCE):
                call = await provider.call(profile, "", b"", stream=False, client_headers={}, operation="models")
                async with await self._client.open(call, first_byte_timeout=PATIENCE) as answer:
                    return read_names(await answer.read()) if answer.status == 200 else []
        except (UpstreamTrouble, Refused, TimeoutError):
            return []


def read_names(data: bytes) -> list[str]:
    """Names out of a list in any of the three shapes: ``data[].id``, ``models[].name`` or a bare list."""
    try:
        body = decode(data)
    except ValueError:
        return []
    entries: Json = body.get("data") or body.get("models") if isinstance(body, dict) else body
    names = []
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("id") or entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            names.append(name.removeprefix("models/"))
    return names[:MOST]
