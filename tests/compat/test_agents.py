"""What Claude Code and Codex need of a gateway, end to end: traps C02 to C20 on the running gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.relay.rig import (
    ASK,
    CHAT_ASK,
    DONE,
    GEMINI_ASK,
    RESPONSES_ASK,
    anthropic_events,
    chat_body,
    chat_chunk,
    chat_stream,
    chat_usage,
    events_of,
    replay,
    running,
    whole,
)

ATTRIBUTION = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.abc; cc_entrypoint=sdk-cli;"}
IDENTITY = {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}
CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": "Today is Friday."},
    ],
    "system": [ATTRIBUTION, IDENTITY],
    "tools": [{"name": "Read", "description": "Reads", "input_schema": {"type": "object", "properties": {}}}],
    "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
    "max_tokens": 64000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}
HEADERS = {
    "authorization": "Bearer client-token",
    "anthropic_version": "2023-06-01",
    "anthropic_beta": "claude-code-20250219,context-management-2025-06-27,made-up-2031-01-01",
    "anthropic_workspace_id": "wrkspc_1",
    "anthropic_dangerous_direct_browser_access": "true",
    "x_claude_code_session_id": "5f0c",
    "user_agent": "claude-cli/2.1.197 (external, sdk-cli)",
}


async def test_C02_everything_of_anthropics_goes_to_anthropic_as_it_came() -> None:
    async with running("anthropic") as rig:
        rig.provider.script = replay(*anthropic_events("Hi"))
        status, _, _ = await rig.post("/v1/messages?beta=true", {**CLAUDE_CODE, "future_field": {"a": 1}}, **HEADERS)
        assert status == 200
        asked = rig.provider.asked[0]
        assert asked.json == {**CLAUDE_CODE, "future_field": {"a": 1}}
        for name in ("anthropic_beta", "anthropic_version", "anthropic_workspace_id"):
            assert asked.headers[name.replace("_", "-")] == HEADERS[name]
        assert "client-token" not in json.dumps(asked.headers)


async def test_C02_both_halves_of_a_feature_stay_behind_together() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hi"))
        status, _, _ = await rig.post("/v1/messages?beta=true", CLAUDE_CODE, **HEADERS)
        assert status == 200
        asked = rig.provider.asked[0]
        assert not [name for name in asked.headers if name.startswith(("anthropic", "x-claude-code"))]
        assert not asked.json.keys() & {"context_management", "output_config", "thinking", "metadata"}


async def test_C04_the_system_blocks_reach_claude_as_they_stand() -> None:
    async with running("anthropic") as rig:
        rig.provider.script = replay(*anthropic_events("Hi"))
        await rig.post("/v1/messages", CLAUDE_CODE, **HEADERS)
        assert rig.provider.asked[0].json["system"] == [ATTRIBUTION, IDENTITY]


@pytest.mark.parametrize("kind", ["openai_compatible", "gemini"])
async def test_C04_the_attribution_is_not_told_to_others(kind: str) -> None:
    async with running(kind, models={"unmapped": "passthrough"}) as rig:
        model = "fake/gemini-2.5-pro" if kind == "gemini" else "gpt-5.2"
        rig.provider.script = whole({"error": {"message": "stop here"}}, 400)
        await rig.post("/v1/messages", {**CLAUDE_CODE, "model": model}, **HEADERS)
        assert b"x-anthropic-billing-header" not in rig.provider.asked[0].body
        assert b"You are Claude Code." in rig.provider.asked[0].body


async def test_C08_deferred_tools_are_loaded_and_references_become_text_elsewhere() -> None:
    tools = [{**CLAUDE_CODE["tools"][0], "defer_loading": True}]
    reference = {"type": "tool_reference", "tool_name": "Read"}
    history = [
        {"role": "user", "content": "Find"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Search", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [reference]}]},
    ]
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        status, headers, _ = await rig.post("/v1/messages", {**ASK, "tools": tools, "messages": history})
        assert status == 200
        [tool] = rig.provider.asked[0].json["tools"]
        assert (tool["function"]["name"], "defer_loading" in json.dumps(tool)) == ("Read", False)
        assert "Read" in rig.provider.asked[0].json["messages"][-1]["content"]
        assert headers["x-dragoman-receipt"] != "none"


async def test_C09_a_hosted_search_is_never_offered_as_a_function() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    asked = {**ASK, "tools": [search], "tool_choice": {"type": "tool", "name": "web_search"}}
    async with running() as rig:
        rig.provider.script = whole(chat_body("I cannot search."))
        status, headers, answer = await rig.post("/v1/messages", asked)
        assert (status, answer["content"][0]["type"]) == (200, "text")
        assert not rig.provider.asked[0].json.keys() & {"tools", "tool_choice"}
        assert "dropped" in headers["x-dragoman-receipt"]


# ---------------------------------------------------------------- Codex

EXEC = {"type": "function", "name": "exec_command", "parameters": {"type": "object", "properties": {}}, "strict": False}
PATCH_TOOL = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "x"},
}
AGENTS = {"type": "namespace", "name": "multi_agent", "description": "", "tools": [{**EXEC, "name": "spawn"}]}
CODEX: dict[str, Any] = {
    "model": "gpt-5.5",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Patch it"}]},
    ],
    "tools": [EXEC, PATCH_TOOL, AGENTS, {"type": "web_search"}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session-1",
    "client_metadata": {"anything": "goes"},
}


def chat_call(name: str, arguments: str) -> list[bytes]:
    """A Chat stream with one call."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        chat_chunk("", role="assistant"),
        chat_chunk(tool_calls=[call]),
        chat_chunk(finish="tool_calls"),
        chat_usage(),
        DONE,
    ]


def items_of(raw: bytes) -> list[Any]:
    """The finished items of a Responses stream, checked on the way: order, numbers, terminal output."""
    events = events_of(raw)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == items
    return items


async def test_C13_the_stream_is_gapless_and_ends_in_completed() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("H", "i"))
        status, _, raw = await rig.post("/v1/responses", CODEX)
        assert status == 200
        [item] = items_of(raw)
        assert item["content"][0]["text"] == "Hi"
        assert rig.provider.asked[0].json["messages"][0]["content"] == "You are Codex."


async def test_C14_a_free_form_call_comes_back_with_its_raw_text() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_call("apply_patch", json.dumps({"input": "*** Begin Patch"})))
        _, _, raw = await rig.post("/v1/responses", CODEX)
        [item] = items_of(raw)
        assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", "*** Begin Patch")
        kinds = {event["type"] for event in events_of(raw)}
        assert kinds >= {"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"}


async def test_C15_a_namespace_goes_out_flat_and_comes_back_whole() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_call("multi_agent__spawn", "{}"))
        _, _, raw = await rig.post("/v1/responses", CODEX)
        names = [tool["function"]["name"] for tool in rig.provider.asked[0].json["tools"]]
        assert names == ["exec_command", "apply_patch", "multi_agent__spawn"]
        [item] = items_of(raw)
        assert (item["type"], item["namespace"], item["name"]) == ("function_call", "multi_agent", "spawn")


async def test_C16_what_only_openai_runs_is_named_in_the_receipt() -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hi"))
        _, headers, _ = await rig.post("/v1/responses", CODEX)
        assert "web_search" not in json.dumps(rig.provider.asked[0].json["tools"])
        assert "dropped" in headers["x-dragoman-receipt"]


async def test_C18_a_throttle_inside_the_stream_is_said_in_codexs_words() -> None:
    error = {"error": {"message": "Rate limit reached. Please try again in 3s.", "code": "rate_limit_exceeded"}}
    async with running() as rig:
        rig.provider.script = replay(chat_chunk("Hi"), b"data: " + json.dumps(error).encode() + b"\n\n", DONE)
        _, _, raw = await rig.post("/v1/responses", CODEX)
        last = events_of(raw)[-1]
        assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "rate_limit_exceeded")
        assert "try again in 3s" in last["response"]["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/messages", ASK, "model"),
        ("/v1/chat/completions", CHAT_ASK, "model"),
        ("/v1/responses", RESPONSES_ASK, "model"),
        ("/v1beta/models/asked-name:generateContent", GEMINI_ASK, "modelVersion"),
        ("/openai/deployments/asked-name/chat/completions", CHAT_ASK, "model"),
    ],
)
@pytest.mark.parametrize("upstream", ["", "/models/file.gguf", "other-name"])
async def test_C20_the_answers_model_is_the_one_asked_for(path: str, body: Any, field: str, upstream: str) -> None:
    async with running(account={"deployments": {"asked-name": "true-name"}}) as rig:
        rig.provider.script = whole({**chat_body("Hi"), "model": upstream})
        _, headers, answer = await rig.post(path, {**body, "model": "asked-name"} if "model" in body else body)
        assert answer[field] == "asked-name"
        assert headers["x-dragoman-model"] == (upstream or "true-name")
