"""OpenAI, services that speak its wire, and Azure OpenAI.

Which of the two surfaces a model is asked on is decided here, because it is the account that offers
them. It must not know what a request means beyond that choice.

https://platform.openai.com/docs/api-reference
https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qs, quote

from dragoman.language.ir import Media, Request, Tool, ToolResult
from dragoman.language.profiles import Profile
from dragoman.settings.addresses import Base
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential
from dragoman.upstream.providers.base import Provider, safe_segment

CHAT = "openai_chat"
RESPONSES = "openai_responses"
_DIALECT_OF_API = {"chat": CHAT, "responses": RESPONSES}
_ENDPOINTS = re.compile(r"/+(chat/completions|completions|responses|messages)$")

_VENDOR_OF_DOMAIN = {"x.ai": "xai", "z.ai": "zai"}

_RESPONSES_FIELDS = frozenset({"user", "previous_response_id", "background", "store", "include", "truncation"})
"""Fields of an Anthropic body that only make sense on Responses."""


class OpenAI(Provider):
    """OpenAI itself: both surfaces, chosen per call."""

    def _home(self) -> str:
        return "https://api.openai.com/v1"

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        # A bare host means its /v1; a full endpoint URL means exactly what stands before the endpoint (T-44).
        self._root = _ENDPOINTS.sub("", base.path) if base.path else "/v1"

    def _vendor(self) -> str:
        return "openai"

    def _make_credential(self) -> Credential:
        return self._key_in("authorization", "Bearer ")

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        said = self._family_and_api(model)[1] or self.settings.api or ""
        if said in _DIALECT_OF_API:
            return _DIALECT_OF_API[said]
        chat = self._profile(CHAT, model, family)
        if surface == RESPONSES:
            return RESPONSES
        if tools_need_responses(chat, request):
            return RESPONSES
        if surface == CHAT:
            return CHAT
        return RESPONSES if chat.api == "responses" or _speaks_responses(request) else CHAT

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "models":
            return f"{self._root}/models"
        if operation == "count_tokens":
            raise self._unsupported(operation)
        if operation == "complete":
            return f"{self._root}/completions"
        return self._root + ("/responses" if profile.dialect == RESPONSES else "/chat/completions")

    def _add_client_headers(
        self, headers: dict[str, str], client: Mapping[str, str], dialect: str, surface: str
    ) -> None:
        beta = client.get("openai-beta", "")
        if beta and surface == dialect and beta.isascii() and beta.isprintable():
            headers["openai-beta"] = beta


class OpenAICompatible(OpenAI):
    """Any other service with an OpenAI-like wire. Chat, unless the settings say responses."""

    def _home(self) -> str:
        return ""

    def _vendor(self) -> str:
        return vendor_of_host(self._host)

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        said = self._family_and_api(model)[1] or self.settings.api or "chat"
        return _DIALECT_OF_API.get(said, CHAT)


class AzureOpenAI(OpenAI):
    """Azure's forms of the same wire; the model is a deployment (V02).

    The endpoint's path is dropped except for two forms: ``.../openai/v1`` (undated Responses) and
    ``.../models`` (the model inference API, model in the body).
    """

    CHAT_VERSION: ClassVar[str] = "2024-10-21"
    MODELS_VERSION: ClassVar[str] = "2024-05-01-preview"
    RESPONSES_VERSION: ClassVar[str] = "2025-04-01-preview"
    FIRST_WITH_RESPONSES: ClassVar[str] = "2025-03-01"

    def _home(self) -> str:
        return ""

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        path = base.path.lower()
        self._v1 = f"{path}/".startswith("/openai/v1/")
        self._inference = f"{path}/".startswith("/models/")
        query = {key.lower(): values[-1] for key, values in parse_qs(base.query).items()}
        self._version = self.settings.api_version or query.get("api-version", "")

    def _vendor(self) -> str:
        return "azure"

    def _make_credential(self) -> Credential:
        return self._key_in("api-key")

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        dialect = super()._dialect(model, surface, request, family)
        said = self._family_and_api(model)[1] or self.settings.api
        if dialect == CHAT and surface != CHAT and not said and _holds_document(request):
            # Azure's chat has no file parts.
            responses = self._profile(RESPONSES, model, family)
            return RESPONSES if responses.media.get("document") else CHAT
        return dialect

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "count_tokens":
            raise self._unsupported(operation)
        if operation == "models":
            return "/openai/v1/models" if self._v1 else self._dated("/openai/models", self.CHAT_VERSION)
        if profile.dialect == RESPONSES and operation == "generate":
            return self._responses_path()
        verb = "completions" if operation == "complete" else "chat/completions"
        if self._inference:
            return self._dated(f"/models/{verb}", self.MODELS_VERSION)
        return self._dated(f"/openai/deployments/{safe_segment(model)}/{verb}", self.CHAT_VERSION)

    def _responses_path(self) -> str:
        if self._v1:
            return "/openai/v1/responses"
        if self._version[:10] < self.FIRST_WITH_RESPONSES:
            return f"/openai/responses?api-version={self.RESPONSES_VERSION}"
        return self._dated("/openai/responses", self.RESPONSES_VERSION)

    def _dated(self, path: str, default: str) -> str:
        return f"{path}?api-version={quote(self._version or default, safe='')}"


def vendor_of_host(host: str) -> str:
    """Who runs a service, guessed from its host: ``api.groq.com`` -> groq; ``compatible`` when it tells nothing."""
    labels = host.lower().split(".")
    if len(labels) < 2 or labels[-1].isdigit() or ":" in host:
        return "compatible"
    return _VENDOR_OF_DOMAIN.get(".".join(labels[-2:]), labels[-2])


def tools_need_responses(chat: Profile, request: Request | None) -> bool:
    """Whether the call has function tools and thinks, on a family that refuses both together on chat (R14)."""
    if request is None or chat.tools_with_reasoning:
        return False
    if not any(isinstance(tool, Tool) and tool.kind == "function" for tool in request.tools):
        return False
    asked = request.reasoning
    return asked is None or (asked.mode != "off" and asked.effort != "none")


def _speaks_responses(request: Request | None) -> bool:
    if request is None or request.dialect != "anthropic":
        return False
    return not _RESPONSES_FIELDS.isdisjoint(request.extras.get("anthropic", {}))


def _holds_document(request: Request | None) -> bool:
    if request is None:
        return False
    for message in request.messages:
        for part in message.parts:
            inner = part.content if isinstance(part, ToolResult) else (part,)
            if any(isinstance(item, Media) and item.kind == "document" for item in inner):
                return True
    return False
