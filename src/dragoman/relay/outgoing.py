"""The request that goes out: by the short cut, where only the model's name changes in the client's
own bytes, or by the long way through the conversation model.

Pure but for the keepsakes it is given. It must not know providers' addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dragoman.language import splice
from dragoman.language.failures import Refused
from dragoman.language.fitting import Fitted, fit
from dragoman.language.fitting.mending import mend
from dragoman.language.fitting.native import ENVELOPE, drop_ours, holds_ours
from dragoman.language.fitting.ownership import Eyes, withhold
from dragoman.language.fitting.settings import suit_settings
from dragoman.language.ir import Json, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.registry import DIALECTS
from dragoman.language.wire import MAX_DEPTH, decode_exactly, encode
from dragoman.relay.affinity import conversation_of
from dragoman.relay.calls import Call, Manners
from dragoman.relay.depth import deeper_than
from dragoman.relay.issuers import issuer_name
from dragoman.relay.keepsakes import Keepsakes
from dragoman.relay.overriding import overridden
from dragoman.upstream.plans import Resolved


@dataclass(frozen=True, slots=True)
class Target:
    """Where one call goes."""

    resolved: Resolved
    profile: Profile

    @property
    def model(self) -> str:
        """The provider's name of the model."""
        return self.resolved.upstream_model

    @property
    def issuer(self) -> str:
        """Who issues what this target signs."""
        return issuer_name(self.resolved.provider_name, self.resolved.upstream_model, self.profile)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that shape requests and answers.

    ``max_output`` caps what Anthropic clients ask for; ``claude_cache``: a Chat target with ``claude`` in
    its name takes cache hints.
    """

    max_output: int | None = None
    reasoning: str = "thinking"
    content_filter_stop: str = "refusal"
    claude_cache: bool = False


@dataclass(slots=True)
class Outgoing:
    """The body to send, and what the answer's way must know of it. ``request`` is what was written, if anything was."""

    body: bytes
    short: bool
    hide_usage: bool = False
    fitted: Fitted | None = None
    manners: Manners | None = None
    request: Request | None = None


def read_body(data: bytes) -> dict[str, Json]:
    """The body as a JSON object. Raises Refused for anything else, or for nesting that is not safe."""
    try:
        body = decode_exactly(data)
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
    """Read the conversation. On a Chat path the body's shape decides which dialect it is read as (trap C10)."""
    # Who names no model gets a default one; not every wire foresees that.
    model = "" if call.model is None and "model" not in body else call.model
    request = DIALECTS[call.dialect].read_request(body, model=model, stream=call.stream)
    if call.manners is not None:
        call.manners.adopt(request)
    return request


def unread_request(call: Call, body: Mapping[str, Json]) -> Request | None:
    """As much of a request as a provider of its own dialect needs us to know, whatever else it holds.

    A body our reader refuses may still be good to its own provider: nothing of it is our business then.
    """
    model = body.get("model", "") if call.model is None else call.model
    if not isinstance(model, str) or "previous_response_id" in body or ENVELOPE in call.body or call.manners:
        return None
    stream = body.get("stream") is True if call.stream is None else call.stream
    return Request(call.dialect, model, [], stream=stream)


def compose(
    call: Call, body: Mapping[str, Json], request: Request, target: Target, receipt: Receipt,
    *, options: Options, keepsakes: Keepsakes, expanded: bool,
) -> Outgoing:  # fmt: skip
    """The body for the target, by the short cut where that is allowed.

    What it is given stays as it is, so that a call can be composed for one target after another.
    """
    profile = target.profile
    native = request.dialect == profile.dialect
    manners = call.manners
    if manners is not None and manners.stands_aside(request, profile):
        manners = None
    wanted = overridden(request, target.resolved.overriding, profile, receipt)
    if native and wanted is request:
        wanted = suit_settings(request, target.model, profile, receipt)
    passing = native and call.dialect == request.dialect and not expanded and manners is None and wanted is request
    if passing and not holds_ours(call.body, request, profile):
        told = _told(call.owner, request, target, receipt, keepsakes, remembering=profile.echoes_thoughts)
        mended = mend(told, profile, receipt)
        if mended is request:
            return _short_cut(call, body, request, target, options)
    previous = request.previous if "previous_response_id" in body else ""
    aimed = replace(wanted, model=target.model, messages=list(request.messages), previous=previous)
    if manners is not None:
        manners.suit(aimed, request.model, profile, receipt)
        native = aimed.dialect == profile.dialect
    remembering = not native or manners is not None or profile.echoes_thoughts
    aimed = _told(call.owner, aimed, target, receipt, keepsakes, remembering=remembering, sealed=True)
    if native:
        return replace(_own_wording(call, aimed, profile, receipt, options), manners=manners)
    _apply_settings(call, aimed, target.resolved, receipt, options)
    profile = _with_cache_hints(profile, target.model, options)
    if profile.cache_key and not aimed.cache_key and not (aimed.user and request.dialect == "anthropic"):
        aimed.cache_key = conversation_of(call.headers, body, request)  # T15
    fitted = fit(aimed, profile, receipt)
    written = DIALECTS[profile.dialect].write_request(fitted.request, profile, receipt)
    return Outgoing(encode(written), short=False, fitted=fitted, manners=manners, request=fitted.request)


def _with_cache_hints(profile: Profile, model: str, options: Options) -> Profile:
    if options.claude_cache and profile.dialect == "openai_chat" and "claude" in model.lower():
        return replace(profile, cache_hints=True)
    return profile


def _told(
    owner: str, request: Request, target: Target, receipt: Receipt, keepsakes: Keepsakes,
    *, remembering: bool, sealed: bool = False,
) -> Request:  # fmt: skip
    """The request with what the target attached to its own turns, and nothing that others did (T02, T05).

    ``sealed``: thoughts in it may come from an envelope.
    """
    messages = request.messages
    if remembering:
        messages = keepsakes.restored(owner, messages, receipt)
    issuers = keepsakes.issuers
    if sealed or issuers.knows_others(owner, target.issuer) or messages is not request.messages:
        eyes = Eyes(target.profile.dialect, target.issuer, issuers.find(owner), request.dialect)
        messages = withhold(messages, eyes, receipt)
    return request if messages is request.messages else replace(request, messages=messages)


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


def _own_wording(call: Call, request: Request, profile: Profile, receipt: Receipt, options: Options) -> Outgoing:
    """The same dialect, but the history holds what is not for this provider, or was put together here."""
    request = replace(request, messages=list(request.messages))
    drop_ours(request, profile, receipt)
    request = mend(request, profile, receipt)
    written = DIALECTS[profile.dialect].write_request(request, profile, receipt)
    body = encode(written)
    if profile.dialect == "openai_chat" and request.stream and profile.stream_usage:
        body, _ = with_stream_usage(body, written)
    if call.dialect == "anthropic" and call.operation == "generate":
        body = _with_output_limit(body, written, profile, options)
    return Outgoing(body, short=False, request=request)


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
