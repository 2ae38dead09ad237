"""Whole answers: a response object to the model and back, and the envelope a streamed answer shares with it.

This module must not know event streams.

Wire: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.language.dialects.openai_responses.echo import echo
from dragoman.language.dialects.openai_responses.failures import read_error
from dragoman.language.dialects.openai_responses.fields import ENCRYPTED, MADE, NAME, Object, is_own, own, plain
from dragoman.language.dialects.openai_responses.items import read_item, write_items
from dragoman.language.dialects.openai_responses.usage import is_known, read_usage, write_usage
from dragoman.language.events import AnswerFailed
from dragoman.language.failures import Failure
from dragoman.language.ir import Choice, Finish, FinishReason, Json, Part, Refusal, Response, ToolCall, Usage
from dragoman.language.streams import Asked

_CUT: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "refusal"}
_CUT_WORDS = {"length": "max_output_tokens", "refusal": "content_filter"}


def read_response(body: dict[str, Json]) -> Response:
    """Read a whole answer; raises AnswerFailed for one that failed or was cancelled."""
    said = body.get("usage")
    usage = read_usage(said) if isinstance(said, dict) else Usage()
    if (failure := failure_in(body)) is not None:
        raise AnswerFailed(failure, usage)
    output = body.get("output")
    parts = [part for item in output or () if isinstance(item, dict) for part in read_item(item)]
    return Response(
        id=str(body.get("id") or ""),
        model=str(body.get("model") or ""),
        choices=[Choice(parts, read_finish(body, parts))],
        usage=usage,
        extras={NAME: envelope_extras(body)},
    )


def failure_in(body: Object) -> Failure | None:
    """The failure a response object tells of, if it does."""
    status = body.get("status")
    if status == "cancelled":
        return Failure("server", "the provider cancelled the answer")
    if status == "failed" or (body.get("error") and not body.get("output")):
        return read_error({"error": body.get("error") or "the provider's answer failed"})
    return None


def envelope_extras(body: Object) -> Object:
    """The fields of a response object besides identity, output, usage and ending."""
    taken = ("id", "model", "output", "usage", "status", "incomplete_details")
    extras = {name: value for name, value in body.items() if name not in taken}
    if "usage" in body and body["usage"] is None:
        extras["~usage"] = None
    return extras


def read_finish(body: Object, parts: Sequence[Part]) -> Finish:
    """Why the answer ended. Calls of the client's tools and refusals show in the parts only (S14, S17)."""
    form = {f"~{name}": body[name] for name in ("status", "incomplete_details") if name in body}
    details = body.get("incomplete_details")
    status = body.get("status")
    reason: FinishReason = "end"
    raw = ""
    if status == "incomplete" or (details and status is None):
        raw = str(details.get("reason") or "") if isinstance(details, dict) else ""
        reason = _CUT.get(raw, "unknown") if raw else "length"
    elif status not in ("completed", None):
        reason, raw = "unknown", str(status)
    if reason in ("end", "unknown"):
        if any(isinstance(part, ToolCall) for part in parts):
            reason = "tool_calls"
        elif any(isinstance(part, Refusal) for part in parts):
            reason = "refusal"
    return Finish(reason, raw="" if raw in _CUT else raw, extras={NAME: form})


def write_finish(finish: Finish, refused: bool) -> Object:
    """``status`` and ``incomplete_details``. A refusal that was said in words is a completed answer."""
    if is_own(finish.extras):
        return {name[1:]: value for name, value in own(finish.extras).items()}
    word = None if refused and finish.reason == "refusal" else _CUT_WORDS.get(finish.reason)
    if word is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": word}}


def write_response(response: Response, asked: Asked) -> dict[str, Json]:
    """Write a whole answer: its owner's body again, or a complete one for a foreign answer."""
    output, lost = write_items(response.parts, asked.seed, wants_sealed(asked))
    for kind in lost:
        asked.receipt.note("answer.content", "dropped", f"the client's dialect has no {kind}")
    refused = any(isinstance(part, Refusal) for part in response.parts)
    native = is_own(response.extras)
    body: Object = {"id": answer_id(response.id, asked, native), "model": asked.model}
    body |= plain(response.extras) if native else echo(asked)
    body |= write_finish(response.finish, refused)
    body["output"] = output
    if is_known(response.usage):
        body["usage"] = write_usage(response.usage, complete=not native)
    elif not native:
        body["usage"] = estimated(asked)
    elif "~usage" in own(response.extras):
        body["usage"] = None
    return body


def answer_id(identifier: str, asked: Asked, native: bool) -> str:
    """The provider's own id where the client shares its dialect, else one of ours."""
    return identifier if native and identifier else f"resp_{MADE}{asked.seed}"


def estimated(asked: Asked) -> Object:
    """Usage when the provider reported none: the estimate of the prompt."""
    return write_usage(Usage(input=asked.input_estimate, output=0), complete=True)


def wants_sealed(asked: Asked) -> bool:
    """Whether thoughts go out with their sealed extras, so that the client can bring them back."""
    fields = own(asked.request.extras)
    return ENCRYPTED in fields.get("~include", ()) or fields.get("~store") is False
