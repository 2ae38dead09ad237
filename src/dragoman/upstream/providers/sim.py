"""The simulated provider: a server of our own, so that everything can be tried without an account.

Its address is known only once that server listens, so it may be set late. It speaks every dialect;
the settings' ``api`` chooses one, chat unless said.
"""

from __future__ import annotations

from dragoman.language.ir import Request
from dragoman.language.profiles import Profile
from dragoman.settings.addresses import Base, check_base
from dragoman.upstream.calls import Operation
from dragoman.upstream.credentials import Credential, NoKey
from dragoman.upstream.providers.base import Provider, safe_segment
from dragoman.upstream.providers.google import verb
from dragoman.upstream.sim.server import PATHS

_DIALECT_OF_API = {"chat": "openai_chat", "responses": "openai_responses"}
_PATHS = {dialect: path for path, dialect in PATHS.items()}


class SimProvider(Provider):
    """Speaks to the simulated server at ``base_url``."""

    @property
    def base_url(self) -> str:
        """Where the server listens, for example ``http://127.0.0.1:40123``; empty until it does."""
        return self._origin

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._settle(check_base(url, allow_private=True))

    def _home(self) -> str:
        return ""

    def _settle(self, base: Base) -> None:
        super()._settle(base)
        self._root = base.path.removesuffix("/v1")

    def _checked(self, url: str) -> Base:
        return check_base(url, allow_private=True)

    def _may_reach_private(self) -> bool:
        return True

    def _make_credential(self, key: str) -> Credential:
        return NoKey()

    def _dialect(self, model: str, surface: str, request: Request | None, family: str) -> str:
        api = self._family_and_api(model)[1] or self.settings.api or "chat"
        return _DIALECT_OF_API.get(api, api)

    def _path(self, profile: Profile, model: str, stream: bool, operation: Operation) -> str:
        if operation == "complete":
            raise self._unsupported(operation)
        if operation == "models":
            return f"{self._root}/v1/models"
        if profile.dialect == "gemini":
            return f"{self._root}/v1beta/models/{safe_segment(model)}:{verb(stream, operation)}"
        if operation == "count_tokens" and profile.dialect != "anthropic":
            raise self._unsupported(operation)
        path = self._root + _PATHS[profile.dialect]
        return f"{path}/count_tokens" if operation == "count_tokens" else path
