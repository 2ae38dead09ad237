"""Microsoft Entra ID for Azure, through azure-identity, which is installed with the extra ``azure``.

An application with a secret signs in as itself; without one, whatever identity this machine has is
taken: a managed or workload identity, variables, or a developer's login.

https://learn.microsoft.com/azure/developer/python/sdk/authentication/overview
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dragoman.upstream.credentials.tokens import FreshToken, Token

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_SUFFIX_OF_AUTHORITY = {
    "login.microsoftonline.us": "us",
    "login.chinacloudapi.cn": "cn",
    "login.partner.microsoftonline.cn": "cn",
}


class EntraToken(FreshToken):
    """Tokens for Azure's cognitive services. Empty arguments are left to azure-identity to find."""

    def __init__(
        self,
        tenant_id: str = "",
        client_id: str = "",
        client_secret: str = "",
        authority: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        missing = "azure-identity is missing: install dragoman with its extra 'azure'"
        super().__init__(self._from_entra, clock, forget=self._drop, missing=missing)
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._authority = authority
        self._credential: TokenCredential | None = None

    def _from_entra(self) -> Token:
        if self._credential is None:
            self._credential = self._sign_in()
        token = self._credential.get_token(scope_of(self._authority))
        return Token(token.token, float(token.expires_on))

    def _sign_in(self) -> TokenCredential:
        import azure.identity

        options: dict[str, Any] = {"authority": self._authority} if self._authority else {}
        if self._client_secret:
            # An authority that was configured is trusted; nobody is asked whether it exists.
            options |= {"disable_instance_discovery": bool(self._authority), "retry_total": 1}
            return azure.identity.ClientSecretCredential(
                self._tenant_id, self._client_id, self._client_secret, **options
            )
        if self._client_id:
            options |= {f"{kind}_identity_client_id": self._client_id for kind in ("managed", "workload")}
        if self._tenant_id:
            options["workload_identity_tenant_id"] = self._tenant_id
        return azure.identity.DefaultAzureCredential(**options)

    def _drop(self) -> None:
        """azure-identity keeps tokens inside the credential."""
        self._credential = None


def scope_of(authority: str) -> str:
    """What a token is asked for, in the cloud of the given sign-in host."""
    suffix = _SUFFIX_OF_AUTHORITY.get(authority.removeprefix("https://").partition("/")[0].lower(), "com")
    return f"https://cognitiveservices.azure.{suffix}/.default"
