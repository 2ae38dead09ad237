"""What the simulated model says: the same answer for the same conversation, always.

It greets, repeats what it understood, thinks when asked to, and calls a tool the client really
offered when the prompt asks for work, so that a coding agent goes through a whole round. Pure:
conversation in, answer out; it knows no wire.
"""

from __future__ import annotations

from typing import Any

from dragoman.language.ir import (
    Choice,
    Finish,
    Media,
    Part,
    Reasoning,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from dragoman.language.wire import encode
from dragoman.upstream.sim.script import Script, read_script

SHELL_FIELDS = ("command", "cmd", "script", "input")
SHELL_NAMES = ("bash", "shell", "exec", "terminal", "command")
WORK_WORDS = ("run ", "tool", "command", "list the files", "shell")
GREETING = "echo 'hello from the simulated model'"
PROGRAM = f"const r = await tools.exec_command({{cmd: {encode(GREETING).decode()}}});\ntext(r.output);\n"
"""The same work for a tool that takes JavaScript as its one input."""


def answer(request: Request, seed: str) -> Response:
    """The whole answer to a request; ``seed`` makes its ids."""
    script = read_script(request)
    parts: list[Part] = []
    if _thinks(request, script):
        parts.append(Reasoning("The user wrote something. I am simulated, so I answer from a script."))
    parts += _content(request, script, seed)
    finish = Finish("tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "end")
    choices = [Choice(parts, finish) for _ in range(min(request.sampling.n or 1, 8))]
    _cut_to_limit(request, choices)
    return Response(f"sim{seed}", request.model, choices, _usage(request, choices))


def _thinks(request: Request, script: Script) -> bool:
    if script.think is not None:
        return script.think
    reasoning = request.reasoning
    return reasoning is not None and reasoning.mode != "off" and reasoning.effort != "none"


def _content(request: Request, script: Script, seed: str) -> list[Part]:
    if script.words:
        return [Text(" ".join(f"word{number}" for number in range(1, script.words + 1)))]
    if request.output is not None:
        return [Text(encode(example(request.output.schema or {})).decode())]
    results = _results(request)
    if results:
        return [Text(f"The tool answered: {results[-1][:400]}\nThat is all I had to do.")]
    call = _call(request, script, seed)
    if call is not None:
        return [Text("I will run a tool."), call]
    return [Text(_chat(request))]


def _results(request: Request) -> list[str]:
    """What tools answered since the user last spoke."""
    found: list[str] = []
    for message in reversed(request.messages):
        if message.role == "user":
            break
        found += [_plain(part.content) for part in message.parts if isinstance(part, ToolResult)]
    return found[::-1]


def _plain(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def _chat(request: Request) -> str:
    asked = _asked(request)
    images = sum(isinstance(part, Media) for message in request.messages for part in message.parts)
    seen = f" I see {images} attached file(s)." if images else ""
    return (
        "Hello from Dragoman's simulated model. No provider is configured, so nothing left this machine."
        f"{seen} You wrote: {asked[:200] or 'nothing'}"
    )


def _asked(request: Request) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            texts = [part.text.strip() for part in message.parts if isinstance(part, Text)]
            plain = [text for text in texts if text and not text.startswith("<")]
            if plain:
                return plain[-1]
    return ""


def _call(request: Request, script: Script, seed: str) -> ToolCall | None:
    tools = [tool for tool in request.tools if isinstance(tool, Tool)]
    choice = request.tool_choice
    if not tools or (choice is not None and choice.mode == "none"):
        return None
    wanted = script.tool or (choice.names[0] if choice is not None and choice.mode == "named" and choice.names else "")
    if wanted:
        named = [tool for tool in tools if tool.name == wanted]
        return _make(named[0], script.args if script.tool else "", seed) if named else None
    forced = choice is not None and choice.mode in ("any", "subset")
    if not forced and not any(word in _asked(request).lower() for word in WORK_WORDS):
        return None
    shells = [tool for tool in tools if _shell_field(tool)]
    return _make(shells[0] if shells else tools[0], "", seed) if shells or forced else None


def _shell_field(tool: Tool) -> str:
    if not any(word in tool.name.lower() for word in SHELL_NAMES):
        return ""
    if tool.kind == "custom":
        return "input"
    fields = _properties(tool.parameters or {})
    return next((name for name in SHELL_FIELDS if name in fields), "")


def _make(tool: Tool, args: str, seed: str) -> ToolCall:
    identifier = f"call_{seed}"
    if tool.kind == "custom":
        return ToolCall(identifier, tool.name, args or PROGRAM, "custom", tool.namespace)
    if not args:
        value = example(tool.parameters or {})
        field = _shell_field(tool)
        if field:
            is_list = _properties(tool.parameters or {}).get(field, {}).get("type") == "array"
            command = PROGRAM if field == "input" else GREETING
            value[field] = ["bash", "-lc", command] if is_list else command
        args = encode(value).decode()
    return ToolCall(identifier, tool.name, args, "function", tool.namespace)


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def example(schema: dict[str, Any], root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A small value that satisfies a JSON schema, the same every time."""
    root = schema if root is None else root
    if depth > 16:
        return None
    if isinstance(schema.get("$ref"), str):
        return example(_referred(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return example(schema[word][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema or schema is root else "string")
    kind = (kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        fields = _properties(schema)
        required = schema.get("required", list(fields))
        return {name: example(fields[name], root, depth + 1) for name in required if name in fields}
    if kind == "array":
        return [example(schema.get("items") or {}, root, depth + 1)] if schema.get("minItems") else []
    return {"integer": 1, "number": 1, "boolean": False, "null": None}.get(kind, "simulated")


def _referred(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    node: Any = root
    for step in reference.lstrip("#/").split("/"):
        node = node.get(step, {}) if isinstance(node, dict) else {}
    return node if isinstance(node, dict) else {}


def _cut_to_limit(request: Request, choices: list[Choice]) -> None:
    """Honour the output limit on plain answers, at four characters a token."""
    limit = request.sampling.max_tokens
    if limit is None or request.output is not None:
        return
    for choice in choices:
        text = choice.parts[-1]
        if isinstance(text, Text) and len(text.text) > limit * 4:
            choice.parts[-1] = Text(text.text[: limit * 4])
            choice.finish = Finish("length")


def _usage(request: Request, choices: list[Choice]) -> Usage:
    said = sum(_size(message.parts) for message in request.messages)
    tools = sum(
        len(encode(tool.parameters or {})) + len(tool.description) for tool in request.tools if isinstance(tool, Tool)
    )
    output = sum(_size(choice.parts) for choice in choices)
    thought = sum(len(part.text) for choice in choices for part in choice.parts if isinstance(part, Reasoning))
    return Usage((said + tools) // 4 + 1, 0, 0, output // 4 + 1, thought // 4)


def _size(parts: list[Part]) -> int:
    size = 0
    for part in parts:
        if isinstance(part, Text | Reasoning):
            size += len(part.text)
        elif isinstance(part, ToolCall):
            size += len(part.name) + len(part.arguments)
        elif isinstance(part, ToolResult):
            size += _size(part.content)
        elif isinstance(part, Media):
            size += 3000
    return size
