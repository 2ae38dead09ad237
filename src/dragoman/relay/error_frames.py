"""Errors in the middle of a stream that passes as it came: cleaned like every error (trap X11).

A provider's words stay where they stood, so that clients recover by them; only what no client may read
goes. It must not know dialects beyond where their errors stand in a payload.
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.language.failures import Failure
from dragoman.language.ir import Json
from dragoman.language.wire import decode, encode
from dragoman.relay.frames import data_of, with_data

Cleaner = Callable[[Failure], Failure]


def clean_frame(frame: bytes, clean: Cleaner) -> bytes:
    """The raw frame, byte for byte unless it holds an error with something in it that must go."""
    data = data_of(frame)
    if data[:1] != b"{":
        return frame
    try:
        payload = decode(data)
    except (ValueError, RecursionError):
        return frame
    cleaned = _cleaned_payload(payload, clean)
    if cleaned == payload:
        return frame
    # Some providers break with a line that is no event; what is left of it becomes one.
    return with_data(frame, encode(cleaned)) if b"data:" in frame else b"data: " + encode(cleaned) + b"\n\n"


def _cleaned_payload(payload: dict[str, Json], clean: Cleaner) -> Json:
    if payload.get("type") == "error" or not payload.keys() & {"choices", "candidates", "type", "error"}:
        return _cleaned(payload, clean)
    found = dict(payload)
    if found.get("error"):
        found["error"] = _cleaned(found["error"], clean)
    response = found.get("response")
    if isinstance(response, dict) and response.get("error"):
        found["response"] = {**response, "error": _cleaned(response["error"], clean)}
    return found


def _cleaned(value: Json, clean: Cleaner) -> Json:
    return clean(Failure("server", "", extras={"frame": {"value": value}})).extras["frame"]["value"]
