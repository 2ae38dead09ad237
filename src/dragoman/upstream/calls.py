"""What goes out to a provider and what can go wrong on the way: values shared by providers and client.

It must not know any provider nor any HTTP library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dragoman.language.failures import Failure

Operation = Literal["generate", "count_tokens", "models", "complete"]
"""An answer, a count of tokens, the list of models, or an old text completion passed through."""


@dataclass(slots=True)
class UpstreamCall:
    """One signed HTTP request. ``headers`` hold a credential, so they never print.

    ``provider`` is for messages; ``allow_private`` permits loopback and private addresses.
    ``withheld`` names what the provider does not take and was left out of body and headers. ``sent`` is set
    when the body goes out: until then the provider cannot have acted on it.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    provider: str = ""
    allow_private: bool = False
    withheld: tuple[str, ...] = ()
    sent: bool = False


class UpstreamTrouble(Exception):
    """The provider could not be asked, or its answer broke. ``failure`` says how, without any address."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def unreachable(provider: str, why: str) -> UpstreamTrouble:
    """502: refused, not found, TLS, or a broken reply."""
    return UpstreamTrouble(Failure("server", f"provider {provider}: {why}", status=502, code="upstream_unreachable"))


def timed_out(provider: str, why: str) -> UpstreamTrouble:
    """504: a deadline passed."""
    return UpstreamTrouble(Failure("timeout", f"provider {provider}: {why}", status=504, code="upstream_timeout"))


def unconfigured(provider: str, missing: str) -> UpstreamTrouble:
    """500: something must be set before this provider can be asked."""
    return UpstreamTrouble(
        Failure("server", f"provider {provider} is not configured: set {missing}", status=500, code="internal_error")
    )


def no_credential(provider: str, why: str) -> UpstreamTrouble:
    """502: our own credential could not be had."""
    return UpstreamTrouble(Failure("credential", f"provider {provider}: {why}", status=502, code="upstream_credential"))
