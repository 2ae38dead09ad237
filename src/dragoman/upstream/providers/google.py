"""Gemini at AI Studio, and Vertex AI with a key or with Application Default Credentials.

Vertex also serves Claude under Anthropic's wire (V08): the model stands in the path, the version in the
body.

https://ai.google.dev/api/generate-content
https://cloud.google.com/vertex-ai/docs/reference/rest
https://docs.anthropic.com/en/api/claude-on-vertex-ai
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.language.wire import decode_exactly, encode
from dragoman.settings.addresses import Base
from dragoman.settings.model import ProviderSettings
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential, GoogleToken
from dragoman.upstream.providers.anthropic import add_anthropic_headers, fit_betas
from dragoman.upstream.providers.base import Provider, key_in, safe_segment

DIALECT = "gemini"
CLAUDE_VERSION = "vertex-2023-10-16"

_COUNTED = ("contents", "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config")
"""Fields of a request that Vertex's counter takes."""


def verb(stream: bool, operation: Operation) -> str:
    """What stands behind the colon of a Gemini URL."""
    if operation == "count_tokens":
        return "countTokens"
    return "streamGenerateContent?alt=sse" if stream else "generateContent"


class Gemini(Provider):
    """AI Studio: a key, no project."""

    counts_tokens = True

    def _home(self) -> str:
        return "https://generativelanguage.googleapis.com/v1beta"

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        self._root = _versioned(base.path, "v1beta")

    def _make_credential(self, key: str) -> Credential:
        return key_in("x-goog-api-key", key)

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        return DIALECT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "complete":
            raise self._unsupported(operation)
        if operation == "models":
            return f"{self._root}/models?pageSize=1000"
        kind = "tunedModels" if model.startswith("tunedModels/") else "models"
        return f"{self._root}/{kind}/{safe_segment(model.removeprefix(f'{kind}/'))}:{verb(stream, operation)}"


class Vertex(Provider):
    """Vertex AI: with ``api_key`` in express mode, else with ADC in a project and location."""

    counts_tokens = True

    def _home(self) -> str:
        return _vertex_host(self.settings)

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        self._root = _versioned(base.path, "v1")
        if self.settings.project:
            project = quote(self.settings.project, safe=":")
            location = quote(self.settings.location or "global", safe="")
            self._root += f"/projects/{project}/locations/{location}"

    def _vendor(self) -> str:
        return "vertex"

    def _make_credential(self, key: str) -> Credential:
        return key_in("x-goog-api-key", key) if key else GoogleToken()

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        return "anthropic" if model.startswith("claude") else DIALECT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation in ("models", "complete"):
            raise self._unsupported(operation)
        if profile.dialect == "anthropic":
            return f"{self._root}/publishers/anthropic/models/{_claude_call(model, stream, operation)}"
        name = safe_segment(model.removeprefix("models/"))
        return f"{self._root}/publishers/google/models/{name}:{verb(stream, operation)}"

    def _fit(
        self, body: bytes, headers: dict[str, str], profile: Profile, operation: Operation
    ) -> tuple[bytes, tuple[str, ...]]:
        if profile.dialect != "anthropic":
            return (_bare_count(body) if operation == "count_tokens" else body), ()
        fields = decode_exactly(body)
        if operation != "count_tokens":  # there the model stands in no path
            fields.pop("model", None)
        fields.setdefault("anthropic_version", CLAUDE_VERSION)
        return (encode(fields), ()) if profile.betas is None else fit_betas(fields, headers, profile.betas)

    def _add_client_headers(
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        if dialect == "anthropic" == surface and client.get("anthropic-beta"):
            add_anthropic_headers(headers, {"anthropic-beta": client["anthropic-beta"]})
            del headers["anthropic-version"]


def _bare_count(body: bytes) -> bytes:
    """The body of Vertex's counter: a request's own fields, where AI Studio's wants the whole request wrapped."""
    fields = decode_exactly(body)
    fields = fields.get("generateContentRequest", fields)
    return encode({key: fields[key] for key in _COUNTED if key in fields})


def _versioned(path: str, version: str) -> str:
    return path if path.rsplit("/", 1)[-1].startswith(("v1", "v2")) else f"{path}/{version}"


def _claude_call(model: str, stream: bool, operation: Operation) -> str:
    if operation == "count_tokens":
        return "count-tokens:rawPredict"
    return f"{safe_segment(model)}:{'streamRawPredict' if stream else 'rawPredict'}"


def _vertex_host(settings: ProviderSettings) -> str:
    location = settings.location
    if settings.api_key is not None or settings.api_keys or location in ("", "global"):
        return "https://aiplatform.googleapis.com/v1"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com/v1"
    return f"https://{location}-aiplatform.googleapis.com/v1"
