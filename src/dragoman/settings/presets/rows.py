"""The presets, one row each: what holds when nothing else was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dragoman.settings.addresses import is_loopback


@dataclass(frozen=True, slots=True)
class Preset:
    """One row.

    ``provider`` is the word for the account that bare names go to; when ``moves``, another account
    takes its place if it alone is set up. ``auth`` tells when a credential is required although none
    is set. ``big`` and ``small`` hold for OpenAI and Azure; ``model`` is the default of OPENAI_MODEL,
    which then serves both; with ``one_for_both`` one given name serves both. ``introduces`` sends
    the gateway's name and page to the provider.
    """

    name: str
    port: int = 8080
    auth: Literal["as needed", "required", "unless loopback"] = "as needed"
    provider: str = ""
    moves: bool = False
    unmapped: str = "passthrough"
    base_url: str = ""
    big: str = ""
    small: str = ""
    model: str = ""
    one_for_both: bool = False
    introduces: bool = False
    timeout: float = 0.0
    cors_origins: tuple[str, ...] = ()
    json_log_file: str = ""
    status: str = ""

    def defaults(self, host: str) -> dict[str, Any]:
        """The defaults as branches of the settings' tree, models apart. ``host`` is what is listened on."""
        tree: dict[str, Any] = {"server": {"port": self.port}}
        if because := self._because(host):
            tree["auth"] = {"because": because}
        if self.cors_origins:
            tree["server"]["cors_origins"] = list(self.cors_origins)
        if self.timeout:
            tree["timeout"] = self.timeout
        if self.json_log_file:
            tree["log"] = {"json_file": self.json_log_file}
        if self.status:
            tree["about"] = {"status": self.status}
        return tree

    def _because(self, host: str) -> str:
        if self.auth == "required":
            return f"preset {self.name}"
        return f"{host} is not loopback" if self.auth == "unless loopback" and not is_loopback(host) else ""


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "chat_azure",
            auth="required",
            provider="azure",
            unmapped="error",
            cors_origins=("*",),
        ),
        Preset(
            "infiniproxy",
            port=8000,
            auth="required",
            provider="openai",
            unmapped="default",
            base_url="https://cloud.infini-ai.com/maas/v1",
            model="glm-4.6",
            timeout=300.0,
            status="running",
        ),
        Preset(
            "claude-code-provider-proxy",
            port=8000,
            provider="openai",
            unmapped="small",
            base_url="https://router.shengsuanyun.com/api/v1",
            one_for_both=True,
            introduces=True,
            json_log_file="log.jsonl",
        ),
        Preset(
            "claude-code-gpt-proxy",
            port=8082,
            provider="openai",
            moves=True,
            big="gpt-4.1",
            small="gpt-4.1-mini",
        ),
        Preset("azuregptproxy", provider="azure", moves=True),
        Preset("dragoman", auth="unless loopback", unmapped="error"),
    )
}
"""By name. ``DRAGOMAN_PRESET`` takes these."""
