"""Structured output: native where the target has it, said in words where it only knows JSON, else refused (R22).

A schema that the target would answer with an error, though it takes others, is said in words, too.

This module must not know any wire's fields.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.failures import Refused
from dragoman.language.fitting.compiled import Schema, compiled
from dragoman.language.fitting.draft import Draft
from dragoman.language.ir import Message, OutputFormat, Text, Tool, ToolResult
from dragoman.language.wire import encode


def fit_output(draft: Draft) -> None:
    """Fit the output format; the messages have been fitted before. Raises Refused."""
    output = draft.source.output
    if output is None:
        return
    profile = draft.profile
    beside_tools = not profile.schema_with_tools and any(isinstance(tool, Tool) for tool in draft.request.tools)
    if output.choices:
        draft.receipt.note("output", "approximated", "the target is told in words what it may answer")
        _say(draft, f"Answer with one of these and with nothing else: {', '.join(output.choices)}")
        draft.request.output = None
    elif output.schema is None:
        _fit_json(draft, output, beside_tools)
    elif beside_tools:
        _say_schema(draft, output.schema, "beside tools the target takes a schema only in words")
    elif not profile.schema_output:
        if not profile.json_output:
            raise Refused("output", "the target cannot be held to a JSON schema")
        draft.receipt.note("output", "approximated", "the target is held to JSON, and told the schema in words")
        _say(draft, _schema_words(output.schema))
        draft.request.output = OutputFormat()
    elif profile.object_output and output.schema.get("type") != "object":
        _say_schema(draft, output.schema, "the target is held to objects only, and told the schema in words")
    elif profile.compiled_schemas:
        _fit_compiled(draft, output, output.schema)


def _fit_compiled(draft: Draft, output: OutputFormat, schema: Schema) -> None:
    fitting = compiled(schema)
    if fitting is None:
        _say_schema(draft, schema, "the target cannot be held to such a schema, and is told it in words")
    elif fitting != schema:
        why = "the target is held to closed objects, and told bounds in words"
        draft.receipt.note("output.schema", "approximated", why)
        draft.request.output = replace(output, schema=fitting)


def _fit_json(draft: Draft, output: OutputFormat, beside_tools: bool) -> None:
    native = draft.profile.json_output and not beside_tools
    if native and not (draft.profile.json_word and not _says_json(draft.request.messages)):
        return
    draft.receipt.note("output", "approximated", "the target is told in words to answer in JSON")
    _say(draft, "Answer with one JSON object and nothing else.")
    if not native:
        draft.request.output = None


def _says_json(messages: list[Message]) -> bool:
    """Whether the word stands in any text."""
    for message in messages:
        for part in message.parts:
            inner = part.content if isinstance(part, ToolResult) else [part]
            if any(isinstance(one, Text) and "json" in one.text.lower() for one in inner):
                return True
    return False


def _say_schema(draft: Draft, schema: Schema, why: str) -> None:
    """Say the schema in words instead of holding the target to it."""
    draft.receipt.note("output", "approximated", why)
    _say(draft, _schema_words(schema))
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
