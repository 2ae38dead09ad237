"""Azure OpenAI: OpenAI's wire under URLs of its own, where the model is a deployment (V02).

Three forms of URL, told apart by the endpoint that is configured:

- dated: ``/openai/deployments/{deployment}/chat/completions`` and ``/openai/responses``, with a version;
- undated: ``.../openai/v1``, or one of the words ``preview`` and ``latest`` for a version;
- model inference: ``.../models``, where the model stands in the body.

Of the endpoint scheme, host and port are kept, its path only tells the form. It must not know what a
request means beyond the choice of a surface.

https://learn.microsoft.com/azure/ai-foundry/openai/reference
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar
from urllib.parse import parse_qs, quote

from dragoman.language.ir import Media, Request, ToolResult
from dragoman.language.profiles import Profile
from dragoman.observe.logs import get_logger
from dragoman.settings.addresses import Base
from dragoman.settings.model import ProviderSettings
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential, EntraToken
from dragoman.upstream.providers.base import key_in, safe_segment
from dragoman.upstream.providers.openai_like import CHAT, RESPONSES, OpenAI

_log = get_logger("upstream")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_GUESSES = 1024


class AzureOpenAI(OpenAI):
    """One Azure resource, signed with its key or with Entra ID."""

    CHAT_VERSION: ClassVar[str] = "2024-10-21"
    MODELS_VERSION: ClassVar[str] = "2024-05-01-preview"
    RESPONSES_VERSION: ClassVar[str] = "2025-04-01-preview"
    FIRST_WITH_RESPONSES: ClassVar[str] = "2025-03-01"
    FIRST_WITH_STREAM_USAGE: ClassVar[str] = "2024-08-01"
    """Older versions answer ``stream_options`` with 400."""

    def __init__(self, name: str, settings: ProviderSettings) -> None:
        self._version = settings.api_version.strip()
        self._dated_version = self._inference = self._undated = self._told_version = False
        self._guessed: set[str] = set()
        super().__init__(name, settings)

    def _home(self) -> str:
        return ""

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        path = f"{base.path.lower()}/"
        query = {key.lower(): values[-1] for key, values in parse_qs(base.query).items()}
        self._version = self._version or query.get("api-version", "")
        self._dated_version = _DATE.match(self._version) is not None
        self._inference = path.startswith("/models/")
        self._undated = path.startswith("/openai/v1/") or (bool(self._version) and not self._dated_version)

    # ------------------------------------------------------------ facts

    def _vendor(self) -> str:
        return "azure"

    def _make_credential(self, key: str) -> Credential:
        said = self.settings
        if said.auth == "key":
            return key_in("api-key", key)
        secret = said.client_secret.get_secret_value() if said.client_secret else ""
        return EntraToken(said.tenant_id, said.client_id, secret, said.authority)

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        dialect = super()._dialect(model, surface, request, family)
        said = self._family_and_api(model)[1] or self.settings.api
        if dialect == CHAT and surface != CHAT and not said and _holds_document(request):
            # Azure's chat has no file parts.
            responses = self._profile(RESPONSES, model, family)
            return RESPONSES if responses.media.get("document") else CHAT
        return dialect

    def _profile(self, dialect: str, model: str, family: str) -> Profile:
        profile = super()._profile(dialect, model, family)
        if not family and model not in self._guessed:
            self._tell_guess(model, profile.family)
        old = dialect == CHAT and self._dated_version and self._version[:10] < self.FIRST_WITH_STREAM_USAGE
        return replace(profile, stream_usage=False) if old and not self._inference else profile

    def _tell_guess(self, model: str, family: str) -> None:
        """A deployment's name need not reveal its model, so what was taken for one is said, once (T-47)."""
        if len(self._guessed) < _MAX_GUESSES:
            self._guessed.add(model)
            _log.info("family guessed from a deployment's name", provider=self.name, deployment=model, family=family)

    # ------------------------------------------------------------ addresses

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "count_tokens":
            raise self._unsupported(operation)
        if operation == "models":
            return self._v1_path("models") if self._undated else self._dated("/openai/models", self.CHAT_VERSION)
        if profile.dialect == RESPONSES and operation == "generate":
            return self._responses_path()
        verb = "completions" if operation == "complete" else "chat/completions"
        if self._inference:
            return self._dated(f"/models/{verb}", self.MODELS_VERSION)
        if self._undated and not self._dated_version:
            return self._v1_path(verb)
        return self._dated(f"/openai/deployments/{safe_segment(model)}/{verb}", self.CHAT_VERSION)

    def _responses_path(self) -> str:
        if self._undated or self._inference:
            return self._v1_path("responses")
        if self._version[:10] < self.FIRST_WITH_RESPONSES:
            self._tell_version()
            return f"/openai/responses?api-version={self.RESPONSES_VERSION}"
        return self._dated("/openai/responses", self.RESPONSES_VERSION)

    def _v1_path(self, verb: str) -> str:
        """A path of the undated API, which takes a version only in words."""
        if not self._version or self._dated_version or self._version == "v1":
            return f"/openai/v1/{verb}"
        return self._dated(f"/openai/v1/{verb}", "")

    def _dated(self, path: str, default: str) -> str:
        return f"{path}?api-version={quote(self._version or default, safe='')}"

    def _tell_version(self) -> None:
        if self._version and not self._told_version:
            self._told_version = True
            _log.warning(
                "the api-version has no Responses, a newer one is used for them",
                provider=self.name,
                configured=self._version,
                used=self.RESPONSES_VERSION,
            )


def _holds_document(request: Request | None) -> bool:
    if request is None:
        return False
    for message in request.messages:
        for part in message.parts:
            inner = part.content if isinstance(part, ToolResult) else (part,)
            if any(isinstance(item, Media) and item.kind == "document" for item in inner):
                return True
    return False
