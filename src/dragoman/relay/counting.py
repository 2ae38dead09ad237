"""Counting tokens: the provider's own counter first, else a local count that needs no network.

A client that gets no count pays for a whole call instead, so this answers whenever the request can
be read (trap U10). It must not know servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Request
from dragoman.language.losses import Receipt
from dragoman.language.tokens import count_request
from dragoman.language.wire import decode, decode_exactly, encode
from dragoman.relay.calls import Call
from dragoman.relay.keepsakes import Keepsakes
from dragoman.relay.outgoing import Options, Target, compose
from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.providers import Provider

PATIENCE = 10.0
"""Seconds a provider's counter may take before the local count answers."""

_COUNTED = frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"})
"""Fields that Anthropic's counter takes of a body that was written for an answer."""

_REFUSED = frozenset("max_tokens stream temperature top_p top_k stop_sequences metadata service_tier".split())
"""Fields of an answer that the counter refuses. A client's others pass: features bring new ones at any time."""

_FIELDS = {"anthropic": "input_tokens", "gemini": "totalTokens"}


def count_answer(dialect: str, tokens: int) -> dict[str, Json]:
    """The count in the client's dialect."""
    if dialect == "gemini":
        return {"totalTokens": tokens}
    if dialect == "openai_responses":
        return {"object": "response.input_tokens", "input_tokens": tokens}
    return {"input_tokens": tokens}


def unwrapped(call: Call, body: dict[str, Json]) -> dict[str, Json]:
    """The request to count: Gemini may wrap a whole one."""
    inner = body.get("generateContentRequest")
    if call.dialect != "gemini" or not isinstance(inner, dict):
        return body
    return {key: value for key, value in inner.items() if key != "model"}


async def count_locally(request: Request, model: str) -> int:
    """Count without a network, off the event loop: a long history takes milliseconds."""
    return await asyncio.to_thread(count_request, request, model)


async def count_upstream(
    call: Call, body: Mapping[str, Json], request: Request, target: Target, provider: Provider, client: UpstreamClient
) -> int | None:
    """The provider's count; None when it has no counter or does not answer."""
    if not provider.counts_tokens or target.profile.dialect not in _FIELDS:
        return None
    try:
        data = _composed(call, body, request, target)
        signed = await provider.call(
            target.profile,
            target.model,
            data,
            stream=False,
            client_headers=call.headers,
            operation="count_tokens",
            surface=request.dialect,
        )
        async with asyncio.timeout(PATIENCE):
            async with await client.open(signed, connect_timeout=5, first_byte_timeout=PATIENCE) as answer:
                return _read(target.profile.dialect, answer.status, await answer.read(1024 * 1024))
    except (UpstreamTrouble, Refused, TimeoutError):
        return None


def _composed(call: Call, body: Mapping[str, Json], request: Request, target: Target) -> bytes:
    """The body the provider's counter takes."""
    outgoing = compose(call, body, request, target, Receipt(), options=Options(), keepsakes=Keepsakes(), expanded=False)
    written = decode_exactly(outgoing.body)
    if target.profile.dialect == "anthropic":
        if outgoing.short and _REFUSED.isdisjoint(written):
            return outgoing.body
        kept = written.keys() - _REFUSED if outgoing.short else written.keys() & _COUNTED
        return encode({key: value for key, value in written.items() if key in kept})
    # Bare contents would be counted without instructions and tools.
    name = target.model if "/" in target.model else f"models/{target.model}"
    return encode({"generateContentRequest": {"model": name, **unwrapped(call, written)}})


def _read(dialect: str, status: int, data: bytes) -> int | None:
    if status != 200:
        return None
    try:
        body = decode(data)
    except ValueError:
        return None
    tokens = body.get(_FIELDS[dialect]) if isinstance(body, dict) else None
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None
