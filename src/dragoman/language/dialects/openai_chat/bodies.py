"""Writing a Chat request for a provider. The request has been fitted; this only spells it.

For the same dialect the client's own spelling is kept, field by field. Otherwise: text-only messages
are one string, blocks joined by a newline (system blocks by a blank line); text and calls stand in
one assistant message, each result in a message of its own directly behind.

Wire: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.language.dialects.openai_chat.fields import ERROR_MARK, NAME, Fields, own, plain
from dragoman.language.dialects.openai_chat.parts import write_part
from dragoman.language.dialects.openai_chat.settings import write_output, write_sampling, write_thinking
from dragoman.language.dialects.openai_chat.thoughts import FIELDS, SEALED, write_thought
from dragoman.language.dialects.openai_chat.tools import function_fields, write_call, write_choice, write_tools
from dragoman.language.ir import Json, Message, Part, Reasoning, Refusal, Request, Text, Tool, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

NO_CONTENT = "No content provided"
"""Text of an empty tool result: several providers refuse an empty one."""

UNKNOWN_THOUGHT = " "
"""The thought of a call that somebody else made, for targets that refuse a call without one, or with an empty one."""


def write_request(request: Request, profile: Profile, receipt: Receipt) -> dict[str, Json]:
    """The body for a provider. Never raises; what Chat has no word for has been noted by fitting."""
    form = own(request.extras)
    body: Fields = {"model": request.model, "messages": _Spelling(request, profile).messages()}
    body |= _write_tooling(request, profile, form)
    body |= write_output(request.output, form)
    body |= write_sampling(request, profile)
    body |= write_thinking(request.reasoning, profile)
    if request.user:
        body["user"] = request.user
    if request.cache_key and (profile.cache_key or request.dialect == NAME):
        body["prompt_cache_key"] = request.cache_key
    if request.stream:
        body["stream"] = True
        if profile.stream_usage and request.dialect != NAME:
            body["stream_options"] = {"include_usage": True}  # nobody reports usage unasked (U06)
    elif "~stream" in form:
        body["stream"] = False
    if request.dialect == NAME:
        body = {**plain(request.extras), **body}
    return body


def _write_tooling(request: Request, profile: Profile, form: Fields) -> Fields:
    if form.get("~functions") and all(isinstance(tool, Tool) for tool in request.tools):
        return _write_legacy(request)
    tools = write_tools(request.tools, profile.cache_hints)
    if not tools:  # an empty list is refused by most, and so is a choice among nothing
        return {"tools": []} if "~tools" in form and request.dialect == NAME else {}
    written: Fields = {"tools": tools}
    if request.tool_choice is not None:
        written["tool_choice"] = write_choice(request.tool_choice, request.tools, profile.any_choice)
    if request.parallel_tools is not None:
        written["parallel_tool_calls"] = request.parallel_tools
    return written


def _write_legacy(request: Request) -> Fields:
    functions = [function_fields(tool) for tool in request.tools if isinstance(tool, Tool)]
    written: Fields = {"functions": functions}
    if (choice := request.tool_choice) is not None:
        written["function_call"] = {"name": choice.names[0]} if choice.names else choice.mode
    return written


class _Spelling:
    """Messages of one request as this wire and this target spell them."""

    def __init__(self, request: Request, profile: Profile) -> None:
        self._request = request
        self._profile = profile
        self._native = request.dialect == NAME
        setting = request.reasoning
        told = profile.echoes_thoughts and profile.reasoning_field in FIELDS
        self._echoes = told and (setting is None or setting.mode != "off")

    def messages(self) -> list[Json]:
        """All messages; those of other dialects are joined where Chat has one turn for them."""
        written: list[Json] = []
        for message in self._request.messages if self._native else _joined(self._request.messages):
            written += self._message(message)
        return written

    def _message(self, message: Message) -> Iterable[Json]:
        if message.role == "tool":
            return [self._result(part) for part in message.parts if isinstance(part, ToolResult)]
        if message.role == "assistant":
            return [self._assistant(message)]
        content = self._content(message.parts, message, "\n\n" if message.role == "system" else "\n")
        if message.role == "system" and not self._native and not content.get("content"):
            return []  # an empty instruction tells nothing, and some refuse it
        role = self._system_role(message) if message.role == "system" else message.role
        return [{"role": role, **content, **plain(message.extras)}]

    def _system_role(self, message: Message) -> str:
        said = own(message.extras).get("~role", "system")
        if self._profile.family == "other":
            return str(said)
        if self._native:  # OpenAI's newer families take both words; most others know only the one
            return "system" if not self._known_developer() else str(said)
        return "developer" if self._profile.developer_role else "system"

    def _known_developer(self) -> bool:
        return self._profile.developer_role or self._profile.family in ("classic", "computer-use", "o1-mini")

    def _content(self, parts: list[Part], owner: Message | ToolResult, glue: str = "\n") -> Fields:
        """The ``content`` field in the form the client had, or the plainest one."""
        form = own(owner.extras)
        blocks = [block for part in parts if (block := write_part(part, self._hints())) is not None]
        if blocks:
            texts = [block.get("text") for block in blocks if block.get("type") == "text"]
            listed = form.get("~content") == "list" or len(texts) != len(blocks)
            # Hints move from turn to turn, and what is joined must not depend on where they are (T14).
            apart = len(blocks) > 1 and (self._hints() or self._profile.cache_breakpoints)
            if listed or apart or any(_marks_cache(block) for block in blocks):
                return {"content": blocks}
            return {"content": glue.join(str(text) for text in texts)}
        if "~blank" in form:
            return {"content": form["~blank"]}
        kind = form.get("~content")
        if kind == "missing":
            return {}
        return {"content": [] if kind == "list" else None if kind == "null" else ""}

    def _hints(self) -> bool:
        return self._profile.cache_hints and not self._native

    def _assistant(self, message: Message) -> Json:
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        said = [self._as_text(part) for part in message.parts if not isinstance(part, ToolCall) and not _beside(part)]
        written: Fields = {"role": "assistant", **self._content(said, message)}
        if written.get("content") == "" and NAME not in message.extras:
            written["content"] = None if calls else ""
        for part in message.parts:
            if isinstance(part, Reasoning) and _beside(part):
                self._think(part, written)
            elif isinstance(part, Refusal) and _beside(part):
                written["refusal"] = part.text
        if legacy := next((call for call in calls if own(call.extras).get("~legacy")), None):
            written["function_call"] = {"name": legacy.name, "arguments": legacy.arguments}
            calls.remove(legacy)
        if calls:
            custom = self._profile.custom_tools or self._native
            written["tool_calls"] = [self._call(call, custom) for call in calls]
            if self._echoes and not any(name in written or name in own(message.extras) for name in FIELDS):
                written[self._profile.reasoning_field] = UNKNOWN_THOUGHT
        return {**plain(message.extras), **written}

    def _as_text(self, part: Part) -> Part:
        """A refusal of another dialect is plain text here: few vendors know the part."""
        return Text(part.text) if isinstance(part, Refusal) and not self._native else part

    def _call(self, call: ToolCall, custom: bool) -> Fields:
        written = write_call(call, custom)
        if not self._native and "gemini" not in self._profile.family:
            written.pop("extra_content", None)  # a signature goes to nobody but its issuer (T02)
        return written

    def _think(self, thought: Reasoning, written: Fields) -> None:
        """Give the thought back in the field where it belongs; several thoughts of one turn are joined."""
        field = self._profile.reasoning_field
        if not self._native and not field:
            return
        if field == "think_tags" and not self._native:
            written["content"] = _tagged(thought.text, written.get("content"))
            return
        fields = write_thought(thought)
        details = [entry for entry in fields.pop("reasoning_details", []) if entry.get("format") != SEALED]
        if NAME not in thought.extras and field not in fields:
            fields = _respelt(field or "reasoning_content", thought.text, len(written.get("reasoning_details", [])))
            details += fields.pop("reasoning_details", [])
        for name, words in fields.items():
            written[name] = written.get(name, "") + words
        if details:
            written["reasoning_details"] = [*written.get("reasoning_details", []), *details]

    def _result(self, result: ToolResult) -> Json:
        form = own(result.extras)
        content: list[Part] = [Text(ERROR_MARK)] if result.is_error and not result.content else result.content
        if result.is_error and result.content:
            content = _marked(result.content)
        written = self._content(content, result)
        if not written.get("content") and not self._native:
            written["content"] = NO_CONTENT
        named = {"name": result.name} if result.name and (self._native or not result.call_id) else {}
        if form.get("~legacy"):
            return {"role": "function", **written, **named, **plain(result.extras)}
        return {"role": "tool", "tool_call_id": result.call_id, **written, **named, **plain(result.extras)}


def _marks_cache(block: Fields) -> bool:
    return "cache_control" in block or "prompt_cache_breakpoint" in block


def _beside(part: Part) -> bool:
    """Whether the part stands in a field of its own rather than in ``content``."""
    if isinstance(part, Reasoning):
        return own(part.extras).get("~part") != "thinking"
    return isinstance(part, Refusal) and own(part.extras).get("~field") is True


def _tagged(thought: str, content: Json) -> Json:
    """The content behind its thought in tags, which some templates read from there alone (T12)."""
    if not thought:
        return content
    tagged = f"<think>\n{thought}\n</think>\n"
    return [{"type": "text", "text": tagged}, *content] if isinstance(content, list) else tagged + (content or "")


def _respelt(field: str, text: str, index: int) -> Fields:
    if not text:
        return {}
    if field == "reasoning_details":
        return {field: [{"type": "reasoning.text", "text": text, "format": "unknown", "index": index}]}
    return {field: text}


def _marked(content: list[Part]) -> list[Part]:
    """The failure mark at the head of the text, in a text of its own when there is none."""
    first = content[0]
    if isinstance(first, Text):
        return [Text(ERROR_MARK + first.text, extras=first.extras), *content[1:]]
    return [Text(ERROR_MARK), *content]


def _joined(messages: list[Message]) -> list[Message]:
    """Adjacent assistant messages are one turn: Responses tells text and calls as items of their own."""
    joined: list[Message] = []
    for message in messages:
        if message.role == "assistant" and joined and joined[-1].role == "assistant":
            joined[-1] = Message("assistant", [*joined[-1].parts, *message.parts], joined[-1].extras)
        else:
            joined.append(message)
    return joined
