"""Claude: https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

import json
from typing import Any

from tests.relay.strict.account import History, Say, Strict, family_of, fits, halves, require, sse, words_of

_THOUGHTS = ("thinking", "redacted_thinking")
_ADAPTIVE = ("opus-4-8", "sonnet-4-6")
_FIELDS = frozenset(
    """model messages system tools tool_choice max_tokens thinking output_config stream stop_sequences metadata
    temperature top_p top_k""".split()
)


class StrictAnthropic(Strict):
    """Signatures hold on every account, as Claude's do."""

    def check(self, model: str, body: dict[str, Any]) -> History:
        for name in body:
            require(name in _FIELDS, f"{name}: Extra inputs are not permitted")
        require(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
        thinking = body.get("thinking") or {"type": "disabled"}
        self._settings(model, body, thinking)
        history = History()
        self._system(body.get("system"))
        names = {tool["name"] for tool in body.get("tools", [])}
        for name in names:
            require(fits(name, "[a-zA-Z0-9_-]{1,128}"), f"tools: {name} should match the pattern")
        self._turns(model, body["messages"], history, names)
        if thinking["type"] == "enabled":
            self._open_turn(body["messages"])
        return history

    def _settings(self, model: str, body: dict[str, Any], thinking: dict[str, Any]) -> None:
        family = family_of(model)
        if family == "opus-4-8":
            for name in ("temperature", "top_p", "top_k"):
                require(name not in body, f"{name} is deprecated for this model")
        if thinking["type"] == "adaptive":
            require(family in _ADAPTIVE, "adaptive thinking is not supported on this model")
        if thinking["type"] == "enabled":
            require(family != "opus-4-8", '"thinking.type.enabled" is not supported for this model')
            require(1024 <= thinking["budget_tokens"] < body["max_tokens"], "budget_tokens")
            require(body.get("temperature", 1) == 1, "`temperature` may only be set to 1 when thinking is enabled")
            choice = body.get("tool_choice", {"type": "auto"})["type"]
            require(choice in ("auto", "none"), "Thinking may not be enabled when tool_choice forces tool use.")

    def _system(self, system: Any) -> None:
        for block in system if isinstance(system, list) else []:
            require(block["text"].strip(), "system: text content blocks must be non-empty")

    def _turns(self, model: str, messages: list[Any], history: History, names: set[str]) -> None:
        pending: list[str] = []
        role = ""
        for at, message in enumerate(messages):
            require(message["role"] != role, "messages: roles must alternate")
            role = message["role"]
            require(at or role == "user", "messages: first message must use the user role")
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            require(blocks, f"messages.{at}: content must be non-empty")
            if role == "user":
                pending = self._user(at, blocks, pending, history)
            else:
                require(not pending, "tool_use ids were found without tool_result blocks immediately after")
                pending = self._assistant(model, at, blocks, history, names)
        require(not pending, "`tool_use` ids were found without `tool_result` blocks at the end")

    def _user(self, at: int, blocks: list[Any], pending: list[str], history: History) -> list[str]:
        words = False
        for block in blocks:
            match block["type"]:
                case "tool_result":
                    require(not words, f"messages.{at}: tool_result blocks must come first")
                    identifier = block["tool_use_id"]
                    require(identifier in pending, f"messages.{at}: unexpected `tool_use_id`: {identifier}")
                    pending.remove(identifier)
                    inner = block.get("content") or ""
                    images = sum(one["type"] == "image" for one in inner) if isinstance(inner, list) else 0
                    history.images += images
                    history.answer(identifier, words_of(inner), bool(block.get("is_error")), images)
                case "image":
                    words = True
                    require(block["source"]["media_type"] == "image/png", "image media_type")
                    history.images += 1
                case "text":
                    words = True
                    require(block["text"].strip(), "messages: text content blocks must contain non-whitespace text")
                    history.asked.append(block["text"])
                case kind:
                    require(False, f"messages.{at}: Input tag '{kind}' found")
        require(not pending, f"messages.{at}: `tool_use` ids were found without `tool_result` blocks: {pending}")
        return []

    def _assistant(self, model: str, at: int, blocks: list[Any], history: History, names: set[str]) -> list[str]:
        pending: list[str] = []
        for block in blocks:
            match block["type"]:
                case "thinking":
                    right = block["signature"] == self.sign(model, block["thinking"])
                    require(right, f"messages.{at}: Invalid `signature` in `thinking` block")
                    history.thoughts.append(block["thinking"])
                case "text":
                    require(block["text"].strip(), "messages: text content blocks must be non-empty")
                    require(not pending, "text behind tool_use")
                    history.said.append(block["text"])
                case "tool_use":
                    identifier = block["id"]
                    require(fits(identifier, "[a-zA-Z0-9_-]{1,64}"), f"tool_use.id: {identifier} should match")
                    known = [one for one, _, _ in history.calls]
                    require(identifier not in known, f"`tool_use` ids must be unique: {identifier}")
                    require(block["name"] in names, f"tool {block['name']} is not defined")
                    require(isinstance(block["input"], dict), "tool_use.input: Input should be an object")
                    history.calls.append((identifier, block["name"], block["input"]))
                    pending.append(identifier)
                case kind:
                    require(False, f"messages.{at}: Input tag '{kind}' found")
        return pending

    @staticmethod
    def _open_turn(messages: list[Any]) -> None:
        """T03: with a thinking budget an open tool turn begins with a thought."""
        last = messages[-1]
        if last["role"] != "user" or isinstance(last["content"], str) or last["content"][0]["type"] != "tool_result":
            return
        first = messages[-2]["content"][0]["type"]
        require(first in _THOUGHTS, f"Expected `thinking` or `redacted_thinking`, but found `{first}`")

    # ------------------------------------------------------------ answers

    def answer(self, model: str, body: dict[str, Any], say: Say) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        if say.thought and thinks:
            content.append({"type": "thinking", "thinking": say.thought, "signature": self.sign(model, say.thought)})
        if say.text:
            content.append({"type": "text", "text": say.text})
        for call in say.calls:
            identifier = f"toolu_{self.account}{self.number()}"
            content.append({"type": "tool_use", "id": identifier, "name": call.name, "input": call.arguments})
        return {
            "id": f"msg_{self.number()}", "type": "message", "role": "assistant", "model": model, "content": content,
            "stop_reason": "tool_use" if say.calls else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 5},
        }  # fmt: skip

    def stream(self, answer: dict[str, Any]) -> list[bytes]:
        start = {**answer, "content": [], "stop_reason": None}
        out: list[Any] = [{"type": "message_start", "message": start}]
        for at, block in enumerate(answer["content"]):
            empty, deltas = _pieces(block)
            out.append({"type": "content_block_start", "index": at, "content_block": empty})
            out += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas]
            out.append({"type": "content_block_stop", "index": at})
        delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
        out.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}})
        return sse(*out, {"type": "message_stop"}, named=True)

    def refusal(self, why: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": why}}


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
    if block["type"] == "tool_use":
        pieces = halves(json.dumps(block["input"]))
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    deltas: list[dict[str, Any]] = [
        {"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])
    ]
    signature = {"type": "signature_delta", "signature": block["signature"]}
    return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signature]
