"""Structured output: native where the target has it, said in words where it only knows JSON, else refused (R22).

This module must not know any wire's fields.
"""

from __future__ import annotations

from dragoman.language.failures import Refused
from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Message, OutputFormat, Text, Tool
from dragoman.language.wire import encode


def fit_output(draft: Draft) -> None:
    """Fit the output format; the messages have been fitted before. Raises Refused."""
    output = draft.source.output
    if output is None:
        return
    profile = draft.profile
    beside_tools = not profile.schema_with_tools and any(isinstance(tool, Tool) for tool in draft.request.tools)
    if output.schema is None:
        _fit_json(draft, output, beside_tools)
    elif beside_tools:
        draft.receipt.note("output", "approximated", "beside tools the target takes a schema only in words")
        _say(draft, _schema_words(output.schema))
        draft.request.output = None
    elif not profile.schema_output:
        if not profile.json_output:
            raise Refused("output", "the target cannot be held to a JSON schema")
        draft.receipt.note("output", "approximated", "the target is held to JSON, and told the schema in words")
        _say(draft, _schema_words(output.schema))
        draft.request.output = OutputFormat()


def _fit_json(draft: Draft, output: OutputFormat, beside_tools: bool) -> None:
    if draft.profile.json_output and not beside_tools:
        return
    draft.receipt.note("output", "approximated", "the target is told in words to answer in JSON")
    _say(draft, "Answer with one JSON object and nothing else.")
    draft.request.output = None


def _schema_words(schema: object) -> str:
    text = encode(schema).decode()
    return f"Answer with one JSON value that follows this JSON schema, and with nothing else:\n{text}"


def _say(draft: Draft, words: str) -> None:
    """Add words behind the system messages at the head, or to the first turn where there is no system role."""
    messages = list(draft.request.messages)
    head = 0
    while head < len(messages) and messages[head].role == "system":
        head += 1
    role = "system" if draft.profile.system_role else "user"
    messages.insert(head, Message("system" if role == "system" else "user", [Text(words)]))
    draft.request.messages = messages
