"""Requests: a Responses body to the model and back.

A request of a Responses client is written back as it came. One of another client is spelt for a
provider that keeps nothing: ``store: false``, encrypted thoughts asked for, strictness said (R10, T08).
This module must not know answers.

Wire: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.fields import (
    ENCRYPTED,
    LOGPROBS,
    NAME,
    Object,
    expect,
    nulls,
    own,
    packed,
    plain,
    split_nulls,
)
from dragoman.language.dialects.openai_responses.history import read_input, write_input
from dragoman.language.dialects.openai_responses.items import SEAM
from dragoman.language.dialects.openai_responses.tools import read_choice, read_tools, write_choice, write_tools
from dragoman.language.failures import Refused
from dragoman.language.ir import (
    Json,
    Message,
    OutputFormat,
    ReasoningSetting,
    Request,
    Sampling,
    Text,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

MIN_OUTPUT = 16
"""Smallest ``max_output_tokens`` the wire takes."""

_NUMBERS = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens"}


def read_request(body: dict[str, Json], *, model: str | None = None, stream: bool | None = None) -> Request:
    """Read a request body; raises Refused naming the path of what is wrong."""
    fields, form = split_nulls(expect(body, dict, "", "a JSON object"))
    said_model = expect(fields.pop("model", model), str, "model", "a string")
    said_stream = expect(fields.pop("stream", False), bool, "stream", "a boolean")
    if "stream" in body and body["stream"] is False:
        form["~stream"] = False
    messages, additional = _read_conversation(fields, form)
    if fields.get("tools") == []:
        form["~empty_tools"] = fields.pop("tools")
    tools = read_tools(fields.pop("tools"), "tools") if "tools" in fields else []
    request = Request(NAME, model or said_model, messages, tools + additional)
    request.stream = said_stream if stream is None else stream
    _read_settings(request, fields, form)
    request.extras = {NAME: {**form, **fields}}
    return request


def _read_conversation(fields: Object, form: Object) -> tuple[list[Message], list]:  # type: ignore[type-arg]
    messages: list[Message] = []
    if "instructions" in fields:
        text = expect(fields.pop("instructions"), str, "instructions", "a string")
        messages.append(Message("system", [Text(text)], packed({"~instructions": True})))
    if "input" not in fields:
        if not any(name in fields for name in ("prompt", "conversation", "previous_response_id")):
            raise Refused("input", "is required")
        form["~no_input"] = True
        return messages, []
    said = expect(fields.pop("input"), (str, list), "input", "a string or a list of items")
    if isinstance(said, str):
        form["~string"] = True
        return [*messages, Message("user", [Text(said)], packed({"~item": {}}))], []
    found, additional = read_input(said)
    return messages + found, additional


def _read_settings(request: Request, fields: Object, form: Object) -> None:
    request.sampling = _read_sampling(fields, form)
    request.output = _read_text(fields, form)
    if "reasoning" in fields:
        request.reasoning = _read_reasoning(expect(fields.pop("reasoning"), dict, "reasoning", "an object"))
    if "tool_choice" in fields:
        request.tool_choice = read_choice(fields.pop("tool_choice"))
    if "parallel_tool_calls" in fields:
        request.parallel_tools = expect(fields.pop("parallel_tool_calls"), bool, "parallel_tool_calls", "a boolean")
    request.previous = expect(fields.pop("previous_response_id", ""), str, "previous_response_id", "a string")
    request.cache_key = expect(fields.pop("prompt_cache_key", ""), str, "prompt_cache_key", "a string")
    if "user" not in fields and isinstance(fields.get("safety_identifier"), str):
        form["~user"] = "safety_identifier"
    request.user = expect(fields.pop(form.get("~user", "user"), ""), str, "user", "a string")
    if fields.get("store") is False:
        form["~store"] = fields.pop("store")


def _read_sampling(fields: Object, form: Object) -> Sampling:
    sampling = Sampling()
    for name, wire in _NUMBERS.items():
        if wire in fields:
            kind: type | tuple[type, ...] = int if name == "max_tokens" else (int, float)
            setattr(sampling, name, expect(fields.pop(wire), kind, wire, "a number"))
    if "top_logprobs" in fields:
        sampling.top_logprobs = expect(fields.pop("top_logprobs"), int, "top_logprobs", "a number")
    if "include" in fields:
        form["~include"] = expect(fields.pop("include"), list, "include", "a list")
        if LOGPROBS in form["~include"]:
            sampling.logprobs = True
    return sampling


def _read_text(fields: Object, form: Object) -> OutputFormat | None:
    if "text" not in fields:
        return None
    text = dict(expect(fields.pop("text"), dict, "text", "an object"))
    form["~text"] = True
    said = text.get("format")
    if text and set(text) != {"format"}:
        fields["text"] = {name: value for name, value in text.items() if name != "format"}
    if said is None:
        if "format" in text:
            form["~format"] = None
        return None
    kind = expect(said, dict, "text.format", "an object").get("type")
    if kind == "json_object":
        rest = {name: value for name, value in said.items() if name != "type"}
        return OutputFormat(extras=packed(rest))
    if kind == "json_schema":
        return _read_schema(said)
    form["~format"] = said
    return None


def _read_schema(said: Object) -> OutputFormat:
    rest, form = split_nulls(said)
    del rest["type"]
    strict = rest.pop("strict", None)
    return OutputFormat(
        schema=expect(rest.pop("schema", None), dict, "text.format.schema", "a JSON schema object"),
        name=expect(rest.pop("name", ""), str, "text.format.name", "a string"),
        description=expect(rest.pop("description", ""), str, "text.format.description", "a string"),
        strict=None if strict is None else expect(strict, bool, "text.format.strict", "a boolean"),
        extras=packed({**form, **rest}),
    )


def _read_reasoning(said: Object) -> ReasoningSetting:
    fields, form = split_nulls(said)
    effort = fields.pop("effort", None)
    if "summary" not in fields and "generate_summary" in fields:
        form["~summary"] = "generate_summary"  # the older name
    summary = fields.pop(form.get("~summary", "summary"), None)
    return ReasoningSetting(
        mode=None if effort is None else "off" if effort == "none" else "on",
        effort=None if effort is None else expect(effort, str, "reasoning.effort", "a string"),
        summary=None if summary is None else expect(summary, str, "reasoning.summary", "a string"),
        extras=packed({**form, **fields}),
    )


# ---------------------------------------------------------------- writing


def write_request(request: Request, profile: Profile, receipt: Receipt) -> dict[str, Json]:
    """Write the body for a provider; what the wire has no place for is noted."""
    native = request.dialect == NAME
    body: Object = {"model": request.model}
    body |= _write_native(request, receipt) if native else _write_foreign(request, profile, receipt)
    if request.stream:
        body["stream"] = True
    return body


def _write_native(request: Request, receipt: Receipt) -> Object:
    fields = own(request.extras)
    body: Object = {}
    messages = request.messages
    if messages and "~instructions" in own(messages[0].extras):
        body["instructions"] = texts_of(messages[0])
        messages = messages[1:]
    if fields.get("~string") and len(messages) == 1:
        body["input"] = texts_of(messages[0])
    elif messages or not fields.get("~no_input"):
        body["input"] = write_input(messages, receipt)
    tools = write_tools(request.tools, native=True)
    if tools or "~empty_tools" in fields:
        body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = write_choice(request.tool_choice, request.tools)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools
    body |= _write_settings(request)
    if request.reasoning is not None:
        body["reasoning"] = _native_reasoning(request.reasoning)
    body |= {"include": fields["~include"]} if "~include" in fields else {}
    body |= {"store": fields["~store"]} if "~store" in fields else {}
    body |= {"stream": False} if "~stream" in fields else {}
    body |= write_text_setting(request, fields)
    rest = {name: value for name, value in plain(request.extras).items() if name != "text"}
    return {**nulls(fields), **body, **rest}


def write_text_setting(request: Request, fields: Object) -> Object:
    """The ``text`` field of a Responses client's request, if it had one."""
    if "~text" not in fields and request.output is None:
        return {}
    text = dict(fields.get("text", {}))
    if "~format" in fields:
        text["format"] = fields["~format"]
    elif request.output is not None:
        text["format"] = _write_format(request.output)
    return {"text": text}


def _write_settings(request: Request) -> Object:
    body: Object = {}
    for name, wire in {**_NUMBERS, "top_logprobs": "top_logprobs"}.items():
        if (value := getattr(request.sampling, name)) is not None:
            body[wire] = value
    if request.user:
        body[own(request.extras).get("~user", "user")] = request.user
    if request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    if request.previous:
        body["previous_response_id"] = request.previous
    return body


def _native_reasoning(setting: ReasoningSetting) -> Object:
    fields = own(setting.extras)
    said = {"effort": setting.effort, fields.get("~summary", "summary"): setting.summary}
    return {
        **{name: value for name, value in said.items() if value is not None},
        **nulls(fields),
        **plain(setting.extras),
    }


def _write_format(output: OutputFormat) -> Object:
    fields = own(output.extras)
    if output.schema is None:
        return {"type": "json_object", **plain(output.extras)}
    written: Object = {"type": "json_schema", "name": output.name or "response", "schema": output.schema}
    if output.description:
        written["description"] = output.description
    if output.strict is not None:
        written["strict"] = output.strict
    return {**written, **nulls(fields), **plain(output.extras)}


def _write_foreign(request: Request, profile: Profile, receipt: Receipt) -> Object:
    body: Object = {}
    head = _instructions(request)
    instructions = SEAM.join(text for message in request.messages[:head] if (text := texts_of(message)).strip())
    if instructions:
        body["instructions"] = instructions
    body["input"] = write_input(request.messages[head:], receipt)
    body |= _foreign_tools(request)
    body |= _write_settings(request)
    if "max_output_tokens" in body:
        body["max_output_tokens"] = max(MIN_OUTPUT, body["max_output_tokens"])
    if request.output is not None:
        body["text"] = {"format": _write_format(request.output)}
    body |= _foreign_reasoning(request.reasoning, profile)
    body["store"] = False
    include = [ENCRYPTED] if profile.reasoning != "none" else []
    include += [LOGPROBS] if request.sampling.logprobs else []
    return body | ({"include": include} if include else {})


def _instructions(request: Request) -> int:
    """How many system messages at the head are instructions.

    A call without any input is refused, as is free JSON where the input does not say so: there they are input.
    """
    head = 0
    while head < len(request.messages) and _is_words(request.messages[head]):
        head += 1
    free_json = request.output is not None and request.output.schema is None
    return 0 if free_json or head == len(request.messages) else head


def _is_words(message: Message) -> bool:
    return message.role == "system" and all(isinstance(part, Text) for part in message.parts)


def texts_of(message: Message) -> str:
    """The message's words, blocks apart by a blank line (R07)."""
    return SEAM.join(part.text for part in message.parts if isinstance(part, Text))


def _foreign_tools(request: Request) -> Object:
    """Tools with their choice; without tools the wire refuses a choice."""
    tools = write_tools(request.tools, native=False)
    if not tools:
        return {}
    body: Object = {"tools": tools}
    if request.tool_choice is not None:
        body["tool_choice"] = write_choice(request.tool_choice, request.tools)
    if request.parallel_tools is not None:
        body["parallel_tool_calls"] = request.parallel_tools
    return body


def _foreign_reasoning(setting: ReasoningSetting | None, profile: Profile) -> Object:
    if setting is None or profile.reasoning == "none":
        return {}
    reasoning: Object = {}
    effort = setting.effort
    if effort is None and setting.mode == "off" and "none" in profile.efforts:
        effort = "none"
    if effort is not None:
        reasoning["effort"] = effort
    if setting.mode != "off" and effort != "none":
        reasoning["summary"] = setting.summary or "auto"
    return {"reasoning": reasoning} if reasoning else {}
