"""A whole ``generateContent`` request, both ways. The model and whether to stream stand in the URL.

Wire: https://ai.google.dev/api/generate-content#request-body and
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.settings import read_config, write_config
from dragoman.language.dialects.gemini.spelling import NAME, camel, check_depth, ours, wire_fields
from dragoman.language.dialects.gemini.tools import read_choice, read_tools, write_choice, write_tools
from dragoman.language.dialects.gemini.turns import (
    read_contents,
    read_instruction,
    write_contents,
    write_instruction,
)
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Message, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.wire import whole_characters


def read_request(body: dict[str, Json], *, model: str | None = None, stream: bool | None = None) -> Request:
    """Read a request in either spelling. Raises Refused, naming the JSON path."""
    if not isinstance(body, dict):
        raise Refused("", "the body must be a JSON object")
    check_depth(body)
    rest = camel(body)
    contents = rest.pop("contents", None)
    if not isinstance(contents, list | dict | str):
        raise Refused("contents", "must be a list of contents")
    fields: dict[str, Json] = {}
    said = rest.pop("model", None)
    if said is not None:
        fields["~model"] = said
    nulls = [key for key, value in rest.items() if value is None]
    if nulls:
        fields["~nulls"] = nulls
        rest = {key: value for key, value in rest.items() if value is not None}
    request = Request(NAME, model or _bare(said), read_contents(contents), stream=bool(stream), extras={NAME: fields})
    if "systemInstruction" in rest:
        request.messages.insert(0, read_instruction(rest.pop("systemInstruction")))
    if "tools" in rest:
        tools = rest.pop("tools")
        request.tools = read_tools(tools)
        if not request.tools:
            fields["~tools"] = tools
    if "toolConfig" in rest:
        request.tool_choice, config = read_choice(rest.pop("toolConfig"))
        if config or request.tool_choice is None:
            fields["toolConfig"] = config
    if "generationConfig" in rest:
        read_config(rest.pop("generationConfig"), request)
    fields.update(rest)
    return request


def _bare(model: Json) -> str:
    return model.rpartition("models/")[2] if isinstance(model, str) else ""


def write_request(request: Request, profile: Profile, receipt: Receipt) -> dict[str, Json]:
    """Spell a request that has been fitted to the profile."""
    own = request.dialect == NAME
    fields = ours(request.extras) if own else {}
    head, turns = _split(request.messages, own)
    body: dict[str, Json] = {"contents": write_contents(turns, request, profile, receipt)}
    if "~model" in fields:
        body["model"] = _model(fields["~model"], request.model)
    if not body["contents"] and not own and head:
        # A request of instructions alone is refused, so the last of them opens the conversation.
        receipt.note(f"messages[{len(head) - 1}]", "moved", "the target needs a user turn")
        body["contents"] = write_contents([Message("user", head.pop().parts)], request, profile, receipt)
    instruction = write_instruction(head, own)
    if instruction is not None:
        body["systemInstruction"] = instruction
    tools = write_tools(request, profile, receipt)
    if tools or "~tools" in fields:
        body["tools"] = tools or fields["~tools"]
    _write_choice(request, own, bool(tools), body)
    config = write_config(request, profile, receipt)
    if config is not None:
        body["generationConfig"] = config
    body.update(dict.fromkeys(fields.get("~nulls") or ()))
    rest = wire_fields(fields)
    body.update({key: rest[key] for key in rest if key not in ("toolConfig", "generationConfig")})
    whole: dict[str, Json] = whole_characters(body)
    return whole


def _split(messages: list[Message], own: bool) -> tuple[list[Message], list[Message]]:
    """Instructions at the head, and the conversation."""
    at = 0
    while at < len(messages) and messages[at].role == "system":
        if own and "~turn" in ours(messages[at].extras):
            break
        at += 1
    return messages[:at], messages[at:]


def _model(spelt: Json, model: str) -> Json:
    """The model in the body, where the client had put it too."""
    if not isinstance(spelt, str) or _bare(spelt) == model or not model:
        return spelt
    return f"models/{model}" if "models/" in spelt else model


def _write_choice(request: Request, own: bool, has_tools: bool, body: dict[str, Json]) -> None:
    config: dict[str, Json] = dict(ours(request.extras).get("toolConfig") or {}) if own else {}
    choice = request.tool_choice
    if choice is not None and (own or has_tools):
        config["functionCallingConfig"] = write_choice(choice, own=own)
    if config or (own and "toolConfig" in ours(request.extras)):
        body["toolConfig"] = config
