"""JSON schemas reduced to the OpenAPI subset and read back, over schemas as MCP servers publish them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types as sdk
from hypothesis import given
from hypothesis import strategies as st

from dragoman.language.losses import Receipt
from dragoman.language.schemas import MAX_NODES, lowered, reduced

Schema = dict[str, Any]

ALLOWED = frozenset(
    """type format title description nullable enum items maxItems minItems properties required minProperties
    maxProperties minLength maxLength pattern minimum maximum anyOf""".split()
)

SERVERS: dict[str, Schema] = {
    "files.edit": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "edits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
                    "required": ["oldText", "newText"],
                    "additionalProperties": False,
                },
            },
            "dryRun": {"type": "boolean", "default": False},
        },
        "required": ["path", "edits"],
        "additionalProperties": False,
    },
    "issues.create": {
        "type": "object",
        "$defs": {
            "Label": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "Priority": {"type": "string", "enum": ["low", "high"], "title": "Priority"},
        },
        "properties": {
            "labels": {"type": "array", "items": {"$ref": "#/$defs/Label"}},
            "priority": {"anyOf": [{"$ref": "#/$defs/Priority"}, {"type": "null"}], "default": None},
            "assignee": {"allOf": [{"$ref": "#/$defs/Label"}], "description": "who"},
            "milestone": {"type": ["integer", "null"], "exclusiveMinimum": 0},
            "state": {"const": "open"},
        },
    },
    "browser.click": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "target": {
                "oneOf": [
                    {"type": "object", "properties": {"kind": {"const": "css"}, "css": {"type": "string"}}},
                    {
                        "type": "object",
                        "properties": {
                            "kind": {"const": "point"},
                            "at": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}]},
                        },
                    },
                ],
            },
            "button": {"enum": ["left", "right", "", None]},
            "clicks": {"type": "integer", "enum": [1, 2]},
            "url": {"type": "string", "format": "uri"},
            "when": {"type": "string", "format": "date-time"},
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "propertyNames": {"pattern": "^x"},
            },
            "anything": {},
            "yes": True,
            "never": False,
            "list": {"type": "array"},
        },
        "required": ["target", "missing"],
    },
    "tree.write": {
        "type": "object",
        "properties": {"root": {"$ref": "#/definitions/node"}},
        "definitions": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/definitions/node"}},
                },
            }
        },
    },
    "query.run": {
        "type": "object",
        "properties": {
            "filter": {"type": ["string", "array", "null"], "items": {"type": "string"}, "description": "what"},
            "limit": {"type": "number", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2},
            "where": {"$ref": "#/properties/filter"},
            "lost": {"$ref": "https://example.com/schema"},
            "not": {"not": {"type": "string"}},
            "nothing": {"type": "null"},
        },
    },
}


def test_R09_alternatives_within_alternatives_may_be_null_each() -> None:
    inner = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    found = reduced({"anyOf": [inner, {"type": "boolean"}, {"type": "null"}]}, "tools[0]", Receipt())
    check(found)
    assert [(one["type"], one["nullable"]) for one in found["anyOf"]] == [
        ("STRING", True), ("INTEGER", True), ("BOOLEAN", True)
    ]  # fmt: skip


def check(schema: Any) -> None:
    """What the subset takes."""
    assert isinstance(schema, dict)
    assert set(schema) <= ALLOWED
    if "anyOf" in schema:
        assert set(schema) == {"anyOf"}
        for variant in schema["anyOf"]:
            check(variant)
        return
    assert schema["type"] in {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}
    if "enum" in schema:
        assert schema["type"] == "STRING"
        assert all(isinstance(word, str) and word for word in schema["enum"])
    if schema["type"] == "ARRAY":
        check(schema["items"])
    if "properties" in schema:
        assert schema["properties"]
        for item in schema["properties"].values():
            check(item)
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))


@pytest.mark.parametrize("name", SERVERS)
def test_R09_schemas_of_mcp_servers_fit_the_subset(name: str) -> None:
    before = json.dumps(SERVERS[name])
    receipt = Receipt()
    schema = reduced(SERVERS[name], "tools[0].parameters", receipt)
    check(schema)
    sdk.Schema.model_validate(schema)
    assert json.dumps(SERVERS[name]) == before
    assert receipt.losses
    assert all(loss.path.startswith("tools[0].parameters") for loss in receipt.losses)


def paths(name: str) -> dict[str, str]:
    receipt = Receipt()
    reduced(SERVERS[name], "p", receipt)
    return {loss.path: loss.what for loss in receipt.losses}


def test_R09_what_is_removed_is_noted() -> None:
    assert paths("files.edit") == {
        "p.$schema": "dropped",
        "p.additionalProperties": "dropped",
        "p.properties.edits.items.additionalProperties": "dropped",
        "p.properties.dryRun.default": "dropped",
    }


def test_R09_references_are_laid_out() -> None:
    properties = reduced(SERVERS["issues.create"], "p", Receipt())["properties"]
    label = {"type": "OBJECT", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}
    assert properties["labels"] == {"type": "ARRAY", "items": label}
    assert properties["priority"] == {"type": "STRING", "enum": ["low", "high"], "title": "Priority", "nullable": True}
    assert properties["assignee"] == {**label, "description": "who"}
    assert properties["milestone"] == {"type": "INTEGER", "minimum": 1, "nullable": True}
    assert properties["state"] == {"type": "STRING", "enum": ["open"]}


def test_R09_alternatives_and_odd_values_are_approximated() -> None:
    schema = reduced(SERVERS["browser.click"], "p", Receipt())
    properties = schema["properties"]
    assert [variant["properties"]["kind"]["enum"] for variant in properties["target"]["anyOf"]] == [["css"], ["point"]]
    at = properties["target"]["anyOf"][1]["properties"]["at"]
    assert at == {"type": "ARRAY", "items": {"type": "NUMBER"}}
    assert properties["button"] == {"type": "STRING", "enum": ["left", "right"], "nullable": True}
    assert properties["clicks"] == {"type": "INTEGER", "description": "One of: 1, 2."}
    assert properties["url"] == {"type": "STRING"}
    assert properties["when"] == {"type": "STRING", "format": "date-time"}
    assert properties["headers"] == {"type": "OBJECT"}
    assert properties["list"] == {"type": "ARRAY", "items": {"type": "STRING"}}
    assert "never" not in properties
    assert schema["required"] == ["target"]
    noted = paths("browser.click")
    assert noted["p.properties.headers.propertyNames"] == "dropped"
    assert noted["p.properties.target.oneOf"] == "approximated"
    assert noted["p.required"] == "approximated"


def test_R09_recursion_is_cut_and_lost_references_are_objects() -> None:
    root = reduced(SERVERS["tree.write"], "p", Receipt())["properties"]["root"]
    assert root["properties"]["children"] == {"type": "ARRAY", "items": {"type": "OBJECT"}}
    assert paths("tree.write")["p.properties.root.properties.children.items.$ref"] == "approximated"
    properties = reduced(SERVERS["query.run"], "p", Receipt())["properties"]
    assert properties["lost"] == {"type": "OBJECT"}
    assert properties["filter"] == {
        "anyOf": [
            {"type": "STRING", "description": "what", "nullable": True},
            {"type": "ARRAY", "description": "what", "items": {"type": "STRING"}, "nullable": True},
        ]
    }
    assert properties["where"] == properties["filter"]
    assert properties["limit"] == {"type": "NUMBER", "minimum": 1, "maximum": 10}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"allOf": [{"allOf": [{"$ref": "#/allOf/0"}]}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}},
    ],
)
def test_X09_loops_of_references_end(schema: Schema) -> None:
    check(reduced(schema, "p", Receipt()))


def test_X09_references_that_double_are_bounded() -> None:
    definitions: Schema = {
        f"d{at}": {"type": "object", "properties": {name: {"$ref": f"#/$defs/d{at + 1}"} for name in "ab"}}
        for at in range(40)
    }
    definitions["d40"] = {"type": "string"}
    schema = reduced({"$defs": definitions, "properties": {"x": {"$ref": "#/$defs/d0"}}}, "p", Receipt())
    assert len(json.dumps(schema)) < MAX_NODES * 200


def test_lowered_reads_the_subset_as_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "2"},
            "either": {"any_of": [{"type": "STRING"}, {"type": 2}], "nullable": True},
        },
        "propertyOrdering": ["type"],
    }
    assert lowered(schema) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", None]},
            "list": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        },
    }


@pytest.mark.parametrize("name", SERVERS)
def test_R08_lowered_leaves_json_schema_as_it_is(name: str) -> None:
    assert lowered(SERVERS[name]) == SERVERS[name]


names = st.sampled_from(["a", "b", "type", "items"])
leaves: st.SearchStrategy[Any] = st.sampled_from(
    [
        True,
        False,
        {},
        {"type": "string"},
        {"type": ["integer", "null"]},
        {"const": 1},
        {"enum": ["x", 2, None]},
        {"$ref": "#/properties/a"},
        {"type": 7},
        {"type": []},
    ]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(names, inner, max_size=3),
                "required": st.lists(names, max_size=2),
            }
        ),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.builds(
            lambda word, items: {word: items},
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=12,
)


@given(schemas)
def test_R09_any_schema_fits_the_subset(schema: Any) -> None:
    check(reduced({"type": "object", "properties": {"a": schema}}, "p", Receipt()))
