"""The request that goes out: by the short cut, where only the model's name changes in the client's
own bytes, or by the long way through the conversation model.

Pure but for the keepsakes it is given. It must not know providers' addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dragoman.language import splice
from dragoman.language.envelope import seal
from dragoman.language.failures import Refused
from dragoman.language.fitting import Fitted, fit
from dragoman.language.ir import Json, Message, Reasoning, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.registry import DIALECTS
from dragoman.language.wire import MAX_DEPTH, encode
from dragoman.language.wire import decode as decode_json
from dragoman.relay.calls import Call
from dragoman.relay.depth import deeper_than
from dragoman.relay.keepsakes import Keepsakes
from dragoman.upstream.resolution import Resolved

_ENVELOPE = seal({})[:12].encode()
"""How every envelope of ours begins: what we sealed no provider is ever sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one call goes."""

    resolved: Resolved
    profile: Profile

    @property
    def model(self) -> str:
        """The provider's name of the model."""
        return self.resolved.upstream_model


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that shape requests and answers. ``max_output`` caps what Anthropic clients ask for."""

    max_output: int | None = None
    reasoning: str = "thinking"
    content_filter_stop: str = "refusal"


@dataclass(slots=True)
class Outgoing:
    """The body to send, and what the answer's way must know of it."""

    body: bytes
    short: bool
    hide_usage: bool = False
    fitted: Fitted | None = None


def read_body(data: bytes) -> dict[str, Json]:
    """The body as a JSON object. Raises Refused for anything else, or for nesting that is not safe."""
    try:
        body = decode_json(data)
    except RecursionError:
        raise Refused("", f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise Refused("", "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Refused("", "the body must be a JSON object")
    if deeper_than(body, data, MAX_DEPTH):
        raise Refused("", f"the body is nested deeper than {MAX_DEPTH} levels")
    return body


def read_request(call: Call, body: dict[str, Json]) -> Request:
    """Read the conversation. On a Chat path the body's shape decides who reads it (trap C10)."""
    dialect = call.dialect
    if dialect == "openai_chat" and "messages" not in body and "input" in body:
        dialect = "openai_responses"
    return DIALECTS[dialect].read_request(body, model=call.model, stream=call.stream)


def unread_request(call: Call, body: Mapping[str, Json]) -> Request | None:
    """As much of a request as a provider of its own dialect needs us to know, whatever else it holds.

    A body our reader refuses may still be good to its own provider: nothing of it is our business then.
    """
    model = body.get("model", "") if call.model is None else call.model
    if not isinstance(model, str) or "previous_response_id" in body or _ENVELOPE in call.body:
        return None
    stream = body.get("stream") is True if call.stream is None else call.stream
    return Request(call.dialect, model, [], stream=stream)


def compose(
    call: Call, body: Mapping[str, Json], request: Request, target: Target, receipt: Receipt,
    *, options: Options, keepsakes: Keepsakes, expanded: bool,
) -> Outgoing:  # fmt: skip
    """The body for the target, by the short cut where that is allowed."""
    same = request.dialect == call.dialect == target.profile.dialect
    if same and not expanded and _ENVELOPE not in call.body:
        return _short_cut(call, body, request, target, options)
    previous = "" if expanded else request.previous
    request = replace(request, model=target.model, messages=list(request.messages), previous=previous)
    if target.profile.dialect == request.dialect:
        return _own_wording(request, target.profile, receipt)
    keepsakes.restore(call.owner, request, receipt)
    _apply_settings(call, request, target.resolved, receipt, options)
    fitted = fit(request, target.profile, receipt)
    written = DIALECTS[target.profile.dialect].write_request(fitted.request, target.profile, receipt)
    return Outgoing(encode(written), short=False, fitted=fitted)


def _short_cut(call: Call, body: Mapping[str, Json], request: Request, target: Target, options: Options) -> Outgoing:
    data = call.body
    if call.model is None and body.get("model") != target.model:
        data = splice.replaced(data, "model", encode(target.model))
    if call.dialect == "anthropic" and call.operation == "generate":
        data = _with_output_limit(data, body, target.profile, options)
    hide = False
    if call.dialect == "openai_chat" and request.stream and target.profile.stream_usage:
        data, hide = with_stream_usage(data, body)
    return Outgoing(data, short=True, hide_usage=hide)


def _with_output_limit(data: bytes, body: Mapping[str, Json], profile: Profile, options: Options) -> bytes:
    """Anthropic demands an output limit; the operator may cap it."""
    given = body.get("max_tokens")
    if given is None:
        given = profile.default_max or profile.max_output
        if given is not None:
            limit = min(given, options.max_output or given)
            data = splice.replaced(data, "max_tokens", b"%d" % limit)
    elif options.max_output is not None and isinstance(given, int) and given > options.max_output:
        data = splice.replaced(data, "max_tokens", b"%d" % options.max_output)
    return data


def with_stream_usage(data: bytes, body: Mapping[str, Json]) -> tuple[bytes, bool]:
    """The body of a stream that reports usage, and whether the client had not asked for it (trap U06)."""
    given = body.get("stream_options")
    if isinstance(given, dict) and given.get("include_usage") is True:
        return data, False
    wanted = {**given, "include_usage": True} if isinstance(given, dict) else {"include_usage": True}
    return splice.replaced(data, "stream_options", encode(wanted)), True


def _own_wording(request: Request, profile: Profile, receipt: Receipt) -> Outgoing:
    """The same dialect, but the history holds thoughts of other owners, or was put together here."""
    for at, message in enumerate(request.messages):
        kept = [part for part in message.parts if not _is_foreign_thought(part, profile.dialect)]
        if len(kept) != len(message.parts):
            receipt.note(f"messages[{at}]", "dropped", "thoughts of another provider are not shown to this one")
            request.messages[at] = Message(message.role, kept, message.extras)
    request.messages[:] = [message for message in request.messages if message.parts or message.extras]
    written = DIALECTS[profile.dialect].write_request(request, profile, receipt)
    body = encode(written)
    if profile.dialect == "openai_chat" and request.stream and profile.stream_usage:
        body, _ = with_stream_usage(body, written)
    return Outgoing(body, short=False)


def _is_foreign_thought(part: object, dialect: str) -> bool:
    return isinstance(part, Reasoning) and bool(part.extras) and dialect not in part.extras


def _apply_settings(call: Call, request: Request, resolved: Resolved, receipt: Receipt, options: Options) -> None:
    """What the operator set for Anthropic clients: effort by size of model, and a cap on the answer."""
    if call.dialect != "anthropic":
        return
    reasoning = request.reasoning
    if resolved.effort and reasoning is not None and reasoning.mode in ("on", "adaptive") and not reasoning.effort:
        request.reasoning = replace(reasoning, effort=resolved.effort)
    given = request.sampling.max_tokens
    if options.max_output is not None and given is not None and given > options.max_output:
        request.sampling = replace(request.sampling, max_tokens=options.max_output)
        receipt.note("max_tokens", "approximated", f"the gateway's limit is {options.max_output}")
