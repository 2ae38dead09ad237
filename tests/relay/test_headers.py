"""Headers of the provider's connection end here: encodings, lengths and hops are made anew for the client."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.relay.rig import (
    ASK,
    CHAT_ASK,
    DONE,
    GEMINI_ASK,
    RESPONSES_ASK,
    Asked,
    Wire,
    chat_body,
    chat_stream,
    events_of,
    replay,
    running,
    whole,
)

OF_THE_HOP = {
    "connection": "keep-alive, x-hop",
    "keep_alive": "timeout=5",
    "x_hop": "1",
    "proxy_authenticate": "Basic",
    "te": "trailers",
    "trailer": "x-checksum",
    "upgrade": "h2c",
    "via": "1.1 upstream",
    "server": "upstream-server",
    "set_cookie": "session=1",
    "content_language": "en",
    "etag": '"abc"',
    "content_md5": "0",
    "digest": "sha-256=0",
}
NEVER = {name.replace("_", "-") for name in OF_THE_HOP} - {"connection", "keep-alive", "server"}
PATHS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT_ASK),
    ("/v1/messages", ASK),
    ("/v1/responses", RESPONSES_ASK),
    ("/v1beta/models/g:generateContent", GEMINI_ASK),
]
STREAMED = [
    *((path, {**body, "stream": True}) for path, body in PATHS[:3]),
    ("/v1beta/models/g:streamGenerateContent?alt=sse", GEMINI_ASK),
]
Squeeze = Callable[[bytes], bytes]


def in_two_members(data: bytes) -> bytes:
    """gzip as some proxies make it: one member after the other."""
    return gzip.compress(data[:40], mtime=0) + gzip.compress(data[40:])


SQUEEZES: list[tuple[str, Squeeze]] = [
    ("gzip", gzip.compress),
    ("x-gzip", in_two_members),
    ("GZIP", gzip.compress),
    ("deflate", zlib.compress),
]


def check_of_the_hop(headers: dict[str, str]) -> None:
    """Nothing of the provider's connection is left."""
    assert not NEVER & set(headers)
    assert "content-encoding" not in headers
    assert "x-hop" not in headers.get("connection", "")
    assert "upstream" not in headers.get("server", "")


@pytest.mark.parametrize(("path", "body"), [*PATHS, *STREAMED])
async def test_B08_no_compression_is_asked_for_whatever_the_client_takes(path: str, body: dict[str, Any]) -> None:
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hi")) if (path, body) in STREAMED else whole(chat_body())
        status, _, _ = await rig.post(path, body, accept_encoding="gzip, deflate, br, zstd", te="trailers")
        sent = rig.provider.asked[0].headers
        assert status == 200
        assert sent["accept-encoding"] == "identity"
        assert sent["content-length"] == str(len(rig.provider.asked[0].body))
        assert not {"te", "transfer-encoding", "content-encoding", "expect", "upgrade"} & set(sent)


@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize("encoding", [None, *SQUEEZES])
async def test_B08_a_whole_answer_has_its_own_length_and_encoding(
    path: str, body: dict[str, Any], encoding: tuple[str, Squeeze] | None
) -> None:
    data = json.dumps(chat_body("Hi")).encode()

    async def script(asked: Asked, wire: Wire) -> None:
        headers = OF_THE_HOP | ({"content_encoding": encoding[0]} if encoding else {})
        raw = encoding[1](data) if encoding else data
        await wire.raw(raw, 200, content_type="application/json", **headers)

    async with running() as rig:
        rig.provider.script = script
        async with rig.client.post(rig.url + path, json=body, headers={"accept-encoding": "identity"}) as answer:
            got = await answer.read()
            headers = {name.lower(): value for name, value in answer.headers.items()}
        assert answer.status == 200
        check_of_the_hop(headers)
        assert headers["content-length"] == str(len(got))
        assert "transfer-encoding" not in headers
        assert "Hi" in json.dumps(json.loads(got))


@pytest.mark.parametrize(("path", "body"), STREAMED)
@pytest.mark.parametrize("encoding", [None, *SQUEEZES])
async def test_B08_a_stream_has_its_own_encoding_and_no_length(
    path: str, body: dict[str, Any], encoding: tuple[str, Squeeze] | None
) -> None:
    data = b"".join(chat_stream("Hel", "lo"))
    raw = encoding[1](data) if encoding else data

    async def script(asked: Asked, wire: Wire) -> None:
        more = {"content_encoding": encoding[0]} if encoding else {}
        await wire.head(200, content_type="text/event-stream", content_length=str(len(raw)), **more, **OF_THE_HOP)
        wire.writer.write(raw)
        await wire.writer.drain()

    async with running() as rig:
        rig.provider.script = script
        status, headers, got = await rig.post(path, body)
        assert status == 200
        check_of_the_hop(headers)
        assert "content-length" not in headers
        assert headers["content-type"].startswith("text/event-stream")
        assert b"Hel" in got
        assert b"lo" in got
        if path == "/v1/chat/completions":
            assert got.endswith(DONE)
            assert events_of(got)[0]["model"] == "gpt-x"


@pytest.mark.parametrize("stream", [False, True])
async def test_B08_E01_a_compressed_error_is_readable(stream: bool) -> None:
    error = json.dumps({"error": {"message": "too many words", "type": "t", "code": "c"}}).encode()

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(
            gzip.compress(error, mtime=0), 422, content_type="application/json", content_encoding="gzip", **OF_THE_HOP
        )

    async with running() as rig:
        rig.provider.script = script
        for path, body in STREAMED if stream else PATHS:
            status, headers, answer = await rig.post(path, body)
            assert status == 422
            check_of_the_hop(headers)
            assert "too many words" in answer["error"]["message"]


@pytest.mark.parametrize("raw", [b"not gzip at all", gzip.compress(json.dumps(chat_body()).encode(), mtime=0)[:30]])
async def test_B08_a_broken_compression_is_a_502(raw: bytes) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(raw, content_type="application/json", content_encoding="gzip")

    async with running() as rig:
        rig.provider.script = script
        for path, body in PATHS:
            status, _, answer = await rig.post(path, body)
            assert status == 502
            assert answer["error"]["message"]


async def test_B08_an_encoding_nobody_asked_for_is_a_502() -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.raw(b"\x0b\x02\x80hi\x03", content_type="application/json", content_encoding="br")

    async with running() as rig:
        rig.provider.script = script
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert status == 502
        assert "compressed" in answer["error"]["message"]
