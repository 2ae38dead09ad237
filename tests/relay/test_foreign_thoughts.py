"""A switch back to a provider of the client's own dialect: what others signed stays here (T02).

The histories are made of answers this gateway wrote, as clients echo them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from dragoman.language.envelope import seal
from dragoman.language.ir import Choice, Finish, Part, Reasoning, Request, Response, Text, ToolCall
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked
from tests.relay.rig import Rig, chat_body, running, whole

THOUGHT = "the seven bridges"
FOREIGN: dict[str, dict[str, Any]] = {
    "anthropic": {"signature": "SIG-OF-ANTHROPIC"},
    "openai_responses": {"id": "rs_1", "encrypted_content": "SIG-OF-RESPONSES"},
    "gemini": {"thoughtSignature": "SIG-OF-GEMINI"},
    "openai_chat": {
        "reasoning_details": [
            {"type": "reasoning.encrypted", "data": "SIG-OF-CHAT", "format": "anthropic-claude-v1", "index": 0}
        ]
    },
}
ASKED: dict[str, dict[str, Any]] = {
    "anthropic": {
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [{"role": "user", "content": "a"}],
    },
    "openai_chat": {"messages": [{"role": "user", "content": "a"}]},
    "openai_responses": {"input": "a", "include": ["reasoning.encrypted_content"]},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
    },
}
MODELS = {
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.2",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro",
}
KINDS: dict[str, dict[str, Any]] = {
    "anthropic": {"kind": "anthropic"},
    "openai_chat": {"kind": "openai"},
    "openai_responses": {"kind": "openai", "account": {"api": "responses"}},
    "gemini": {"kind": "gemini"},
}


def written(dialect: str, parts: list[Part], **more: Any) -> Any:
    """The answer's body as this gateway writes it for a client of the dialect."""
    request: Request = DIALECTS[dialect].read_request({**ASKED[dialect], **more}, model="m", stream=False)
    asked = Asked(request, "m", "ab" * 12, 1700000000)
    tools = any(isinstance(part, ToolCall) for part in parts)
    answer = Response("id", "up", [Choice(parts, Finish("tool_calls" if tools else "end"))])
    return json.loads(json.dumps(DIALECTS[dialect].write_response(answer, asked)))


def ask(dialect: str, answer: Any) -> tuple[str, dict[str, Any]]:
    """The client's next call, with the answer echoed as its history."""
    if dialect == "anthropic":
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer["content"]}]
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "42"}
            for block in answer["content"]
            if block["type"] == "tool_use"
        ]
        turns.append({"role": "user", "content": results or "go on"})
        return "/v1/messages", {"model": MODELS[dialect], "max_tokens": 3000, "messages": turns}
    if dialect == "openai_chat":
        message = answer["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in message.get("tool_calls") or ()
        ]
        messages = [{"role": "user", "content": "a"}, message, *(results or [{"role": "user", "content": "go on"}])]
        return "/v1/chat/completions", {"model": MODELS[dialect], "messages": messages}
    if dialect == "openai_responses":
        results = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "42"}
            for item in answer["output"]
            if item["type"] == "function_call"
        ]
        items = [{"role": "user", "content": "a"}, *answer["output"]]
        return "/v1/responses", {
            "model": MODELS[dialect],
            "input": items + (results or [{"role": "user", "content": "go on"}]),
        }
    content = answer["candidates"][0]["content"]
    results = [
        {"functionResponse": {"name": part["functionCall"]["name"], "response": {"output": "42"}}}
        for part in content["parts"]
        if "functionCall" in part
    ]
    contents = [
        {"role": "user", "parts": [{"text": "a"}]},
        content,
        {"role": "user", "parts": results or [{"text": "go on"}]},
    ]
    return f"/v1beta/models/{MODELS[dialect]}:generateContent", {"contents": contents}


async def sent(rig: Rig, dialect: str, answer: Any) -> tuple[Any, str]:
    """What the provider is asked, and the receipt."""
    rig.provider.script = whole(chat_body())
    path, body = ask(dialect, answer)
    await rig.post(path, body)
    assert len(rig.provider.asked) == 1
    record = await rig.record()
    return rig.provider.asked[0].json, record.receipt.header()


def strings(value: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def check_clean(body: Any) -> None:
    """No signature of another owner, neither open nor in an envelope."""
    for text in strings(body):
        assert "SIG-OF" not in text
        try:
            opened = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        assert b"dragoman" not in opened


PAIRS = [(client, owner) for client in FOREIGN for owner in FOREIGN if client != owner]


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize(("dialect", "owner"), PAIRS)
async def test_T02_the_short_cut_is_left_for_foreign_thoughts(dialect: str, owner: str, calls: bool) -> None:
    parts: list[Part] = [Reasoning(THOUGHT, {owner: FOREIGN[owner]}), Text("Seven.")]
    if calls:
        extras = {"gemini": FOREIGN["gemini"]} if owner == "gemini" else {}
        parts.append(ToolCall("call_1", "look", '{"at":1}', extras=extras))
    answer = written(dialect, parts)
    async with running(**KINDS[dialect]) as rig:
        body, receipt = await sent(rig, dialect, answer)
        check_clean(body)
        text = json.dumps(body)
        assert "Seven." in text
        assert THOUGHT not in text
        assert "go on" in text or "42" in text
        assert ("look" in text) is calls
        assert "dropped" in receipt
        assert "dragoman" not in text
        assert "_dgm" not in text


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("dialect", FOREIGN)
async def test_T02_thoughts_that_nobody_signed(dialect: str, calls: bool) -> None:
    """What we showed without anything to seal; on these surfaces it would be an error or another's thought."""
    parts: list[Part] = [Reasoning(THOUGHT), Text("Seven.")]
    if calls:
        parts.append(ToolCall("call_1", "look", '{"at":1}'))
    answer = written(dialect, parts, **({"include": []} if dialect == "openai_responses" else {}))
    async with running(**KINDS[dialect]) as rig:
        body, _ = await sent(rig, dialect, answer)
        check_clean(body)
        text = json.dumps(body)
        assert "Seven." in text
        assert not {"reasoning_content", "reasoning", "reasoning_details", "thinking"} & keys(body)
        assert "_dgm" not in text
        if dialect == "gemini" and calls:
            assert "skip_thought_signature_validator" in text  # T05


def keys(value: Any) -> set[str]:
    """Every key in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_T02_a_client_that_spells_the_thought_its_own_way(name: str) -> None:
    entry = {"type": "reasoning.encrypted", "data": seal({"gemini": FOREIGN["gemini"]}), "format": "dragoman-v1"}
    message = {"role": "assistant", "content": "Seven.", name: THOUGHT, "reasoning_details": [entry]}
    for more in (KINDS["openai_chat"], {"account": {"family": "deepseek"}}):
        async with running(**more) as rig:
            body, receipt = await sent(rig, "openai_chat", {"choices": [{"message": message}]})
            check_clean(body)
            assert body["messages"][1] == {"role": "assistant", "content": "Seven."}
            assert "dropped" in receipt


async def test_T02_a_turn_of_thoughts_alone_goes_as_a_whole() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": THOUGHT}
    async with running(**KINDS["openai_chat"]) as rig:
        body, _ = await sent(rig, "openai_chat", {"choices": [{"message": message}]})
        assert [turn["role"] for turn in body["messages"]] == ["user", "user"]


@pytest.mark.parametrize("family", ["", "deepseek", "kimi"])
async def test_T12_thoughts_go_back_raw_to_whoever_may_have_thought_them(family: str) -> None:
    message = {"role": "assistant", "content": "Seven.", "reasoning_content": THOUGHT}
    async with running(account={"family": family}) as rig:
        path, ask_body = ask("openai_chat", {"choices": [{"message": message}]})
        rig.provider.script = whole(chat_body())
        await rig.post(path, {**ask_body, "model": "own-model"})
        assert rig.provider.asked[0].json["messages"][1] == message
        assert (await rig.record()).short_cut


@pytest.mark.parametrize(("family", "kept"), [("gemini", True), ("", True), ("deepseek", False), ("gpt-4.1", False)])
async def test_T02_a_signature_on_a_call_of_chat(family: str, kept: bool) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "SIG-OF-GEMINI"}}}  # fmt: skip
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    async with running(account={"family": family}) as rig:
        rig.provider.script = whole(chat_body())
        path, body = ask("openai_chat", {"choices": [{"message": message}]})
        await rig.post(path, {**body, "model": "own-model"})
        text = json.dumps(rig.provider.asked[0].json)
        assert ("SIG-OF-GEMINI" in text) is kept
        assert (await rig.record()).short_cut is kept


@pytest.mark.parametrize("dialect", FOREIGN)
async def test_B11_what_the_provider_said_itself_passes_untouched(dialect: str) -> None:
    parts: list[Part] = [Reasoning(THOUGHT, {dialect: FOREIGN[dialect]}), Text("Seven.")]
    answer = written(dialect, parts)
    if dialect == "openai_responses":
        answer["output"][1]["id"] = "msg_of_the_provider"
    kind = {"account": {"vendor": "openrouter"}} if dialect == "openai_chat" else KINDS[dialect]
    async with running(**kind) as rig:
        rig.provider.script = whole(chat_body())
        path, body = ask(dialect, answer)
        raw = json.dumps(body, indent=1).encode()
        await rig.post(path, raw)
        assert rig.provider.asked[0].body == raw
        assert (await rig.record()).short_cut
