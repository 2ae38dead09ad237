"""The shape of the configuration: one frozen, validated tree that every other room reads.

It knows names, types and defaults, and nothing of where a value came from: reading variables and
files is the work of its neighbours. Values are strict: ``no`` stays a word and ``"8080"`` is not a
port, unless the reader of a variable says so. Secrets never print.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from dragoman.settings.addresses import check_base
from dragoman.settings.house import AboutSettings, AdminSettings, InitUser, LogSettings, SmtpSettings
from dragoman.settings.parts import Part, Secret, check_headers, check_secret, check_unguessed
from dragoman.settings.routes import RouteSettings
from dragoman.settings.scalars import Duration, Flag, Size, Whole

ProviderKind = Literal["openai", "openai_compatible", "azure_openai", "anthropic", "gemini", "vertex", "sim"]
"""The kinds of ``upstream.providers.PROVIDERS``, which this room cannot see; a test compares the two."""

ProviderApi = Literal["chat", "responses", "anthropic", "gemini"]
"""Surfaces of OpenAI-like providers, and further dialects that only ``sim`` can be told to speak."""

UnmappedPolicy = Literal["error", "default", "passthrough", "small"]

_PLACES = {"project": re.compile(r"[A-Za-z0-9.:_-]*"), "location": re.compile(r"[A-Za-z0-9-]*")}
"""What stands in a host or a path must not become another one."""

_SIGN_IN = ("tenant_id", "client_id", "client_secret", "authority")


class ServerSettings(Part):
    """Where to listen. ``public_url`` is what snippets and links show, empty when same as the address.

    ``trusted_proxies`` are the networks whose word on a client's address is believed. ``cors_origins`` may
    hold ``*``. ``reload`` starts anew when the source changes, for development.
    """

    host: str = "127.0.0.1"
    port: Whole = Field(default=8080, ge=0, le=65535)
    public_url: str = ""
    trusted_proxies: list[str] = []
    cors_origins: list[str] = []
    reload: Flag = False

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for network in value:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f"{network!r} is neither an address nor a network like 10.0.0.0/8") from None
        return value


class ProviderSettings(Part):
    """One account somewhere: where to send, how to sign.

    ``base_url`` (alias ``endpoint``) overrides the kind's own address. ``api_keys`` are further keys of
    the same account, used in turn. ``auth`` entra signs Azure calls with Microsoft Entra ID instead of a
    key: as the application ``client_id`` of ``tenant_id`` when there is a ``client_secret``, else as
    whatever identity this machine has; ``authority`` is the sign-in host of another cloud. ``vendor`` is
    who runs a service whose host does not tell it. ``api`` fixes the surface an OpenAI-like provider is
    asked on. ``families`` maps a model or deployment to ``family`` or
    ``family:chat``/``family:responses``; ``family`` holds for all others. ``deployments`` maps a
    client's model name to the provider's. ``timeout`` is seconds of silence. ``origin`` tells who
    defined it (``from_file``: somebody did by name, in the file or the database), ``stand_in`` that it
    is there for want of any other; ``missing`` names what must still be set before the first call can
    work.
    """

    kind: ProviderKind
    base_url: str = ""
    api_key: Secret | None = None
    api_keys: list[Secret] = []
    auth: Literal["key", "entra"] = "key"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    authority: str = ""
    api: ProviderApi | None = None
    api_version: str = ""
    allow_private: Flag = False
    project: str = ""
    location: str = ""
    headers: dict[str, Secret] = {}
    vendor: str = ""
    family: str = ""
    families: dict[str, str] = {}
    deployments: dict[str, str] = {}
    timeout: Duration | None = None
    max_parallel: Whole | None = Field(default=None, ge=1)
    origin: str = ""
    from_file: bool = False
    stand_in: bool = False
    missing: str = ""

    @model_validator(mode="before")
    @classmethod
    def _endpoint(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "endpoint" not in value:
            return value
        if "base_url" in value:
            raise ValueError("give base_url or endpoint, not both")
        return {("base_url" if key == "endpoint" else key): item for key, item in value.items()}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Check what only the fields together can tell. A message begins with the field it is about."""
        if self.kind != "sim" and self.api not in (None, "chat", "responses"):
            raise ValueError(f"api must be chat or responses here; for {self.api} there is the kind {self.api}")
        if self.base_url:
            try:
                check_base(self.base_url, allow_private=self.allow_private or self.kind == "sim")
            except ValueError as error:
                raise ValueError(f"base_url {error}") from None
        elif not self.missing and self.kind in ("openai_compatible", "azure_openai"):
            raise ValueError("base_url is needed" if self.kind == "openai_compatible" else "endpoint is needed")
        for name, form in _PLACES.items():
            if not form.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} holds a character that no {name} has")
        if self.kind == "vertex" and not (self.api_key or self.api_keys or self.project or self.missing):
            raise ValueError("project is needed (or an api_key)")
        self._check_sign_in()
        return self

    def _check_sign_in(self) -> None:
        said = [name for name in _SIGN_IN if getattr(self, name)]
        if self.auth == "key" and said:
            raise ValueError(f"{said[0]} means nothing without auth: entra")
        if self.auth == "key":
            return
        if self.kind != "azure_openai":
            raise ValueError("auth can be entra only for kind azure_openai")
        if self.api_key or self.api_keys:
            raise ValueError("auth is entra, so no api_key can be used: leave one of them out")
        if self.client_secret and not (self.tenant_id and self.client_id):
            raise ValueError("client_secret needs tenant_id and client_id")
        if self.authority and not self.authority.startswith("https://"):
            raise ValueError("authority must begin with https://")

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        return check_headers(value)

    @field_validator("api_key", "client_secret")
    @classmethod
    def _key(cls, value: Secret | None) -> Secret | None:
        return check_secret(value)

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, value: list[Secret]) -> list[Secret]:
        return [secret for secret in value if check_secret(secret)]


class LimitSettings(Part):
    """Bounds. ``body`` is the largest request body in bytes; ``default`` are the rules that bind everybody.

    ``zone`` is where budgets' days, weeks and months begin. ``fallback_price``, written like one of ``prices``, is
    what models cost that have no price; without it no budget in money pays for them.
    """

    body: Size = 32 * 1024 * 1024
    default: dict[str, Any] = {}
    zone: str = "UTC"
    fallback_price: dict[str, Any] = {}

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            if value != "UTC":
                ZoneInfo(value)
        except (KeyError, OSError, ValueError):
            raise ValueError("must be a time zone that this machine knows, like Europe/Berlin") from None
        return value


class AuthSettings(Part):
    """Who may call. ``token`` is the shared inbound token; ``mode`` auto requires it when it is set.

    ``because`` says why ``auto`` requires a credential even where none is set; empty when it does not.
    """

    mode: Literal["auto", "required", "open"] = "auto"
    token: Secret | None = None
    because: str = ""

    @field_validator("token")
    @classmethod
    def _token(cls, value: Secret | None) -> Secret | None:
        return check_unguessed(value)

    @property
    def required(self) -> bool:
        """Whether a call without a valid credential is refused."""
        return self.mode == "required" or (self.mode == "auto" and (self.token is not None or bool(self.because)))


class RedisSettings(Part):
    """What replicas have in common and may lose; a URL alone will do.

    ``prefix`` begins every name there, so that several installations can share one server.
    """

    url: Secret
    prefix: str = Field(default="dragoman", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str | Secret) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: Secret) -> Secret:
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value


class SecretSettings(Part):
    """What provider keys in the database are sealed with.

    Without ``key`` a file beside the database holds it; ``previous`` are older ones by commas, while it changes.
    """

    key: Secret | None = None
    previous: Secret | None = None


class ModelSettings(Part):
    """How a model name finds its target.

    ``big`` and ``small`` serve sonnet/opus and haiku; they may name a provider (``openai/gpt-5.2``)
    unless ``*_verbatim``. ``default`` serves a call without a name and the policy ``default``.
    ``unmapped_said``: somebody chose that policy, and no default. ``preferred`` is the provider for names
    that name none. Efforts are empty when not said.
    ``families`` holds for every provider: ``{model: "family" or "family:chat|responses"}``.
    ``cursor_deployment`` is the Azure deployment behind Cursor's names. ``open_claude_cache`` keeps
    cache marks for targets with claude in their name.
    """

    big: str = ""
    small: str = ""
    big_verbatim: Flag = False
    small_verbatim: Flag = False
    default: str = ""
    default_verbatim: Flag = False
    unmapped: UnmappedPolicy = "error"
    unmapped_said: bool = False
    preferred: str = ""
    big_effort: str = ""
    small_effort: str = ""
    families: dict[str, str] = {}
    cursor_deployment: str = ""
    open_claude_cache: Flag = False


class Settings(Part):
    """The whole configuration.

    ``timeout`` is seconds of silence from a provider, with no total limit. ``max_output_tokens`` caps
    what Anthropic clients ask for. ``reasoning`` is what Anthropic clients see of foreign thoughts.
    ``content_filter_stop`` is the stop reason of a filtered answer. ``init_users`` are users that the
    first start creates; ``database_folder`` is where the database file is put when ``database`` names
    none. ``preset`` and ``preset_reason`` tell which defaults hold and why; ``notes`` are warnings to
    print at the start. ``prices``, ``groups`` and ``limits.default`` are kept as they stand: the store reads
    them. ``NO_EFFECT`` names what is known and does nothing yet.
    """

    version: Literal[1] = 1
    server: ServerSettings = ServerSettings()
    providers: dict[str, ProviderSettings] = {}
    models: ModelSettings = ModelSettings()
    auth: AuthSettings = AuthSettings()
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()
    about: AboutSettings = AboutSettings()
    admin: AdminSettings = AdminSettings()
    smtp: SmtpSettings = SmtpSettings()
    init_users: list[InitUser] = []
    timeout: Duration = 600.0
    max_output_tokens: Whole | None = Field(default=None, ge=1)
    max_input_tokens: Whole | None = Field(default=None, ge=1)
    reasoning: Literal["thinking", "text", "drop"] = "thinking"
    content_filter_stop: str = Field(default="refusal", min_length=1)
    retries: Whole = Field(default=0, ge=0, le=5)
    routes: dict[str, RouteSettings] = {}
    prices: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    database: Secret | None = None
    database_folder: str = ""
    redis: RedisSettings | None = None
    secrets: SecretSettings = SecretSettings()
    capture: dict[str, Any] = {}
    disconnect: dict[str, str] = {}
    preset: str = "dragoman"
    preset_reason: str = ""
    config_path: str = ""
    notes: tuple[str, ...] = Field(default=(), strict=False)

    @property
    def simulated(self) -> bool:
        """Whether only the simulated provider is there, so that every model name resolves to it."""
        return all(provider.kind == "sim" for provider in self.providers.values())

    def all_secrets(self) -> list[str]:
        """Every secret text of the configuration, for the log's redaction."""
        found = [self.auth.token, self.database, self.secrets.key, self.secrets.previous, self.smtp.password]
        found += [self.redis.url] if self.redis is not None else []
        found += [self.admin.key, self.admin.password, self.admin.init_token, *(user.token for user in self.init_users)]
        for provider in self.providers.values():
            found += [provider.api_key, *provider.api_keys, provider.client_secret, *provider.headers.values()]
        return [secret.get_secret_value() for secret in found if secret is not None]


NO_EFFECT = (("server", "public_url"), ("capture",), ("disconnect",))
"""Keys of parts that are not there yet: whoever sets one is told at the start. Of mail the template tells."""
