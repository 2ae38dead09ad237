"""OpenAI, and services that speak its wire.

Which of the two surfaces a model is asked on is decided here, because it is the account that offers
them. It must not know what a request means beyond that choice.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dragoman.language.ir import Request, Tool
from dragoman.language.profiles import Profile
from dragoman.settings.addresses import Base
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential
from dragoman.upstream.providers.base import Provider, key_in
from dragoman.upstream.providers.vendors import vendor_of

CHAT = "openai_chat"
RESPONSES = "openai_responses"
_DIALECT_OF_API = {"chat": CHAT, "responses": RESPONSES}
_ENDPOINTS = re.compile(r"/+(chat/completions|completions|responses|messages)$")

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

    def _make_credential(self, key: str) -> Credential:
        return key_in("authorization", key, "Bearer ")

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
        return vendor_of(self._origin)

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        said = self._family_and_api(model)[1] or self.settings.api or "chat"
        return _DIALECT_OF_API.get(said, CHAT)


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
