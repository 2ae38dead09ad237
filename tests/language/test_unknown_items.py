"""Responses items nobody else knows: replayed to their owner with everything, noted elsewhere (V13)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dragoman.language.events import Event, PartStarted
from dragoman.language.fitting import fit
from dragoman.language.ir import Opaque, ToolCall
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked
from tests.corpus import exchange, sse_bytes

NAME = "openai_responses"
ITEMS: list[dict[str, Any]] = [
    {"type": "program", "id": "prog_1", "code": "look()", "fingerprint": "f"},
    {"type": "shell_call", "id": "sh_1", "call_id": "c1", "action": {"commands": ["ls"]}, "status": "completed"},
    {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a", "outcome": {"type": "exit"}}]},
    {"type": "apply_patch_call", "id": "apc_1", "call_id": "c2", "operation": {"type": "delete_file", "path": "a"}},
    {"type": "mcp_call", "id": "mcp_1", "name": "look", "server_label": "s", "arguments": "{}", "output": "b"},
    {"type": "mcp_approval_request", "id": "mcpr_1", "name": "look", "server_label": "s", "arguments": "{}"},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "container_id": "x", "outputs": None},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"},
    {"type": "tool_search_call", "id": "ts_1", "arguments": {"query": "a"}, "execution": "server"},
    {"type": "brand_new_call", "id": "bn_1", "anything": [1, {"x": None}]},
]
SAID = {
    "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "phase": "commentary",
    "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
}  # fmt: skip
TARGETS = {"anthropic": "claude-opus-4-8", "openai_chat": "gpt-4.1", "gemini": "gemini-3-pro"}
CLIENTS: dict[str, dict[str, Any]] = {
    "anthropic": {"messages": [{"role": "user", "content": "a"}]},
    "openai_chat": {"messages": [{"role": "user", "content": "a"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
}


def ask(*items: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": "a"}, *items, {"role": "user", "content": "b"}]}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["type"])
def test_V13_replayed_to_the_owner_with_phase(item: dict[str, Any]) -> None:
    body = ask(SAID, item)
    profile = find_profile(NAME, "gpt-5.2")
    written = DIALECTS[NAME].write_request(
        DIALECTS[NAME].read_request(json.loads(json.dumps(body))), profile, Receipt()
    )
    assert written["input"] == body["input"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["type"])
def test_V13_left_out_elsewhere_with_a_note(item: dict[str, Any], target: str) -> None:
    request = DIALECTS[NAME].read_request(json.loads(json.dumps(ask(SAID, item))))
    receipt = Receipt()
    profile = find_profile(target, TARGETS[target])
    fitted = fit(request, profile, receipt)
    text = json.dumps(DIALECTS[target].write_request(fitted.request, profile, receipt))
    assert "Looking." in text
    assert "phase" not in text
    assert item.get("id", "sh_1") not in text
    assert any(loss.what == "dropped" and loss.path.startswith("messages[") for loss in receipt.losses)


@pytest.mark.parametrize("client", CLIENTS)
def test_V13_in_an_answer_noted_once_each_and_never_a_call(client: str) -> None:
    done = [item for item in ITEMS if item["type"] not in ("shell_call_output", "image_generation_call")]
    output = [*done, *done, SAID]
    response = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": output}
    receipt = Receipt()
    request = DIALECTS[client].read_request(CLIENTS[client], model="m", stream=False)
    asked = Asked(request, "m", "ab" * 12, 1700000000, receipt=receipt)
    read = DIALECTS[NAME].read_response(json.loads(json.dumps(response)))
    assert not any(isinstance(part, ToolCall) for part in read.parts)
    text = json.dumps(DIALECTS[client].write_response(read, asked))
    assert "Looking." in text
    assert not any(item["id"] in text for item in done)
    for item in done:
        assert any(item["type"] in loss.why for loss in receipt.losses), item["type"]


RECORDED = [
    "openai-responses--vercel--programmatic-tool-calling.1--0",
    "openai-responses--vercel--openai-shell-container.1.chunks--0",
    "openai-responses--vercel--openai-mcp-tool-approval.1.chunks--0",
    "openai-responses--pydai--test_openai_responses_phase_streamed_on_part_start--1",
]


def recorded_events(name: str) -> list[Event]:
    """The answer of a recorded exchange."""
    reader = DIALECTS[NAME].StreamReader()
    said = exchange(name)["response"]
    raw = sse_bytes(name) if said.get("sse") is not None else json.dumps(said["body"]).encode()
    return [*reader.feed(raw), *reader.close()]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("client", CLIENTS)
def test_V13_recorded_answers(name: str, client: str) -> None:
    events = recorded_events(name)
    opaque = {
        event.part.data["type"]
        for event in events
        if isinstance(event, PartStarted) and isinstance(event.part, Opaque) and "type" in event.part.data
    }
    receipt = Receipt()
    request = DIALECTS[client].read_request(CLIENTS[client], model="m", stream=True)
    writer = DIALECTS[client].StreamWriter(Asked(request, "m", "ab" * 12, 1700000000, receipt=receipt))
    data = b"".join(writer.write(event) for event in events)
    assert data
    for kind in opaque - {"image_generation_call"}:
        assert sum(re.search(rf"\b{kind}\b", loss.why) is not None for loss in receipt.losses) == 1, kind
        assert f'"{kind}"'.encode() not in data
