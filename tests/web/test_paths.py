"""Paths, methods, ids and small answers of the running gateway."""

from __future__ import annotations

import asyncio
import json

import pytest

from dragoman.web.surfaces import SURFACES, Match, Surfaces, Unmatched, tidy
from tests.patience import SOON
from tests.relay.rig import ASK, CHAT_ASK, GEMINI_ASK, chat_body, running, whole

SURFACES_TABLE = Surfaces()


def found(method: str, path: str) -> tuple[str, str]:
    match = SURFACES_TABLE.find(method, path)
    assert isinstance(match, Match), match
    return match.surface.operation, match.value


@pytest.mark.parametrize(
    ("method", "path", "operation", "value"),
    [
        ("POST", "/v1/messages", "generate", ""),
        ("POST", "//v1///messages/", "generate", ""),
        ("POST", "/v1beta/models/openai/gpt-oss:120b:streamGenerateContent", "stream", "openai/gpt-oss:120b"),
        ("POST", "/v1/models/gemini-2.5-pro:generateContent", "generate", "gemini-2.5-pro"),
        ("POST", "/v1beta/models/x:countTokens", "count_tokens", "x"),
        ("GET", "/v1/models/openai/gpt-5", "model", "openai/gpt-5"),
        ("GET", "/v1/responses/resp_1", "stored_response", "resp_1"),
        ("HEAD", "/", "info", ""),
        ("HEAD", "/api/hello", "hello", ""),
    ],
)
def test_T42_paths_are_found(method: str, path: str, operation: str, value: str) -> None:
    assert found(method, path) == (operation, value)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", ("POST",)),
        ("PUT", "/v1/responses", ("POST", "GET")),
        ("GET", "/v1beta/models/x:generateContent", ("POST",)),
        ("POST", "/health", ("GET",)),
        ("POST", "/v1/nothing", ()),
        ("GET", "/v1", ()),
        ("POST", "/v1/messages/batches", ()),
        ("POST", "/v1beta/models/:generateContent", ("GET",)),
        ("GET", "/v1/messages/../models", ()),
    ],
)
def test_T41_unknown_paths_and_wrong_methods(method: str, path: str, allowed: tuple[str, ...]) -> None:
    match = SURFACES_TABLE.find(method, path)
    assert isinstance(match, Unmatched)
    assert match.allowed == allowed


def test_tidy() -> None:
    assert [tidy(path) for path in ("/", "//", "/a/", "/a//b///")] == ["/", "/", "/a", "/a/b"]


def test_rows_are_unique() -> None:
    keys = [(row.method, row.pattern) for row in SURFACES]
    assert len(set(keys)) == len(keys)


async def test_T42_head_options_query_and_slashes() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        assert (await rig.get("/", "HEAD"))[0] == 200
        assert (await rig.get("/api/hello", "HEAD"))[0] == 200
        status, headers, body = await rig.get("/v1/messages", "OPTIONS")
        assert (status, body) == (204, b"")
        assert "access-control-allow-origin" not in headers
        for path in ("/v1/messages?beta=true", "//v1/messages", "/v1/messages/"):
            assert (await rig.post(path, ASK))[0] == 200
        status, _, body = await rig.get("/healthz")
        assert (status, body) == (204, b"")


async def test_information_and_health() -> None:
    async with running() as rig:
        _, _, info = await rig.get("/")
        assert info["name"] == "dragoman"
        assert info["status"] == "ok"
        assert info["endpoints"]["messages"] == "/v1/messages"
        assert "Anthropic Proxy" in info["message"]
        assert {"proxy_name", "version", "timestamp"} <= set(info)
        _, _, health = await rig.get("/health")
        assert (health["status"], health["openai_backend"]) == ("healthy", "configured")
        assert isinstance(health["pid"], int)
        assert rig.provider.asked == []


async def test_T41_405_names_the_methods_in_the_surfaces_own_shape() -> None:
    async with running() as rig:
        status, headers, body = await rig.get("/v1/messages")
        assert (status, body["type"]) == (405, "error")
        assert "POST" in headers["allow"]
        assert headers["request-id"] == headers["x-request-id"] == body["request_id"]
        status, headers, body = await rig.get("/v1beta/models/x:generateContent")
        assert (status, body["error"]["code"]) == (405, 405)
        assert "request-id" not in headers
        assert rig.provider.asked == []


async def test_unknown_paths_in_the_shape_of_whoever_asks() -> None:
    async with running() as rig:
        status, _, body = await rig.get("/v1/assistants")
        assert status == 404
        assert body["error"]["code"] == "not_found"  # "model_not_found" makes Codex give up
        status, _, body = await rig.get("/v1/files", anthropic_version="2023-06-01")
        assert (status, body["error"]["type"]) == (404, "not_found_error")
        status, _, body = await rig.get("/v1beta/cachedContents")
        assert (status, body["error"]["status"]) == (404, "NOT_FOUND")


async def test_C13_a_websocket_upgrade_is_answered_with_426() -> None:
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(
            b"GET /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"openai-beta: responses_websockets=2026-02-06\r\n\r\n"
        )
        got = await asyncio.wait_for(reader.read(), SOON)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 426 ")
        assert json.loads(body)["error"]["code"] == "upgrade_required"
        writer.close()
        assert (await rig.get("/v1/responses"))[0] == 405
        rig.provider.script = whole(chat_body())
        assert (await rig.post("/v1/responses", {"model": "x", "input": "a"}))[0] == 200


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("trace-1.a:b/c", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ('"quoted"', False)],
)
async def test_request_ids_are_echoed_when_safe(sent: str, echoed: bool) -> None:
    async with running() as rig:
        _, headers, _ = await rig.get("/health", x_request_id=sent)
        assert (headers["x-request-id"] == sent) is echoed
        assert headers["x-request-id"]


async def test_request_ids_are_on_every_answer() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body())
        for path, body in (("/v1/messages", ASK), ("/v1/chat/completions", CHAT_ASK), ("/nowhere", {})):
            _, headers, _ = await rig.post(path, body, x_request_id="mine")
            assert headers["x-request-id"] == "mine"
            assert ("request-id" in headers) == (path == "/v1/messages")
        assert rig.records[0].request_id == "mine"


async def test_C05_models_in_the_shape_of_the_client() -> None:
    models = {"big": "gpt-5.2", "small": "gpt-5-mini", "default": "glm-4.6"}
    async with running(models=models, account={"deployments": {"fast": "gpt-5-nano"}}) as rig:
        _, _, listed = await rig.get("/v1/models?limit=1000")
        assert listed["object"] == "list"
        names = [entry["id"] for entry in listed["data"]]
        assert names[0] == "fast"
        assert {"claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5.2", "gpt-5-mini", "glm-4.6"} <= set(names)
        assert not [name for name in names if "<" in name]
        assert set(listed["data"][0]) == {"id", "object", "created", "owned_by", "permission", "root", "parent"}
        _, _, again = await rig.get("/v1/models")
        assert again == listed
        _, _, anthropic = await rig.get("/v1/models", anthropic_version="2023-06-01")
        assert [entry["id"] for entry in anthropic["data"]] == names
        assert anthropic["data"][0].keys() >= {"type", "id", "display_name", "created_at"}
        assert (anthropic["first_id"], anthropic["last_id"]) == (names[0], names[-1])
        _, _, gemini = await rig.get("/v1beta/models")
        assert gemini["models"][0]["name"] == "models/fast"
        _, _, one = await rig.get("/v1/models/fast")
        assert one["id"] == "fast"
        status, _, missing = await rig.get("/v1/models/none")
        assert (status, missing["error"]["code"]) == (404, "model_not_found")
        assert rig.provider.asked == []


async def test_C19_gemini_on_both_roots() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for root in ("/v1beta", "/v1"):
            status, _, got = await rig.post(f"{root}/models/openai/gpt-x:generateContent", GEMINI_ASK)
            assert status == 200
            assert got["candidates"][0]["content"]["parts"][0]["text"] == "Hi"


async def test_cors_only_for_allowed_origins() -> None:
    server = {"cors_origins": ["https://ui.example"]}
    async with running(server=server) as rig:
        _, headers, _ = await rig.get("/v1/messages", "OPTIONS", origin="https://ui.example")
        assert headers["access-control-allow-origin"] == "https://ui.example"
        assert "access-control-allow-credentials" not in headers
        _, headers, _ = await rig.get("/v1/messages", "OPTIONS", origin="https://evil.example")
        assert "access-control-allow-origin" not in headers


async def test_C05_a_gateway_that_maps_nothing_lists_what_its_provider_lists() -> None:
    async with running("anthropic") as rig:
        rig.provider.script = whole(
            {"data": [{"id": "claude-a", "type": "model"}, {"id": "claude-b"}], "has_more": False}
        )
        for _ in range(2):
            _, _, listed = await rig.get("/v1/models?limit=1000", anthropic_version="2023-06-01")
            assert [entry["id"] for entry in listed["data"]] == ["claude-a", "claude-b"]
        assert [asked.method for asked in rig.provider.asked] == ["GET"]
    async with running("anthropic") as rig:
        rig.provider.script = whole({"error": {}}, 500)
        _, _, listed = await rig.get("/v1/models")
        assert listed == {"object": "list", "data": []}


async def test_an_unmapped_model_is_a_404_that_names_itself() -> None:
    async with running(models={"unmapped": "error"}, account={"deployments": {"known": "x"}}) as rig:
        for path, body in (("/v1/messages", ASK), ("/v1/responses", {"model": "nobody", "input": "a"})):
            status, _, answer = await rig.post(path, body)
            assert status == 404
            assert "Missing model mapper" in answer["error"]["message"]
        assert rig.provider.asked == []
