"""Gemini: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thought-signatures"""

from __future__ import annotations

import json
from typing import Any

from tests.relay.strict.account import History, Say, Strict, family_of, fits, halves, require, sse

DUMMIES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_FIELDS = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"})
_CONFIG = frozenset(
    """maxOutputTokens temperature topP topK stopSequences thinkingConfig candidateCount responseMimeType
    responseSchema responseJsonSchema""".split()
)
_SCHEMA = frozenset(
    """type properties required description items enum format nullable minimum maximum anyOf title minItems
    maxItems propertyOrdering""".split()
)


class StrictGemini(Strict):
    """Calls are signed; third-generation models refuse a history without a signature or the documented dummy."""

    def __init__(self, account: str, secret: str = "") -> None:
        super().__init__(account, secret)
        self._issued: dict[str, list[str]] = {}

    def check(self, model: str, body: dict[str, Any]) -> History:
        for name in body:
            require(name in _FIELDS, f'Unknown name "{name}": Cannot find field.')
        for name in body.get("generationConfig", {}):
            require(name in _CONFIG, f'Unknown name "{name}" at generation_config')
        thinking = body.get("generationConfig", {}).get("thinkingConfig", {})
        if family_of(model) == "gemini-2.5":
            require("thinkingLevel" not in thinking, "Thinking level is not supported for this model.")
        else:
            require("thinkingBudget" not in thinking or "thinkingLevel" not in thinking, "budget and level")
        for tool in body.get("tools", []):
            for function in tool["functionDeclarations"]:
                require(fits(function["name"], "[a-zA-Z_][a-zA-Z0-9_.-]{0,63}"), "Invalid function name")
                if "parameters" in function:
                    _check_schema(function["parameters"])
        history = History()
        pending: list[tuple[str, str]] = []
        role = ""
        for at, content in enumerate(body["contents"]):
            require(content["role"] != role, f"contents[{at}]: turns must alternate")
            role = content["role"]
            require(at or role == "user", "contents must begin with a user turn")
            require(content["parts"], f"contents[{at}].parts must not be empty")
            if role == "user":
                pending = self._user(at, content["parts"], pending, history)
            else:
                require(not pending, "function call turn must be followed by a function response turn")
                pending = self._model(model, at, content["parts"], history)
        require(not pending, "the number of function response parts must equal the number of function calls")
        return history

    def _user(self, at: int, parts: list[Any], pending: list[tuple[str, str]], history: History) -> list[Any]:
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        require(len(answers) == len(pending), f"contents[{at}]: {len(answers)} responses for {len(pending)} calls")
        for (identifier, name), answer in zip(pending, answers, strict=True):
            require(answer["name"] == name, f"contents[{at}]: response of {answer['name']}, not of {name}")
            require(answer.get("id") in (None, identifier), f"contents[{at}]: id {answer.get('id')}")
            response = answer["response"]
            failed = "error" in response
            inner = [part for part in answer.get("parts", []) if "inlineData" in part]
            history.images += len(inner)
            text = response["error"] if failed else response.get("output", response.get("result", ""))
            words = text if isinstance(text, str) else json.dumps(text)
            history.answer(identifier, words, failed, len(inner))
        for part in parts:
            if "text" in part:
                require(part["text"], f"contents[{at}]: empty text")
                history.asked.append(part["text"])
            elif "inlineData" in part:
                require(part["inlineData"]["mimeType"] == "image/png", "mimeType")
                history.images += 1
            else:
                require("functionResponse" in part, f"contents[{at}]: {set(part)}")
        return []

    def _model(self, model: str, at: int, parts: list[Any], history: History) -> list[tuple[str, str]]:
        pending: list[tuple[str, str]] = []
        for part in parts:
            signature = part.get("thoughtSignature")
            if "functionCall" in part:
                pending.append(self._call(model, at, part, not pending, history))
                continue
            require("text" in part, f"contents[{at}]: {set(part)}")
            if signature and not part.get("thought"):
                require(signature == self.sign(model, "text", part["text"]), f"contents[{at}]: Invalid signature")
            if part.get("thought"):
                mine = any(part["text"] in thought for thought in self._issued.get(family_of(model), []))
                require(mine, f"a thought of somebody else: {part}")
                history.thoughts.append(part["text"])
            elif part["text"]:
                history.said.append(part["text"])
        return pending

    def _call(self, model: str, at: int, part: dict[str, Any], first: bool, history: History) -> tuple[str, str]:
        call = part["functionCall"]
        signature = part.get("thoughtSignature")
        if signature:
            mine = self.sign(model, call["name"], json.dumps(call.get("args", {}), sort_keys=True))
            require(signature in (mine, *DUMMIES), f"contents[{at}]: Corrupted thought signature")
        elif first and family_of(model) == "gemini-3":
            require(False, f"Function call `{call['name']}` is missing a thought_signature in functionCall parts")
        identifier = call.get("id") or f"call-{at}-{len(history.calls)}"
        if signature and signature not in DUMMIES:
            history.thoughts.append(signature)
        history.calls.append((identifier, call["name"], call.get("args", {})))
        return identifier, call["name"]

    # ------------------------------------------------------------ answers

    def answer(self, model: str, body: dict[str, Any], say: Say) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        thinking = body.get("generationConfig", {}).get("thinkingConfig", {})
        if say.thought and thinking.get("includeThoughts"):
            thought = f"{self.account}/{family_of(model)}:{say.thought}"
            self._issued.setdefault(family_of(model), []).append(thought)
            parts.append({"text": thought, "thought": True})
        if say.text:
            parts.append({"text": say.text})
        for at, call in enumerate(say.calls):
            part: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.arguments}}
            if family_of(model) == "gemini-3":
                part["functionCall"]["id"] = f"{self.account}{self.number():06d}"
            if at == 0:
                facts = json.dumps(call.arguments, sort_keys=True)
                part["thoughtSignature"] = self.sign(model, call.name, facts)
            parts.append(part)
        usage = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
        candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
        return {
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": model,
            "responseId": f"{self.account}{self.number()}",
        }  # fmt: skip

    def stream(self, answer: dict[str, Any]) -> list[bytes]:
        candidate = answer["candidates"][0]
        chunks = []
        for part in candidate["content"]["parts"]:
            plain = "text" in part and "thoughtSignature" not in part
            for piece in [{**part, "text": text} for text in halves(part["text"])] if plain else [part]:
                content = {"parts": [piece], "role": "model"}
                chunks.append({**answer, "candidates": [{"content": content, "index": 0}]})
        chunks[-1]["candidates"][0]["finishReason"] = "STOP"
        return sse(*chunks)

    def refusal(self, why: str) -> dict[str, Any]:
        return {"error": {"code": 400, "message": why, "status": "INVALID_ARGUMENT"}}


def _check_schema(schema: dict[str, Any]) -> None:
    for name, value in schema.items():
        require(name in _SCHEMA, f'Unknown name "{name}" at function_declarations.parameters')
        if name == "properties":
            for inner in value.values():
                _check_schema(inner)
        elif name == "items":
            _check_schema(value)
