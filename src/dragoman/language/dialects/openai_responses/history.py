"""The conversation of a request: input items to messages and back.

Consecutive assistant-side items form one assistant message, consecutive outputs one tool message, each
other item a message of its own. This module must not know the request's settings.

Wire: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.compaction import read_summary
from dragoman.language.dialects.openai_responses.content import read_part, write_part
from dragoman.language.dialects.openai_responses.fields import (
    NAME,
    Object,
    expect,
    is_made,
    is_own,
    nulls,
    own,
    split_nulls,
    taken,
)
from dragoman.language.dialects.openai_responses.items import (
    CALLS,
    OUTPUTS,
    continues,
    is_content,
    name_of,
    read_item,
    read_output,
    write_call,
    write_message,
    write_output,
    write_reasoning,
)
from dragoman.language.dialects.openai_responses.tools import read_tools
from dragoman.language.failures import Refused
from dragoman.language.ir import Json, Message, Opaque, Part, Reasoning, Role, Text, Tool, ToolCall, ToolResult
from dragoman.language.losses import Receipt

_ROLES: dict[str, Role] = {"user": "user", "system": "system", "developer": "system", "assistant": "assistant"}
_OF_USERS = frozenset({"compaction_trigger", "mcp_approval_response", "item_reference"})


def read_input(items: list[Json]) -> tuple[list[Message], list[Tool | Opaque]]:
    """Messages, and the tools that stand between them (``additional_tools``)."""
    messages: list[Message] = []
    tools: list[Tool | Opaque] = []
    for number, item in enumerate(items):
        path = f"input[{number}]"
        kind = _kind(expect(item, dict, path, "an object"), path)
        if kind == "message" and item["role"] != "assistant":
            messages.append(_read_message(item))
        elif kind in OUTPUTS:
            _join(messages, "tool", [read_output({**item, "type": kind})])
        elif kind == "additional_tools":
            tools += read_tools(item.get("tools"), f"{path}.tools", {"~additional": True})
            messages.append(Message("system", [Opaque(NAME, item)]))
        elif kind == "compaction" and (summary := read_summary(item)):
            messages.append(Message("user", [Text(summary)]))
        elif kind in _OF_USERS:
            messages.append(Message("user", [Opaque(NAME, item)]))
        else:
            _join(messages, "assistant", read_item(item if kind == "message" else {**item, "type": kind}))
    return messages, tools


def _join(messages: list[Message], role: Role, parts: list[Part]) -> None:
    if messages and messages[-1].role == role:
        messages[-1].parts.extend(parts)
    else:
        messages.append(Message(role, parts))


def _kind(item: Object, path: str) -> str:
    """The item's type, guessed where an old client left it out (R25), its needed fields checked."""
    kind = item.get("type")
    if kind is None:
        kind = _guessed(item)
        if kind is None:
            raise Refused(f"{path}.type", "is required")
    expect(kind, str, f"{path}.type", "a string")
    if kind == "message":
        _check_message(item, path)
    elif kind in CALLS:
        for name in ("call_id", "name"):
            expect(item.get(name), str, f"{path}.{name}", "a string")
    elif kind in OUTPUTS:
        expect(item.get("call_id"), str, f"{path}.call_id", "a string")
        expect(item.get("output"), (str, list), f"{path}.output", "a string or a list")
        _check_parts(item["output"], f"{path}.output")
    elif kind == "reasoning":
        for name in ("summary", "content"):
            expect(item.get(name) or [], list, f"{path}.{name}", "a list")
    return kind


def _guessed(item: Object) -> str | None:
    if "role" in item:
        return "message"
    if "call_id" in item:
        for kind, needed in (("function_call_output", "output"), ("function_call", "arguments")):
            if needed in item:
                return kind
        return "custom_tool_call" if "input" in item else None
    if "summary" in item:
        return "reasoning"
    return "item_reference" if set(item) <= {"id", "type"} and item.get("id") else None


def _check_message(item: Object, path: str) -> None:
    role = expect(item.get("role"), str, f"{path}.role", "a string")
    if role not in _ROLES:
        raise Refused(f"{path}.role", "must be user, assistant, system or developer")
    content = item.get("content")
    if content is not None:
        _check_parts(expect(content, (str, list), f"{path}.content", "a string or a list"), f"{path}.content")


def _check_parts(content: Json, path: str) -> None:
    for number, part in enumerate(content if isinstance(content, list) else ()):
        where = f"{path}[{number}]"
        expect(part, dict, where, "an object")
        if part.get("type") in ("input_text", "output_text", "text"):
            expect(part.get("text"), str, f"{where}.text", "a string")


def _read_message(item: Object) -> Message:
    fields, form = split_nulls(item)
    content = fields.pop("content", None)
    opened: Object = {"~item": {**taken(fields, "role", "id", "status", "type"), **form}}
    if isinstance(content, str):
        opened["~string"] = True
        parts: list[Part] = [Text(content)]
    else:
        parts = [read_part(part, "input_text") for part in content or ()]
    return Message(_ROLES[item["role"]], parts, {NAME: {**opened, **fields}})


# ---------------------------------------------------------------- writing


def write_input(messages: list[Message], receipt: Receipt) -> list[Object]:
    """Write the messages as input items; foreign Opaque parts and thoughts stay out."""
    items: list[Object] = []
    for number, message in enumerate(messages):
        if message.role == "assistant" or any(_is_item(part) for part in message.parts):
            items += _write_parts(message, f"messages[{number}]", receipt)
        else:
            items += _write_message(message, message.parts, f"messages[{number}]", receipt)
    return _without_made_ids(items, receipt)


def _without_made_ids(items: list[Object], receipt: Receipt) -> list[Object]:
    """The items without ids that this dialect made: no provider has stored anything under them."""
    kept: list[Object] = []
    for number, item in enumerate(items):
        if not is_made(item.get("id")):
            kept.append(item)
        elif item.get("type", "message") in ("message", *CALLS, *OUTPUTS):
            kept.append({name: value for name, value in item.items() if name != "id"})
        else:
            receipt.note(f"input[{number}]", "dropped", f"no provider knows this {item['type']}")
    return kept


def _is_item(part: Part) -> bool:
    return isinstance(part, ToolCall | ToolResult | Reasoning) or (isinstance(part, Opaque) and not is_content(part))


def _write_parts(message: Message, path: str, receipt: Receipt) -> list[Object]:
    """Items of a message whose parts are items, content between them gathered into message items."""
    items: list[Object] = []
    at = 0
    parts = message.parts
    while at < len(parts):
        end = at + 1
        if not _is_item(parts[at]):
            while end < len(parts) and not _is_item(parts[end]) and _together(message.role, parts[end]):
                end += 1
            items += _write_message(message, parts[at:end], path, receipt)
        elif (item := _write_item(parts[at], path, receipt)) is not None:
            items.append(item)
        at = end
    return items


def _together(role: Role, part: Part) -> bool:
    return role != "assistant" or continues(part) or (isinstance(part, Text) and not is_own(part.extras))


def _write_item(part: Part, path: str, receipt: Receipt) -> Object | None:
    match part:
        case ToolCall():
            return write_call(part)
        case ToolResult():
            return write_output(part)
        case Reasoning():
            if is_own(part.extras):
                return write_reasoning(part)
            receipt.note(path, "dropped", "thoughts return only to the provider that issued them")
        case Opaque(dialect=dialect, data=data) if dialect == NAME:
            return data
    return None


def _write_message(message: Message, parts: list[Part], path: str, receipt: Receipt) -> list[Object]:
    if message.role == "assistant":
        kept = [part for part in parts if is_content(part)]
        for part in parts:
            if not is_content(part):
                receipt.note(path, "dropped", f"an assistant message holds no {name_of(part)}")
        item = write_message(kept, "") if kept else None
        return [] if item is None else [item]
    fields = own(message.extras)
    native = is_own(message.extras)
    content = []
    for part in parts:
        written = write_part(part, "input_text")
        if written is None:
            receipt.note(path, "dropped", f"a message holds no {name_of(part)}")
        elif native or not isinstance(part, Text) or part.text.strip():
            content.append(written)
    if not native:
        role = "developer" if message.role == "system" else "user"
        return [{"type": "message", "role": role, "content": content}] if content else []
    form = dict(fields.get("~item", {}))
    missing = nulls(form)
    form.pop("~nulls", None)
    rest = {name: value for name, value in fields.items() if name[0] != "~"}
    said: Json = parts[0].text if "~string" in fields and parts and isinstance(parts[0], Text) else content
    role = "developer" if message.role == "system" else "user"
    return [{"role": role, **form, "content": said, **missing, **rest}]
