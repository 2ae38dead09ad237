"""One call can be written for one target after another, and each time as if it were the first."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from dragoman.language.envelope import seal
from dragoman.language.issuers import marked
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.relay.calls import Call
from dragoman.relay.keepsakes import Keepsakes
from dragoman.relay.outgoing import Options, Outgoing, Target, compose, read_body, read_request
from dragoman.upstream.plans import Resolved

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
FOREIGN = seal(marked({"gemini": {"thoughtSignature": "SIG"}}, "gem/gemini-3"))
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {
        "model": "m",
        "max_tokens": 5000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1"},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        ],
        "tools": [{"name": "look", "input_schema": SCHEMA, "strict": True, "defer_loading": True}],
        "metadata": {"user_id": "u" * 90},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "messages": [
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": FOREIGN},
                    {"type": "tool_use", "id": "functions.look:0", "name": "look", "input": {"a": 1}},
                    {"type": "tool_use", "id": "functions.look:1", "name": "look", "input": {"a": 2}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "functions.look:0", "content": "1"}]},
        ],
    },
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Look."}, {
                "type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
            {"role": "assistant", "content": None, "annotations": [], "reasoning_content": "hm", "tool_calls": [
                {"id": "call_0123456789", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'},
                 "extra_content": {"google": {"thought_signature": "SIG"}}}]},
            {"role": "tool", "tool_call_id": "call_0123456789", "content": "[ERROR] 1"},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
        "temperature": 0.5,
    },
    "openai_responses": {
        "model": "m",
        "instructions": "Be kind.",
        "store": False,
        "input": [
            {"role": "user", "content": "Look."},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": FOREIGN},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}],
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": "Look."}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "look", "args": {"a": 1}}, "thoughtSignature": FOREIGN}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"output": "1"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": SCHEMA}]}],
    },
}  # fmt: skip
TARGETS = (
    ("ant", "anthropic", "claude-haiku-4-5"),
    ("ant", "anthropic", "claude-opus-4-8"),
    ("glm", "anthropic", "glm-4.7"),
    ("kimi", "openai_chat", "kimi-k2.5"),
    ("mistral", "openai_chat", "mistral-large"),
    ("oa", "openai_chat", "gpt-4.1"),
    ("oa", "openai_responses", "gpt-5"),
    ("gem", "gemini", "gemini-2.5-flash"),
    ("gem", "gemini", "gemini-3-pro"),
)


def target(account: str, dialect: str, model: str) -> Target:
    return Target(Resolved(account, model, "prefix"), find_profile(dialect, model))


def written(call: Call, body: Any, request: Any, one: Target, keepsakes: Keepsakes) -> tuple[Outgoing, Receipt]:
    receipt = Receipt()
    outgoing = compose(
        call, body, request, one, receipt, options=Options(max_output=4000), keepsakes=keepsakes, expanded=False
    )
    return outgoing, receipt


@pytest.mark.parametrize("dialect", BODIES)
def test_K07_a_call_is_written_for_each_target_as_if_for_the_first(dialect: str) -> None:
    data = json.dumps(BODIES[dialect]).encode()
    call = Call(dialect, data, model="m" if dialect == "gemini" else None)
    body = read_body(data)
    request = read_request(call, body)
    kept_call, kept_body, kept_request = copy.deepcopy((call, body, request))
    keepsakes = Keepsakes()
    for second in TARGETS:
        alone, alone_receipt = written(call, body, read_request(call, read_body(data)), target(*second), keepsakes)
        for first in TARGETS:
            written(call, body, request, target(*first), keepsakes)
            again, receipt = written(call, body, request, target(*second), keepsakes)
            assert again.body == alone.body
            assert again.short == alone.short
            assert receipt.losses == alone_receipt.losses
            assert (call, body, request) == (kept_call, kept_body, kept_request), f"{first} before {second}"


def test_T13_the_attribution_line_stays_for_claude_alone() -> None:
    data = json.dumps(BODIES["anthropic"]).encode()
    call = Call("anthropic", data)
    body = read_body(data)
    request = read_request(call, body)
    for one in TARGETS:
        outgoing, _ = written(call, body, request, target(*one), Keepsakes())
        assert (b"x-anthropic-billing-header" in outgoing.body) is one[2].startswith("claude"), one


def test_T13_the_line_is_anchored_and_only_in_the_system() -> None:
    """Elsewhere the same words are the user's own."""
    line = "x-anthropic-billing-header: cc_version=1"
    given: dict[str, Any] = {
        "model": "m", "max_tokens": 9,
        "system": [{"type": "text", "text": f"{line}\nBe kind."}, {"type": "text", "text": f"About {line}"}],
        "messages": [{"role": "user", "content": line}],
    }  # fmt: skip
    data = json.dumps(given).encode()
    call = Call("anthropic", data)
    body = read_body(data)
    glm = target("glm", "anthropic", "glm-4.7")
    outgoing, receipt = written(call, body, read_request(call, body), glm, Keepsakes())
    sent = json.loads(outgoing.body)
    assert sent["system"] == [{"type": "text", "text": "Be kind."}, {"type": "text", "text": f"About {line}"}]
    assert sent["messages"] == given["messages"]
    assert "attribution" in receipt.losses[0].why


def sent(given: dict[str, Any], dialect: str, one: Target) -> tuple[dict[str, Any], Outgoing, Receipt]:
    data = json.dumps(given).encode()
    call = Call(dialect, data)
    body = read_body(data)
    outgoing, receipt = written(call, body, read_request(call, body), one, Keepsakes())
    return json.loads(outgoing.body), outgoing, receipt


CODE: dict[str, Any] = {"max_tokens": 4000, "messages": [{"role": "user", "content": "a"}]}


def test_R15_a_stand_in_of_another_family_is_asked_to_think_in_its_own_words() -> None:
    adaptive = {
        **CODE,
        "model": "claude-opus-4-8",
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }
    body, outgoing, receipt = sent(adaptive, "anthropic", target("ant", "anthropic", "claude-haiku-4-5"))
    assert body["thinking"]["type"] == "enabled"
    assert body["thinking"]["budget_tokens"] < body["max_tokens"]
    assert "output_config" not in body
    assert not outgoing.short
    assert receipt.losses
    enabled = {**CODE, "model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 2000},
               "temperature": 1}  # fmt: skip
    body, _, _ = sent(enabled, "anthropic", target("ant", "anthropic", "claude-opus-4-8"))
    assert body["thinking"]["type"] == "adaptive"
    assert "temperature" not in body


def test_R13_a_stand_in_that_refuses_temperature_gets_none() -> None:
    given = {"model": "gpt-4.1", "temperature": 0.2, "max_tokens": 100, "messages": [{"role": "user", "content": "a"}]}
    body, _, receipt = sent(given, "openai_chat", target("oa", "openai_chat", "gpt-5"))
    assert "temperature" not in body
    assert body["max_completion_tokens"] == 100
    assert "max_tokens" not in body
    assert [loss.path for loss in receipt.losses] == ["temperature"]


@pytest.mark.parametrize("asked", ["claude-opus-4-8", "ant/claude-opus-4-8", "my-alias"])
def test_B11_who_names_the_target_is_left_to_his_own_words(asked: str) -> None:
    given = {**CODE, "model": asked, "temperature": 0.3, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    body, outgoing, receipt = sent(given, "anthropic", target("ant", "anthropic", "claude-opus-4-8"))
    assert outgoing.short
    assert body == {**given, "model": "claude-opus-4-8"}
    assert receipt.losses == []
