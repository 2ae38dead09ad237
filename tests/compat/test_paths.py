"""Paths, methods and origins, as every client of the five found them (compat §3.1, T-41, T-42)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dragoman.web.surfaces import SURFACES
from tests.patience import SOON
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, RESPONSES_ASK, Rig, chat_body, running, whole

MODEL_CALLS: dict[str, Any] = {
    "/v1/messages": ASK,
    "/v1/messages/count_tokens": ASK,
    "/v1/chat/completions": CHAT_ASK,
    "/v1/responses": RESPONSES_ASK,
    "/openai/v1/chat/completions": CHAT_ASK,
    "/openai/v1/responses": RESPONSES_ASK,
    "/openai/responses": RESPONSES_ASK,
    "/openai/deployments/gpt-x/chat/completions": CHAT_ASK,
    "/cursor/v1/chat/completions": {**CHAT_ASK, "model": "fake/gpt-x"},
    "/cursor/chat/completions": {**CHAT_ASK, "model": "fake/gpt-x"},
    "/v1beta/models/gpt-x:generateContent": GEMINI_ASK,
    "/v1/models/gpt-x:generateContent": GEMINI_ASK,
}


def shape_of(body: Any) -> str:
    """Whose error it is."""
    if body.get("type") == "error":
        assert set(body) == {"type", "error", "request_id"}
        return "anthropic"
    if "status" in body["error"]:
        return "gemini"
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return "openai"


def expected_shape(path: str) -> str:
    """Whose error a path owes its client."""
    if path.startswith("/v1/messages"):
        return "anthropic"
    return "gemini" if "generateContent" in path else "openai"


@pytest.mark.parametrize("path", MODEL_CALLS)
async def test_T_42_every_path_in_every_spelling(path: str) -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for spelt in (f"{path}?beta=true", "/" + path, path.replace("/", "//"), f"{path}/", f"{path}/?a=b&c"):
            status, _, body = await rig.post(spelt, MODEL_CALLS[path])
            assert status == 200, (spelt, body)


async def test_T_42_head_and_options() -> None:
    async with running(models={"big": "gpt-x"}) as rig:
        for path in ("/", "/health", "/cursor/health", "/api/hello", "/v1/models"):
            status, headers, body = await rig.get(path, "HEAD")
            assert (status, body) == (200, b"")
            assert headers["content-type"] == "application/json"
        for path in ("/v1/messages", "/cursor/chat/completions", "/openai/responses", "/nowhere"):
            status, headers, body = await rig.get(path, "OPTIONS", origin="https://ui.example")
            assert (status, body) == (204, b"")
            assert not [name for name in headers if name.startswith("access-control")]
        assert rig.provider.asked == []


@pytest.mark.parametrize(
    ("allowed", "origin", "answer"),
    [
        (["*"], "https://any.example", "*"),
        (["https://ui.example"], "https://ui.example", "https://ui.example"),
        (["https://ui.example"], "https://evil.example", None),
        (["https://ui.example"], "", None),
    ],
)
async def test_T_42_cors_only_as_configured(allowed: list[str], origin: str, answer: str | None) -> None:
    async with running(server={"cors_origins": allowed}) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        sent = {"origin": origin} if origin else {}
        _, preflight, _ = await rig.get("/v1/chat/completions", "OPTIONS", **sent)
        _, real, _ = await rig.post("/v1/chat/completions", CHAT_ASK, **sent)
        for headers in (preflight, real):
            assert headers.get("access-control-allow-origin") == answer
            assert "access-control-allow-credentials" not in headers
        if answer:
            assert "POST" in preflight["access-control-allow-methods"]


@pytest.mark.parametrize("path", [*MODEL_CALLS, "/v1/completions"])
async def test_T_41_another_method_is_a_405_and_never_an_upstream_call(path: str) -> None:
    async with running() as rig:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            status, headers, body = await rig.get(path, method)
            assert status == 405, (method, path)
            assert "POST" in headers["allow"].split(", ")
            assert method not in headers["allow"].split(", ") or method == "GET"
            assert shape_of(body) == expected_shape(path)
        assert rig.provider.asked == []


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/assistants", {}, "openai"),
        ("/v1/messages/batches", {}, "anthropic"),
        ("/v1/files", {"anthropic_version": "2023-06-01"}, "anthropic"),
        ("/cursor/v1/responses", {}, "openai"),
        ("/cursor", {}, "openai"),
        ("/openai/deployments/x", {}, "openai"),
        ("/v1beta/cachedContents", {}, "gemini"),
        ("/v1/firecrawl/scrape", {}, "openai"),
    ],
)
async def test_T_41_an_unknown_path_is_a_404_in_the_askers_shape(
    path: str, headers: dict[str, str], shape: str
) -> None:
    async with running() as rig:
        for method in ("GET", "POST"):
            status, _, body = await rig.get(path, method, **headers)
            assert (status, shape_of(body)) == (404, shape)
        assert rig.provider.asked == []


BODIES = [b"", b"{", b"[]", b"null", b'"text"', b"7", b'{"model":"a","messages":[NaN]}', b"[" * 100_000]
WRONG: list[dict[str, Any]] = [
    {"messages": "Hello"},
    {"messages": [7]},
    {"messages": [{"role": "user", "content": 7}]},
    {"messages": [{"role": 7, "content": "a"}]},
    {"tools": "none", "messages": [{"role": "user", "content": "a"}]},
    {"stream": "yes", "messages": [{"role": "user", "content": "a"}]},
]


@pytest.mark.parametrize("path", MODEL_CALLS)
async def test_T_35_malformed_and_array_bodies_are_a_400(path: str) -> None:
    async with running() as rig:
        for body in BODIES:
            status, _, answer = await rig.post(path, body, content_type="text/plain")
            assert (status, shape_of(answer)) == (400, expected_shape(path)), body[:20]
        assert rig.provider.asked == []


@pytest.mark.parametrize("path", ["/v1/messages", "/cursor/chat/completions"])
async def test_T_35_wrong_types_are_a_400_and_unknown_fields_are_fine(path: str) -> None:
    async with running("gemini") as rig:
        for wrong in WRONG:
            status, _, answer = await rig.post(path, {**MODEL_CALLS[path], "model": "fake/gemini-2.5-pro", **wrong})
            assert (status, shape_of(answer)) == (400, expected_shape(path)), wrong
        assert rig.provider.asked == []
    async with running() as rig:
        if "cursor" in path:  # never asks with an empty conversation instead
            status, _, _ = await rig.post(path, {**MODEL_CALLS[path], "messages": "Hello"})
            assert (status, rig.provider.asked) == (400, [])
        rig.provider.script = whole(chat_body("Hi"))
        assert (await rig.post(path, {**MODEL_CALLS[path], "unknown": {"a": [1]}}))[0] == 200


async def test_T_58_any_one_valid_credential_will_do_on_every_surface() -> None:
    shown = [
        {"authorization": "Bearer right"},
        {"authorization": "bearer right"},
        {"authorization": "right"},
        {"x_api_key": "right"},
        {"api_key": "right"},
        {"x_goog_api_key": "right"},
        {"authorization": "Bearer wrong", "x_api_key": "right"},
    ]
    async with running(auth={"token": "right"}) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for headers in shown:
            assert (await rig.post("/cursor/chat/completions", MODEL_CALLS["/cursor/chat/completions"], **headers))[
                0
            ] == 200
        for path, body in MODEL_CALLS.items():
            for headers in ({}, {"authorization": "Bearer wrong"}, {"x_api_key": "wrong", "api_key": "bad"}):
                status, answered, answer = await rig.post(path, body, **headers)
                assert (status, shape_of(answer)) == (401, expected_shape(path))
                assert answered["www-authenticate"] == "Bearer"


async def test_C01_both_credentials_contradicting_are_a_401() -> None:
    async with running(auth={"token": "right"}) as rig:
        status, _, answer = await rig.post("/v1/messages", ASK, authorization="Bearer wrong", x_api_key="bad")
        assert (status, answer["error"]["type"]) == (401, "authentication_error")
        assert rig.provider.asked == []
        assert (await rig.get("/api/hello", "HEAD"))[0] == 200


def test_T_41_every_surface_belongs_to_a_dialect_and_an_operation() -> None:
    from dragoman.language.registry import DIALECTS

    assert {row.dialect for row in SURFACES} <= set(DIALECTS)


async def request_ids(rig: Rig, path: str) -> tuple[str, str]:
    """The id the client gave as both headers tell it."""
    _, headers, _ = await rig.post(path, MODEL_CALLS[path], x_request_id="mine-1")
    return headers["x-request-id"], headers.get("request-id", "")


async def test_every_surface_says_the_request_id() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for path in MODEL_CALLS:
            ids = await request_ids(rig, path)
            assert ids == ("mine-1", "mine-1" if path.startswith("/v1/messages") else "")


async def test_C13_codex_is_told_to_use_http_below_every_root() -> None:
    async with running() as rig:
        for root in ("/v1", "/openai/v1", "/openai"):
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            head = f"GET {root}/responses HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
            writer.write(head.encode())
            got = await asyncio.wait_for(reader.read(), SOON)
            writer.close()
            assert got.startswith(b"HTTP/1.1 426 ")
            assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "upgrade_required"
