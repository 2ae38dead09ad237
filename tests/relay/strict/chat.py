"""Chat Completions as OpenAI, Kimi, Mistral, DeepSeek and OpenRouter take them."""

from __future__ import annotations

import json
from typing import Any

from tests.relay.strict.account import History, Say, Strict, family_of, fits, halves, require, sse, words_of

_FIELDS = frozenset(
    """model messages tools tool_choice parallel_tool_calls max_tokens max_completion_tokens temperature top_p stop
    stream stream_options user prompt_cache_key response_format seed n reasoning_effort thinking reasoning""".split()
)
_MARK = "[ERROR] "
_NO_IMAGES = ("deepseek",)
_THINKS_ALWAYS = ("kimi", "deepseek")


class StrictChat(Strict):
    """Each family has its own ids and its own way with thoughts."""

    def check(self, model: str, body: dict[str, Any]) -> History:
        family = family_of(model)
        for name in body:
            require(name in _FIELDS, f"Unrecognized request argument supplied: {name}")
        if family in ("gpt-5", "o3"):
            require("temperature" not in body and "max_tokens" not in body, "Unsupported parameter: 'temperature'")
        for tool in body.get("tools", []):
            require(fits(tool["function"]["name"], "[a-zA-Z0-9_-]{1,64}"), "tools[].function.name")
        history = History()
        pending: list[str] = []
        for at, message in enumerate(body["messages"]):
            match message["role"]:
                case "tool":
                    self._result(at, message, pending, history)
                case "assistant":
                    require(not pending, f"messages[{at}]: tool_call_ids did not have response messages: {pending}")
                    pending = self._assistant(model, at, message, history, body)
                case "user":
                    require(not pending, f"messages[{at}]: tool_call_ids did not have response messages: {pending}")
                    self._user(family, at, message["content"], history)
                case "system" | "developer":
                    require(words_of(message["content"]).strip(), f"messages[{at}]: empty system")
                case role:
                    require(False, f"Invalid value: '{role}'")
        require(not pending, f"tool_call_ids did not have response messages: {pending}")
        return history

    def _user(self, family: str, at: int, content: Any, history: History) -> None:
        require(content, f"messages[{at}].content is empty")
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            if block["type"] == "image_url":
                require(family not in _NO_IMAGES, "unknown variant `image_url`, expected `text`")
                require(block["image_url"]["url"].startswith("data:image/png;base64,"), "image_url")
                history.images += 1
            else:
                require(set(block) == {"type", "text"} or family == "claude-sonnet-4.5", f"messages[{at}]: {block}")
                history.asked.append(block["text"])

    def _result(self, at: int, message: dict[str, Any], pending: list[str], history: History) -> None:
        identifier = message["tool_call_id"]
        require(identifier in pending, f"messages[{at}]: no tool call with id {identifier}")
        pending.remove(identifier)
        text = words_of(message["content"])
        require(text, f"messages[{at}]: empty tool result")
        history.answer(identifier, text.removeprefix(_MARK), text.startswith(_MARK), 0)

    def _assistant(
        self, model: str, at: int, message: dict[str, Any], history: History, body: dict[str, Any]
    ) -> list[str]:
        family = family_of(model)
        allowed = {"role", "content", "tool_calls", *_thought_fields(family)}
        require(set(message) <= allowed, f"messages[{at}]: property {set(message) - allowed} is unsupported")
        text, calls = words_of(message.get("content")), message.get("tool_calls") or []
        require(text.strip() or calls, f"messages[{at}]: assistant message has neither content nor calls")
        if text.strip():
            history.said.append(text)
        off = (body.get("thinking") or {}).get("type") == "disabled"
        if calls and family in _THINKS_ALWAYS and not off:
            there = message.get("reasoning_content")
            require(there, f"thinking is enabled but reasoning_content is missing in assistant tool call at {at}")
        thought = message.get("reasoning_content") or ""
        if thought.strip() and family in _THINKS_ALWAYS:
            require(thought.startswith(f"{self.account}/{family}:"), f"messages[{at}]: a thought of somebody else")
            history.thoughts.append(thought)
        for entry in message.get("reasoning_details") or []:
            right = entry.get("signature") == self.sign(model, entry.get("text", ""))
            require(right, f"messages[{at}]: invalid signature in reasoning_details {entry}")
            history.thoughts.append(entry["text"])
        return [self._call(family, call, history) for call in calls]

    def _call(self, family: str, call: dict[str, Any], history: History) -> str:
        identifier = call["id"]
        require(set(call) <= {"id", "type", "function", "index"}, f"tool_calls: {set(call)}")
        require(fits(identifier, _ids(family)), f"tool call id {identifier} is not of the form {_ids(family)}")
        arguments = json.loads(call["function"]["arguments"])
        history.calls.append((identifier, call["function"]["name"], arguments))
        return str(identifier)

    # ------------------------------------------------------------ answers

    def answer(self, model: str, body: dict[str, Any], say: Say) -> dict[str, Any]:
        family = family_of(model)
        message: dict[str, Any] = {"role": "assistant", "content": say.text or None}
        if say.thought and family in _THINKS_ALWAYS:
            message["reasoning_content"] = f"{self.account}/{family}:{say.thought}"
        elif say.thought and family == "claude-sonnet-4.5":
            entry = {"type": "reasoning.text", "text": say.thought, "signature": self.sign(model, say.thought)}
            message["reasoning"] = say.thought
            message["reasoning_details"] = [{**entry, "format": "anthropic-claude-v1", "index": 0}]
        if say.calls:
            turns = sum(1 for one in body["messages"] if one["role"] == "assistant")
            message["tool_calls"] = [
                {
                    "id": self._new_id(family, call.name, at, turns),
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for at, call in enumerate(say.calls)
            ]
        finish = "tool_calls" if say.calls else "stop"
        return {
            "id": f"chatcmpl-{self.number()}", "object": "chat.completion", "created": 7, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        }  # fmt: skip

    def _new_id(self, family: str, name: str, at: int, turns: int) -> str:
        if family == "kimi":
            return f"functions.{name}:{at}"  # again and again the same
        number = self.number()
        return f"{number:09d}" if family == "mistral" else f"call_{self.account}{number:08d}"

    def stream(self, answer: dict[str, Any]) -> list[bytes]:
        message = answer["choices"][0]["message"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        for name in ("reasoning_content", "reasoning", "content"):
            for piece in halves(message.get(name) or ""):
                delta: dict[str, Any] = {name: piece}
                if name == "reasoning":
                    entry = {"type": "reasoning.text", "text": piece, "format": "anthropic-claude-v1", "index": 0}
                    delta["reasoning_details"] = [entry]
                deltas.append(delta)
            if name == "reasoning" and message.get("reasoning_details"):
                last = {**message["reasoning_details"][0], "text": ""}
                deltas.append({"reasoning_details": [last]})
        for at, call in enumerate(message.get("tool_calls") or []):
            pieces = halves(call["function"]["arguments"])
            first = {**call, "index": at, "function": {**call["function"], "arguments": ""}}
            deltas.append({"tool_calls": [first]})
            deltas += [{"tool_calls": [{"index": at, "function": {"arguments": piece}}]} for piece in pieces]
        head = {"id": answer["id"], "object": "chat.completion.chunk", "created": 7, "model": answer["model"]}
        finish = answer["choices"][0]["finish_reason"]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        return sse(*chunks, {**head, "choices": [], "usage": answer["usage"]}, done=True)

    def refusal(self, why: str) -> dict[str, Any]:
        return {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": None}}


def _ids(family: str) -> str:
    return {"mistral": "[a-zA-Z0-9]{9}", "gpt-4.1": ".{1,40}"}.get(family, ".{1,64}")


def _thought_fields(family: str) -> tuple[str, ...]:
    if family in _THINKS_ALWAYS:
        return ("reasoning_content",)
    if family == "claude-sonnet-4.5":
        return ("reasoning_details", "reasoning", "reasoning_content", "annotations", "refusal")
    return ("annotations", "refusal") if family == "gpt-4.1" else ()
