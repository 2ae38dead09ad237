"""Which one parameter a provider refused, read from its words, so that the call can be made once without it.

Providers say it in a dozen ways; only a refusal that names exactly one parameter counts, and only one
without which the call still means the same. Pure; it must not know who asks nor how often.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re
from typing import Any

from dragoman.language.failures import Failure

Fields = dict[str, Any]

_NAME = r"[`'\"]?(?P<name>[A-Za-z_][\w.\[\]]*)[`'\"]?"
_REFUSED = r"(?:not supported|unsupported|not allowed|deprecated|not enabled|not permitted)"
_WORDINGS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:unsupported|unknown|unrecognized|invalid|extra) (?:parameter|argument|field|key):? {_NAME}",
        rf"^unsupported value: {_NAME} does not support",
        rf"unrecognized request argument supplied: {_NAME}$",
        rf"^{_NAME}: extra inputs are not permitted",
        rf"extra inputs are not permitted, field: {_NAME}",
        r"extraneous key \[?(?P<name>[\w.]+)\]? is not permitted",
        rf"^property {_NAME} is {_REFUSED}",
        rf"^(?:the )?(?:(?:parameter|field|argument) )?{_NAME} (?:parameter )?(?:is|are) {_REFUSED}\b(?! together)",
        rf"does not support (?:the )?(?:parameter|argument|field) {_NAME}",
        rf"argument not supported on this model: {_NAME}",
        rf"unknown name {_NAME}(?: at [^:]*)?: cannot find field",
        rf"unknown field:? (?:parameter )?{_NAME}",
    )
)
_CODES = frozenset({"unsupported_parameter", "unknown_parameter", "unsupported_value"})
_MEANING = frozenset(
    "model messages input contents prompt system instructions system_instruction systemInstruction tools functions "
    "stream web_search_options response_format text output_format output_config response_schema responseSchema "
    "responseJsonSchema".split()
)
"""Without these another question would be asked."""

_NO_PARAMETER = frozenset({"this", "that", "it", "model", "request", "api", "which", "and", "image", "images", "tool"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def unsupported_parameter(failure: Failure) -> str:
    """The JSON path of the one parameter that the provider does not support; empty when it is not that.

    The path is the provider's word for it, such as ``temperature`` or ``reasoning.effort``; whether it
    stands in a body is for ``without_parameter`` to find out.
    """
    if failure.kind != "invalid_request" or (failure.status or 400) not in (400, 422):
        return ""
    name = failure.param if failure.code in _CODES else ""
    name = name or _named(failure)
    root = name.partition(".")[0].partition("[")[0]
    return "" if not root or root in _MEANING or root.lower() in _NO_PARAMETER else name


def _named(failure: Failure) -> str:
    words = failure.message.strip()
    if words.lower().startswith("extra inputs are not permitted") and failure.param:
        return failure.param  # the place stands beside the words
    for wording in _WORDINGS:
        names = {found["name"].rstrip(".") for found in wording.finditer(words)}
        if len(names) == 1:
            return names.pop()
    return ""


def without_parameter(body: Fields, path: str) -> Fields | None:
    """The body without what stands at ``path``; None when nothing does. ``body`` is not changed.

    A name in camel case is found in snake case, too, and a plain name one level down, where Gemini and
    the Responses wire keep their knobs.
    """
    name, _, rest = path.partition(".")
    if "[" in name:
        return None
    for spelling in (name, _CAMEL.sub("_", name).lower()):
        if spelling in body:
            return _less(body, spelling, rest)
    if rest:
        return None
    for holder in ("generationConfig", "generation_config"):
        inner = body.get(holder)
        if isinstance(inner, dict) and (less := without_parameter(inner, path)) is not None:
            return {**body, holder: less}
    return None


def _less(body: Fields, name: str, rest: str) -> Fields | None:
    if not rest:
        return {key: value for key, value in body.items() if key != name}
    inner = body[name]
    less = without_parameter(inner, rest) if isinstance(inner, dict) else None
    if less is None:
        return None
    return {**body, name: less} if less else _less(body, name, "")
