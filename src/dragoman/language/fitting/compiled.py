"""What the grammar compiler takes that holds Claude to an output schema or to a strict tool (R11, R22).

It takes closed objects, no bounds, no recursion, and only so many optional and union parameters; anything
else is answered with a 400. A closed object still satisfies an open schema, and a bound can be said in
words; a map without known keys or a schema that refers to itself has no form it takes. This module must
not know requests.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dragoman.language.ir import Json
from dragoman.language.wire import MAX_DEPTH, encode

Schema = dict[str, Json]

MOST_TOOLS = 20
MOST_OPTIONAL = 24
MOST_UNIONS = 15
"""Parameters that may be of several types; sixteen in one schema have been refused as too complex."""

_KEPT = frozenset("type title description enum const default required".split())
_SILENT = frozenset("$schema $id $comment examples deprecated readOnly writeOnly discriminator strict".split())
_FORMATS = frozenset("date-time time date duration email hostname uri ipv4 ipv6 uuid".split())
_BOUNDS = frozenset(
    """minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern minItems maxItems
    uniqueItems minProperties maxProperties format""".split()
)
_DEFINITIONS = ("$defs", "definitions")
_SHAPES = frozenset("type enum const anyOf".split())


class _NoForm(Exception):
    """The compiler takes the schema in no form."""


def compiled(schema: Schema) -> Schema | None:
    """The schema as the compiler takes it, ``None`` where it takes it in no form."""
    try:
        written = _node(schema, 0)
    except _NoForm:
        return None
    return written if _is_finite(written) and within_limits([written]) else None


def within_limits(schemas: Iterable[Schema]) -> bool:
    """Whether optional and union parameters of all schemas together are few enough."""
    nodes = [node for schema in schemas for node in _nodes(schema)]
    optional = sum(len(node.get("properties", {}).keys() - set(node.get("required", ()))) for node in nodes)
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    return optional <= MOST_OPTIONAL and unions <= MOST_UNIONS


def _node(schema: Json, depth: int) -> Schema:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        raise _NoForm
    written: Schema = {}
    for name in _DEFINITIONS:
        if name in schema:
            written[name] = _each(schema[name], depth)
    if "$ref" in schema:
        return {**written, "$ref": schema["$ref"]}  # nothing else may stand beside it
    bounds: list[str] = []
    for key, value in schema.items():
        if key in _KEPT:
            written[key] = value
        elif key in ("anyOf", "oneOf"):
            written["anyOf"] = _list(value, depth)
        elif key == "allOf":
            written |= _only(_list(value, depth))
        elif key == "items":
            written[key] = _node(value, depth + 1)
        elif (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
            written[key] = value
        elif key in _BOUNDS:
            bounds.append(f"{key}: {encode(value).decode()}")
        elif key not in _SILENT and key not in ("properties", "additionalProperties", *_DEFINITIONS):
            raise _NoForm
    if bounds:
        written["description"] = f"{written.get('description') or ''} ({', '.join(bounds)})".lstrip()
    return _closed(schema, written, depth)


def _closed(schema: Schema, written: Schema, depth: int) -> Schema:
    """Close an object; refuse what may be anything."""
    if "$ref" in written:
        return {key: value for key, value in written.items() if key in ("$ref", *_DEFINITIONS)}
    if not (written.keys() & _SHAPES or "properties" in schema) or not isinstance(schema.get("required", []), list):
        raise _NoForm
    if any(isinstance(value, dict | list) for value in [*_values(written, "enum"), written.get("const")]):
        raise _NoForm
    kind = written.get("type", "object" if "properties" in schema else None)
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        return written
    properties = _each(schema.get("properties", {}), depth)
    if not properties and schema.get("additionalProperties") is not False:
        raise _NoForm
    return {"type": kind, **written, "properties": properties, "additionalProperties": False}


def _values(schema: Schema, key: str) -> list[Json]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _each(schemas: Json, depth: int) -> Schema:
    if not isinstance(schemas, dict):
        raise _NoForm
    return {name: _node(schema, depth + 1) for name, schema in schemas.items()}


def _only(schemas: list[Schema]) -> Schema:
    """What several schemas demand together, where that is one of them."""
    if len(schemas) != 1:
        raise _NoForm
    return schemas[0]


def _list(schemas: Json, depth: int) -> list[Schema]:
    if not isinstance(schemas, list):
        raise _NoForm
    return [_node(schema, depth + 1) for schema in schemas]


def _nodes(schema: Schema) -> Iterable[Schema]:
    """The schema and all inside it."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += _inside(node)


def _inside(node: Schema) -> list[Any]:
    named = [node.get(key, {}) for key in ("properties", *_DEFINITIONS)]
    alone = [node["items"]] if "items" in node else []
    return [*(one for group in named for one in group.values()), *node.get("anyOf", []), *alone]


def _is_finite(schema: Schema) -> bool:
    """Whether no definition leads to itself and every reference to a definition."""
    known = {f"#/{place}/{name}": one for place in _DEFINITIONS for name, one in schema.get(place, {}).items()}
    leads = {name: {str(node["$ref"]) for node in _nodes(one) if "$ref" in node} for name, one in known.items()}
    used = {str(node["$ref"]) for node in _nodes(schema) if "$ref" in node}
    if not used <= known.keys():
        return False
    while leads:
        ends = [name for name, others in leads.items() if not others & leads.keys()]
        if not ends:
            return False
        for name in ends:
            del leads[name]
    return True
