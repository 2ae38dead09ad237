"""Items: reasoning, messages, calls and their outputs, as they stand in a request's input and an answer's output.

Assistant-side items become parts of one assistant message. The form a part keeps tells which item it
came from: ``~item`` opens an item and holds its id, status and type, ``~same`` continues the message
item before it, ``item`` holds what else the message item said (``phase``). An item nobody else knows
is an Opaque part. This module must not know streams.

Wire: https://platform.openai.com/docs/api-reference/responses/object#responses-object-output
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.language.dialects.openai_responses.content import read_part, write_part
from dragoman.language.dialects.openai_responses.fields import (
    ERROR_MARK,
    NAME,
    Object,
    is_made,
    is_own,
    made_id,
    nulls,
    own,
    plain,
    split_nulls,
    taken,
)
from dragoman.language.envelope import seal, unseal
from dragoman.language.ir import Json, Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.language.wire import decode, encode

CALLS = {"function_call": "function", "custom_tool_call": "custom"}
OUTPUTS = {"function_call_output": "function", "custom_tool_call_output": "custom"}
SEAM = "\n\n"
"""Between the summary parts of one thought."""

NO_CONTENT = "No content provided"
"""The output of a tool that said nothing, as on Chat."""


def read_item(item: Object) -> list[Part]:
    """Read one assistant-side item. Never raises: what is malformed is read as far as it goes."""
    kind = item.get("type")
    if kind == "message" or (kind is None and "role" in item):
        return read_message(item)
    if kind == "reasoning":
        return [read_reasoning(item)]
    if kind in CALLS:
        return [read_call(item)]
    return [Opaque(NAME, item)]


# ---------------------------------------------------------------- messages


def message_extras(item: Object) -> Object:
    """What a message item says besides its content: ``~item`` and, when there is more, ``item``."""
    fields, form = split_nulls(item)
    fields.pop("content", None)
    fields.pop("role", None)
    opened: Object = {"~item": {**taken(fields, "id", "status", "type"), **form}}
    return {**opened, "item": fields} if fields else opened


def read_message(item: Object) -> list[Part]:
    """The content parts of an assistant message item; an Opaque for one without content."""
    content = item.get("content")
    opened = message_extras(item)
    if isinstance(content, str):
        opened["~item"]["string"] = True
        return [Text(content, extras={NAME: opened})]
    parts = [read_part(part, "output_text") for part in content or () if isinstance(part, dict)]
    if not parts:
        return [Opaque(NAME, item)]
    for number, part in enumerate(parts):
        part.extras = {NAME: {**own(part.extras), **(opened if number == 0 else {"~same": True})}}
    return parts


def continues(part: Part) -> bool:
    """Whether the part belongs to the message item of the part before it."""
    return "~same" in own(part.extras)


def is_content(part: Part) -> bool:
    """Whether the part stands inside a message item."""
    return isinstance(part, Text | Refusal) or (isinstance(part, Opaque) and "~part" in own(part.extras))


def write_message(parts: Sequence[Part], identifier: str = "") -> Object | None:
    """One assistant message item of the parts; ``None`` when nothing is left to say.

    With an ``identifier`` the item is one of an answer, complete for strict readers.
    """
    content = [one for part in parts if (one := write_part(part, "output_text", bool(identifier))) is not None]
    first = own(parts[0].extras)
    if "~item" not in first:
        if not content or (not identifier and not any(_says(part) for part in parts)):
            return None
        head: Object = {"id": identifier, "type": "message", "status": "completed"} if identifier else {}
        return {"type": "message", **head, "role": "assistant", "content": content}
    form = dict(first["~item"])
    missing = nulls(form)
    form.pop("~nulls", None)
    if form.pop("string", False):
        return {**form, **missing, "role": "assistant", "content": parts[0].text, **first.get("item", {})}  # type: ignore[union-attr]
    return {**form, **missing, "role": "assistant", "content": content, **first.get("item", {})}


def _says(part: Part) -> bool:
    return not isinstance(part, Text | Refusal) or bool(part.text.strip())


# ---------------------------------------------------------------- reasoning


def read_reasoning(item: Object) -> Reasoning:
    """A reasoning item. One that this gateway sealed gives back the extras of its true owner."""
    encrypted = item.get("encrypted_content")
    sealed = unseal(encrypted)
    fields, form = split_nulls(item)
    fields.pop("type", None)
    form |= {"~item": taken(fields, "status")}
    texts: list[str] = []
    lengths: list[list[Json]] = []
    for name, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
        said = fields.pop(name, None)
        if not isinstance(said, list):
            continue
        if not _is_plain(said, kind):
            form[f"~{name}"] = said
        form.setdefault("~present", []).append(name)
        for text in (_text(one) for one in said):
            texts.append(text)
            lengths.append([name, len(text)])
    text = SEAM.join(texts)
    if sealed is not None or (is_made(item.get("id")) and not encrypted):
        return Reasoning(text, sealed or {})
    if form.get("~present") == ["summary"]:
        del form["~present"]
    if lengths != _usual_parts(text):
        form["~parts"] = lengths
    return Reasoning(text, {NAME: {**form, **fields}})


def _is_plain(said: list[Json], kind: str) -> bool:
    return all(isinstance(one, dict) and set(one) == {"type", "text"} and one["type"] == kind for one in said)


def _text(one: Json) -> str:
    text = one.get("text") if isinstance(one, dict) else one
    return text if isinstance(text, str) else ""


def write_reasoning(part: Reasoning, identifier: str = "", sealed: bool = False) -> Object:
    """A reasoning item. A foreign thought is shown as a summary, its extras ``sealed`` when wanted."""
    if not is_own(part.extras):
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        item: Object = {"id": identifier, "type": "reasoning", "summary": summary}
        return {**item, "encrypted_content": seal(part.extras)} if sealed else item
    fields = own(part.extras)
    said = split_thought(part)
    item = {"type": "reasoning", **fields.get("~item", {}), **nulls(fields)}
    for name in fields.get("~present", ["summary"]):
        item[name] = fields.get(f"~{name}", said[name])
    return {**item, **plain(part.extras)}


def is_silent(part: Reasoning, sealed: bool) -> bool:
    """Whether a foreign thought has nothing to show and nothing to seal (T09)."""
    return not (part.text or sealed or is_own(part.extras))


def split_thought(part: Reasoning) -> dict[str, list[Object]]:
    """The summary and content lists of an own thought, cut apart where they were joined."""
    said: dict[str, list[Object]] = {"summary": [], "content": []}
    lengths = own(part.extras).get("~parts", _usual_parts(part.text))
    if sum(length for _, length in lengths) + len(SEAM) * max(0, len(lengths) - 1) != len(part.text):
        lengths = [[lengths[0][0] if lengths else "summary", len(part.text)]]
    at = 0
    for name, length in lengths:
        kind = "summary_text" if name == "summary" else "reasoning_text"
        said[name].append({"type": kind, "text": part.text[at : at + length]})
        at += length + len(SEAM)
    return said


def _usual_parts(text: str) -> list[list[Json]]:
    return [["summary", len(text)]] if text else []


# ---------------------------------------------------------------- calls


def read_call(item: Object) -> ToolCall:
    """A function call or a custom tool call. Its ``status`` is kept in the open only when it was cut (S15)."""
    fields, form = split_nulls(item)
    kind = CALLS[fields.pop("type")]
    name = "input" if kind == "custom" else "arguments"
    payload = fields.pop(name, "")
    if name in nulls(form):
        form["~nulls"] = [missing for missing in form["~nulls"] if missing != name]  # no arguments are {} (S09)
    if fields.get("status") != "incomplete":
        form |= {"~item": taken(fields, "id", "status")}
    else:
        form |= {"~item": taken(fields, "id")}
    return ToolCall(
        id=str(fields.pop("call_id", "") or form["~item"].get("id", "")),
        name=str(fields.pop("name", "")),
        arguments=payload if isinstance(payload, str) else encode(payload).decode(),
        kind="custom" if kind == "custom" else "function",
        namespace=str(fields.pop("namespace", "")),
        extras={NAME: {**form, **fields}},
    )


def write_call(part: ToolCall, identifier: str = "") -> Object:
    """A call item. With an ``identifier`` it is one of an answer."""
    fields = own(part.extras)
    form = fields.get("~item")
    item: Object = {"type": "custom_tool_call" if part.kind == "custom" else "function_call"}
    if form is not None:
        item |= form
    elif identifier:
        item |= {"id": identifier, "status": "completed"}
    item |= {"call_id": part.id, "name": part.name}
    if part.namespace:
        item["namespace"] = part.namespace
    if part.kind == "custom":
        item["input"] = part.arguments
    else:
        cut = fields.get("status") == "incomplete"
        keep = cut or (form is not None and not identifier)
        item["arguments"] = part.arguments if keep or part.arguments.strip() else "{}"
        if identifier and form is None and not _is_json(item["arguments"]):
            item["status"] = "incomplete"  # cut calls are marked, never repaired (S15)
    return {**item, **nulls(fields), **plain(part.extras)}


def _is_json(text: str) -> bool:
    try:
        decode(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- outputs


def read_output(item: Object) -> ToolResult:
    """A tool's output, a string or a list of content parts. The error mark at its head is taken off (R26)."""
    fields, form = split_nulls(item)
    kind = OUTPUTS[fields.pop("type")]
    output = fields.pop("output", "")
    form |= {"~item": taken(fields, "id", "status")}
    if isinstance(output, list):
        form["~list"] = True
        content = [read_part(part, "input_text") for part in output if isinstance(part, dict)]
    else:
        content = [Text(output)] if output else []
    first = content[0] if content else None
    failed = isinstance(first, Text) and first.text.startswith(ERROR_MARK)
    if failed and isinstance(first, Text):
        first.text = first.text.removeprefix(ERROR_MARK)
    return ToolResult(
        call_id=str(fields.pop("call_id", "")),
        content=content,
        is_error=failed,
        kind="custom" if kind == "custom" else "function",
        extras={NAME: {**form, **fields}},
    )


def write_output(part: ToolResult) -> Object:
    """The output item of a tool result: a string unless media stand in it (R17) or it came as a list."""
    fields = own(part.extras)
    item: Object = {
        "type": "custom_tool_call_output" if part.kind == "custom" else "function_call_output",
        **fields.get("~item", {}),
        "call_id": part.call_id,
    }
    content = marked(part.content) if part.is_error else part.content
    if "~list" in fields or any(isinstance(one, Media) for one in content):
        written = [write_part(one, "input_text") for one in content]
        item["output"] = [one for one in written if one is not None]
    else:
        item["output"] = "\n".join(one.text for one in content if isinstance(one, Text))
        if not item["output"] and NAME not in part.extras:
            item["output"] = NO_CONTENT
    return {**item, **nulls(fields), **plain(part.extras)}


def marked(content: list[Part]) -> list[Part]:
    """The content with the error mark at the head of its first text."""
    for at, part in enumerate(content):
        if isinstance(part, Text):
            return [*content[:at], Text(ERROR_MARK + part.text, extras=part.extras), *content[at + 1 :]]
    return [Text(ERROR_MARK), *content]


# ---------------------------------------------------------------- answers


def write_media(part: Media, identifier: str) -> Object | None:
    """A picture in an answer stands as a finished image generation; other media have no place."""
    if part.kind != "image" or part.source != "base64":
        return None
    return {"id": identifier, "type": "image_generation_call", "status": "completed", "result": part.value}


def write_items(parts: Sequence[Part], seed: str, sealed: bool) -> tuple[list[Object], list[str]]:
    """The output items of an answer, and the kinds of what had no place in it."""
    items: list[Object] = []
    lost: list[str] = []
    at = 0
    while at < len(parts):
        end = at + 1
        while is_content(parts[at]) and end < len(parts) and continues(parts[end]):
            end += 1
        item = _write_one(parts[at:end], len(items), seed, sealed)
        if item is not None:
            items.append(item)
        elif not isinstance(parts[at], Text | Refusal | Reasoning):
            lost.append(name_of(parts[at]))
        at = end
    return items, lost


def name_of(part: Part) -> str:
    """What a part is called in the receipt."""
    if isinstance(part, Opaque):
        return f"{part.dialect} {part.data.get('type', 'item')}"
    return part.kind if isinstance(part, Media) else type(part).__name__


def _write_one(parts: Sequence[Part], index: int, seed: str, sealed: bool) -> Object | None:
    match parts[0]:
        case Reasoning() as part:
            if is_silent(part, sealed):
                return None
            return write_reasoning(part, made_id("rs", seed, index), sealed)
        case ToolCall() as part:
            prefix = "ctc" if part.kind == "custom" else "fc"
            return write_call(part, made_id(prefix, seed, index))
        case Media() as part:
            return write_media(part, made_id("ig", seed, index))
        case Opaque(dialect=dialect, data=data) as part if not is_content(part):
            return data if dialect == NAME else None
        case Text(text="") as part if not is_own(part.extras):
            return None
        case part if is_content(part):
            return write_message(parts, made_id("msg", seed, index))
    return None
