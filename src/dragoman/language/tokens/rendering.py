"""Tools as a model sees them: a namespace of typed functions, one comment per description.

This is the text OpenAI's models are shown instead of the JSON schemas, so its tokens are what is
charged. Unknown schema words are left out, as they are there. It must not count anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any

import orjson

from dragoman.language.ir import Tool

_DEEPEST = 12
_NAMES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = dict[str, Any]


def written(value: object) -> str:
    """Write a value as compact JSON."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, or nested too deep
        return str(value)


def render_tools(tools: Sequence[Tool]) -> str:
    """Render all tools as one namespace."""
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for tool in tools:
        if tool.description:
            lines.append(f"// {cleandoc(tool.description)}")
        lines += [f"type {tool.name} = {_signature(tool)} => any;", ""]
    lines.append("} // namespace functions")
    return "\n".join(lines)


def _signature(tool: Tool) -> str:
    if tool.grammar is not None:
        return f"(FREEFORM) {written(tool.grammar)}"
    parameters = tool.parameters or {}
    if not parameters.get("properties"):
        return "()"
    definitions = parameters.get("$defs") or parameters.get("definitions")
    title = f"// {parameters['title']}\n//\n" if parameters.get("title") else ""
    return f"(_: {title}{_type(parameters, definitions if isinstance(definitions, dict) else {}, 0)})"


def _resolve(schema: Any, definitions: Schema) -> Schema:
    """Return a schema with its reference replaced by what it names."""
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    target = definitions.get(reference.rsplit("/", 1)[-1]) if isinstance(reference, str) else None
    if not isinstance(target, dict):
        return schema
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _type(schema: Any, definitions: Schema, depth: int) -> str:
    schema = _resolve(schema, definitions)
    if depth > _DEEPEST:
        return "any"
    if isinstance(schema.get("enum"), list):
        return " | ".join(written(value) for value in schema["enum"])
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list):
            return " | ".join(_type(variant, definitions, depth + 1) for variant in schema[word])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, definitions, depth + 1) for one in kind)
    if kind == "array":
        return f"{_type(schema['items'], definitions, depth + 1)}[]" if schema.get("items") else "any[]"
    if kind == "object" or "properties" in schema:
        return "\n".join(["{", *_properties(schema, definitions, depth + 1), "}"])
    return _NAMES.get(kind, "any") if isinstance(kind, str) else "any"


def _properties(schema: Schema, definitions: Schema, depth: int) -> Iterator[str]:
    properties = schema.get("properties")
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    for name, one in properties.items() if isinstance(properties, dict) else ():
        value = _resolve(one, definitions)
        if value.get("title"):
            yield f"// {value['title']}\n//"
        if value.get("description"):
            yield f"// {value['description']}"
        if isinstance(value.get("examples"), list):
            yield "// Examples:"
            yield from (f"// - {written(example)}" for example in value["examples"])
        mark = "" if name in needed else "?"
        default = f" // default: {written(value['default'])}" if "default" in value else ""
        yield f"{name}{mark}: {_type(value, definitions, depth)},{default}"


def render_output_schema(schema: Any) -> str:
    """Render an answer's schema as it is charged: compact JSON without the closing of objects."""
    return written(_open_objects(schema, 0))


def _open_objects(value: Any, depth: int) -> Any:
    if depth > _DEEPEST * 2:
        return value
    if isinstance(value, dict):
        return {key: _open_objects(one, depth + 1) for key, one in value.items() if key != "additionalProperties"}
    if isinstance(value, list):
        return [_open_objects(one, depth + 1) for one in value]
    return value
