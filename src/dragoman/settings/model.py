"""The shape of the configuration: one frozen, validated tree that every other room reads.

It knows names, types and defaults, and nothing of where a value came from: reading variables and
files is the work of its neighbours. Values are strict: ``no`` stays a word and ``"8080"`` is not a
port, unless the reader of a variable says so. Secrets never print.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic import Secret as _Secret

from dragoman.settings.addresses import check_base
from dragoman.settings.scalars import Duration, Flag, Size, Whole

ProviderKind = Literal["openai", "openai_compatible", "azure_openai", "anthropic", "gemini", "vertex", "sim"]
ProviderApi = Literal["chat", "responses", "anthropic", "gemini"]
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "cookie", "te"}
)

UnmappedPolicy = Literal["error", "default", "passthrough", "small"]


class Secret(_Secret[str]):
    """A secret text that prints as dots; ``get_secret_value()`` reveals it."""

    def _display(self) -> str:
        return "••••"


def check_secret(secret: Secret | None) -> Secret | None:
    """Refuse a secret that is blank or could not stand in a header."""
    if secret is None:
        return None
    text = secret.get_secret_value()
    if not text.strip():
        raise ValueError("is empty: leave it out, or give a value")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("holds a line break or another control character")
    return secret


class Part(BaseModel):
    """What every branch of the tree shares: frozen, strict, unknown keys refused, input never echoed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ServerSettings(Part):
    """Where to listen. ``public_url`` is what snippets and links show, empty when same as the address."""

    host: str = "127.0.0.1"
    port: Whole = Field(default=8080, ge=0, le=65535)
    public_url: str = ""
    trusted_proxies: list[str] = []
    cors_origins: list[str] = []


class ProviderSettings(Part):
    """One account somewhere: where to send, how to sign.

    ``base_url`` (alias ``endpoint``) overrides the kind's own address. ``api`` fixes the surface an
    OpenAI-like provider is asked on. ``families`` maps a model or deployment to ``family`` or
    ``family:chat``/``family:responses``; ``family`` holds for all others. ``deployments`` maps a
    client's model name to the provider's. ``timeout`` is seconds of silence. ``origin`` tells who
    defined it (``from_file``: the configuration file did); ``missing`` names what must still be set
    before the first call can work.
    """

    kind: ProviderKind
    base_url: str = ""
    api_key: Secret | None = None
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
        if self.kind != "sim" and self.api in ("anthropic", "gemini"):
            raise ValueError(f"api must be chat or responses here; for {self.api} there is the kind {self.api}")
        if self.base_url:
            try:
                check_base(self.base_url, allow_private=self.allow_private or self.kind == "sim")
            except ValueError as error:
                raise ValueError(f"base_url {error}") from None
        elif not self.missing and self.kind in ("openai_compatible", "azure_openai"):
            raise ValueError("base_url is needed" if self.kind == "openai_compatible" else "endpoint is needed")
        if self.kind == "vertex" and not (self.api_key or self.project or self.missing):
            raise ValueError("project is needed (or an api_key)")
        return self

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        for name, secret in value.items():
            if name.lower() in _OWN_HEADERS or not _TOKEN.fullmatch(name):
                raise ValueError(f"must not set {name!r}")
            check_secret(secret)
        return value

    @field_validator("api_key")
    @classmethod
    def _key(cls, value: Secret | None) -> Secret | None:
        return check_secret(value)


class LimitSettings(Part):
    """Bounds. ``body`` is the largest request body in bytes; ``default`` is kept for limits by key."""

    body: Size = 32 * 1024 * 1024
    default: dict[str, Any] = {}


class AuthSettings(Part):
    """Who may call. ``token`` is the shared inbound token; ``mode`` auto requires it when it is set."""

    mode: Literal["auto", "required", "open"] = "auto"
    token: Secret | None = None

    @field_validator("token")
    @classmethod
    def _token(cls, value: Secret | None) -> Secret | None:
        return check_secret(value)

    @property
    def required(self) -> bool:
        """Whether a call without a valid credential is refused."""
        return self.mode == "required" or (self.mode == "auto" and self.token is not None)


class ModelSettings(Part):
    """How a model name finds its target.

    ``big`` and ``small`` serve sonnet/opus and haiku; they may name a provider (``openai/gpt-5.2``)
    unless ``*_verbatim``. ``default`` serves a call without a name and the policy ``default``.
    ``preferred`` is the provider for names that name none. Efforts are empty when not said.
    ``families`` holds for every provider: ``{model: "family" or "family:chat|responses"}``.
    """

    big: str = ""
    small: str = ""
    big_verbatim: Flag = False
    small_verbatim: Flag = False
    default: str = ""
    default_verbatim: Flag = False
    unmapped: UnmappedPolicy = "error"
    preferred: str = ""
    big_effort: str = ""
    small_effort: str = ""
    families: dict[str, str] = {}


class LogSettings(Part):
    """``level`` is a standard level name in upper case; ``json_lines`` is None for: unless a terminal."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    json_lines: Flag | None = None
    bodies: Flag = False


class Settings(Part):
    """The whole configuration.

    ``timeout`` is seconds of silence from a provider, with no total limit. ``max_output_tokens`` caps
    what Anthropic clients ask for. ``reasoning`` is what Anthropic clients see of foreign thoughts.
    ``content_filter_stop`` is the stop reason of a filtered answer. ``preset`` and ``preset_reason``
    tell which defaults hold and why; ``notes`` are warnings to print at the start.
    Sections of later parts are kept as they stand: routes, prices, groups, database, redis, secrets,
    capture, disconnect.
    """

    version: Literal[1] = 1
    server: ServerSettings = ServerSettings()
    providers: dict[str, ProviderSettings] = {}
    models: ModelSettings = ModelSettings()
    auth: AuthSettings = AuthSettings()
    log: LogSettings = LogSettings()
    limits: LimitSettings = LimitSettings()
    timeout: Duration = 600.0
    max_output_tokens: Whole | None = Field(default=None, ge=1)
    max_input_tokens: Whole | None = Field(default=None, ge=1)
    reasoning: Literal["thinking", "text", "drop"] = "thinking"
    content_filter_stop: str = "refusal"
    retries: Whole = Field(default=0, ge=0, le=5)
    routes: dict[str, Any] = {}
    prices: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    database: Secret | None = None
    redis: Secret | None = None
    secrets: dict[str, Secret] = {}
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
        found = [self.auth.token, self.database, self.redis, *self.secrets.values()]
        for provider in self.providers.values():
            found += [provider.api_key, *provider.headers.values()]
        return [secret.get_secret_value() for secret in found if secret is not None]
