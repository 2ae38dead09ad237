"""Reading a Chat request: as a Chat client sends it, and as clients that mix dialects send it (C10 to C12).

Everything nobody takes is kept for the owner. Raises Refused with the JSON path for what cannot be
read. Wire: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from dragoman.language.dialects import openai_responses
from dragoman.language.dialects.openai_chat.fields import ERROR_MARK, NAME, Fields, expect, packed, said, take
from dragoman.language.dialects.openai_chat.parts import read_parts
from dragoman.language.dialects.openai_chat.settings import read_output, read_sampling, read_thinking
from dragoman.language.dialects.openai_chat.thoughts import read_thought
from dragoman.language.dialects.openai_chat.tools import read_call, read_choice, read_function, read_tools, words_of
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Extras,
    Json,
    Media,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from dragoman.language.wire import encode

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_CHAT_ONLY = (
    "stream_options max_tokens max_completion_tokens reasoning_effort response_format functions function_call"
    " n stop seed frequency_penalty presence_penalty logit_bias logprobs verbosity"
).split()


def read_request(body: dict[str, Json], *, model: str | None = None, stream: bool | None = None) -> Request:
    """Read a request body; raises Refused. ``model`` and ``stream`` overrule the body's.

    A body of Responses shape (``input`` instead of ``messages``) is read by that dialect's reader and
    keeps its name in ``Request.dialect``; the caller still answers in Chat, as the path demands.
    """
    fields = dict(body)
    if not fields.get("messages") and "input" in fields:
        fields.pop("messages", None)
        return _read_responses_shape(fields, model, stream)
    messages = fields.pop("messages", None)
    if messages is None:
        raise Refused("messages", "is required")
    form: Fields = {}
    named = take(fields, "model", str)
    streamed = take(fields, "stream", bool)
    if streamed is False:
        form["~stream"] = False
    request = Request(
        dialect=NAME,
        model=model or named or "",
        messages=_Messages().read(expect(messages, list, "messages")),
        sampling=read_sampling(fields, form),
        reasoning=read_thinking(fields),
        output=read_output(fields, form),
        stream=bool(streamed) if stream is None else stream,
        user=take(fields, "user", str) or "",
        cache_key=take(fields, "prompt_cache_key", str) or "",
        parallel_tools=take(fields, "parallel_tool_calls", bool),
    )
    _read_tooling(fields, request, form)
    request.extras = packed({**fields, **form})
    return request


def _read_tooling(fields: Fields, request: Request, form: Fields) -> None:
    if (tools := take(fields, "tools", list)) is not None:
        request.tools = read_tools(tools)
        if not tools:
            form["~tools"] = []
    if (choice := fields.get("tool_choice")) is not None:
        request.tool_choice = read_choice(choice)
        if isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True:
            request.parallel_tools = False
        del fields["tool_choice"]
    if functions := take(fields, "functions", list):
        form["~functions"] = True
        request.parallel_tools = False  # function_call holds one
        for at, function in enumerate(functions):
            path = f"functions[{at}]"
            request.tools.append(read_function(dict(expect(function, dict, path)), {}, {}, path))
        if fields.get("function_call") is not None:
            request.tool_choice = read_choice(fields.pop("function_call"), "function_call")


def _read_responses_shape(fields: Fields, model: str | None, stream: bool | None) -> Request:
    """Cursor sends Responses bodies to the chat path, with some fields of Chat among them (C10)."""
    chat = {name: fields.pop(name) for name in _CHAT_ONLY if name in fields}
    request = openai_responses.read_request(fields, model=model, stream=stream)
    form: Fields = {}
    sampling = read_sampling(chat, form)
    for name in type(sampling).__slots__:
        if getattr(request.sampling, name) in (None, []):
            setattr(request.sampling, name, getattr(sampling, name))
    request.reasoning = request.reasoning or read_thinking(chat)
    request.output = request.output or read_output(chat, form)
    request.extras = {**request.extras, **packed(chat)}
    return request


class _Messages:
    """Reads messages in order, remembering the calls that wait for a result."""

    def __init__(self) -> None:
        self._out: list[Message] = []
        self._waiting: list[tuple[str, str]] = []
        self._made = 0

    def read(self, messages: list[Json]) -> list[Message]:
        for at, message in enumerate(messages):
            path = f"messages[{at}]"
            self._message(dict(expect(message, dict, path)), path)
        return self._out

    def _message(self, fields: Fields, path: str) -> None:
        role = fields.pop("role", None)
        if role in ("tool", "function"):
            self._tool(fields, path, role)
        elif role == "assistant":
            self._assistant(fields, path)
        elif isinstance(role, str) and role in _ROLES:
            form = _form(role="developer") if role == "developer" else {}
            parts = self._content(fields, form, path)
            self._add(_ROLES[role], parts, {**fields, **form})
        else:
            raise Refused(f"{path}.role", f"must be one of system, developer, user, assistant, tool; got {role!r}")

    def _add(self, role: Role, parts: list[Part], kept: Fields) -> None:
        """Add a message; results that Anthropic-shaped blocks put into it go before it (C12)."""
        results = [part for part in parts if isinstance(part, ToolResult)]
        if not results:
            self._out.append(Message(role, parts, packed(kept)))
            return
        self._out.append(Message("tool", list(results)))
        others: list[Part] = [part for part in parts if not isinstance(part, ToolResult)]
        if others:
            self._out.append(Message(role, others, packed(kept)))

    def _content(self, fields: Fields, form: Fields, path: str) -> list[Part]:
        """The parts of ``content``: string, list, null, missing, empty or blank all read (R06)."""
        if "content" not in fields:
            form["~content"] = "missing"
            return []
        content = fields.pop("content")
        if content is None:
            form["~content"] = "null"
            return []
        if isinstance(content, str):
            if content.strip():
                return [Text(content)]
            form["~blank"] = content
            return []
        path = f"{path}.content"
        if not isinstance(content, list):
            raise Refused(path, "must be a string or a list of content parts")
        form["~content"] = "list"
        return [_adopted(part, f"{path}[{at}]") for at, part in enumerate(read_parts(content, path))]

    def _assistant(self, fields: Fields, path: str) -> None:
        form: Fields = {}
        thought = read_thought(fields)
        parts = self._content(fields, form, path)
        if thought is not None:
            parts.insert(0, thought)
        if isinstance(fields.get("refusal"), str) and fields["refusal"]:
            parts.append(Refusal(fields.pop("refusal"), packed({"~field": True})))
        calls = fields.get("tool_calls")
        if calls:
            del fields["tool_calls"]
            for at, call in enumerate(expect(calls, list, f"{path}.tool_calls")):
                read = read_call(expect(call, dict, f"{path}.tool_calls[{at}]"))
                if read is not None:
                    parts.append(read)
        legacy = fields.get("function_call")
        if isinstance(legacy, dict) and said(legacy.get("name")):
            del fields["function_call"]
            self._made += 1
            extras = packed({"~legacy": True})
            identifier = f"call_function_{self._made}"
            parts.append(ToolCall(identifier, legacy["name"], words_of(legacy.get("arguments")), extras=extras))
        self._waiting += [(part.id, part.name) for part in parts if isinstance(part, ToolCall)]
        self._add("assistant", parts, {**fields, **form})

    def _tool(self, fields: Fields, path: str, role: str) -> None:
        form: Fields = {}
        content = self._content(fields, form, path)
        name = take(fields, "name", str, path) or ""
        identifier = take(fields, "tool_call_id", str, path) or ""
        if role == "function":
            form["~legacy"] = True
        fits = (1, name) if role == "function" else (0, identifier)
        known = next((one for one in self._waiting if one[fits[0]] == fits[1]), None)
        if known is None and not identifier and self._waiting:
            known = self._waiting[0]  # a result without an id answers the oldest open call
        if known is not None:
            self._waiting.remove(known)
            identifier = identifier or known[0]
        failed = _unmark(content)
        result = ToolResult(identifier, content, failed, name, extras=packed({**fields, **form}))
        self._out.append(Message("tool", [result]))


def _form(**spellings: Json) -> Fields:
    return {f"~{name}": value for name, value in spellings.items()}


def _unmark(content: list[Part]) -> bool:
    """Take the failure mark off the head of a result's text (R26)."""
    first = content[0] if content else None
    if not isinstance(first, Text) or not first.text.startswith(ERROR_MARK):
        return False
    first.text = first.text[len(ERROR_MARK) :]
    return True


def _adopted(part: Part, path: str) -> Part:
    """Anthropic's tool blocks inside a Chat message, read as what they are (C12)."""
    if not isinstance(part, Opaque):
        return part
    block = part.data
    if block.get("type") == "tool_use":
        return _read_tool_use(block, path)
    if block.get("type") == "tool_result":
        return _read_tool_result(block, path)
    return part


def _read_tool_use(block: Fields, path: str) -> ToolCall:
    name = block.get("name")
    if not isinstance(name, str) or not name:
        raise Refused(f"{path}.name", "is required")
    return ToolCall(said(block.get("id")), name, encode(block.get("input") or {}).decode())


def _read_tool_result(block: Fields, path: str) -> ToolResult:
    content = block.get("content")
    parts: list[Part] = []
    if isinstance(content, str) and content:
        parts = [Text(content)]
    elif isinstance(content, list):
        parts = read_parts(content, f"{path}.content")
    kept: list[Part] = [part for part in parts if isinstance(part, Text | Media | Opaque)]
    extras: Extras = {}
    return ToolResult(said(block.get("tool_use_id")), kept, block.get("is_error") is True, extras=extras)


def declared_custom(request: Request) -> dict[str, bool]:
    """Names of the client's custom tools, each with whether it was declared in Chat's nested form."""
    tools = [tool for tool in request.tools if isinstance(tool, Tool) and tool.kind == "custom"]
    return {tool.name: not tool.extras.get(NAME, {}).get("~flat", False) for tool in tools}
