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
from dragoman.language.wire import decode, encode
from dragoman.settings.model import ProviderSettings
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential, GoogleToken
from dragoman.upstream.providers.anthropic import add_anthropic_headers
from dragoman.upstream.providers.base import Provider, safe_segment

DIALECT = "gemini"
CLAUDE_VERSION = "vertex-2023-10-16"


def _verb(stream: bool, operation: Operation) -> str:
    if operation == "count_tokens":
        return "countTokens"
    return "streamGenerateContent?alt=sse" if stream else "generateContent"


class Gemini(Provider):
    """AI Studio: a key, no project."""

    default_base = "https://generativelanguage.googleapis.com/v1beta"
    counts_tokens = True

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        super().__init__(name, settings)
        path = self._base.path
        versioned = path.rsplit("/", 1)[-1] in ("v1", "v1beta", "v1alpha")
        self._root = path if versioned else f"{path}/v1beta"

    def _make_credential(self) -> Credential:
        return self._key_in("x-goog-api-key")

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        return DIALECT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "models":
            return f"{self._root}/models?pageSize=1000"
        kind, _, name = model.rpartition("/")
        kind = kind if kind == "tunedModels" else "models"
        name = name if model.startswith((f"{kind}/",)) else model
        return f"{self._root}/{kind}/{safe_segment(name)}:{_verb(stream, operation)}"


class Vertex(Provider):
    """Vertex AI: with ``api_key`` in express mode, else with ADC in a project and location."""

    counts_tokens = True

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        self.default_base = _vertex_host(settings)  # type: ignore[misc]
        super().__init__(name, settings)
        path = self._base.path
        self._root = path if path.rsplit("/", 1)[-1] in ("v1", "v1beta1") else f"{path}/v1"
        if settings.project:
            project, location = quote(settings.project, safe=":"), quote(settings.location or "global", safe="")
            self._root += f"/projects/{project}/locations/{location}"

    def _make_credential(self) -> Credential:
        return self._key_in("x-goog-api-key") if self.settings.api_key is not None else GoogleToken()

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        return "anthropic" if model.startswith("claude") else DIALECT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "models":
            raise self._unsupported(operation)
        if profile.dialect == "anthropic":
            return f"{self._root}/publishers/anthropic/models/{_claude_call(model, stream, operation)}"
        name = safe_segment(model.removeprefix("models/"))
        return f"{self._root}/publishers/google/models/{name}:{_verb(stream, operation)}"

    def _body(self, body: bytes, profile: Profile) -> bytes:
        if profile.dialect != "anthropic":
            return body
        fields = decode(body)
        fields.pop("model", None)
        fields.setdefault("anthropic_version", CLAUDE_VERSION)
        return encode(fields)

    def _add_client_headers(
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        if dialect == "anthropic" == surface and client.get("anthropic-beta"):
            add_anthropic_headers(headers, {"anthropic-beta": client["anthropic-beta"]})
            del headers["anthropic-version"]


def _claude_call(model: str, stream: bool, operation: Operation) -> str:
    if operation == "count_tokens":
        return "count-tokens:rawPredict"
    return f"{safe_segment(model)}:{'streamRawPredict' if stream else 'rawPredict'}"


def _vertex_host(settings: ProviderSettings) -> str:
    location = settings.location
    if settings.api_key is not None or location in ("", "global"):
        return "https://aiplatform.googleapis.com/v1"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com/v1"
    return f"https://{location}-aiplatform.googleapis.com/v1"
