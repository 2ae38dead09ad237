"""Responses: https://platform.openai.com/docs/api-reference/responses/create"""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.relay.strict.account import History, Say, Strict, StrictlyRefused, fits, halves, require, sse

_FIELDS = frozenset(
    """model input instructions tools tool_choice parallel_tool_calls max_output_tokens reasoning text store include
    stream prompt_cache_key safety_identifier user temperature top_p""".split()
)
_MARK = "[ERROR] "


class StrictResponses(Strict):
    """Encrypted thoughts are bound to the account, and to the item behind them."""

    def check(self, model: str, body: dict[str, Any]) -> History:
        for name in body:
            require(name in _FIELDS, f"Unknown parameter: '{name}'")
        require("temperature" not in body, "Unsupported parameter: 'temperature' is not supported with this model")
        for tool in body.get("tools", []):
            require(fits(tool["name"], "[a-zA-Z0-9_-]{1,64}"), f"Invalid 'tools[].name': {tool['name']}")
            require("strict" in tool, "tools[].strict would make all parameters required")
        history = History()
        items = body["input"]
        calls: dict[str, bool] = {}
        for at, item in enumerate(items):
            match item.get("type", "message"):
                case "reasoning":
                    self._thought(model, at, items, history)
                case "message":
                    self._message(at, item, history)
                case "function_call":
                    self._call(at, item, calls, history)
                case "function_call_output":
                    self._output(at, item, calls, history)
                case kind:
                    require(False, f"Invalid value: '{kind}'")
        open_calls = [identifier for identifier, answered in calls.items() if not answered]
        require(not open_calls, f"No tool output found for function call {open_calls}")
        return history

    def _thought(self, model: str, at: int, items: list[Any], history: History) -> None:
        item = items[at]
        sealed = item.get("encrypted_content")
        require(sealed, f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is false")
        try:
            text, facts, signature = json.loads(base64.b64decode(sealed))
        except ValueError:
            raise StrictlyRefused(f"input[{at}]: The encrypted content could not be parsed") from None
        right = signature == self.sign(model, text, facts)
        require(right, f"input[{at}]: invalid_encrypted_content: could not be verified")
        behind = items[at + 1] if at + 1 < len(items) else {}
        require(_facts(behind) == facts, f"Item '{item.get('id')}' of type 'reasoning' was provided without its item")
        history.thoughts.append(text)

    def _message(self, at: int, item: dict[str, Any], history: History) -> None:
        require(str(item.get("id", "msg_")).startswith("msg"), f"Invalid 'input[{at}].id'")
        content = item["content"]
        for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "input_image":
                require(part["image_url"].startswith("data:image/png;base64,"), "image_url")
                history.images += 1
            elif item["role"] in ("developer", "system"):
                continue
            else:
                side = "output_text" if item["role"] == "assistant" else "input_text"
                require(part["type"] == side, f"input[{at}]: Invalid value: '{part['type']}'")
                (history.said if item["role"] == "assistant" else history.asked).append(part["text"])

    def _call(self, at: int, item: dict[str, Any], calls: dict[str, bool], history: History) -> None:
        require(str(item.get("id", "fc_")).startswith("fc"), f"Invalid 'input[{at}].id': {item.get('id')}")
        identifier = item["call_id"]
        require(1 <= len(identifier) <= 64, f"Invalid 'input[{at}].call_id'")
        require(identifier not in calls or calls[identifier], f"input[{at}]: duplicate call_id {identifier}")
        calls[identifier] = False
        history.calls.append((identifier, item["name"], json.loads(item["arguments"])))

    def _output(self, at: int, item: dict[str, Any], calls: dict[str, bool], history: History) -> None:
        identifier = item["call_id"]
        require(calls.get(identifier) is False, f"No tool call found for function call output {identifier}")
        calls[identifier] = True
        output = item["output"]
        parts = [{"type": "input_text", "text": output}] if isinstance(output, str) else output
        images = sum(part["type"] == "input_image" for part in parts)
        history.images += images
        text = "".join(part["text"] for part in parts if part["type"] == "input_text")
        history.answer(identifier, text.removeprefix(_MARK), text.startswith(_MARK), images)

    # ------------------------------------------------------------ answers

    def answer(self, model: str, body: dict[str, Any], say: Say) -> dict[str, Any]:
        output: list[dict[str, Any]] = []
        if say.text:
            part = {"type": "output_text", "text": say.text, "annotations": [], "logprobs": []}
            identifier = f"msg_{self.account}{self.number()}"
            output.append(
                {"id": identifier, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
            )
        for call in say.calls:
            number = self.number()
            output.append(
                {
                    "id": f"fc_{self.account}{number}", "type": "function_call", "status": "completed",
                    "call_id": f"call_{self.account}{number:08d}", "name": call.name,
                    "arguments": json.dumps(call.arguments),
                }
            )  # fmt: skip
        if say.thought and output:
            facts = _facts(output[0])
            sealed = json.dumps([say.thought, facts, self.sign(model, say.thought, facts)])
            summary = [{"type": "summary_text", "text": say.thought}]
            thought: dict[str, Any] = {"id": f"rs_{self.account}{self.number()}", "type": "reasoning"}
            thought["summary"] = summary if "summary" in (body.get("reasoning") or {}) else []
            if "reasoning.encrypted_content" in (body.get("include") or []):
                thought["encrypted_content"] = base64.b64encode(sealed.encode()).decode()
            output.insert(0, thought)
        usage = {
            "input_tokens": 9, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 14,
        }  # fmt: skip
        return {
            "id": f"resp_{self.account}{self.number()}", "object": "response", "created_at": 7, "status": "completed",
            "model": model, "output": output, "usage": usage, "error": None, "incomplete_details": None,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        }  # fmt: skip

    def stream(self, answer: dict[str, Any]) -> list[bytes]:
        opened = {**answer, "status": "in_progress", "output": [], "usage": None}
        out: list[dict[str, Any]] = [{"type": "response.created", "response": opened}]
        for at, item in enumerate(answer["output"]):
            out += _events(at, item)
        out.append({"type": "response.completed", "response": answer})
        for number, event in enumerate(out):
            event["sequence_number"] = number
        return sse(*out, named=True)

    def refusal(self, why: str) -> dict[str, Any]:
        return {"error": {"message": why, "type": "invalid_request_error", "param": "input", "code": None}}


def _facts(item: dict[str, Any]) -> str:
    """What binds a thought to the item behind it."""
    if item.get("type") == "function_call":
        return f"{item['call_id']} {item['name']} {json.dumps(json.loads(item['arguments']), sort_keys=True)}"
    content = item.get("content", "")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _events(at: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": at}
    out: list[dict[str, Any]] = []
    if item["type"] == "reasoning":
        first = {**item, "summary": []}
        if "encrypted_content" in item:
            first["encrypted_content"] = "not-yet"  # T07
        out.append({"type": "response.output_item.added", "output_index": at, "item": first})
        for number, part in enumerate(item["summary"]):
            spot = {**place, "summary_index": number}
            empty = {"type": "summary_text", "text": ""}
            out.append({"type": "response.reasoning_summary_part.added", **spot, "part": empty})
            for piece in halves(part["text"]):
                out.append({"type": "response.reasoning_summary_text.delta", **spot, "delta": piece})
            out.append({"type": "response.reasoning_summary_text.done", **spot, "text": part["text"]})
            out.append({"type": "response.reasoning_summary_part.done", **spot, "part": part})
    elif item["type"] == "message":
        part = item["content"][0]
        spot = {**place, "content_index": 0}
        added = {**item, "content": [], "status": "in_progress"}
        out.append({"type": "response.output_item.added", "output_index": at, "item": added})
        out.append({"type": "response.content_part.added", **spot, "part": {**part, "text": ""}})
        out += [{"type": "response.output_text.delta", **spot, "delta": piece} for piece in halves(part["text"])]
        out.append({"type": "response.output_text.done", **spot, "text": part["text"]})
        out.append({"type": "response.content_part.done", **spot, "part": part})
    else:
        added = {**item, "arguments": "", "status": "in_progress"}
        out.append({"type": "response.output_item.added", "output_index": at, "item": added})
        kind = "response.function_call_arguments"
        out += [{"type": f"{kind}.delta", **place, "delta": piece} for piece in halves(item["arguments"])]
        out.append({"type": f"{kind}.done", **place, "arguments": item["arguments"]})
    return [*out, {"type": "response.output_item.done", "output_index": at, "item": item}]
