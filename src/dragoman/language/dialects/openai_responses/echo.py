"""What a response object repeats of its request, for answers that come from another dialect.

Strict clients demand some of these fields. This module must not know the answer.

Wire: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.fields import Object, own, plain
from dragoman.language.dialects.openai_responses.requests import texts_of, write_text_setting
from dragoman.language.dialects.openai_responses.tools import write_choice, write_tools
from dragoman.language.ir import ReasoningSetting, Request
from dragoman.language.streams import Asked


def echo(asked: Asked) -> Object:
    """The fields of a response object that repeat the request, with the wire's defaults."""
    request = asked.request
    said = plain(request.extras)
    setting = request.reasoning or ReasoningSetting()
    text = write_text_setting(request, own(request.extras))
    return {
        "object": "response",
        "created_at": asked.created,
        "background": False,
        "error": None,
        "instructions": _said_instructions(request),
        "max_output_tokens": request.sampling.max_tokens,
        "max_tool_calls": said.get("max_tool_calls"),
        "metadata": said.get("metadata") or {},
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": request.previous or None,
        "prompt_cache_key": request.cache_key or None,
        "reasoning": {"effort": setting.effort, "summary": setting.summary},
        "safety_identifier": said.get("safety_identifier"),
        "service_tier": said.get("service_tier", "default"),
        "store": "~store" not in own(request.extras),
        "temperature": 1.0 if request.sampling.temperature is None else request.sampling.temperature,
        "text": {"format": {"type": "text"}, **text.get("text", {})},
        "tool_choice": write_choice(request.tool_choice, request.tools) if request.tool_choice else "auto",
        "tools": write_tools(request.tools, native=True),
        "top_logprobs": request.sampling.top_logprobs or 0,
        "top_p": 1.0 if request.sampling.top_p is None else request.sampling.top_p,
        "truncation": said.get("truncation", "disabled"),
        "user": request.user or None,
    }


def _said_instructions(request: Request) -> str | None:
    head = request.messages[:1]
    return texts_of(head[0]) if head and "~instructions" in own(head[0].extras) else None
