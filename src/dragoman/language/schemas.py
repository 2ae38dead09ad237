"""JSON schemas on their way to and from a narrower schema language.

``reduced`` writes a JSON schema in the OpenAPI 3.0 subset that Gemini's ``parameters`` and
``responseSchema`` take: references are laid out in place, what the subset lacks is approximated or
left out, and each such step is noted. ``lowered`` reads that subset back as JSON schema. This module
must not know requests or tools; paths are given to it.

Subset: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dragoman.language.ir import Json
from dragoman.language.losses import Receipt
from dragoman.language.wire import MAX_DEPTH, encode

Schema = dict[str, Json]

MAX_NODES = 20_000
"""Schema nodes laid out before references are cut: a few lines of JSON can refer to each other without end."""

_PLAIN = frozenset(
    """title description minItems maxItems minProperties maxProperties minLength maxLength pattern minimum
    maximum""".split()
)
_SHAPED = frozenset("type enum const format nullable properties required items anyOf oneOf allOf $ref".split())
_HOLDERS = frozenset({"$defs", "definitions"})
_BOUNDS = frozenset({"exclusiveMinimum", "exclusiveMaximum"})
_FORMATS = {
    "string": frozenset({"date-time", "enum"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
_COUNTS = frozenset("minItems maxItems minProperties maxProperties minLength maxLength".split())
_SNAKE = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "min_items": "minItems",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
}
_TYPES_BY_NUMBER = ("", "string", "number", "integer", "boolean", "array", "object", "null")


def lowered(schema: Json, depth: int = 0) -> Json:
    """Read the subset as JSON schema: types in lower case, ``nullable`` as a type. Others stay as they are."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema
    out: Schema = {}
    for key, value in schema.items():
        key = _SNAKE.get(key, key)
        if key in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, dict):
            value = {name: lowered(item, depth + 1) for name, item in value.items()}
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            value = [lowered(item, depth + 1) for item in value]
        elif key in ("items", "additionalProperties", "not"):
            value = lowered(value, depth + 1)
        elif key == "type":
            value = _lower_type(value)
            if not value:
                continue
        elif key in _COUNTS and isinstance(value, str) and value.isdigit():
            value = int(value)
        elif key in ("propertyOrdering", "nullable") or (key == "format" and value == "enum"):
            continue
        out[key] = value
    return _allow_null(out) if schema.get("nullable") is True else out


def _lower_type(value: Json) -> Json:
    if isinstance(value, list):
        return [_lower_type(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return _TYPES_BY_NUMBER[value] if 0 <= value < len(_TYPES_BY_NUMBER) else ""
    if isinstance(value, str):
        return "" if value == "TYPE_UNSPECIFIED" else value.lower()
    return value


def _allow_null(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


def reduced(schema: Schema, path: str, receipt: Receipt) -> Schema:
    """Write a JSON schema in the subset. ``path`` is where it stands in the client's body."""
    return _Reduction(schema, receipt).node(schema, path, ())


@dataclass(slots=True)
class _Reduction:
    """One schema on its way; ``root`` answers references, ``nodes`` counts what was laid out."""

    root: Schema
    receipt: Receipt
    nodes: int = field(default=0)

    def node(self, schema: Json, path: str, seen: tuple[str, ...]) -> Schema:
        """One schema. ``seen`` are the references being laid out, outermost first."""
        self.nodes += 1
        if not isinstance(schema, dict) or self.nodes > MAX_NODES or len(seen) + path.count(".") > MAX_DEPTH:
            return self._anything(schema, path)
        if "$ref" in schema:
            return self._reference(schema, path, seen)
        if isinstance(schema.get("allOf"), list):
            merged, seen = self._intersection(schema, path, seen)
            return self.node(merged, path, seen)
        schema, nullable = self._without_null(schema, path)
        out = {key: schema[key] for key in schema if key in _PLAIN}
        self._note_rest(schema, path)
        variants = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(variants, list) and variants:
            return self._union(schema, variants, nullable, path, seen)
        kind = self._kind(schema, path)
        out["type"] = kind.upper()
        self._values(schema, kind, out, path)
        self._bounds(schema, kind, out, path)
        if kind == "object":
            self._object(schema, out, path, seen)
        elif kind == "array":
            self._array(schema, out, path, seen)
        if nullable:
            out["nullable"] = True
        return out

    def _anything(self, schema: Json, path: str) -> Schema:
        if isinstance(schema, dict):
            self.receipt.note(path, "approximated", "the schema is too large or too deep for the target")
            return {"type": "OBJECT"}
        self.receipt.note(path, "approximated", "the target has no schema that takes anything; a string is asked for")
        return {"type": "STRING"}

    # ------------------------------------------------------------ references and combinations

    def _reference(self, schema: Schema, path: str, seen: tuple[str, ...]) -> Schema:
        name = schema["$ref"]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        target = self._find(name)
        if not isinstance(target, dict) or name in seen:
            why = "a recursive reference was cut" if name in seen else "the reference leads nowhere"
            self.receipt.note(f"{path}.$ref", "approximated", why)
            kind = target.get("type") if isinstance(target, dict) else None
            plain = {key: value for key, value in beside.items() if key in ("title", "description")}
            return {"type": "ARRAY" if kind == "array" else "OBJECT", **plain} | (
                {"items": {"type": "STRING"}} if kind == "array" else {}
            )
        return self.node({**target, **beside}, path, (*seen, name))

    def _find(self, name: Json) -> Json:
        if not isinstance(name, str) or not name.startswith("#"):
            return None
        found: Any = self.root
        for step in name[1:].strip("/").split("/") if len(name) > 1 else ():
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            elif isinstance(found, dict) and step in found:
                found = found[step]
            else:
                return None
        return found

    def _resolved(self, schema: Json, seen: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """A schema with its own reference followed, for merging, and the references followed by then."""
        beside: Schema = {}
        while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
            self.nodes += 1
            beside = {**{key: value for key, value in schema.items() if key != "$ref"}, **beside}
            name = schema["$ref"]
            if name in seen or self.nodes > MAX_NODES:
                return beside, seen
            seen = (*seen, name)
            schema = self._find(name)
        return ({**schema, **beside} if isinstance(schema, dict) else beside), seen

    def _intersection(self, schema: Schema, path: str, seen: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """All of several schemas as one: properties and demands join, the later word wins otherwise."""
        merged: Schema = {}
        pieces = [*schema["allOf"], {key: value for key, value in schema.items() if key != "allOf"}]
        for piece in pieces:
            piece, seen = self._resolved(piece, seen)
            if isinstance(piece.get("allOf"), list):
                piece, seen = self._intersection(piece, path, seen)
            merged = _joined(merged, piece)
        if len(pieces) > 2:
            self.receipt.note(f"{path}.allOf", "approximated", "several schemas were merged into one")
        self.nodes += len(pieces)
        return merged, seen

    def _without_null(self, schema: Schema, path: str) -> tuple[Schema, bool]:
        """The schema without its null alternative, and whether it had one."""
        out = dict(schema)
        nullable = out.get("nullable") is True
        kind = out.get("type")
        if isinstance(kind, list):
            kinds = [item for item in kind if item != "null"]
            nullable = nullable or len(kinds) < len(kind)
            if len(kinds) == 1:
                out["type"] = kinds[0]
            elif kinds:
                del out["type"]
                out["anyOf"] = [_narrowed(schema, item) for item in kinds]
                for key in set(out) & {"properties", "items", "enum", "required"}:
                    del out[key]
            else:
                out["type"] = "null"
        for key in ("anyOf", "oneOf"):
            if isinstance(out.get(key), list):
                kept = [item for item in out[key] if not (isinstance(item, dict) and item.get("type") == "null")]
                nullable = nullable or len(kept) < len(out[key])
                out[key] = kept
        if out.get("type") == "null":
            self.receipt.note(f"{path}.type", "approximated", "null alone is no type of the target")
            out["type"], nullable = "string", True
        return out, nullable

    def _union(self, schema: Schema, variants: list[Json], nullable: bool, path: str, seen: tuple[str, ...]) -> Schema:
        """Alternatives. The target takes nothing beside ``anyOf``, so what stands beside it moves in."""
        word = "anyOf" if schema.get("anyOf") else "oneOf"
        if word == "oneOf":
            self.receipt.note(f"{path}.oneOf", "approximated", "exactly one became any of")
        shared = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "nullable")}
        written = []
        for at, variant in enumerate(variants):
            inner = seen
            if isinstance(variant, dict):
                variant, inner = self._resolved(variant, seen)
                variant = _joined({key: value for key, value in shared.items() if key not in _HOLDERS}, variant)
            node = self.node(variant, f"{path}.{word}[{at}]", inner)
            # Alternatives of an alternative are alternatives, and each of them says whether it may be null.
            for one in node.get("anyOf", [node]):
                if nullable:
                    one["nullable"] = True
                if one not in written:
                    written.append(one)
        return written[0] if len(written) == 1 else {"anyOf": written}

    # ------------------------------------------------------------ one plain schema

    def _kind(self, schema: Schema, path: str) -> str:
        kind = schema.get("type")
        if isinstance(kind, str) and kind.lower() in _TYPES_BY_NUMBER[1:7]:
            return kind.lower()
        if "properties" in schema or "required" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        values = schema.get("enum") if isinstance(schema.get("enum"), list) else [schema.get("const")]
        known = {type(value) for value in values or [] if value is not None}
        if known and known <= {int} and bool not in known:
            return "integer"
        if known and known <= {int, float}:
            return "number"
        if known == {bool}:
            return "boolean"
        if known != {str} and not (known or any(key in schema for key in ("format", "pattern", "minLength"))):
            self.receipt.note(f"{path}.type", "approximated", "the target needs a type; a string is asked for")
        return "string"

    def _values(self, schema: Schema, kind: str, out: Schema, path: str) -> None:
        """``enum`` and ``const``: the target lists strings only, others are named in the description."""
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(values, list):
            values = []
        words = [value for value in values if isinstance(value, str) and value]
        if None in values:
            out["nullable"] = True
        if kind == "string" and words:
            out["enum"] = words
            if len(words) < len([value for value in values if value is not None]):
                self.receipt.note(f"{path}.enum", "approximated", "the target lists non-empty strings only")
        elif values:
            said = ", ".join(encode(value).decode() for value in values)
            out["description"] = " ".join(filter(None, [str(out.get("description") or ""), f"One of: {said}."]))
            word = "const" if "const" in schema else "enum"
            self.receipt.note(f"{path}.{word}", "approximated", "the values are named in the description")
        form = schema.get("format")
        if form is not None:
            if isinstance(form, str) and form in _FORMATS.get(kind, ()):
                out["format"] = form
            else:
                self.receipt.note(f"{path}.format", "dropped", "the target does not know this format")

    def _bounds(self, schema: Schema, kind: str, out: Schema, path: str) -> None:
        for word, plain, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
            bound = schema.get(word)
            if bound is None:
                continue
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                self.receipt.note(f"{path}.{word}", "dropped", "the target has inclusive bounds only")
                continue
            out.setdefault(plain, bound + step if kind == "integer" and isinstance(bound, int) else bound)
            self.receipt.note(f"{path}.{word}", "approximated", f"written as {plain}")

    def _object(self, schema: Schema, out: Schema, path: str, seen: tuple[str, ...]) -> None:
        properties = schema.get("properties")
        written: Schema = {}
        for name, item in properties.items() if isinstance(properties, dict) else ():
            if item is False:
                self.receipt.note(f"{path}.properties.{name}", "dropped", "no value is allowed for it")
                continue
            written[name] = self.node(item, f"{path}.properties.{name}", seen)
        # An object type with an empty list of properties is refused; without the list it is taken.
        if written:
            out["properties"] = written
        required = schema.get("required")
        if isinstance(required, list):
            kept = [name for name in required if name in written]
            if kept:
                out["required"] = kept
            if len(kept) < len(required):
                self.receipt.note(f"{path}.required", "approximated", "it names properties that are not described")

    def _array(self, schema: Schema, out: Schema, path: str, seen: tuple[str, ...]) -> None:
        items = schema.get("items")
        tuple_items = schema.get("prefixItems") or (items if isinstance(items, list) else None)
        if isinstance(tuple_items, list) and tuple_items:
            self.receipt.note(f"{path}.items", "approximated", "items by position became any of them")
            items = {"anyOf": tuple_items} if len(tuple_items) > 1 else tuple_items[0]
        out["items"] = self.node(True if items is None else items, f"{path}.items", seen)

    def _note_rest(self, schema: Schema, path: str) -> None:
        for key in schema:
            if key not in _PLAIN and key not in _SHAPED and key not in _HOLDERS and key not in _BOUNDS:
                if key == "prefixItems":
                    continue
                self.receipt.note(f"{path}.{key}", "dropped", "the target's schema language does not know it")


def _narrowed(schema: Schema, kind: Json) -> Schema:
    """One alternative of a schema that allows several types: only what concerns that type."""
    wanted = {"object": ("properties", "required"), "array": ("items",)}.get(str(kind), ())
    out: Schema = {"type": kind, **{key: schema[key] for key in wanted if key in schema}}
    if isinstance(schema.get("enum"), list) and kind == "string":
        words = [value for value in schema["enum"] if isinstance(value, str)]
        if words:
            out["enum"] = words
    return out


def _joined(first: Schema, second: Schema) -> Schema:
    """Both schemas as one: properties and demands join, otherwise the second word wins."""
    joined = {**first, **second}
    properties = {**_as_object(first.get("properties")), **_as_object(second.get("properties"))}
    required = [*_as_list(first.get("required")), *_as_list(second.get("required"))]
    if properties:
        joined["properties"] = properties
    if required:
        joined["required"] = list(dict.fromkeys(str(name) for name in required))
    return joined


def _as_object(value: Json) -> Schema:
    return value if isinstance(value, dict) else {}


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
