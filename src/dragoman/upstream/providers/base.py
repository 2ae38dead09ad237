"""What every provider is: a place to send calls to, a way to sign them, and facts about its models.

A provider is built from settings alone. It must not know any client beyond the name of the dialect it
speaks, and must not do I/O except to fetch its own credential.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from dragoman import __version__
from dragoman.language.failures import Refused
from dragoman.language.ir import Request
from dragoman.language.profiles import Profile, find_profile
from dragoman.settings.addresses import Base, check_base
from dragoman.settings.errors import ConfigError
from dragoman.settings.model import ProviderSettings
from dragoman.upstream.calls import Operation, UpstreamCall, unconfigured
from dragoman.upstream.credentials import Credential, HeaderKey, NoKey

_USER_AGENT = f"dragoman/{__version__}"
_BEARER = re.compile(r"^bearer\s+", re.IGNORECASE)


class Provider(ABC):
    """One configured account.

    Subclasses say where (``_home``, ``_settle``, ``_path``), how to sign (``_make_credential``) and in
    which dialect (``_dialect``). ``counts_tokens`` tells whether ``operation="count_tokens"`` is offered.
    """

    counts_tokens: ClassVar[bool] = False

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        self.name = name
        self.settings = settings
        self._credentials = tuple(self._make_credential(key) for key in _keys_of(settings) or ("",))
        self._host = ""
        self._extra_headers = {key.lower(): value.get_secret_value() for key, value in settings.headers.items()}
        self._origin = ""
        self._root = ""
        url = settings.base_url or self._home()
        if url:
            self._settle(self._checked(url))

    @abstractmethod
    def _home(self) -> str:
        """The kind's own base URL; empty when the settings must give one."""

    def _settle(self, base: Base) -> None:
        """Take the checked base: calls go to ``_origin``, below the path ``_root``."""
        self._origin, self._root, self._host = base.origin, base.path, base.host

    @property
    def keys(self) -> int:
        """How many keys there are to sign with, at least 1: a service without a key is signed in one way, too."""
        return len(self._credentials)

    # ------------------------------------------------------------ facts

    @property
    def vendor(self) -> str:
        """Who runs the service; empty where that changes nothing."""
        return self.settings.vendor or self._vendor()

    def profile(self, model: str, surface_dialect: str, request: Request | None, *, family: str = "") -> Profile:
        """Facts about one model of this provider, in the dialect it is best asked in.

        ``model`` is the provider's name for it, ``surface_dialect`` what the client speaks,
        ``request`` the call as read (``None`` when it was not); ``family`` overrides what is configured.
        """
        if not family:
            family, _ = self._family_and_api(model)
        return self._profile(self._dialect(model, surface_dialect, request, family), model, family)

    @abstractmethod
    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        """Name of the dialect to ask the model in."""

    def _profile(self, dialect: str, model: str, family: str) -> Profile:
        return find_profile(dialect, model, family or None, self.settings.vendor or self._vendor())

    def _vendor(self) -> str:
        """Who runs the service, as profiles name it; empty when that changes nothing."""
        return ""

    def _family_and_api(self, model: str) -> tuple[str, str]:
        family, _, api = self.settings.families.get(model, self.settings.family).partition(":")
        return family, api

    # ------------------------------------------------------------ calls

    async def call(
        self,
        profile: Profile,
        model: str,
        body: bytes,
        *,
        stream: bool,
        client_headers: Mapping[str, str],
        operation: Operation = "generate",
        surface: str | None = None,
        key: int = 0,
    ) -> UpstreamCall:
        """One call, signed with key number ``key``.

        Raises Refused for a name that cannot stand in a URL, UpstreamTrouble without credential.

        ``client_headers`` have lower-case names; only what this provider needs of them goes on, and
        only when ``surface`` (the client's dialect; ``None``: the profile's) is the provider's own.
        """
        if self.settings.missing or not self._origin:
            raise unconfigured(self.name, self.settings.missing or "base_url")
        headers = {"content-type": "application/json", "user-agent": _USER_AGENT}
        headers["accept"] = "text/event-stream" if stream else "application/json"
        if operation == "models":
            del headers["content-type"]
        self._add_client_headers(headers, client_headers, profile.dialect, surface or profile.dialect)
        withheld: tuple[str, ...] = ()
        if operation == "models":
            body = b""
        else:
            body, withheld = self._fit(body, headers, profile, operation)
        headers.update(await self._credentials[key].headers(self.name))
        headers.update(self._extra_headers)
        return UpstreamCall(
            method="GET" if operation == "models" else "POST",
            url=self._origin + self._path(profile, model, stream, operation),
            headers=headers,
            body=body,
            provider=self.name,
            allow_private=self._may_reach_private(),
            withheld=withheld,
        )

    def credential_failed(self, key: int, call: UpstreamCall) -> bool:
        """The provider answered ``call``, signed with key number ``key``, with 401.

        Whether asking again with the same key may help: a token that was refused is fetched anew, a
        fixed key stays what it is.
        """
        return self._credentials[key].refused(call.headers)

    @abstractmethod
    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        """Path and query below the origin, which a model's name can never change."""

    def _fit(
        self, body: bytes, headers: dict[str, str], profile: Profile, operation: Operation
    ) -> tuple[bytes, tuple[str, ...]]:
        """The body as this provider wants it, and what was withheld from it and from ``headers``."""
        return body, ()

    def _add_client_headers(  # noqa: B027 - most kinds need nothing of the client
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        """Let through what the provider needs of the client's headers. Nothing, unless a kind says so."""

    @abstractmethod
    def _make_credential(self, key: str) -> Credential:
        """How calls are signed with ``key``; empty when none is configured."""

    def _checked(self, url: str) -> Base:
        try:
            return check_base(url, allow_private=self.settings.allow_private)
        except ValueError as error:
            raise ConfigError(f"providers.{self.name}.base_url {error}", self.settings.origin) from None

    def _may_reach_private(self) -> bool:
        return self.settings.allow_private

    def _unsupported(self, operation: Operation) -> Refused:
        if operation == "complete":  # the path is there, only this model cannot be asked on it
            return Refused("model", f"provider {self.name} offers no text completions; ask on /v1/chat/completions")
        return Refused("", f"provider {self.name} does not offer {operation}", kind="not_found")


def key_in(header: str, key: str, prefix: str = "") -> Credential:
    """The key behind ``prefix`` in one header; no signature for an empty one."""
    return HeaderKey(header, prefix + key) if key else NoKey()


def _keys_of(settings: ProviderSettings) -> tuple[str, ...]:
    """Every key once, in order; people paste them with their ``Bearer``."""
    secrets = [settings.api_key, *settings.api_keys]
    keys = (_BEARER.sub("", secret.get_secret_value().strip(), count=1) for secret in secrets if secret is not None)
    return tuple(dict.fromkeys(key for key in keys if key))


def safe_segment(model: str) -> str:
    """A model's name as one path segment. Raises Refused for a name that is none."""
    if not model or model in (".", "..") or len(model) > 512:
        raise Refused("model", "is not a model name")
    return quote(model, safe="-._~@:")
