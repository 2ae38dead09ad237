"""What the gateway says about itself: ``GET /`` and ``GET /health``. Neither asks a provider.

It must not know secrets or addresses of providers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dragoman import __version__

ENDPOINTS = {
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "chat_completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/{model}:generateContent",
    "models": "/v1/models",
    "cursor": "/cursor/chat/completions",
    "health": "/health",
}


class Information:
    """``providers`` are names; ``model`` is the default model, ``status`` the word for being well."""

    def __init__(
        self,
        *,
        name: str = "AnthropicProxy",
        version: str = __version__,
        status: str = "ok",
        providers: Sequence[str] = (),
        model: str = "",
    ) -> None:
        self._name = name
        self._version = version
        self._status = status
        self._providers = providers
        self._model = model

    def about(self) -> dict[str, Any]:
        """A superset of what the earlier proxies said at their root."""
        return {
            "message": f"Anthropic Proxy and gateway between AI dialects, dragoman {__version__}",
            "name": "dragoman",
            "proxy_name": self._name,
            "version": self._version,
            "status": self._status,
            "timestamp": datetime.now(UTC).isoformat(),
            "endpoints": ENDPOINTS,
        }

    def health(self) -> dict[str, Any]:
        """Whether the process lives, and whether a provider is configured."""
        return {
            "status": "healthy",
            "pid": os.getpid(),
            "openai_backend": "configured" if self._providers else "not configured",
            "openai_model": self._model,
        }
