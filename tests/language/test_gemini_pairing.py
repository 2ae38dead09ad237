"""Gemini's calls and responses pair by id, else by name in order, and by nothing else (R05)."""

from __future__ import annotations

from dragoman.language.dialects import gemini
from dragoman.language.fitting import fit
from dragoman.language.ir import ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile


def test_R05_a_lone_response_of_another_name_is_not_forced_onto_the_lone_open_call() -> None:
    """By id, else by name in order: what matches neither is an orphan, and fitting repairs both (R03)."""
    contents = [
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "listen", "response": {"output": "b"}}}]},
    ]
    request = gemini.read_request({"contents": contents}, model="m", stream=False)
    [call] = [part for message in request.messages for part in message.parts if isinstance(part, ToolCall)]
    [result] = [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]
    assert result.call_id != call.id
    receipt = Receipt()
    fitted = fit(request, find_profile("openai_chat", "gpt-4.1"), receipt).request
    results = [part for message in fitted.messages for part in message.parts if isinstance(part, ToolResult)]
    assert [(one.call_id, one.is_error) for one in results] == [(call.id, True)]
    assert len(receipt.losses) >= 2
