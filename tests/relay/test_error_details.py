"""What providers put beside an error's words is cleaned like the words: Google's ``details`` above all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, Asked, Wire, running

OUR_KEY = "upstream-secret-key"
KEY = "AIzaSyCANARY0123456789abcdefghijklmnopq"
TOKEN = "ya29.a0CANARYtoken-0123456789"
HOST = "canary-backend.internal:8443"
URL = f"https://{HOST}/v1/projects/canary?key={KEY}"
FILE = "/home/canary/service.py"
CANARIES = (OUR_KEY, KEY, TOKEN, "canary-backend", "projects/canary", "/home/canary", "CANARY")
PATHS: list[tuple[str, dict[str, Any]]] = [
    ("/v1beta/models/gemini-x:generateContent", GEMINI_ASK),
    ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", GEMINI_ASK),
    ("/v1/messages", {**ASK, "model": "gemini-x"}),
    ("/v1/messages", {**ASK, "model": "gemini-x", "stream": True}),
    ("/v1/chat/completions", {**CHAT_ASK, "model": "gemini-x"}),
    ("/v1/responses", {**RESPONSES_ASK, "model": "gemini-x"}),
]


def error(status: int = 403, reason: str = "SERVICE_DISABLED") -> dict[str, Any]:
    """An error of Google's whose details hold what no client may read."""
    return {
        "error": {
            "code": status,
            "message": f"The model said no. See {URL} ({KEY}).",
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": reason,
                    "domain": "googleapis.com",
                    "metadata": {"consumer": f"key {KEY}", "url": URL, "authorization": f"Bearer {TOKEN}"},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.Help",
                    "links": [{"description": f"at {FILE}", "url": URL}],
                },
                {"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": f"sent {OUR_KEY} to {HOST}"},
                {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents[0]"}]},
            ],
        }
    }


def check_clean(headers: dict[str, str], got: Any) -> None:
    """No canary anywhere, but the words and what is harmless."""
    text = json.dumps(got) if not isinstance(got, bytes) else got.decode()
    assert "The model said no." in text
    for canary in CANARIES:
        assert canary not in text, canary
        assert canary not in json.dumps(headers)


@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_X11_details_of_an_error_answer_are_clean(path: str, body: dict[str, Any]) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.json(error(), 403)

    async with running("gemini") as rig:
        rig.provider.script = script
        status, headers, got = await rig.post(path, body)
        assert status == 403
        check_clean(headers, got)
        if "v1beta" in path:
            details = {detail["@type"].rpartition(".")[2]: detail for detail in got["error"]["details"]}
            assert details["BadRequest"]["fieldViolations"] == [{"field": "contents[0]"}]
            assert details["ErrorInfo"]["reason"] == "SERVICE_DISABLED"


@pytest.mark.parametrize(("path", "body"), PATHS)
async def test_X11_E03_details_of_an_error_inside_a_200_are_clean(path: str, body: dict[str, Any]) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        if "alt=sse" in asked.path:
            await wire.stream(b"data: " + json.dumps(error()).encode() + b"\r\n\r\n")
        else:
            await wire.json(error(), 200)

    async with running("gemini") as rig:
        rig.provider.script = script
        status, headers, got = await rig.post(path, body)
        assert status >= 400
        check_clean(headers, got)


@pytest.mark.parametrize(("path", "body"), [PATHS[1], PATHS[3]])
async def test_X11_E04_details_of_an_error_in_mid_stream_are_clean(path: str, body: dict[str, Any]) -> None:
    chunk = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}, "index": 0}]}
    frames = [b"data: " + json.dumps(payload).encode() + b"\r\n\r\n" for payload in (chunk, error())]

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(*frames)

    async with running("gemini") as rig:
        rig.provider.script = script
        status, headers, got = await rig.post(path, body)
        assert status == 200
        assert b"Hel" in got
        check_clean(headers, got)


async def test_X11_E04_an_error_in_mid_stream_of_the_short_cut_is_clean_in_every_dialect() -> None:
    from tests.relay.rig import anthropic_events, chat_chunk

    said = {"message": f"The model said no. See {URL} ({KEY})", "type": "server_error", "code": OUR_KEY, "at": FILE}
    broken = b"event: error\ndata: " + json.dumps({"type": "error", "error": said}).encode() + b"\n\n"
    failed = {"type": "response.failed", "sequence_number": 1, "response": {
        "id": "resp_1", "object": "response", "status": "failed", "output": [], "error": said}}  # fmt: skip
    created = {"type": "response.created", "sequence_number": 0, "response": {
        "id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt-x", "output": []}}  # fmt: skip
    text = {"type": "response.output_item.added", "sequence_number": 0, "output_index": 0, "item": {
        "id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}}  # fmt: skip
    delta = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0,
             "delta": "Hel", "sequence_number": 0}  # fmt: skip
    of_responses = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in (created, text, delta, failed)]
    cases: list[tuple[dict[str, Any], str, dict[str, Any], list[bytes]]] = [
        ({"kind": "anthropic"}, "/v1/messages", ASK, [*anthropic_events("Hel")[:3], broken]),
        ({}, "/v1/chat/completions", CHAT_ASK,
         [chat_chunk("Hel"), b"data: " + json.dumps({"error": said}).encode() + b"\n\n", b"data: [DONE]\n\n"]),
        ({"account": {"api": "responses"}}, "/v1/responses", RESPONSES_ASK, of_responses),
    ]  # fmt: skip
    for more, path, body, frames in cases:

        async def script(asked: Asked, wire: Wire, frames: list[bytes] = frames) -> None:
            await wire.stream(*frames)

        async with running(**more) as rig:
            rig.provider.script = script
            status, headers, got = await rig.post(path, {**body, "stream": True})
            assert status == 200
            assert b"Hel" in got
            check_clean(headers, got)
            assert (await rig.record()).short_cut
            assert (await rig.record()).outcome == "failed"
