"""Hints for the provider's cache reach whoever takes them, in its own words (T15, N5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.relay.calls import Call
from dragoman.relay.keepsakes import Keepsakes
from dragoman.relay.outgoing import Options, Target, compose, read_body, read_request
from dragoman.upstream.plans import Resolved

HINT = {"type": "ephemeral", "ttl": "1h"}
SESSION = "0b5c7c52-0000-4000-8000-00000000abcd"


def sent(
    dialect: str, given: dict[str, Any], target: tuple[str, str, str], options: Options | None = None, **headers: str
) -> tuple[dict[str, Any], Receipt]:
    """What the target is sent. ``target`` is dialect, model and vendor."""
    data = json.dumps(given).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    call = Call(dialect, data, names, model="m" if dialect == "gemini" else None)
    body = read_body(data)
    receipt = Receipt()
    wire, model, vendor = target
    aim = Target(Resolved("up", model, ""), find_profile(wire, model, None, vendor))
    outgoing = compose(
        call, body, read_request(call, body), aim,
        receipt, options=options or Options(), keepsakes=Keepsakes(), expanded=False,
    )  # fmt: skip
    return json.loads(outgoing.body), receipt


def claude_code(hinted: int, turns: int = 3, **more: Any) -> dict[str, Any]:
    """A conversation with a hint on the system, on the tools and on one of its turns."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        block: dict[str, Any] = {"type": "text", "text": f"ask {turn}"}
        if turn == hinted:
            block["cache_control"] = HINT
        messages.append({"role": "user", "content": [{"type": "text", "text": "<reminder>"}, block]})
        if turn < turns - 1:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": f"said {turn}"}]})
    return {
        "model": "m", "max_tokens": 9, "messages": messages,
        "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief.", "cache_control": HINT}],
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}, "cache_control": HINT}],
        **more,
    }  # fmt: skip


def test_T15_hints_and_their_lifetime_are_kept_where_the_target_takes_them() -> None:
    body, receipt = sent("anthropic", claude_code(2), ("openai_chat", "anthropic/claude-sonnet-4.5", "openrouter"))
    assert body["messages"][0]["content"][1] == {"type": "text", "text": "Be brief.", "cache_control": HINT}
    assert body["messages"][-1]["content"][-1]["cache_control"] == HINT
    assert body["tools"][0]["cache_control"] == HINT
    assert not any("cache" in loss.path for loss in receipt.losses)


@pytest.mark.parametrize(("model", "setting", "kept"), [
    ("claude-sonnet-4-5", True, True), ("my-Claude-proxy", True, True),
    ("claude-sonnet-4-5", False, False), ("gpt-4.1", True, False)])  # fmt: skip
def test_C_open_claude_cache_keeps_hints_for_chat_targets_with_claude_in_their_name(
    model: str, setting: bool, kept: bool
) -> None:
    body, receipt = sent(
        "anthropic", claude_code(2), ("openai_chat", model, "compatible"), Options(claude_cache=setting)
    )
    assert ("cache_control" in json.dumps(body)) is kept
    assert any(loss.path == "cache_control" for loss in receipt.losses) is not kept


def test_T15_a_hint_becomes_a_breakpoint_of_the_newest_gpt() -> None:
    """https://platform.openai.com/docs/guides/prompt-caching"""
    mark = {"mode": "explicit"}
    body, receipt = sent("anthropic", claude_code(2), ("openai_chat", "gpt-5.6", "openai"))
    assert body["messages"][-1]["content"][-1] == {"type": "text", "text": "ask 2", "prompt_cache_breakpoint": mark}
    assert body["messages"][0]["content"][1]["prompt_cache_breakpoint"] == mark
    assert "cache_control" not in json.dumps(body)
    body, receipt = sent("anthropic", claude_code(2), ("openai_responses", "gpt-5.6", "openai"))
    last = body["input"][-1]["content"][-1]
    assert last == {"type": "input_text", "text": "ask 2", "prompt_cache_breakpoint": mark}
    assert any(loss.path == "cache_control" and loss.what == "approximated" for loss in receipt.losses)
    for vendor, model in (("openai", "gpt-5.5"), ("compatible", "gpt-5.6")):
        body, _ = sent("anthropic", claude_code(2), ("openai_chat", model, vendor))
        assert "prompt_cache_breakpoint" not in json.dumps(body)


@pytest.mark.parametrize(
    "target", [("openai_chat", "anthropic/claude-sonnet-4.5", "openrouter"), ("openai_chat", "gpt-5.6", "openai")]
)
def test_T14_a_hint_that_moves_on_leaves_the_words_in_their_blocks(target: tuple[str, str, str]) -> None:
    """Clients put the hint on their last turn, so it stands somewhere else every time."""
    before, _ = sent("anthropic", claude_code(0, 1), target)
    after, _ = sent("anthropic", claude_code(1, 2), target)

    def bare(message: dict[str, Any]) -> Any:
        marks = ("cache_control", "prompt_cache_breakpoint")
        return [{key: value for key, value in block.items() if key not in marks} for block in message["content"]]

    assert bare(before["messages"][1]) == bare(after["messages"][1])


GIVEN: dict[str, dict[str, Any]] = {
    "anthropic": claude_code(2),
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}


@pytest.mark.parametrize("dialect", GIVEN)
def test_T15_a_cache_key_that_stays_with_the_conversation(dialect: str) -> None:
    target = ("openai_responses", "gpt-5", "openai")
    first, _ = sent(dialect, GIVEN[dialect], target, x_claude_code_session_id=SESSION)
    second, _ = sent(dialect, GIVEN[dialect], target, x_claude_code_session_id=SESSION, x_request_id="2")
    other, _ = sent(dialect, GIVEN[dialect], target, x_claude_code_session_id="another")
    assert first["prompt_cache_key"] == second["prompt_cache_key"] != other["prompt_cache_key"]
    assert SESSION not in json.dumps(first)
    assert len(first["prompt_cache_key"]) <= 64


def test_T15_without_a_session_the_beginning_names_the_conversation() -> None:
    target = ("openai_responses", "gpt-5", "openai")
    keys = {sent("anthropic", claude_code(2, turns), target)[0]["prompt_cache_key"] for turns in (1, 2, 3)}
    assert len(keys) == 1


def test_T15_the_clients_own_key_wins_and_others_get_none() -> None:
    given = {**GIVEN["openai_chat"], "prompt_cache_key": "mine"}
    body, _ = sent("openai_chat", given, ("openai_responses", "gpt-5", "openai"), session_id=SESSION)
    assert body["prompt_cache_key"] == "mine"
    body, _ = sent("anthropic", claude_code(2), ("openai_chat", "kimi-k2.5", "compatible"), session_id=SESSION)
    assert "prompt_cache_key" not in body
    given = claude_code(2, metadata={"user_id": "someone"})
    body, _ = sent("anthropic", given, ("openai_responses", "gpt-5", "openai"))
    assert body["prompt_cache_key"] == "someone"
