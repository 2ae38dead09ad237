"""What the contract must be told of each dialect; ``views`` and ``sdks`` hold its strict parsers."""

from __future__ import annotations

from typing import Any

CLIENT_REQUESTS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "model": "asked",
        "max_tokens": 9000,
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 4096},
        "stream": True,
    },
    "openai_chat": {
        "model": "asked",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "openai_responses": {
        "model": "asked",
        "input": "hi",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    },
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
    },
}
"""What a client of the dialect sends: streamed, with thoughts and usage wanted."""

FINISH: dict[str, dict[str, set[str]]] = {
    "anthropic": {
        "end": {"end_turn"},
        "length": {"max_tokens", "model_context_window_exceeded"},
        "tool_calls": {"tool_use"},
        "stop_sequence": {"stop_sequence"},
        "refusal": {"refusal"},
        "pause": {"pause_turn"},
        "unknown": {"end_turn", "tool_use", "compaction"},
    },
    "openai_chat": {
        "end": {"stop"},
        "length": {"length"},
        "tool_calls": {"tool_calls"},
        "stop_sequence": {"stop"},
        "refusal": {"content_filter"},
        "pause": {"stop"},
        "unknown": {"stop", "tool_calls"},
    },
    "openai_responses": {
        "end": {"completed"},
        "length": {"max_output_tokens"},
        "tool_calls": {"completed"},
        "stop_sequence": {"completed"},
        "refusal": {"content_filter", "completed"},
        "pause": {"completed"},
        "unknown": {"completed"},
    },
    "gemini": {
        "end": {"STOP"},
        "length": {"MAX_TOKENS"},
        "tool_calls": {"STOP"},
        "stop_sequence": {"STOP"},
        "refusal": {"SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST"},
        "pause": {"STOP"},
        "unknown": {"STOP", "OTHER"},
    },
}
"""The words in which a client of the dialect may be told each reason for an end."""

TARGETS = {
    "anthropic": "claude-opus-4-8",
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.2",
    "gemini": "gemini-3-pro",
}
"""A model to which every other dialect's requests are written."""
