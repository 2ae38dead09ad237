"""What every provider is: a place to send calls to, a way to sign them, and facts about its models.

A provider is built from settings alone. It must not know any client beyond the name of the dialect it
speaks, and must not do I/O except to fetch its own credential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal
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

_MAX_KNOWN_PROFILES = 1024
_USER_AGENT = f"dragoman/{__version__}"
_NEVER_SENT = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "cookie"})


class Provider(ABC):
    """One configured account.

    Subclasses say where (``_base``, ``_path``), how to sign (``_credential``) and in which dialect
    (``_dialect``). ``counts_tokens`` tells whether ``operation="count_tokens"`` is offered.
    """

    default_base: ClassVar[str] = ""
    counts_tokens: ClassVar[bool] = False

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        self.name = name
        self.settings = settings
        self._credential: Credential = self._make_credential()
        self._profiles: dict[tuple[str, str, str], Profile] = {}
        self._extra_headers = {
            key.lower(): value.get_secret_value()
            for key, value in settings.headers.items()
            if key.lower() not in _NEVER_SENT
        }
        self._base = self._checked(settings.base_url or self.default_base)

    # ------------------------------------------------------------ facts

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
        key = (dialect, model, family)
        profile = self._profiles.get(key)
        if profile is None:
            if len(self._profiles) >= _MAX_KNOWN_PROFILES:
                self._profiles.clear()
            profile = find_profile(dialect, model, family=family or None, vendor=self.vendor)
            self._profiles[key] = profile
        return profile

    def _family_and_api(self, model: str) -> tuple[str, str]:
        family, _, api = self.settings.families.get(model, self.settings.family).partition(":")
        return family, api

    @property
    def vendor(self) -> str:
        """Who runs the service, for quirks: the setting, else guessed from the host (``api.groq.com`` -> groq)."""
        if self.settings.vendor:
            return self.settings.vendor
        labels = self._base.host.split(".") if self._base is not None else []
        return labels[-2] if len(labels) >= 2 and not labels[-1].isdigit() else ""

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
    ) -> UpstreamCall:
        """One signed call. Raises Refused for a name that cannot stand in a URL, UpstreamTrouble without credential.

        ``client_headers`` have lower-case names; only what this provider needs of them goes on, and
        only when ``surface`` (the client's dialect; ``None``: the profile's) is the provider's own.
        """
        if self.settings.missing or self._base is None:
            raise unconfigured(self.name, self.settings.missing or "base_url")
        headers = {"content-type": "application/json", "user-agent": _USER_AGENT}
        headers["accept"] = "text/event-stream" if stream else "application/json"
        if operation == "models":
            del headers["content-type"]
        self._add_client_headers(headers, client_headers, profile.dialect, surface or profile.dialect)
        headers.update(await self._credential.headers(self.name))
        headers.update(self._extra_headers)
        return UpstreamCall(
            method="GET" if operation == "models" else "POST",
            url=self._base.origin + self._path(profile, model, stream, operation),
            headers=headers,
            body=b"" if operation == "models" else self._body(body, profile),
            provider=self.name,
            allow_private=self.settings.allow_private,
        )

    @abstractmethod
    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        """Path and query below the origin, which a model's name can never change."""

    def _body(self, body: bytes, profile: Profile) -> bytes:
        return body

    def _add_client_headers(
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        """Let through what the provider needs of the client's headers. Nothing, unless a kind says so."""

    @abstractmethod
    def _make_credential(self) -> Credential:
        """How calls are signed."""

    def _key_in(self, header: str, prefix: str = "") -> Credential:
        key = self.settings.api_key
        if key is None:
            return NoKey()
        text = key.get_secret_value().strip()
        return HeaderKey(header, prefix + text.removeprefix("Bearer ").strip())

    def _checked(self, url: str) -> Base:
        try:
            return check_base(url, allow_private=self.settings.allow_private)
        except ValueError as error:
            raise ConfigError(f"providers.{self.name}.base_url {error}", self.settings.origin) from None

    def _unsupported(self, operation: Operation) -> Refused:
        return Refused("", f"provider {self.name} does not offer {operation}", kind="not_found")


def safe_segment(model: str) -> str:
    """A model's name as one path segment. Raises Refused for a name that is none."""
    if not model or model in (".", "..") or len(model) > 512:
        raise Refused("model", "is not a model name")
    return quote(model, safe="-._~@:")
