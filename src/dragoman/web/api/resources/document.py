"""The OpenAPI 3.1 document of the API itself.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

router = APIRouter(include_in_schema=False)

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An admin key, or the key of a user."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_REFUSALS = {
    "400": "It cannot be understood.",
    "401": "No valid credential.",
    "403": "Not for this role.",
    "404": "Not there, or not yours.",
    "429": "Too many wrong credentials: wait.",
    "503": "The database is away: wait.",
}
_OF_CHANGES = {"409": "Something stands against it."}
_OF_BODIES = {"408": "The body did not come in time.", "413": "The body is too large."}
_SHEET = {"text/csv": {"schema": {"type": "string"}}}


@router.get("/openapi.json")
async def document(request: Request) -> dict[str, Any]:
    """What can be asked for, and how."""
    return described(request.app)


def described(app: Any) -> dict[str, Any]:
    """The document of an application, with how to sign in and how errors look."""
    document: dict[str, Any] = dict(app.openapi())
    parts = {**document.get("components", {}), "securitySchemes": _SCHEMES}
    kept = {name: one for name, one in parts.get("schemas", {}).items() if "ValidationError" not in name}
    document["components"] = {**parts, "schemas": {**kept, "Error": _ERROR}}
    document["security"] = [{name: []} for name in _SCHEMES]
    document["paths"] = {
        path: {method: {**operation, "responses": _answers(method, operation)} for method, operation in asked.items()}
        for path, asked in document["paths"].items()
    }
    return document


def _answers(method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """What is answered, as a sheet, too, where a format can be asked for, and every refusal."""
    answers = {status: told for status, told in operation["responses"].items() if status != "422"}
    if any(parameter["name"] == "format" for parameter in operation.get("parameters", ())):
        answers["200"] = {**answers["200"], "content": {**answers["200"]["content"], **_SHEET}}
    why = {
        **_REFUSALS,
        **(_OF_CHANGES if method != "get" else {}),
        **(_OF_BODIES if "requestBody" in operation else {}),
    }
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {**answers, **{status: {"description": text, "content": body} for status, text in why.items()}}
